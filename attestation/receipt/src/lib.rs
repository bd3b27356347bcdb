//! What an answer's receipt says, how it is signed, and how it is checked.
//!
//! The enclave builds these values and signs them; everyone else parses and verifies them. Both
//! sides share the byte formats here and nothing else: this crate holds no key, reads no clock and
//! has no randomness. Whether a verified receipt is *good enough* is appraised against a policy in
//! `vouchsafe-bundle`.
//!
//! - [`Envelope`]: DSSE with exactly one ECDSA P-256 signature, canonical or refused.
//! - [`BootStatement`], [`EpochStatement`], [`report_data`]: what the attestation reports are bound to.
//! - [`ReceiptPayload`], [`VerifiedReceipt`]: what is said of one answer.
//! - [`commitment`], [`Opening`]: salted commitments to request, response and execution.
//! - [`stream`]: the hash chain over a streamed answer and its signed heads.
//! - [`Leaf`], [`records`]: what enters the transparency log.
//! - [`image`]: what was released, and what guests of it measure to, under a [`threshold`] of signatures.
//! - [`revocation`]: what is not to be believed any more, under a [`threshold`] of signatures.
//! - [`AttestationDocument`]: what an enclave presents of itself to a client; [`ReceiptDocument`]: what it
//!   keeps of an answer.
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

mod checkpoint;
pub mod commitment;
mod document;
mod dsse;
mod error;
mod execution;
pub mod image;
mod leaf;
mod low_s;
mod model;
mod payload;
pub mod records;
pub mod report_data;
pub mod revocation;
mod signed;
mod statement;
pub mod stream;
pub mod threshold;

pub use checkpoint::CheckpointRef;
pub use commitment::{ExecutionOpening, Opening, RequestOpening, ResponseOpening};
pub use document::{AttestationDocument, AttestedStatement, ChallengeAnswer, ReceiptDocument};
pub use dsse::{ENVELOPE_BYTES_MAX, Envelope, PayloadType, ReceiptKey, pae};
pub use error::Error;
pub use execution::{ExecutionRecord, Usage};
pub use image::{ImageManifest, SignedImage, VerifiedImage};
pub use leaf::{
    LEAF_BYTES_MAX, Leaf, LeafType, SignedLeaf, endorsements_leaf, envelope_leaf, image_leaf, receipt_leaf,
    receipt_leaf_hash, revocations_leaf,
};
pub use low_s::{is_low_s, to_low_s};
pub use model::{EngineIdentity, ModelFile, ModelManifest};
pub use payload::{Assurance, ReceiptPayload, VerifiedReceipt};
pub use records::{BootRecord, Close, EndorsementsRecord, EpochRecord, Heartbeat};
pub use revocation::{RevocationList, SignedRevocations, VerifiedRevocations};
pub use statement::{BootKeys, BootStatement, EpochStatement, LogSettlement, Settlement, TenantsRef};
