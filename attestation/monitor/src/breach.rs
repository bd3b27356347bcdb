//! A portable account of a receipt that a log owed and lacks: what is signed, and what was done.
//!
//! The receipt's signature, its `settle_by`, the boot's statement that names this log, and a later checkpoint with
//! its quorum are verified offline. That the tree lacks the receipt follows from reading the tree, which
//! is public: [`Breach::scan`] repeats it. That the receipt was offered again is the word of whoever
//! kept the file.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use vouchsafe_receipt::{
    BootStatement, Envelope, ReceiptKey, Settlement, VerifiedReceipt, receipt_leaf_hash,
};
use vouchsafe_translog::note::NOTE_BYTES_MAX;
use vouchsafe_translog::{TrustedLog, VerifiedCheckpoint};
use vouchsafe_verifier::crypto::{Crypto, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::files::Trouble;
use crate::search::search;
use crate::source::Source;
use crate::state::Resubmission;
use crate::{Error, Violation};

const LIMITS: Limits = Limits { bytes_max: 4 * NOTE_BYTES_MAX + (1 << 20), depth_max: 4 };
const VERSION: u64 = 1;

/// Why a file shows no breach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotBreached {
    /// Not a file of this format.
    #[error("not a file of a breach: {0}")]
    Malformed(String),
    /// It is of another log than the one that is trusted.
    #[error("it is of the log {found}, not of {expected}")]
    OtherLog {
        /// The log's key in the file.
        found: String,
        /// The one that was given.
        expected: String,
    },
    /// The receipt does not verify, or its boot did not promise it to this log.
    #[error("the receipt: {0}")]
    Receipt(String),
    /// The checkpoint does not verify.
    #[error("the checkpoint: {0}")]
    Checkpoint(vouchsafe_translog::Error),
    /// The checkpoint says nothing of what was due.
    #[error("the checkpoint's witness time is {time}, which is not after {what} at {moment}")]
    TooEarly {
        /// Its witness time, Unix seconds.
        time: u64,
        /// `settle_by` or `the resubmission`.
        what: &'static str,
        /// When that was, Unix seconds.
        moment: u64,
    },
    /// The tree holds the receipt.
    #[error("the receipt is in the tree: entry {index}")]
    Found {
        /// Its index.
        index: u64,
    },
    /// The tree that was read is not the signed one.
    #[error("the tree could not be read: {0}")]
    Unread(Box<Violation>),
}

impl NotBreached {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "breach_malformed",
            Self::OtherLog { .. } => "breach_of_other_log",
            Self::Receipt(_) => "breach_receipt",
            Self::Checkpoint(error) => error.code(),
            Self::TooEarly { .. } => "breach_checkpoint_too_early",
            Self::Found { .. } => "breach_receipt_found",
            Self::Unread(violation) => violation.code(),
        }
    }
}

/// What the file holds. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreachFile {
    /// Version of this format: 1.
    pub version: u64,
    /// The log's verifier key.
    pub log: String,
    /// The receipt's envelope, as its client got it.
    pub receipt: String,
    /// The statement of its boot, which holds the key that signed it and names the log.
    pub statement: Base64,
    /// The checkpoint with its cosignatures.
    pub checkpoint: String,
    /// The entries in which the receipt was looked for: all of that checkpoint's.
    pub scanned: u64,
    /// When the receipt was offered to the log again, and what the log said.
    pub resubmitted: Resubmission,
}

/// A receipt that was due at a log before a checkpoint. Only [`Breach::verify`] makes one.
#[derive(Debug)]
pub struct Breach {
    leaf: Hex<32>,
    boot: Hex<32>,
    seq: u64,
    due: u64,
    checkpoint: VerifiedCheckpoint,
    resubmitted: Resubmission,
}

impl Breach {
    /// Verifies everything in the file that is signed. The tree is left to [`Breach::scan`].
    ///
    /// # Errors
    /// [`NotBreached`].
    pub fn verify(json: &[u8], trusted: &TrustedLog, crypto: &dyn Crypto) -> Result<Self, NotBreached> {
        let file: BreachFile =
            strict_json::parse(json, LIMITS).map_err(|error| NotBreached::Malformed(error.to_string()))?;
        if file.version != VERSION {
            let why = format!("version {}, where {VERSION} is known", file.version);
            return Err(NotBreached::Malformed(why));
        }
        let expected = trusted.log().to_string();
        if file.log != expected {
            return Err(NotBreached::OtherLog { found: file.log, expected });
        }
        let wrong = |why: String| NotBreached::Receipt(why);
        let envelope =
            Envelope::from_json(file.receipt.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let key = promised(&file.statement.0, &expected, crypto).map_err(wrong)?;
        let receipt =
            VerifiedReceipt::verify(&envelope, &key, crypto).map_err(|error| wrong(error.to_string()))?;
        let payload = receipt.payload();
        let due = payload.settle_by.ok_or_else(|| wrong("it promises no settle_by".into()))?;
        let checkpoint =
            trusted.verify(file.checkpoint.as_bytes(), crypto).map_err(NotBreached::Checkpoint)?;
        let time = checkpoint.time().0;
        for (what, moment) in [("settle_by", due), ("the resubmission", file.resubmitted.last_s)] {
            if time <= moment {
                return Err(NotBreached::TooEarly { time, what, moment });
            }
        }
        if file.scanned != checkpoint.size() {
            return Err(NotBreached::Malformed("what was read is not what the checkpoint covers".into()));
        }
        let leaf = Hex(receipt_leaf_hash(&envelope, crypto));
        let (boot, seq, resubmitted) = (payload.boot, payload.seq, file.resubmitted);
        Ok(Self { leaf, boot, seq, due, checkpoint, resubmitted })
    }

    /// Reads the whole tree of the checkpoint from `source` and looks for the receipt.
    ///
    /// # Errors
    /// That the receipt is there, or that the tree could not be read; the outer error where nothing can
    /// be said.
    pub fn scan(&self, source: &dyn Source) -> Result<Result<(), NotBreached>, Error> {
        let tree = (self.checkpoint.size(), self.checkpoint.root());
        match search(source, tree, &HashSet::from([self.leaf.0]), &|_, _| {}) {
            Ok(found) => Ok(match found.first() {
                None => Ok(()),
                Some((_, index)) => Err(NotBreached::Found { index: *index }),
            }),
            Err(Trouble::Violation(violation)) => Ok(Err(NotBreached::Unread(violation))),
            Err(Trouble::Error(error)) => Err(error),
        }
    }

    /// The receipt's boot, `seq`, leaf hash and `settle_by` in Unix seconds.
    pub fn receipt(&self) -> (Hex<32>, u64, Hex<32>, u64) {
        (self.boot, self.seq, self.leaf, self.due)
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// What whoever kept the file says of the resubmission.
    pub fn resubmitted(&self) -> &Resubmission {
        &self.resubmitted
    }
}

impl BreachFile {
    /// A file of the present version.
    pub(crate) fn new(
        log: String,
        envelope: &Envelope,
        statement: Vec<u8>,
        checkpoint: &VerifiedCheckpoint,
        resubmitted: Resubmission,
    ) -> Self {
        Self {
            version: VERSION,
            log,
            receipt: String::from_utf8(envelope.to_json()).unwrap_or_default(),
            statement: Base64(statement),
            checkpoint: checkpoint.to_note(),
            scanned: checkpoint.size(),
            resubmitted,
        }
    }

    /// The file's text.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Strings and numbers only: serialisation has no failing case.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

/// The receipt key of a boot's statement, if the boot settles in this log.
pub(crate) fn promised(statement: &[u8], log: &str, crypto: &dyn Crypto) -> Result<ReceiptKey, String> {
    let statement = BootStatement::parse(statement, crypto).map_err(|error| error.to_string())?;
    match &statement.settlement {
        Settlement::Log(settles) if settles.key == log => {
            statement.receipt_key(crypto).map_err(|error| error.to_string())
        }
        _ => Err("its boot does not settle in this log".into()),
    }
}

/// Looks for a boot's statement among the log's blobs.
pub(crate) fn statement(source: &dyn Source, digest: &[u8; 32]) -> Result<Option<Vec<u8>>, Error> {
    let bytes = crate::files::blob(source, digest)?;
    Ok(bytes.filter(|bytes| Ring.sha256(bytes) == *digest))
}
