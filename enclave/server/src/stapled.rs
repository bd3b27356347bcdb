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

    /// The newest, with what only the machine itself has: a VLEK's certificate is in no service, so that a host
    /// which fetches the rest does not have it.
    pub(crate) fn get(&self, machine: Option<&Endorsements>) -> Option<Endorsements> {
        let mut newest = self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        if let (Endorsements::SevSnp(newest), Some(Endorsements::SevSnp(machine))) = (&mut newest, machine) {
            newest.vek = newest.vek.take().or_else(|| machine.vek.clone());
        }
        Some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_only_the_machine_has_is_kept() {
        let parse = |json: &str| -> Endorsements { strict_json::parse(json.as_bytes(), LIMITS).unwrap() };
        let machine = parse(r#"{"platform":"sev-snp","vek":"AAAA","crl":"AAAA"}"#);
        let stapled = Stapled::default();
        assert_eq!(stapled.get(Some(&machine)), None);
        stapled.replace(r#"{"platform":"sev-snp","crl":"BBBB"}"#).unwrap();
        let both = parse(r#"{"platform":"sev-snp","vek":"AAAA","crl":"BBBB"}"#);
        assert_eq!(stapled.get(Some(&machine)), Some(both));
        stapled.replace(r#"{"platform":"sev-snp","vek":"CCCC"}"#).unwrap();
        assert_eq!(stapled.get(Some(&machine)), stapled.get(None), "a newer one is the newer one");
    }

    #[test]
    fn what_does_not_parse_leaves_the_old_in_place() {
        let stapled = Stapled::default();
        stapled.replace(r#"{"platform":"sev-snp","vek":"AAAA"}"#).unwrap();
        let kept = stapled.get(None);
        assert!(kept.is_some());
        for wrong in ["{}", r#"{"platform":"sev-snp","vek":"!"}"#, r#"{"platform":"x"}"#] {
            assert!(stapled.replace(wrong).is_err());
            assert_eq!(stapled.get(None), kept);
        }
    }
}
