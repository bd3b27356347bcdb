//! Verifies AMD SEV-SNP and Intel TDX attestation evidence.
//!
//! Raw evidence, its endorsements, the trust roots, a moment and a crypto implementation go in;
//! [`VerifiedEvidence`] or an exact [`Error`] comes out. There is no I/O here, no clock, no
//! randomness and no panic, and the crate builds for `wasm32-unknown-unknown`.
//!
//! Appraisal, the question whether verified evidence is *good enough*, belongs to the policy in
//! `vouchsafe-bundle`. This crate answers only what the silicon vendor's signatures establish; the
//! page [`what_is_checked`] lists every clause with its code and source, and what no verifier can know.
//!
//! # An SEV-SNP report
//!
//! AMD's roots, ASKs and ASVKs are pinned, so a report and its VCEK or VLEK certificate are enough.
//!
//! ```
//! use vouchsafe_verifier::crypto::Ring;
//! use vouchsafe_verifier::encoding::{Base64, to_hex};
//! use vouchsafe_verifier::{
//!     Endorsements, Evidence, RootKind, SnpEndorsements, TrustRoots, UnixSeconds, verify,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data");
//! let report = std::fs::read(format!("{folder}/turin-report.bin"))?;
//! let vcek = std::fs::read(format!("{folder}/turin-vcek.der"))?;
//!
//! let evidence = Evidence::SevSnp { report: Base64(report) };
//! let endorsements = Endorsements::SevSnp(SnpEndorsements {
//!     vek: Some(Base64(vcek)),
//!     ..SnpEndorsements::default()
//! });
//! let at = UnixSeconds::from_rfc3339("2026-02-06T00:00:00Z").ok_or("not a moment")?;
//!
//! let verified = verify(&evidence, Some(&endorsements), &TrustRoots::vendor_pinned(), at, &Ring)?;
//! assert_eq!(verified.root(), RootKind::Vendor);
//!
//! let snp = verified.snp().ok_or("not a report")?;
//! assert_eq!(snp.product().name(), "Turin");
//! assert_eq!(snp.reported_tcb().snp, 4);
//! assert!(!snp.report().policy().debug_allowed());
//! assert!(to_hex(snp.measurement()).starts_with("6d6c354511d6f7c6"));
//!
//! // A day before AMD issued the certificate, the same evidence is refused, and the code says why.
//! let too_early = UnixSeconds(at.0 - 2 * 86_400);
//! let refused = verify(&evidence, Some(&endorsements), &TrustRoots::vendor_pinned(), too_early, &Ring);
//! assert_eq!(refused.unwrap_err().code(), "snp_certificate_not_yet_valid");
//! # Ok(())
//! # }
//! ```
//!
//! # A TDX quote
//!
//! A quote wants its collateral as well: TCB info, QE identity and Intel's revocation lists. The page of
//! the module [`tdx`] has an example that runs, with an event log, and shows what of the log is proved.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

extern crate alloc;

/// For what the macros of [`strict_json`] generate.
#[doc(hidden)]
pub use serde as __serde;

pub mod crypto;
pub mod encoding;
mod error;
mod evidence;
mod roots;
pub mod snp;
pub mod strict_json;
pub mod tdx;
mod time;
mod verified;
mod verify;
pub mod x509;

#[doc = include_str!("../README.md")]
pub mod what_is_checked {}

#[doc = include_str!("../REJECTIONS.md")]
pub mod rejections {}

pub use error::{CertificateRole, Error};
pub use evidence::{Endorsements, Evidence, SnpEndorsements, TdxCollateral};
pub use roots::{RootKind, TrustRoots};
pub use time::{Moment, UnixSeconds};
pub use verified::{Claims, Platform, VerifiedEvidence};
pub use verify::verify;
