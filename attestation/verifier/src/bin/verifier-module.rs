//! The smallest program that verifies evidence: linked for wasm32, it shows what the verifier weighs there.
//!
//! It verifies the report of `examples/data` and says by its exit status how that came out. What evidence it is
//! the compiler is not told, so that everything which either vendor's takes is linked.

use std::hint::black_box;
use std::process::ExitCode;

#[cfg(not(target_arch = "wasm32"))]
use vouchsafe_verifier::crypto::Ring as Crypto;
#[cfg(target_arch = "wasm32")]
use vouchsafe_verifier::crypto::RustCrypto as Crypto;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{Endorsements, Evidence, SnpEndorsements, TrustRoots, UnixSeconds, verify};

const REPORT: &[u8] = include_bytes!("../../examples/data/turin-report.bin");
const VCEK: &[u8] = include_bytes!("../../examples/data/turin-vcek.der");
/// 2026-02-06T00:00:00Z, when the certificate was valid.
const AT: UnixSeconds = UnixSeconds(1_770_336_000);

fn main() -> ExitCode {
    let evidence = black_box(Evidence::SevSnp { report: Base64(REPORT.to_vec()) });
    let vek = Some(Base64(VCEK.to_vec()));
    let endorsements = black_box(Endorsements::SevSnp(SnpEndorsements { vek, ..SnpEndorsements::default() }));
    let verified = verify(&evidence, Some(&endorsements), &TrustRoots::vendor_pinned(), AT, &Crypto);
    match black_box(verified) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
