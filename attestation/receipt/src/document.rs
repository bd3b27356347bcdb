//! What an enclave presents of itself at `/.well-known/vouchsafe/attestation`.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::{Endorsements, Evidence};

/// The attestation document: statements with their evidence, and the answer to the client's nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationDocument {
    /// Version of this format: 1.
    pub version: u64,
    /// The boot statement and the report that binds it.
    pub boot: AttestedStatement,
    /// The current epoch statement and the report that binds it.
    pub epoch: AttestedStatement,
    /// The answer to the nonce, where one was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<ChallengeAnswer>,
    /// Endorsements as the host stapled them; a verifier may use newer ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endorsements: Option<Endorsements>,
}

/// A statement's exact bytes and the evidence whose REPORT_DATA binds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedStatement {
    /// The statement's exact bytes.
    pub statement: Base64,
    /// What the machine signed.
    pub evidence: Evidence,
}

/// Proof that a client's nonce is among those that a fresh report covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeAnswer {
    /// The client's nonce.
    pub nonce: Hex<32>,
    /// Its position among the batch's nonces.
    pub leaf_index: u64,
    /// How many nonces the batch holds.
    pub tree_size: u64,
    /// RFC 6962 inclusion path, from the leaf up.
    pub path: Vec<Hex<32>>,
    /// The report over the current epoch statement and the nonces' root.
    pub evidence: Evidence,
}
