//! The walkthrough of `docs/rollover.md`: a fleet moves from one image to the next, the old one turns out to
//! be broken, and no honest receipt becomes invalid.

use vouchsafe_bundle::policy::{Moment, ReferenceDigests, ReferenceValue, Revocation, Rule};
use vouchsafe_bundle::{BundleParts, Policy, Verdict, appraise_document};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::common::*;
use crate::logs::*;

const OLD: [u8; 48] = [0xa1; 48];
const NEW: [u8; 48] = [0xb2; 48];
/// When witnesses had seen the receipts in the log.
const LOGGED: u64 = NOW.0 + 3;
const LATER: UnixSeconds = UnixSeconds(NOW.0 + 30);

/// An enclave that boots this image.
fn enclave(log: &Log, image: [u8; 48]) -> Enclave {
    let mut enclave = log.enclave();
    let Machine::Snp(machine) = &mut enclave.machine else { panic!("a log's enclaves are SNP guests") };
    machine.fields_mut().measurement = image;
    enclave
}

fn reference(name: &str, image: [u8; 48]) -> ReferenceValue {
    ReferenceValue::new(name, "by hand", ReferenceDigests::SevSnp { measurement: Hex(image) })
}

fn accepting(log: &Log, references: Vec<ReferenceValue>) -> Policy {
    policy_with(|document| {
        log.require(document);
        document.measurements = Rule::Require(references);
    })
}

fn revoked_at(mut reference: ReferenceValue, at: u64) -> ReferenceValue {
    let reason = "the parser of that image can be made to leak".into();
    reference.revoked = Some(Revocation { at: Moment(UnixSeconds(at)), reason });
    reference
}

fn judged(parts: &BundleParts, policy: &Policy) -> Verdict {
    let inputs = inputs(Some(REQUEST), Some(RESPONSE));
    judge(parts, policy, &vouchsafe_bundle::Inputs { at: LATER, ..inputs })
}

fn serves(enclave: &Enclave, policy: &Policy) -> Result<(), &'static str> {
    let nonce = [7; 32];
    let inputs = vouchsafe_bundle::Inputs::new(LATER);
    let judged = appraise_document(&enclave.document(Some(nonce)), policy, Some(&nonce), &inputs, &Ring);
    judged.map(drop).map_err(|verdict| verdict.code().unwrap())
}

#[test]
fn a_fleet_rolls_over_and_no_honest_receipt_becomes_invalid() {
    let log = Log::new();
    let (before, after) = (enclave(&log, OLD), enclave(&log, NEW));
    let (by_old, by_new) = (log.settled(&before), log.settled(&after));
    let (old, new) = (reference("image 1", OLD), reference("image 2", NEW));

    // One image is known. The next is refused, by clients too, until somebody blessed it.
    let first = accepting(&log, vec![old.clone()]);
    assert_accepted(&judged(&by_old, &first));
    assert_eq!(serves(&before, &first), Ok(()));
    assert_rejected(&judged(&by_new, &first), "measurement_mismatch");
    assert_eq!(serves(&after, &first), Err("measurement_mismatch"));

    // The new image is blessed while the old one still runs: both serve, and both kinds of receipt hold.
    let both = accepting(&log, vec![old.clone(), new.clone()]);
    for parts in [&by_old, &by_new] {
        assert_accepted(&judged(parts, &both));
    }
    assert_eq!((serves(&before, &both), serves(&after, &both)), (Ok(()), Ok(())));

    // The old one turns out to be broken. It is revoked from a moment after its last honest receipt on.
    let revoked = accepting(&log, vec![revoked_at(old.clone(), LOGGED + 1), new.clone()]);
    assert_eq!(serves(&before, &revoked), Err("measurement_revoked"), "nobody sends it another prompt");
    assert_eq!(serves(&after, &revoked), Ok(()));
    assert_accepted(&judged(&by_new, &revoked));
    let verdict = judged(&by_old, &revoked);
    assert_rejected(&verdict, "measurement_revoked");
    let logged = verdict.as_logged().unwrap();
    assert_eq!(
        (logged.verdict.as_str(), logged.at),
        ("accepted", UnixSeconds(LOGGED)),
        "it was good when logged"
    );

    // What was logged once the hole was known was never good.
    let earlier = accepting(&log, vec![revoked_at(old.clone(), LOGGED), new.clone()]);
    let verdict = judged(&by_old, &earlier);
    assert_eq!(verdict.as_logged().unwrap().code, Some("measurement_revoked"));

    // Taking the old image out of the policy, in the place of revoking it, forgets what it was.
    let forgotten = accepting(&log, vec![new]);
    let verdict = judged(&by_old, &forgotten);
    assert_rejected(&verdict, "measurement_mismatch");
    assert_eq!(verdict.as_logged().unwrap().code, Some("measurement_mismatch"));

    // A receipt that never settled has no moment at which it was good.
    let unsettled = log.unsettled(&before);
    assert_eq!(judged(&unsettled, &revoked).as_logged(), None);
}
