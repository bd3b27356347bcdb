//! DSSE envelopes: what parses is canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::planted_fault;
use vouchsafe_receipt::Envelope;

fuzz_target!(|bytes: &[u8]| {
    let Ok(envelope) = Envelope::from_json(bytes) else { return };
    assert_eq!(envelope.to_json(), bytes);
    // Every payload of ours is a JSON object.
    planted_fault(|| envelope.unverified_payload().first() != Some(&b'{'));
});
