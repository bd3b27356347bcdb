//! Reference measurements in time.

use vouchsafe_bundle::policy::{Moment, PolicyDocument, ReferenceValue};
use vouchsafe_verifier::UnixSeconds;

use super::Findings;
use crate::diff::meet;

const SOON_SECONDS: u64 = 30 * 86_400;

pub(super) fn check(document: &PolicyDocument, at: UnixSeconds, findings: &mut Findings) {
    let Some(values) = document.measurements.required() else { return };
    let is_good =
        |value: &ReferenceValue| !is_past(value, at) && value.valid_from.is_none_or(|from| from.0 <= at);
    if values.is_empty() {
        return;
    }
    if values.iter().all(|value| is_past(value, at)) {
        findings.note("references_past", "measurements");
    } else if !values.iter().any(is_good) {
        findings.note("references_not_yet", "measurements");
    }
    for (index, value) in values.iter().enumerate() {
        let path = format!("measurements.{index}");
        ends(value, at, &path, findings);
        if let Some(first) = values.iter().take(index).find(|first| first.digests == value.digests) {
            let text = format!("{:?} has the digests of {:?}", value.name, first.name);
            findings.add("reference_twice", &path, text);
        }
        let Some(revoked) = &value.revoked else { continue };
        for other in values.iter().filter(|other| other.name != value.name) {
            if goes_on(other, value, revoked.at) {
                let text = format!("{:?} is revoked, and {:?} goes on accepting it", value.name, other.name);
                findings.add("revocation_void", &path, text);
            }
        }
    }
}

/// Says that a reference has ended, or is about to, by its date or by its revocation.
fn ends(value: &ReferenceValue, at: UnixSeconds, path: &str, findings: &mut Findings) {
    let revoked = value.revoked.as_ref().map(|revoked| revoked.at);
    if revoked.is_some_and(|revoked| at >= revoked.0) {
        return;
    }
    let ends = [value.valid_until.map(|until| (until, "ends")), revoked.map(|at| (at, "is revoked"))];
    let Some((end, what)) = ends.into_iter().flatten().min() else { return };
    match end.0.0.checked_sub(at.0).filter(|left| *left > 0) {
        None => findings.add("reference_expired", path, format!("{:?} ended at {}", value.name, end.0)),
        Some(left) if left <= SOON_SECONDS => {
            findings.add("reference_expires_soon", path, format!("{:?} {what} at {}", value.name, end.0));
        }
        Some(_) => {}
    }
}

/// Whether a reference still accepts something of another after it is revoked.
fn goes_on(other: &ReferenceValue, revoked: &ReferenceValue, at: Moment) -> bool {
    let mut after = ReferenceValue::new(&*revoked.name, "", revoked.digests.clone());
    after.valid_from = Some(at);
    let both = meet(other, &after);
    both.is_some_and(|both| both.revoked.is_none_or(|ends| Some(ends.at) > both.valid_from))
}

/// Whether it can't hold any more.
fn is_past(value: &ReferenceValue, at: UnixSeconds) -> bool {
    value.revoked.as_ref().is_some_and(|revoked| at >= revoked.at.0)
        || value.valid_until.is_some_and(|until| at >= until.0)
}
