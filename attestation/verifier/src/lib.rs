//! Verifies AMD SEV-SNP and Intel TDX attestation evidence.
//!
//! Raw evidence, its endorsements, the trust roots, a moment and a crypto implementation go in;
//! [`VerifiedEvidence`] or an exact [`Error`] comes out. There is no I/O here, no clock, no
//! randomness and no panic, and the crate builds for `wasm32-unknown-unknown`.
//!
//! Appraisal, the question whether verified evidence is *good enough*, belongs to the policy in
//! `vouchsafe-bundle`. This crate answers only what the silicon vendor's signatures establish.
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

pub use error::{CertificateRole, Error};
pub use evidence::{Endorsements, Evidence, SnpEndorsements, TdxCollateral};
pub use roots::{RootKind, TrustRoots};
pub use time::UnixSeconds;
pub use verified::{Claims, Platform, VerifiedEvidence};
pub use verify::verify;
