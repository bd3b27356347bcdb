//! Whether a boot in the log satisfies the policy: the seam to `vouchsafe-bundle`.

use serde::{Deserialize, Serialize};
use vouchsafe_bundle::{EvidenceInputs, Policy, appraise_evidence};
use vouchsafe_receipt::{AttestedStatement, report_data};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::{Endorsements, UnixSeconds};

/// What is shown of an accepted boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The platform, for people.
    pub platform: String,
    /// The launch measurement in hexadecimal.
    pub measurement: String,
    /// Whether a simulated authority vouches, so that no hardware does.
    pub simulated: bool,
}

/// Why a boot is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The appraisal's code.
    pub code: String,
    /// In words.
    pub why: String,
}

/// Judges the evidence of boots and epochs.
pub trait Appraise: Send + Sync {
    /// Judges evidence whose REPORT_DATA must be `report_data`, for the moment `at`.
    ///
    /// # Errors
    /// [`Refused`].
    fn appraise(
        &self,
        attested: &AttestedStatement,
        report_data: &[u8; 64],
        endorsements: Option<&Endorsements>,
        at: UnixSeconds,
    ) -> Result<Accepted, Refused>;

    /// Judges a boot statement's evidence.
    ///
    /// # Errors
    /// [`Refused`].
    fn boot(
        &self,
        attested: &AttestedStatement,
        endorsements: Option<&Endorsements>,
        at: UnixSeconds,
    ) -> Result<Accepted, Refused> {
        self.appraise(attested, &report_data::boot(&attested.statement.0, &Ring), endorsements, at)
    }

    /// Judges an epoch statement's evidence.
    ///
    /// # Errors
    /// [`Refused`].
    fn epoch(
        &self,
        attested: &AttestedStatement,
        endorsements: Option<&Endorsements>,
        at: UnixSeconds,
    ) -> Result<Accepted, Refused> {
        self.appraise(attested, &report_data::epoch(&attested.statement.0, &Ring), endorsements, at)
    }
}

impl Appraise for Policy {
    fn appraise(
        &self,
        attested: &AttestedStatement,
        report_data: &[u8; 64],
        endorsements: Option<&Endorsements>,
        at: UnixSeconds,
    ) -> Result<Accepted, Refused> {
        let inputs = EvidenceInputs { report_data: Some(report_data), ..EvidenceInputs::new(at) };
        let verdict = appraise_evidence(&attested.evidence, endorsements, self, &inputs, &Ring);
        if !verdict.is_accepted() {
            let code = verdict.code().unwrap_or("incomplete").into();
            return Err(Refused { code, why: verdict.detail().unwrap_or_default().into() });
        }
        let claims = verdict.claims().cloned().unwrap_or_default();
        Ok(Accepted {
            platform: find(&claims, "platform").unwrap_or_else(|| "unknown".into()),
            measurement: ["measurement", "mrtd"]
                .into_iter()
                .find_map(|name| find(&claims, name))
                .unwrap_or_default(),
            simulated: verdict.simulated(),
        })
    }
}

/// The first text of this name at any depth of the claims.
fn find(value: &serde_json::Value, name: &str) -> Option<String> {
    match value {
        serde_json::Value::Object(fields) => match fields.get(name) {
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            _ => fields.values().find_map(|value| find(value, name)),
        },
        serde_json::Value::Array(values) => values.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}
