//! JSON from strangers: bounded in size and depth, no duplicate keys, nothing after the value.
//!
//! `serde_json` merges duplicate keys silently, so two readers of one signed document could see
//! different values. Everything security-relevant is parsed through [`parse`].

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

/// How much a document may spend.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest accepted document, in bytes.
    pub bytes_max: usize,
    /// Deepest accepted nesting of arrays and objects. At most 100 takes effect.
    pub depth_max: usize,
}

/// Why a document was refused before its meaning was looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The document is longer than the limit.
    #[error("JSON document exceeds the limit of {max} bytes")]
    TooLong {
        /// Length of the document, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The bytes are not one well-formed JSON value within the depth limit and without duplicate keys.
    #[error("malformed JSON: {0}")]
    Malformed(String),
    /// Well-formed JSON that does not have the expected shape.
    #[error("unexpected JSON: {0}")]
    Shape(String),
}

/// Parses `bytes` as exactly one JSON value of type `T`.
///
/// # Errors
/// [`JsonError`] when the document is too long, malformed, too deep, repeats a key in one object at
/// any depth, or does not have the shape of `T`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], limits: Limits) -> Result<T, JsonError> {
    if bytes.len() > limits.bytes_max {
        return Err(JsonError::TooLong { len: bytes.len(), max: limits.bytes_max });
    }
    let mut structure = serde_json::Deserializer::from_slice(bytes);
    Structure { depth_left: limits.depth_max.min(100) }
        .deserialize(&mut structure)
        .and_then(|()| structure.end())
        .map_err(|error| JsonError::Malformed(alloc::format!("{error}")))?;
    serde_json::from_slice(bytes).map_err(|error| JsonError::Shape(alloc::format!("{error}")))
}

/// Walks a value without keeping it, refusing duplicate keys and excess depth.
#[derive(Clone, Copy)]
struct Structure {
    depth_left: usize,
}

impl Structure {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Structure {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Structure {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut seen = BTreeSet::<String>::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                // The key is a stranger's text: name it, but bounded.
                let key: String = key.chars().take(64).collect();
                return Err(A::Error::custom(alloc::format!("duplicate key {key:?}")));
            }
            seen.insert(key);
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const LIMITS: Limits = Limits { bytes_max: 10_000, depth_max: 8 };

    #[test]
    fn accepts_ordinary_documents() {
        let value: Value = parse(br#"{"a":[1,2.5,-3,null,true,"x"],"b":{"a":{}}}"#, LIMITS).unwrap();
        assert_eq!(value["a"][0], 1);
    }

    #[test]
    fn refuses_duplicate_keys_at_any_depth_even_when_escaped() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"x":{"b":1,"b":2}}]"#, r#"{"a":1,"\u0061":2}"#] {
            let error = parse::<Value>(text.as_bytes(), LIMITS).unwrap_err();
            assert!(
                matches!(&error, JsonError::Malformed(why) if why.contains("duplicate key")),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn refuses_depth_length_and_trailing_bytes() {
        let deep = "[".repeat(9) + &"]".repeat(9);
        assert!(matches!(parse::<Value>(deep.as_bytes(), LIMITS), Err(JsonError::Malformed(_))));
        assert!(parse::<Value>(("[".repeat(8) + &"]".repeat(8)).as_bytes(), LIMITS).is_ok());
        let bottomless = "[".repeat(9_999);
        assert!(matches!(parse::<Value>(bottomless.as_bytes(), LIMITS), Err(JsonError::Malformed(_))));
        assert_eq!(
            parse::<Value>(&[b' '; 10_001], LIMITS),
            Err(JsonError::TooLong { len: 10_001, max: 10_000 })
        );
        assert!(matches!(parse::<Value>(b"{} {}", LIMITS), Err(JsonError::Malformed(_))));
        assert!(matches!(parse::<Value>(b"", LIMITS), Err(JsonError::Malformed(_))));
        assert!(matches!(parse::<Value>(b"\xff", LIMITS), Err(JsonError::Malformed(_))));
    }

    #[test]
    fn a_wrong_shape_is_told_apart_from_malformed_text() {
        assert!(matches!(parse::<u32>(b"\"text\"", LIMITS), Err(JsonError::Shape(_))));
    }
}
