//! Attacks on the time: the host sets the clock that the enclave reads.

use vouchsafe_bundle::policy::Rule;
use vouchsafe_bundle::{Bundle, Inputs, Policy, Verdict, appraise_document, verify_bundle};
use vouchsafe_verifier::crypto::Ring;

use crate::enclave::not_proved;
use crate::forger::Forger;
use crate::machine::{DAY, now, policy, policy_with};

const NONCE: [u8; 32] = [8; 32];
const TEN_YEARS: u64 = 10 * 365 * DAY;

/// An enclave whose host moved its clock so far, judged live.
fn live(shift: i64, policy: &Policy) -> Result<Verdict, Box<Verdict>> {
    let mut forger = Forger::new();
    forger.epoch.not_after = forger.epoch.not_after.saturating_add_signed(shift);
    appraise_document(&forger.document(NONCE), policy, Some(&NONCE), &Inputs::new(now()), &Ring)
        .map(|boot| boot.verdict().clone())
}

fn two_hours() -> Policy {
    policy_with(|document| document.freshness.epoch_seconds_max = Rule::Require(7200))
}

/// Promise: evidence is not good for longer than the policy allows. A host that sets the clock ten years
/// ahead gets an epoch that ends in ten years, which is refused; and one that sets it back gets one
/// that has ended.
#[test]
fn a_clock_set_by_the_host_moves_the_epoch_out_of_bounds() {
    let ahead = i64::try_from(TEN_YEARS).unwrap();
    assert!(live(0, &two_hours()).is_ok(), "the control");
    assert_eq!(live(ahead, &two_hours()).unwrap_err().code(), Some("epoch_too_long"));
    assert_eq!(live(-ahead, &two_hours()).unwrap_err().code(), Some("epoch_expired"));
}

/// Not stopped where the policy ignores it, which the verdict then says, besides that no time is
/// attested.
#[test]
fn a_clock_set_by_the_host_is_said_where_the_policy_ignores_it() {
    let verdict = live(i64::try_from(TEN_YEARS).unwrap(), &policy()).unwrap();
    let open = not_proved(&verdict);
    for word in ["time_unattested", "ignored:freshness.epoch_seconds_max"] {
        assert!(open.contains(&word), "{word}: {open:?}");
    }
}

fn answered(shift: i64, policy: &Policy) -> Verdict {
    let mut forger = Forger::new();
    forger.epoch.not_after = forger.epoch.not_after.saturating_add_signed(shift);
    let parts = forger.bundle(b"hi", |receipt| {
        receipt.unattested_time = receipt.unattested_time.saturating_add_signed(shift);
    });
    let inputs = Inputs { response: Some(b"hi"), ..Inputs::new(now()) };
    verify_bundle(&Bundle::new(parts).unwrap(), policy, &inputs, &Ring)
}

/// Promise: where the policy bounds the age of receipts, one that says it is older is refused, and so is
/// one from the future. Not stopped: one whose host set the clock ahead by less than its age says that it
/// is younger than it is. So the time in a receipt is called unattested, in the receipt and in the verdict.
#[test]
fn the_time_in_a_receipt_is_called_unattested() {
    let day = i64::try_from(DAY).unwrap();
    let young = policy_with(|document| document.freshness.receipt_age_seconds_max = Rule::Require(DAY / 2));
    assert!(answered(0, &young).is_accepted(), "the control");
    assert_eq!(answered(-day, &young).code(), Some("receipt_too_old"));
    assert_eq!(answered(day, &young).code(), Some("receipt_from_future"));
    let ahead = answered(200, &young);
    assert!(ahead.is_accepted(), "{}", ahead.to_json());
    assert!(not_proved(&ahead).contains(&"time_unattested"), "{}", ahead.to_json());
}
