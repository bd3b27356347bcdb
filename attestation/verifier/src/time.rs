//! Moments, as whole seconds since the Unix epoch.

use core::fmt;

use der::DateTime;
use serde::{Serialize, Serializer};

use crate::json_deserialize;
use crate::strict_json::{self, Fault, FromValue, Value};

/// A moment: whole seconds since 1970-01-01T00:00:00Z. Always an argument, never read from a clock here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// Parses RFC 3339 in the one form `YYYY-MM-DDTHH:MM:SSZ`; anything else gives `None`.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let moment: DateTime = text.parse().ok()?;
        Some(Self(moment.unix_duration().as_secs()))
    }
}

impl FromValue for UnixSeconds {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        u64::from_value(value).map(Self)
    }
}

json_deserialize!(UnixSeconds);

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_unix_duration(core::time::Duration::from_secs(self.0)) {
            Ok(moment) => write!(f, "{moment}"),
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}

/// A moment as documents that people write have it: RFC 3339 as `2026-11-21T12:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub UnixSeconds);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl FromValue for Moment {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        UnixSeconds::from_rfc3339(strict_json::text(value)?)
            .map(Self)
            .ok_or_else(|| Fault::new("expected a moment as 2026-11-21T12:00:00Z"))
    }
}

json_deserialize!(Moment);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_and_refuses_other_forms() {
        let at = UnixSeconds::from_rfc3339("2026-11-21T12:00:00Z").unwrap();
        assert_eq!(at, UnixSeconds(1_795_262_400));
        assert_eq!(at.to_string(), "2026-11-21T12:00:00Z");
        for wrong in
            ["2026-11-21", "2026-11-21T12:00:00", "2026-11-21T12:00:00+01:00", "", "2026-13-21T12:00:00Z"]
        {
            assert_eq!(UnixSeconds::from_rfc3339(wrong), None, "{wrong}");
        }
    }
}
