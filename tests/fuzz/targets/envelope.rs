//! DSSE envelopes: what parses is canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::planted_fault;
use vouchsafe_receipt::Envelope;

fuzz_target!(|bytes: &[u8]| {
    let Ok(envelope) = Envelope::from_json(bytes) else { return };
    assert_eq!(envelope.to_json(), bytes);
    planted_fault(|| envelope.signature()[0] >> 4 == 5);
});
