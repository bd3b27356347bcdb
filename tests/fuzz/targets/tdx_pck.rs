//! PCK certificates: Intel's certificate extension, and what the collateral says of such a platform.
//! Every signature is believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{Platform, careless, planted};
use vouchsafe_verifier::x509::Certificate;

fuzz_target!(|bytes: &[u8]| {
    // The rest of the evidence costs a hundred times as much to judge.
    let Ok(certificate) = Certificate::parse(bytes) else { return };
    for extension in certificate.extensions() {
        planted(|| careless::der_depth(extension.value));
    }
    let Ok(verified) = Platform::get().verify_pck(bytes) else { return };
    assert_eq!(*verified.platform().fmspc(), [0x90, 0xc0, 0x6f, 0, 0, 0]);
});
