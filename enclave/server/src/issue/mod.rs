//! The receipt issuer: the only module that holds the receipt key.
//!
//! A request that was parsed and admitted becomes a [`Pending`] answer, and every pending answer
//! becomes a receipt: when it is finished, when it fails, when the client leaves, and even when the
//! code that serves it panics, since dropping it signs what there is. One lock assigns a receipt's
//! place in the sequence, the leaf hash of the one before, and the signature, so that the order of
//! the sequence is the order of signing and no number is ever skipped.
//!
//! The byte formats are `vouchsafe-receipt`'s; where receipts go from here is the host's control
//! connection and the store for later retrieval ([`Outbox`], [`Store`]).

mod error;
mod outbox;
mod pending;
mod records;
mod signer;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use vouchsafe_link::control::Included;
use vouchsafe_receipt::{Assurance, CheckpointRef, Envelope, PayloadType, ReceiptPayload, receipt_leaf_hash};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

pub(crate) use error::IssueError;
pub(crate) use outbox::Outbox;
pub(crate) use pending::{
    Admission, CLIENT_CLOSED_REQUEST, Issued, NotAdmitted, Pending, Proof, RequestFacts, opening_text,
};
pub(crate) use signer::ReceiptSigner;
pub(crate) use store::{Kept, Store};

use crate::boot::{Boot, Epochs};
use crate::config::{Limits, milliseconds};
use crate::settle::{RefusedCode, Settlement};

/// Issues the receipts of one boot.
pub(crate) struct Issuer {
    signer: ReceiptSigner,
    boot: [u8; 32],
    engine: [u8; 32],
    epochs: Arc<Epochs>,
    chain: Mutex<Chain>,
    store: Store,
    outbox: Outbox,
    /// Where receipts settle, if they do.
    settlement: Option<Arc<Settlement>>,
    head_interval_max: Duration,
}

/// Where the sequence stands: the next receipt's number and what it must name as its predecessor.
#[derive(Debug, Clone, Copy, Default)]
struct Chain {
    seq: u64,
    previous: Option<[u8; 32]>,
    /// Number of the newest heartbeat's record.
    heartbeat: Option<u64>,
    /// Whether the last word was said.
    is_closed: bool,
}

/// A receipt in its place, and where its proof will come from, if it is waited for.
struct Signed {
    envelope: Envelope,
    proof: Option<oneshot::Receiver<Arc<str>>>,
}

impl Issuer {
    /// Takes the key into its keeping.
    pub(crate) fn new(
        signer: ReceiptSigner,
        boot: &Boot,
        epochs: Arc<Epochs>,
        settlement: Option<Arc<Settlement>>,
        limits: &Limits,
    ) -> Self {
        let outbox = match &settlement {
            None => Outbox::new(limits.receipts_unacknowledged_max),
            Some(_) => Outbox::of_promised(),
        };
        Self {
            signer,
            boot: boot.id,
            engine: boot.engine_digest,
            epochs,
            chain: Mutex::default(),
            store: Store::new(limits.receipts_kept_max, limits.receipts_kept_bytes_max),
            outbox,
            settlement,
            head_interval_max: milliseconds(limits.stream_head_ms_max),
        }
    }

    /// Receipts for later retrieval by token.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Receipts on their way to the host.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Where receipts settle, if they do.
    pub(crate) fn settlement(&self) -> Option<&Arc<Settlement>> {
        self.settlement.as_ref()
    }

    /// Takes what the host says of the log. Gives the size of the largest tree verified. What does not
    /// verify changes nothing.
    pub(crate) fn learn(
        &self,
        note: &str,
        from: u64,
        consistency: &[String],
        leaves: &[Included],
    ) -> Result<u64, RefusedCode> {
        let settlement = self.settlement.as_ref().ok_or(RefusedCode("nothing_settles"))?;
        let proven = settlement.learn(note, from, consistency, leaves)?;
        for (seq, leaf, proof) in proven.receipts {
            self.store.prove(&leaf, proof);
            self.outbox.publish(seq);
        }
        Ok(settlement.size())
    }

    /// What a receipt signed now says of the log.
    fn trusted_time(&self) -> Result<Option<(CheckpointRef, u64)>, IssueError> {
        match &self.settlement {
            None => Ok(None),
            // No request is admitted before the first checkpoint.
            Some(settlement) => {
                settlement.now().map(Some).ok_or(IssueError::NotNow("no checkpoint is known"))
            }
        }
    }

    fn chain(&self) -> MutexGuard<'_, Chain> {
        // What the lock guards is replaced as a whole after everything that can fail: a panic in
        // between leaves the old value, which is right.
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs a receipt in its place in the sequence. Number, predecessor, trusted time and signature
    /// are decided under one lock, and a failure to sign leaves the sequence as it was. `keep` sees the
    /// receipt before the host can: a proof of it finds what it proves.
    fn sign_receipt(
        &self,
        draft: ReceiptPayload,
        keep: impl FnOnce(&Envelope, [u8; 32]),
    ) -> Result<Signed, IssueError> {
        let mut chain = self.chain();
        if chain.is_closed {
            return Err(IssueError::NotNow("the boot is closed"));
        }
        let (checkpoint, settle_by) = self.trusted_time()?.unzip();
        let payload = ReceiptPayload {
            epoch: self.epochs.current().number,
            seq: chain.seq,
            previous: chain.previous.map(Hex),
            checkpoint,
            settle_by,
            ..draft
        };
        let envelope = self.signer.sign(PayloadType::Receipt, payload.to_bytes())?;
        let text = envelope.to_json();
        if text.len() > vouchsafe_receipt::ENVELOPE_BYTES_MAX {
            return Err(IssueError::TooLong { len: text.len() });
        }
        let leaf = receipt_leaf_hash(&envelope, &Ring);
        keep(&envelope, leaf);
        let proof = self.settlement.as_ref().and_then(|settlement| {
            settlement.keep_receipt(chain.seq, &leaf, payload.assurance == Assurance::Settled)
        });
        self.outbox.push(chain.seq, text);
        *chain = Chain { seq: chain.seq.saturating_add(1), previous: Some(leaf), ..*chain };
        Ok(Signed { envelope, proof })
    }
}

#[cfg(test)]
pub(crate) mod tests;
