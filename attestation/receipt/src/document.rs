//! The JSON documents that an enclave answers with beside its answers: what it presents of itself at
//! `/.well-known/vouchsafe/attestation`, and what it keeps of an answer at `/v1/receipts/{token}`.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::strict_json::{self, Limits};
use vouchsafe_verifier::{Endorsements, Evidence, json_record};

use crate::{Envelope, Error, Opening};

/// A receipt document holds at most an opening of 2 MiB, an envelope and a proof.
const RECEIPT_DOCUMENT_LIMITS: Limits = Limits { bytes_max: 3 << 20, depth_max: 6 };
/// Version of [`ReceiptDocument`].
const RECEIPT_DOCUMENT_VERSION: u64 = 1;

/// The attestation document: statements with their evidence, and the answer to the client's nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttestationDocument {
    /// Version of this format: 1.
    pub version: u64,
    /// The boot statement and the report that binds it.
    pub boot: AttestedStatement,
    /// The current epoch statement and the report that binds it.
    pub epoch: AttestedStatement,
    /// The answer to the nonce, where one was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<ChallengeAnswer>,
    /// Endorsements as the host stapled them; a verifier may use newer ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endorsements: Option<Endorsements>,
}

json_record!(AttestationDocument { version, boot, epoch, challenge, endorsements });

/// What `GET /v1/receipts/{token}` answers: an answer's receipt, its opening, and its proof once settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceiptDocument {
    /// Version of this format: 1.
    pub version: u64,
    /// The signed receipt.
    pub receipt: Envelope,
    /// What opens its commitments.
    pub opening: Opening,
    /// The proof that the receipt is in its log, as `c2sp.org/tlog-proof@v1` text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

json_record!(ReceiptDocument { version, receipt, opening, proof });

impl ReceiptDocument {
    /// Parses the document.
    ///
    /// # Errors
    /// [`Error::PayloadMalformed`] or [`Error::Version`].
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "receipt document";
        let document: Self =
            strict_json::read(json, RECEIPT_DOCUMENT_LIMITS).map_err(|error| Error::payload(WHAT, &error))?;
        if document.version != RECEIPT_DOCUMENT_VERSION {
            let (found, known) = (document.version, RECEIPT_DOCUMENT_VERSION);
            return Err(Error::Version { what: WHAT, found, known });
        }
        document.opening.check_version()?;
        Ok(document)
    }

    /// The document of a receipt that has not settled yet.
    pub fn new(receipt: Envelope, opening: Opening) -> Self {
        Self { version: RECEIPT_DOCUMENT_VERSION, receipt, opening, proof: None }
    }

    /// The document as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers only: serialisation has no failing case.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A statement's exact bytes and the evidence whose REPORT_DATA binds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttestedStatement {
    /// The statement's exact bytes.
    pub statement: Base64,
    /// What the machine signed.
    pub evidence: Evidence,
}

json_record!(AttestedStatement { statement, evidence });

/// Proof that a client's nonce is among those that a fresh report covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

json_record!(ChallengeAnswer { nonce, leaf_index, tree_size, path, evidence });
