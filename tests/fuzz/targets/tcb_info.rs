//! TCB info, and what it says of a platform. Its signature is believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{AT, Platform, careless, planted};
use vouchsafe_verifier::strict_json::{self, Limits};
use vouchsafe_verifier::tdx::TcbStatus;

/// At least those of the parser behind the signature.
const LIMITS: Limits = Limits { bytes_max: 1 << 20, depth_max: 100 };

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    // The rest of the evidence costs far more to judge than a text that is no JSON.
    if strict_json::parse::<serde::de::IgnoredAny>(bytes, LIMITS).is_err() {
        return;
    }
    let Ok(verified) = Platform::get().verify_tcb_info(text) else { return };
    let window = verified.tcb_info_window();
    assert!(window.issued <= AT && AT <= window.next_update);
    let _ = verified.claims();
    let tcb = verified.tcb();
    planted(|| careless::first_advisory(tcb.status() == TcbStatus::UpToDate, tcb.advisories()).len());
});
