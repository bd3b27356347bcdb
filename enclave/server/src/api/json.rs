//! From a request body's bytes to a typed request, refusing what is malformed by position and what is
//! wrong by parameter.
//!
//! Two passes: the first looks at the structure alone (size, depth, duplicate keys) and keeps nothing;
//! the second reads the expected shape. Nothing is built that the request's type does not ask for, so
//! that a small body cannot become a large one in memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use vouchsafe_verifier::strict_json::{self, JsonError, Limits};

use super::error::ApiError;

const DEPTH_MAX: usize = 32;

/// Parses a request body.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let limits = Limits { bytes_max: body.len(), depth_max: DEPTH_MAX };
    strict_json::parse::<IgnoredAny>(body, limits).map_err(|error| malformed(&error))?;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, &error.inner().to_string())
    })
}

fn malformed(error: &JsonError) -> ApiError {
    ApiError::invalid("malformed_json", format!("The request body is not acceptable JSON: {error}"))
}

/// Longest path and longest name that an error repeats.
const PATH_CHARS_MAX: usize = 128;

/// Words a shape error as OpenAI does, with the parameter's name.
fn explain(path: &str, problem: &str) -> ApiError {
    // Names in the request can be as long as the request; the answer's size is not theirs to choose.
    let path = path.chars().take(PATH_CHARS_MAX).collect::<String>();
    let path = path.as_str();
    let quoted = |prefix: &str| -> Option<String> {
        let name = problem.strip_prefix(prefix)?.split('`').next()?;
        Some(name.chars().take(PATH_CHARS_MAX).collect())
    };
    let within = |name: &str| match path {
        "." | "" => name.to_owned(),
        _ if path.ends_with(name) => path.to_owned(),
        _ => format!("{path}.{name}"),
    };
    if let Some(name) = quoted("unknown field `") {
        let param = within(&name);
        let message = format!("Unrecognized request argument supplied: {param}");
        return ApiError::parameter(param, "unknown_parameter", message);
    }
    if let Some(name) = quoted("missing field `") {
        let param = within(&name);
        let message = format!("Missing required parameter: '{param}'.");
        return ApiError::parameter(param, "missing_required_parameter", message);
    }
    if path == "." {
        return ApiError::invalid("invalid_type", problem);
    }
    ApiError::parameter(path, "invalid_type", format!("Invalid value for '{path}': {problem}"))
}

/// What was given for a parameter that only some values of are carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Given {
    /// Absent or null.
    #[default]
    Nothing,
    Bool(bool),
    Word(String),
    Number,
    EmptyArray,
    EmptyObject,
    /// Anything else.
    Other,
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Given;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Given, E> {
                Ok(Given::Nothing)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Given, E> {
                Ok(Given::Bool(value))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Given, E> {
                Ok(Given::Number)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Given, E> {
                Ok(Given::Number)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Given, E> {
                Ok(Given::Number)
            }
            fn visit_str<E>(self, word: &str) -> Result<Given, E> {
                Ok(Given::Word(word.chars().take(64).collect()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Given, A::Error> {
                let mut given = Given::EmptyArray;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    given = Given::Other;
                }
                Ok(given)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
                let mut given = Given::EmptyObject;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    given = Given::Other;
                }
                Ok(given)
            }
        }
        deserializer.deserialize_any(Look)
    }
}

impl Given {
    /// Accepts nothing, and what is in `inert`: values that ask for what happens anyway.
    pub(crate) fn only(&self, name: &str, inert: &[Self]) -> Result<(), ApiError> {
        match self {
            Self::Nothing => Ok(()),
            given if inert.contains(given) => Ok(()),
            _ => Err(ApiError::unsupported(name)),
        }
    }

    pub(crate) fn word(word: &str) -> Self {
        Self::Word(word.to_owned())
    }
}

/// One value, or an array of at most `MAX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OneOrMany<T, const MAX: usize>(pub(crate) Vec<T>);

impl<T, const MAX: usize> Default for OneOrMany<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for OneOrMany<String, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings {
            max: usize,
        }
        impl<'de> Visitor<'de> for Strings {
            type Value = Vec<String>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a string or an array of at most {} strings", self.max)
            }
            fn visit_unit<E>(self) -> Result<Vec<String>, E> {
                Ok(Vec::new())
            }
            fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
                Ok(vec![text.to_owned()])
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = seq.next_element::<String>()? {
                    if all.len() >= self.max {
                        return Err(de::Error::invalid_length(all.len().saturating_add(1), &self));
                    }
                    all.push(text);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(Strings { max: MAX }).map(Self)
    }
}

/// An array of at most `MAX` elements, refused as soon as there are more: a long array of small
/// elements would otherwise take many times its own length in memory before it could be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AtMost<T, const MAX: usize>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T> {
            max: usize,
            of: PhantomData<T>,
        }
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = Vec<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of at most {} elements", self.max)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if all.len() >= self.max {
                        return Err(de::Error::invalid_length(all.len().saturating_add(1), &self));
                    }
                    all.push(element);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(Elements { max: MAX, of: PhantomData }).map(Self)
    }
}

/// Biases by token id, `{"123": -100}`, at most `MAX` of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct TokenBiases<const MAX: usize>(pub(crate) Vec<(u32, f32)>);

impl<'de, const MAX: usize> Deserialize<'de> for TokenBiases<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Biases {
            max: usize,
        }
        impl<'de> Visitor<'de> for Biases {
            type Value = Vec<(u32, f32)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of at most {} biases by token id", self.max)
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some((token, bias)) = map.next_entry::<String, f32>()? {
                    if all.len() >= self.max {
                        return Err(de::Error::invalid_length(all.len().saturating_add(1), &self));
                    }
                    let token = token.parse().map_err(|_| A::Error::custom("a key is not a token id"))?;
                    all.push((token, bias));
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(Biases { max: MAX }).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Body {
        model: String,
        #[serde(default)]
        temperature: Option<f32>,
        #[serde(default)]
        stop: OneOrMany<String, 2>,
        #[serde(default)]
        logit_bias: TokenBiases<2>,
        #[serde(default)]
        tools: Given,
        #[serde(default = "none")]
        inner: AtMost<Inner, 3>,
    }

    fn none() -> AtMost<Inner, 3> {
        AtMost(Vec::new())
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        role: String,
    }

    #[test]
    fn a_long_name_does_not_make_a_long_answer() {
        let name = "x".repeat(100_000);
        let body = format!(r#"{{"model":"m","{name}":1}}"#);
        let error = parse::<Body>(body.as_bytes()).unwrap_err();
        assert!(error.to_json().len() < 1024, "{}", error.to_json().len());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_parameter() {
        let table: [(&str, &str, Option<&str>); 13] = [
            ("{", "malformed_json", None),
            ("", "malformed_json", None),
            ("[]", "invalid_type", None),
            (r#"{"model":"m","model":"m"}"#, "malformed_json", None),
            (r#"{}"#, "missing_required_parameter", Some("model")),
            (r#"{"model":1}"#, "invalid_type", Some("model")),
            (r#"{"model":"m","temperature":"hot"}"#, "invalid_type", Some("temperature")),
            (r#"{"model":"m","nonsense":1}"#, "unknown_parameter", Some("nonsense")),
            (r#"{"model":"m","stop":["a","b","c"]}"#, "invalid_type", Some("stop")),
            (r#"{"model":"m","logit_bias":{"x":1}}"#, "invalid_type", Some("logit_bias")),
            (r#"{"model":"m","inner":[{"role":"a"},{"role":2}]}"#, "invalid_type", Some("inner[1].role")),
            (r#"{"model":"m","inner":[{"role":"a","x":2}]}"#, "unknown_parameter", Some("inner[0].x")),
            (r#"{"model":"m","inner":[{},{},{},{}]}"#, "missing_required_parameter", Some("inner[0].role")),
        ];
        for (body, code, param) in table {
            let error = parse::<Body>(body.as_bytes()).unwrap_err();
            assert_eq!((error.code, error.param.as_deref()), (code, param), "{body}: {error:?}");
            assert_eq!(error.status, 400);
        }
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(parse::<Body>(deep.as_bytes()).unwrap_err().code, "malformed_json");
    }

    #[test]
    fn the_flexible_forms_are_read() {
        let body = r#"{"model":"m","stop":"x","logit_bias":{"7":-1.5},"tools":[]}"#;
        let body: Body = parse(body.as_bytes()).unwrap();
        assert_eq!(body.stop.0, ["x"]);
        assert_eq!(body.logit_bias.0, [(7, -1.5)]);
        assert_eq!(body.tools, Given::EmptyArray);
        assert!(body.tools.only("tools", &[Given::EmptyArray]).is_ok());
        assert_eq!(body.tools.only("tools", &[]).unwrap_err().param.as_deref(), Some("tools"));
        let nulls = r#"{"model":"m","stop":null,"logit_bias":null,"tools":null,"temperature":null}"#;
        let body: Body = parse(nulls.as_bytes()).unwrap();
        assert!(body.stop.0.is_empty() && body.tools.only("tools", &[]).is_ok());
    }
}
