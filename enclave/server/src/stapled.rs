//! Endorsements that the host supplies, to be handed on with the evidence.
//!
//! The host's word, carried and never believed: a verifier judges them by its own trust roots. All
//! that is checked here is that handing them on cannot break the document they travel in.

use std::sync::{PoisonError, RwLock};

use vouchsafe_verifier::Endorsements;
use vouchsafe_verifier::strict_json::{self, JsonError, Limits};

const LIMITS: Limits = Limits { bytes_max: 512 * 1024, depth_max: 8 };

/// The newest endorsements, if the host supplied any.
#[derive(Debug, Default)]
pub(crate) struct Stapled {
    newest: RwLock<Option<Endorsements>>,
}

impl Stapled {
    /// Replaces those before.
    pub(crate) fn replace(&self, json: &str) -> Result<(), JsonError> {
        let parsed: Endorsements = strict_json::parse(json.as_bytes(), LIMITS)?;
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(parsed);
        Ok(())
    }

    /// The newest.
    pub(crate) fn get(&self) -> Option<Endorsements> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_parse_leaves_the_old_in_place() {
        let stapled = Stapled::default();
        stapled.replace(r#"{"platform":"sev-snp","vek":"AAAA"}"#).unwrap();
        let kept = stapled.get();
        assert!(kept.is_some());
        for wrong in ["{}", r#"{"platform":"sev-snp","vek":"!"}"#, r#"{"platform":"x"}"#] {
            assert!(stapled.replace(wrong).is_err());
            assert_eq!(stapled.get(), kept);
        }
    }
}
