//! Endorsements of hardware evidence: fetched, kept on disk, renewed before they expire.
//!
//! From AMD's Key Distribution Service (AMD 57230, "VCEK Certificate and KDS Interface"): the chip's
//! certificate, the chain to AMD's root, the revocation list. From Intel's Provisioning Certification
//! Service, API 4 (and services of its shape, such as a PCCS): TCB info, QE identity, revocation lists.
//! Base addresses are configurable, for caches and mirrors.
//!
//! The host does this because its enclave has no network, and because the services ask their callers to
//! cache. Nothing here is trusted: verifiers judge endorsements by their own roots. What is checked is
//! that an answer is of its kind and not expired, so that a service's bad day does not displace what a
//! good day left on disk.
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

mod cache;
mod error;
mod fetch;
mod item;
mod keeper;
mod wanted;

pub use error::Error;
pub use keeper::{Keeper, Round};
pub use wanted::{Sources, Wanted};
