//! What a receipt says of one answer.

use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::{json_record, json_words};

use crate::signed::{self, Signed};
use crate::{CheckpointRef, Envelope, Error, PayloadType, ReceiptKey};

/// Largest integer that every JSON reader keeps exactly: 2⁵³ − 1.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Refuses integers of a signed object that some JSON readers would round: two readers of one
/// signature must see one value.
pub(crate) fn check_integers<const N: usize>(
    what: &'static str,
    fields: [(&'static str, u64); N],
) -> Result<(), Error> {
    match fields.into_iter().find(|(_, value)| *value > INTEGER_MAX) {
        None => Ok(()),
        Some((field, value)) => {
            let why = alloc::format!("{field} {value} exceeds 2^53 - 1");
            Err(Error::PayloadMalformed { what, why })
        }
    }
}

/// What the client asked to be assured of before it got its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Assurance {
    /// The answer comes at once, signed under an attested key.
    #[default]
    Attested,
    /// The answer is held until the log, with a quorum of witnesses, has proved that it holds the
    /// receipt.
    Settled,
}

impl Assurance {
    /// The level of a word, if it is one.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Attested, Self::Settled].into_iter().find(|level| level.as_str() == word)
    }
}

json_words!(Assurance { "attested" => Attested, "settled" => Settled });

/// The public part of a receipt, in the order it is signed. Everything about the content itself is
/// hidden in the three commitments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceiptPayload {
    /// Version of this format: 1.
    pub version: u64,
    /// The boot whose key signs.
    pub boot: Hex<32>,
    /// The epoch in which it was signed.
    pub epoch: u64,
    /// Position in this boot's sequence of receipts, from 0.
    pub seq: u64,
    /// Leaf hash of the receipt before this one; null for the first.
    pub previous: Option<Hex<32>>,
    /// Digest of the model's manifest; null where the request named no model that is served.
    pub model: Option<Hex<32>>,
    /// Digest of the engine's identity.
    pub engine: Hex<32>,
    /// Commitment to the request.
    pub request: Hex<32>,
    /// Commitment to the response.
    pub response: Hex<32>,
    /// Commitment to the execution record.
    pub execution: Hex<32>,
    /// The assurance level asked for.
    pub assurance: Assurance,
    /// The checkpoint that gives the trusted time; null where receipts do not settle.
    pub checkpoint: Option<CheckpointRef>,
    /// Witness time by which the receipt is promised to be in the log; null where it settles in none.
    pub settle_by: Option<u64>,
    /// Whole Unix seconds by the enclave's own clock, which its host can influence.
    pub unattested_time: u64,
}

json_record!(ReceiptPayload {
    version,
    boot,
    epoch,
    seq,
    previous,
    model,
    engine,
    request,
    response,
    execution,
    assurance,
    checkpoint,
    settle_by,
    unattested_time,
});

impl ReceiptPayload {
    /// The canonical bytes to sign.
    pub fn to_bytes(&self) -> Vec<u8> {
        signed::to_bytes(self)
    }
}

impl Signed for ReceiptPayload {
    const WHAT: &'static str = "receipt";
    const TYPE: PayloadType = PayloadType::Receipt;

    fn version(&self) -> u64 {
        self.version
    }

    fn boot(&self) -> [u8; 32] {
        self.boot.0
    }

    fn check(&self) -> Result<(), Error> {
        check_integers(
            Self::WHAT,
            [
                ("epoch", self.epoch),
                ("seq", self.seq),
                ("settle_by", self.settle_by.unwrap_or(0)),
                ("unattested_time", self.unattested_time),
            ],
        )?;
        CheckpointRef::check(Self::WHAT, self.checkpoint.as_ref())?;
        let refused = |why: &str| Err(Error::PayloadMalformed { what: Self::WHAT, why: why.into() });
        if (self.seq == 0) != self.previous.is_none() {
            return refused("exactly the first receipt of a boot has no previous one");
        }
        match (self.checkpoint, self.settle_by, self.assurance) {
            (None, None, Assurance::Attested) => Ok(()),
            (None, None, Assurance::Settled) => refused("a receipt that does not settle says that it did"),
            (Some(checkpoint), Some(settle_by), _) if settle_by < checkpoint.time => {
                refused("settle_by is before the checkpoint's time")
            }
            (Some(_), Some(_), _) => Ok(()),
            (Some(_), None, _) | (None, Some(_), _) => {
                refused("checkpoint and settle_by stand together or not at all")
            }
        }
    }
}

/// A receipt whose signature was verified under a given boot's key. Only [`VerifiedReceipt::verify`]
/// makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt {
    payload: ReceiptPayload,
}

impl VerifiedReceipt {
    /// Verifies an envelope as a receipt of the boot whose receipt key is `key`.
    ///
    /// # Errors
    /// As [`Envelope::open`]; then [`Error::PayloadMalformed`], [`Error::Version`],
    /// [`Error::PayloadNotCanonical`] or [`Error::OtherBoot`].
    pub fn verify(envelope: &Envelope, key: &ReceiptKey, crypto: &dyn Crypto) -> Result<Self, Error> {
        Ok(Self { payload: signed::verify(envelope, key, crypto)? })
    }

    /// What the receipt says.
    pub fn payload(&self) -> &ReceiptPayload {
        &self.payload
    }
}
