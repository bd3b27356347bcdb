//! QE identity, and what it says of a quoting enclave. Its signature is believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{AT, Platform, careless, planted};
use vouchsafe_verifier::strict_json::{self, Limits};

/// At least those of the parser behind the signature.
const LIMITS: Limits = Limits { bytes_max: 1 << 20, depth_max: 100 };

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    // The rest of the evidence costs far more to judge than a text that is no JSON.
    if strict_json::parse::<serde::de::IgnoredAny>(bytes, LIMITS).is_err() {
        return;
    }
    let Ok(verified) = Platform::get().verify_qe_identity(text) else { return };
    let window = verified.qe_identity_window();
    assert!(window.issued <= AT && AT <= window.next_update);
    planted(|| careless::day_of_month(window.issued.0, window.next_update.0));
});
