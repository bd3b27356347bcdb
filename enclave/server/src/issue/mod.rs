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
mod signer;
mod store;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vouchsafe_receipt::{Envelope, PayloadType, ReceiptPayload, receipt_leaf_hash};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

pub(crate) use error::IssueError;
pub(crate) use outbox::Outbox;
pub(crate) use pending::{Admission, CLIENT_CLOSED_REQUEST, Issued, Pending, RequestFacts, opening_text};
pub(crate) use signer::ReceiptSigner;
pub(crate) use store::{Kept, Store};

use crate::boot::{Boot, Epochs};
use crate::config::{Limits, milliseconds};

/// Issues the receipts of one boot.
pub(crate) struct Issuer {
    signer: ReceiptSigner,
    boot: [u8; 32],
    engine: [u8; 32],
    epochs: Arc<Epochs>,
    chain: Mutex<Chain>,
    store: Store,
    outbox: Outbox,
    head_interval_max: Duration,
}

/// Where the sequence stands: the next receipt's number and what it must name as its predecessor.
#[derive(Debug, Clone, Copy, Default)]
struct Chain {
    seq: u64,
    previous: Option<[u8; 32]>,
}

impl Issuer {
    /// Takes the key into its keeping.
    pub(crate) fn new(signer: ReceiptSigner, boot: &Boot, epochs: Arc<Epochs>, limits: &Limits) -> Self {
        Self {
            signer,
            boot: boot.id,
            engine: boot.engine_digest,
            epochs,
            chain: Mutex::default(),
            store: Store::new(limits.receipts_kept_max, limits.receipts_kept_bytes_max),
            outbox: Outbox::new(limits.receipts_unacknowledged_max),
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

    /// Signs a receipt in its place in the sequence. Number, predecessor and signature are decided
    /// under one lock, and a failure to sign leaves the sequence as it was.
    fn sign_receipt(&self, draft: ReceiptPayload) -> Result<Envelope, IssueError> {
        // What the lock guards is replaced as a whole after everything that can fail: a panic in
        // between leaves the old value, which is right.
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let payload = ReceiptPayload {
            epoch: self.epochs.current().number,
            seq: chain.seq,
            previous: chain.previous.map(Hex),
            ..draft
        };
        let envelope = self.signer.sign(PayloadType::Receipt, payload.to_bytes())?;
        let text = envelope.to_json();
        if text.len() > vouchsafe_receipt::ENVELOPE_BYTES_MAX {
            return Err(IssueError::TooLong { len: text.len() });
        }
        self.outbox.push(chain.seq, text);
        *chain =
            Chain { seq: chain.seq.saturating_add(1), previous: Some(receipt_leaf_hash(&envelope, &Ring)) };
        Ok(envelope)
    }
}

#[cfg(test)]
pub(crate) mod tests;
