//! Reference measurements in time.

use vouchsafe_bundle::policy::{PolicyDocument, ReferenceValue};
use vouchsafe_verifier::UnixSeconds;

use super::Findings;

const SOON_SECONDS: u64 = 30 * 86_400;

pub(super) fn check(document: &PolicyDocument, at: UnixSeconds, findings: &mut Findings) {
    let Some(values) = document.measurements.required() else { return };
    if !values.is_empty() && values.iter().all(|value| is_past(value, at)) {
        findings.note("references_past", "measurements");
    }
    for (index, value) in values.iter().enumerate() {
        let path = format!("measurements.{index}");
        let is_revoked = value.revoked.as_ref().is_some_and(|revoked| at >= revoked.at.0);
        if let Some(until) = value.valid_until
            && !is_revoked
        {
            let left = until.0.0.checked_sub(at.0).filter(|left| *left > 0);
            match left {
                None => {
                    findings.add(
                        "reference_expired",
                        &path,
                        format!("{:?} ended at {}", value.name, until.0),
                    );
                }
                Some(left) if left <= SOON_SECONDS => {
                    let text = format!("{:?} ends at {}", value.name, until.0);
                    findings.add("reference_expires_soon", &path, text);
                }
                Some(_) => {}
            }
        }
        if let Some(first) = values.iter().take(index).find(|first| first.digests == value.digests) {
            let text = format!("{:?} has the digests of {:?}", value.name, first.name);
            findings.add("reference_twice", &path, text);
        }
    }
}

/// Whether it can't hold any more.
fn is_past(value: &ReferenceValue, at: UnixSeconds) -> bool {
    value.revoked.as_ref().is_some_and(|revoked| at >= revoked.at.0)
        || value.valid_until.is_some_and(|until| at >= until.0)
}
