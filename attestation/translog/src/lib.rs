//! Merkle-tree hashing and proofs as RFC 6962 and RFC 9162 define them: the verifying side.
//!
//! In use today for the batch of nonces under one challenge report. The transparency log's tiles,
//! checkpoints and cosignatures build on the same hashing.
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

pub mod merkle;
