//! One decision of a policy: demanded, or ignored for a stated reason.

use serde::{Serialize, Serializer};
use vouchsafe_verifier::json_deserialize;
use vouchsafe_verifier::strict_json::{self, Fault, FromValue, Value, deserialize_by_value};

/// Longest reason for ignoring something, in characters.
const REASON_CHARS_MAX: usize = 1024;

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
    /// A reason of 1 to 1024 characters that is not just white space; anything else gives `None`.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let is_reason = !text.trim().is_empty() && text.chars().count() <= REASON_CHARS_MAX;
        is_reason.then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromValue for Reason {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        Self::new(strict_json::text(value)?)
            .ok_or_else(|| Fault::new("a reason of 1 to 1024 characters is required"))
    }
}

json_deserialize!(Reason);

impl<T: FromValue> FromValue for Rule<T> {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        match decision(value)? {
            Ok(value) => T::from_value(value).map(Self::Require).map_err(|fault| fault.within("require")),
            Err(reason) => Ok(Self::Ignore(reason)),
        }
    }
}

impl<'de, T: FromValue> serde::Deserialize<'de> for Rule<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_by_value(deserializer)
    }
}

/// The value within `{"require": …}`, or the reason within `{"ignore": …}`.
fn decision(value: &Value) -> Result<Result<&Value, Reason>, Fault> {
    let get = |name| value.get(name).filter(|_| value.as_object().is_some_and(|fields| fields.len() == 1));
    match (get("require"), get("ignore")) {
        (Some(required), _) => Ok(Ok(required)),
        (None, Some(reason)) => Reason::from_value(reason).map(Err).map_err(|fault| fault.within("ignore")),
        (None, None) => {
            Err(Fault::new("expected exactly one of {\"require\": …} and {\"ignore\": \"reason\"}"))
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

impl FromValue for Demanded {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        match bool::from_value(value)? {
            true => Ok(Self),
            false => Err(Fault::new("only true can be required here; to waive it, ignore it with a reason")),
        }
    }
}

json_deserialize!(Demanded);

/// A decision about a check that this version does not have: it can only be ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unbuilt {
    /// The reason for ignoring it.
    Ignore(Reason),
}

impl FromValue for Unbuilt {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        match decision(value)? {
            Err(reason) => Ok(Self::Ignore(reason)),
            Ok(_) => {
                Err(Fault::new("this version has no such check, so it can only be ignored, with a reason"))
            }
        }
    }
}

json_deserialize!(Unbuilt);

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
