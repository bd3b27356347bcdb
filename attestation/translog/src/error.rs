//! Why something of a log was refused.

use alloc::string::String;

use crate::merkle::{ConsistencyError, InclusionError};

/// Why something of a log was refused. [`Error::code`] is stable; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text of a verifier key is not one.
    #[error("not a verifier key: {why}")]
    KeyMalformed {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A verifier key's short id is not that of its name and key.
    #[error("the verifier key of {name:?} has id {found:08x}, which should be {expected:08x}")]
    KeyId {
        /// The key's name.
        name: String,
        /// The id in the text.
        found: u32,
        /// The id of this name and key.
        expected: u32,
    },
    /// A verifier key is of another algorithm than its role demands.
    #[error("the verifier key of {name:?} is of type {found:#04x}, where {expected:#04x} is needed")]
    KeyAlgorithm {
        /// The key's name.
        name: String,
        /// The signature type found.
        found: u8,
        /// The signature type that the role demands.
        expected: u8,
    },
    /// A note, or what claims to be one, is longer than accepted.
    #[error("{what} of {len} bytes exceeds the limit of {max}")]
    TooLong {
        /// What was read.
        what: &'static str,
        /// Its length, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// Not a signed note.
    #[error("not a signed note: {why}")]
    NoteMalformed {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The note's text is not a checkpoint's.
    #[error("not a checkpoint: {why}")]
    CheckpointMalformed {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The checkpoint is of another log.
    #[error("a checkpoint of {found:?}, where one of {expected:?} is needed")]
    Origin {
        /// The checkpoint's origin.
        found: String,
        /// The origin needed.
        expected: String,
    },
    /// No trusted key of the log signed the checkpoint.
    #[error("the checkpoint of {origin:?} carries no signature of the log's key")]
    LogSignatureMissing {
        /// The checkpoint's origin.
        origin: String,
    },
    /// A signature under a trusted key of the log does not verify.
    #[error("the signature of {name:?} on the checkpoint does not verify")]
    LogSignatureInvalid {
        /// The key's name.
        name: String,
    },
    /// A cosignature under a trusted witness's key does not verify.
    #[error("the cosignature of witness {name:?} does not verify")]
    CosignatureInvalid {
        /// The witness's name.
        name: String,
    },
    /// Fewer trusted witnesses cosigned than needed.
    #[error("{found} trusted witnesses cosigned, where {needed} are needed")]
    QuorumMissing {
        /// Distinct trusted witnesses that cosigned.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A quorum that nobody could trust, or nobody reach.
    #[error("not a quorum: {why}")]
    QuorumUnusable {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A tree of no leaves whose root is not that of no leaves.
    #[error("a tree of no leaves has another root than this checkpoint's")]
    EmptyRoot,
    /// Not a tlog-proof.
    #[error("not a tlog-proof: {why}")]
    ProofMalformed {
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a request to a witness.
    #[error("not an add-checkpoint request: {why}")]
    RequestMalformed {
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a tile, its path, or an entry bundle.
    #[error("not a tile: {why}")]
    TileMalformed {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A leaf longer than the format can say.
    #[error("a leaf of {len} bytes exceeds the limit of {max}")]
    LeafTooLong {
        /// The leaf's length, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The leaf is not shown to be in the tree.
    #[error("inclusion: {0}")]
    Inclusion(#[from] InclusionError),
    /// One tree is not shown to be the beginning of another.
    #[error("consistency: {0}")]
    Consistency(#[from] ConsistencyError),
}

impl Error {
    /// A stable word for this refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::KeyMalformed { .. } => "log_key_malformed",
            Self::KeyId { .. } => "log_key_id_mismatch",
            Self::KeyAlgorithm { .. } => "log_key_algorithm",
            Self::TooLong { .. } => "log_text_too_long",
            Self::NoteMalformed { .. } => "note_malformed",
            Self::CheckpointMalformed { .. } => "checkpoint_malformed",
            Self::Origin { .. } => "log_unknown",
            Self::LogSignatureMissing { .. } => "checkpoint_signature_missing",
            Self::LogSignatureInvalid { .. } => "checkpoint_signature_invalid",
            Self::CosignatureInvalid { .. } => "cosignature_invalid",
            Self::QuorumMissing { .. } => "witness_quorum_missing",
            Self::QuorumUnusable { .. } => "witness_quorum_unusable",
            Self::EmptyRoot => "checkpoint_empty_root",
            Self::ProofMalformed { .. } => "proof_malformed",
            Self::RequestMalformed { .. } => "request_malformed",
            Self::TileMalformed { .. } => "tile_malformed",
            Self::LeafTooLong { .. } => "leaf_too_long",
            Self::Inclusion(_) => "inclusion_invalid",
            Self::Consistency(_) => "consistency_invalid",
        }
    }
}
