//! DSSE envelopes: what parses is canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{careless, planted};
use vouchsafe_receipt::Envelope;

fuzz_target!(|bytes: &[u8]| {
    let Ok(envelope) = Envelope::from_json(bytes) else { return };
    assert_eq!(envelope.to_json(), bytes);
    planted(|| careless::signed_json(envelope.unverified_payload()));
});
