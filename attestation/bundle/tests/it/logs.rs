//! A log with witnesses, and enclaves whose receipts settle into it.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use vouchsafe_bundle::BundleParts;
use vouchsafe_bundle::policy::{LogReference, PolicyDocument, QuorumReference, Rule, Vkey};
use vouchsafe_receipt::{CheckpointRef, LogSettlement, ReceiptPayload, Settlement, receipt_leaf_hash};
use vouchsafe_translog::{Algorithm, Checkpoint, SignedNote, TlogProof, VerifierKey, cosignature, merkle};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::common::*;

/// Seconds that the enclaves promise.
pub(crate) const BOUND_S: u64 = 60;
/// Leaves before the receipt.
pub(crate) const BEFORE: usize = 5;

/// A key pair under a name.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    pub(crate) key: VerifierKey,
}

impl Signer {
    pub(crate) fn new(name: &str, algorithm: Algorithm, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public_key = pair.public_key().as_ref().try_into().unwrap();
        Self { pair, key: VerifierKey::new(name, algorithm, public_key, &Ring).unwrap() }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().unwrap()
    }

    pub(crate) fn vkey(&self) -> Vkey {
        Vkey::new(self.key.to_string()).unwrap()
    }
}

/// A log and three witnesses.
pub(crate) struct Log {
    pub(crate) signer: Signer,
    pub(crate) witnesses: Vec<Signer>,
}

impl Log {
    pub(crate) fn new() -> Self {
        let witness = |number: u8| {
            Signer::new(&format!("witness{number}.example"), Algorithm::CosignatureV1, 100 + number)
        };
        Self {
            signer: Signer::new("log.example/test", Algorithm::Ed25519, 1),
            witnesses: [1, 2, 3].map(witness).into(),
        }
    }

    pub(crate) fn settlement(&self) -> Settlement {
        Settlement::Log(LogSettlement {
            key: self.signer.key.to_string(),
            witnesses: self.witnesses.iter().map(|witness| witness.key.to_string()).collect(),
            quorum: 2,
            bound_s: BOUND_S,
            unsettled_max: 256,
        })
    }

    /// An enclave whose receipts settle into this log.
    pub(crate) fn enclave(&self) -> Enclave {
        let mut enclave = Enclave::snp();
        enclave.boot.settlement = self.settlement();
        enclave.rebind();
        enclave
    }

    /// What a receipt says that was signed when the log had [`BEFORE`] leaves.
    pub(crate) fn promise(payload: &mut ReceiptPayload) {
        let time = NOW.0 - 5;
        payload.checkpoint = Some(CheckpointRef { size: BEFORE as u64, root: Hex([9; 32]), time });
        payload.settle_by = Some(time + BOUND_S);
    }

    /// A cosigned note over these leaves.
    pub(crate) fn note(&self, leaves: &[[u8; 32]], times: &[u64]) -> SignedNote {
        let root = merkle::root(leaves, &Ring);
        let checkpoint = Checkpoint::new(self.signer.key.name(), leaves.len() as u64, root).unwrap();
        let mut note = checkpoint.sign(&self.signer.key, |bytes| self.signer.sign(bytes)).unwrap();
        for (witness, time) in self.witnesses.iter().zip(times) {
            let sign = |bytes: &[u8]| witness.sign(bytes);
            note.add(cosignature::cosign(note.text(), UnixSeconds(*time), &witness.key, sign).unwrap())
                .unwrap();
        }
        note
    }

    /// The leaves' hashes: a receipt with so many before it, and seven after it.
    pub(crate) fn leaves(&self, parts: &BundleParts, before: usize) -> Vec<[u8; 32]> {
        let receipt = receipt_leaf_hash(parts.receipt.as_ref().unwrap(), &Ring);
        let mut leaves: Vec<_> =
            (0..before + 7).map(|n| merkle::leaf_hash(&n.to_be_bytes(), &Ring)).collect();
        leaves.insert(before, receipt);
        leaves
    }

    /// The proof of a receipt with so many leaves before it, and seven after it.
    pub(crate) fn proof(&self, parts: &BundleParts, before: usize, times: &[u64]) -> TlogProof {
        let leaves = self.leaves(parts, before);
        let path = merkle::inclusion_path(&leaves, before, &Ring).unwrap();
        TlogProof::new(before as u64, path, self.note(&leaves, times)).unwrap()
    }

    /// A plain answer that promises to settle and has not.
    pub(crate) fn unsettled(&self, enclave: &Enclave) -> BundleParts {
        let opening = enclave.opening("application/json", 200);
        let mut payload = enclave.payload(&opening, RESPONSE);
        Self::promise(&mut payload);
        enclave.parts(Some(enclave.receipt(&payload)), Some(opening), None)
    }

    /// A plain answer that settled, seen by two witnesses at `NOW` + 3 s.
    pub(crate) fn settled(&self, enclave: &Enclave) -> BundleParts {
        let mut parts = self.unsettled(enclave);
        parts.proof = Some(self.proof(&parts, BEFORE, &TIMES));
        parts
    }

    /// Makes a policy require this log and two of its witnesses.
    pub(crate) fn require(&self, document: &mut PolicyDocument) {
        document.settlement.promised = Rule::Require(vouchsafe_bundle::policy::Demanded);
        document.settlement.bound = Rule::Require(BOUND_S);
        document.log.inclusion = Rule::Require(vec![LogReference { key: self.signer.vkey() }]);
        let keys = self.witnesses.iter().map(Signer::vkey).collect();
        document.witnesses.quorum = Rule::Require(QuorumReference { keys, threshold: 2 });
    }
}

/// When the witnesses cosigned.
pub(crate) const TIMES: [u64; 3] = [NOW.0 + 2, NOW.0 + 3, NOW.0 + 4];
