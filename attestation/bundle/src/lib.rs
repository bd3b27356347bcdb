//! From bytes to a verdict: the policy document, the bundle, and their appraisal.
//!
//! A [`Policy`] says what a relying party accepts. A [`Bundle`] is one file with everything needed to
//! judge one answer offline. [`verify_bundle`] judges it, [`appraise_document`] judges what a live
//! enclave presents of itself, [`appraise_boot`] and [`appraise_epoch`] what a log shows of one,
//! [`appraise_evidence`] a raw report or quote. Each gives a [`Verdict`], which says what was proved,
//! what was not, and why something was refused.
//!
//! There is no I/O here, no clock and no randomness: files, the moment and the crypto implementation
//! are arguments, and the crate builds for `wasm32-unknown-unknown`. Signatures of silicon vendors
//! are verified by `vouchsafe-verifier`, those of receipts by `vouchsafe-receipt`; what is decided
//! here is whether the verified facts are good enough, and that they belong together.
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
// Much of what images need is left over where nothing verifies them.
#![cfg_attr(not(feature = "images"), allow(dead_code))]

mod appraise;
mod bundle;
mod chain;
mod codes;
pub mod ear;
mod error;
#[cfg(feature = "images")]
mod image;
pub mod policy;
mod session;
mod verdict;

pub use appraise::{
    AcceptedBoot, Answer, EvidenceInputs, Inputs, LoggedEpoch, appraise_boot, appraise_document,
    appraise_epoch, appraise_evidence, refuse, verify_bundle, verify_bundle_json,
};
pub use bundle::{BUNDLE_BYTES_MAX, Bundle, BundleParts, StreamRecords, parse_tdx_collateral};
pub use chain::snp_endorsements;
pub use error::Error;
#[cfg(feature = "images")]
pub use image::{LOGGED_IMAGE_BYTES_MAX, LoggedImage};
pub use policy::Policy;
pub use session::VerifiedBoot;
pub use verdict::{Decision, Finding, Judgement, Outcome, Statement, Step, Verdict};

/// A released image with its proof: there is none where nothing verifies them.
#[cfg(not(feature = "images"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoggedImage {}
