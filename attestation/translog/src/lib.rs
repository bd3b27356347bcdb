//! The transparency log as everybody who checks it sees it: tiles, checkpoints, cosignatures, proofs.
//!
//! A log, a witness, a monitor, an enclave and a client all use these types, so that they agree on
//! every byte. The formats are those of C2SP: [`note`] is c2sp.org/signed-note, [`checkpoint`]
//! c2sp.org/tlog-checkpoint, [`cosignature`] c2sp.org/tlog-cosignature (its Ed25519 form, version 1),
//! [`tile`] c2sp.org/tlog-tiles, [`request`] c2sp.org/tlog-witness, [`proof`] c2sp.org/tlog-proof;
//! hashing in [`merkle`] follows RFC 6962 and RFC 9162.
//!
//! There is no I/O here, no clock and no private key: bytes, trusted keys and the crypto
//! implementation are arguments, whoever signs passes a closure, and the crate builds for
//! `wasm32-unknown-unknown`. What a leaf says belongs to `vouchsafe-receipt`; which logs and witnesses
//! are trusted belongs to policies.
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

pub mod build;
pub mod checkpoint;
pub mod cosignature;
mod error;
pub mod frontier;
mod lines;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod quorum;
pub mod request;
pub mod tile;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use cosignature::Cosigner;
pub use error::Error;
pub use frontier::Frontier;
pub use note::{Algorithm, NoteSignature, SignedNote, VerifierKey};
pub use proof::{TlogProof, VerifiedInclusion};
pub use quorum::{Quorum, TrustedLog, VerifiedCheckpoint};
pub use request::AddCheckpoint;
pub use tile::Tile;

/// A SHA-256 hash: of a leaf, of a node, of a tree.
pub type Hash = [u8; 32];

/// Most leaves of a tree that is spoken of here: 2⁶³ − 1, so that every path fits [`merkle::PATH_LEN_MAX`].
pub const TREE_SIZE_MAX: u64 = (1 << 63) - 1;
