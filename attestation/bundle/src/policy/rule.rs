//! One decision of a policy: demanded, or ignored for a stated reason.

use core::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest reason for ignoring something, in bytes.
const REASON_BYTES_MAX: usize = 1024;

/// A decision: `{"require": …}` or `{"ignore": "reason"}`. There is no third form and no default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule<T> {
    /// The check must pass against this value.
    Require(T),
    /// The check does not count, for this reason.
    Ignore(Reason),
}

impl<T> Rule<T> {
    /// The value demanded, if the check counts.
    pub fn required(&self) -> Option<&T> {
        match self {
            Self::Require(value) => Some(value),
            Self::Ignore(_) => None,
        }
    }

    /// Whether the check counts.
    pub fn is_required(&self) -> bool {
        self.required().is_some()
    }
}

/// Why a check is ignored: never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reason(String);

impl Reason {
    /// A reason of 1 to 1024 bytes that is not just white space; anything else gives `None`.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let is_reason = !text.trim().is_empty() && text.len() <= REASON_BYTES_MAX;
        is_reason.then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("a reason of 1 to 1024 bytes is required"))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Rule<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RuleVisitor(PhantomData))
    }
}

const SHAPE: &str = "exactly one of {\"require\": …} and {\"ignore\": \"reason\"}";

struct RuleVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for RuleVisitor<T> {
    type Value = Rule<T>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(SHAPE)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rule<T>, A::Error> {
        let rule = match map.next_key::<String>()?.as_deref() {
            Some("require") => Rule::Require(map.next_value()?),
            Some("ignore") => Rule::Ignore(map.next_value()?),
            _ => return Err(A::Error::custom(format_args!("expected {SHAPE}"))),
        };
        match map.next_key::<String>()? {
            None => Ok(rule),
            Some(_) => Err(A::Error::custom(format_args!("expected {SHAPE}"))),
        }
    }
}

/// The only value of a demand that can be made or ignored but not varied: `true`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demanded;

impl Serialize for Demanded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl<'de> Deserialize<'de> for Demanded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match bool::deserialize(deserializer)? {
            true => Ok(Self),
            false => {
                Err(D::Error::custom("only true can be required here; to waive it, ignore it with a reason"))
            }
        }
    }
}

/// A decision about a check that this version does not have: it can only be ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unbuilt {
    /// The reason for ignoring it.
    Ignore(Reason),
}

impl<'de> Deserialize<'de> for Unbuilt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Rule::<serde::de::IgnoredAny>::deserialize(deserializer)? {
            Rule::Ignore(reason) => Ok(Self::Ignore(reason)),
            Rule::Require(_) => Err(D::Error::custom(
                "this version has no such check, so it can only be ignored, with a reason",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<Rule<u8>, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_is_one_decision() {
        assert_eq!(rule(r#"{"require": 3}"#), Ok(Rule::Require(3)));
        assert_eq!(rule(r#"{"ignore": "no need"}"#).unwrap().required(), None);
        for wrong in [
            "{}",
            "3",
            "null",
            r#"{"require": 3, "ignore": "x"}"#,
            r#"{"ignore": "x", "require": 3}"#,
            r#"{"require": 3, "require": 3}"#,
            r#"{"ignore": ""}"#,
            r#"{"ignore": "  "}"#,
            r#"{"ignore": true}"#,
            r#"{"requires": 3}"#,
            r#"{"require": 300}"#,
        ] {
            assert!(rule(wrong).is_err(), "{wrong}");
        }
        assert!(rule(&format!(r#"{{"ignore": "{}"}}"#, "x".repeat(1025))).is_err());
    }

    #[test]
    fn rules_are_written_as_they_are_read() {
        for text in [r#"{"require":3}"#, r#"{"ignore":"no need"}"#] {
            assert_eq!(serde_json::to_string(&rule(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn a_demand_is_true_or_ignored_and_what_does_not_exist_is_only_ignored() {
        assert!(serde_json::from_str::<Rule<Demanded>>(r#"{"require": true}"#).is_ok());
        let error = serde_json::from_str::<Rule<Demanded>>(r#"{"require": false}"#).unwrap_err();
        assert!(error.to_string().contains("ignore it with a reason"), "{error}");
        assert!(serde_json::from_str::<Unbuilt>(r#"{"ignore": "none yet"}"#).is_ok());
        let error = serde_json::from_str::<Unbuilt>(r#"{"require": true}"#).unwrap_err();
        assert!(error.to_string().contains("can only be ignored"), "{error}");
    }
}
