//! JSON from strangers: bounded in size and depth, no duplicate keys, nothing after the value.
//!
//! `serde_json` merges duplicate keys silently, so two readers of one signed document could see
//! different values. Everything security-relevant comes through here:
//!
//! - [`read`] reads a document of our formats. It becomes a [`Value`] first and its type by [`FromValue`],
//!   whose one implementation for a type is also what serde's `Deserialize` of that type does. Against
//!   derived readers: each type is read by one function, small enough for a browser; an object is an object
//!   and never a list of its fields in order; and a refusal says where in the document it is.
//! - [`parse`] reads any other type that serde can read, a program's own files for example.
//! - [`value`] reads JSON of no particular shape.
//!
//! Syntax: RFC 8259, by `serde_json`.

mod fields;
mod from_value;
mod macros;
mod write;

use alloc::string::String;
use core::fmt;

use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
pub use serde_json::{Map, Value};

pub use fields::{Fault, Fields};
pub use from_value::{FromValue, text, word};
pub use write::{to_pretty, to_value};

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

/// Deepest nesting that any limit allows. `serde_json` stops at 128.
const DEPTH_MAX: usize = 100;

/// Reads `bytes` as exactly one document of type `T`.
///
/// The document is a [`Value`] in between, which takes up to some thirty times the memory of the text: limits
/// bound that too.
///
/// # Errors
/// [`JsonError`] when the document is too long, malformed, too deep, repeats a key in one object at any
/// depth, or does not have the shape of `T`.
pub fn read<T: FromValue>(bytes: &[u8], limits: Limits) -> Result<T, JsonError> {
    T::from_value(&value(bytes, limits)?).map_err(JsonError::from)
}

/// Reads `bytes` as exactly one JSON value of whatever shape.
///
/// # Errors
/// [`JsonError`] but for [`JsonError::Shape`].
pub fn value(bytes: &[u8], limits: Limits) -> Result<Value, JsonError> {
    walk(bytes, limits, true)
}

/// Parses `bytes` as exactly one JSON value of a type that serde can read.
///
/// Nothing is built but what `T` asks for, so that a short document cannot become a large one in memory.
///
/// # Errors
/// [`JsonError`], as [`read`].
pub fn parse<T: DeserializeOwned>(bytes: &[u8], limits: Limits) -> Result<T, JsonError> {
    walk(bytes, limits, false)?;
    serde_json::from_slice(bytes).map_err(|error| JsonError::Shape(alloc::format!("{error}")))
}

/// What `Deserialize` does for a type with [`FromValue`], so that other types can hold it.
///
/// # Errors
/// The deserializer's own; a repeated key; a value without the shape of `T`.
pub fn deserialize_by_value<'de, T: FromValue, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let value = Walk { depth_left: DEPTH_MAX, keeps: true }.deserialize(deserializer)?;
    T::from_value(&value).map_err(D::Error::custom)
}

fn walk(bytes: &[u8], limits: Limits, keeps: bool) -> Result<Value, JsonError> {
    if bytes.len() > limits.bytes_max {
        return Err(JsonError::TooLong { len: bytes.len(), max: limits.bytes_max });
    }
    let mut text = serde_json::Deserializer::from_slice(bytes);
    Walk { depth_left: limits.depth_max.min(DEPTH_MAX), keeps }
        .deserialize(&mut text)
        .and_then(|value| text.end().map(|()| value))
        .map_err(|error| JsonError::Malformed(alloc::format!("{error}")))
}

/// Walks a value, refusing duplicate keys and excess depth. What is not kept comes out as null.
#[derive(Clone, Copy)]
struct Walk {
    depth_left: usize,
    keeps: bool,
}

impl Walk {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth_left, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(if self.keeps { Value::String(text.into()) } else { Value::Null })
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = alloc::vec::Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            if self.keeps {
                values.push(value);
            }
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if fields.contains_key(&key) {
                return Err(A::Error::custom(alloc::format!("duplicate key {:?}", bounded(&key))));
            }
            fields.insert(key, map.next_value_seed(inner)?);
        }
        // What is not kept is needed for its keys, and no longer than they come.
        Ok(if self.keeps { Value::Object(fields) } else { Value::Null })
    }
}

/// A stranger's text, short enough to repeat in an error.
fn bounded(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
