//! What a boot puts into the log besides its receipts: that it exists, that it goes on, that it ended.
//!
//! The first three are signed by the boot's receipt key, as receipts are. Statements and evidence are
//! larger than a leaf may be, so records name them by digest and the log serves the bytes beside its
//! tiles: a statement's exact bytes, and evidence as [`evidence_blob`] writes it.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::strict_json::{self, Fault, FromValue, Limits, Value};
use vouchsafe_verifier::{Endorsements, Evidence, json_deserialize, json_record};

use crate::payload::check_integers;
use crate::signed::{self, Signed};
use crate::{AttestedStatement, CheckpointRef, Envelope, Error, PayloadType, ReceiptKey};

/// Longest blob that a record may name, in bytes.
pub const BLOB_BYTES_MAX: usize = 256 * 1024;
const BLOB_LIMITS: Limits = Limits { bytes_max: BLOB_BYTES_MAX, depth_max: 8 };

/// A boot began: its statement and the evidence that binds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootRecord {
    /// Version of this format: 1.
    pub version: u64,
    /// The boot whose key signs.
    pub boot: Hex<32>,
    /// SHA-256 of the boot statement's exact bytes.
    pub statement: Hex<32>,
    /// SHA-256 of the evidence as [`evidence_blob`] writes it.
    pub evidence: Hex<32>,
}

json_record!(BootRecord { version, boot, statement, evidence });

/// An epoch of a boot began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EpochRecord {
    /// Version of this format: 1.
    pub version: u64,
    /// The boot whose key signs.
    pub boot: Hex<32>,
    /// The epoch's number.
    pub epoch: u64,
    /// SHA-256 of the epoch statement's exact bytes.
    pub statement: Hex<32>,
    /// SHA-256 of the evidence as [`evidence_blob`] writes it.
    pub evidence: Hex<32>,
}

json_record!(EpochRecord { version, boot, epoch, statement, evidence });

/// How far a boot's receipts have come. A log that lacks a receipt below `seq_next` has a hole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heartbeat {
    /// Version of this format: 1.
    pub version: u64,
    /// The boot whose key signs.
    pub boot: Hex<32>,
    /// The epoch in which it was signed.
    pub epoch: u64,
    /// The `seq` that the boot's next receipt will have: so many were signed.
    pub seq_next: u64,
    /// Leaf hash of the newest receipt; null where none was signed.
    pub head: Option<Hex<32>>,
    /// The newest quorum-cosigned checkpoint that the boot has verified.
    pub checkpoint: CheckpointRef,
    /// Whole Unix seconds by the enclave's own clock, which its host can influence.
    pub unattested_time: u64,
}

json_record!(Heartbeat { version, boot, epoch, seq_next, head, checkpoint, unattested_time });

/// A boot's last word: it signs no receipt after these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Close(pub Heartbeat);

impl FromValue for Close {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        Heartbeat::from_value(value).map(Self)
    }
}

json_deserialize!(Close);

/// Endorsements of a boot's evidence, which verify without their sources ten years later. Not signed
/// by the boot: endorsements carry their vendor's signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndorsementsRecord {
    /// Version of this format: 1.
    pub version: u64,
    /// The boot whose evidence they endorse.
    pub boot: Hex<32>,
    /// SHA-256 of the endorsements as [`endorsements_blob`] writes them.
    pub endorsements: Hex<32>,
}

json_record!(EndorsementsRecord { version, boot, endorsements });

/// The one text of evidence: what a record's digest covers.
pub fn evidence_blob(evidence: &Evidence) -> Vec<u8> {
    signed::to_bytes(evidence)
}

/// The one text of endorsements: what a record's digest covers.
pub fn endorsements_blob(endorsements: &Endorsements) -> Vec<u8> {
    signed::to_bytes(endorsements)
}

/// Reads what [`evidence_blob`] writes.
///
/// # Errors
/// [`Error::PayloadMalformed`] or [`Error::PayloadNotCanonical`].
pub fn parse_evidence_blob(bytes: &[u8]) -> Result<Evidence, Error> {
    parse_blob("evidence", bytes)
}

/// Reads what [`endorsements_blob`] writes.
///
/// # Errors
/// [`Error::PayloadMalformed`] or [`Error::PayloadNotCanonical`].
pub fn parse_endorsements_blob(bytes: &[u8]) -> Result<Endorsements, Error> {
    parse_blob("endorsements", bytes)
}

fn parse_blob<T>(what: &'static str, bytes: &[u8]) -> Result<T, Error>
where
    T: Serialize + FromValue,
{
    let parsed: T = strict_json::read(bytes, BLOB_LIMITS).map_err(|error| Error::payload(what, &error))?;
    if signed::to_bytes(&parsed) != bytes {
        return Err(Error::PayloadNotCanonical { what });
    }
    Ok(parsed)
}

impl BootRecord {
    /// The record of a boot with this attested statement.
    pub fn of(boot: [u8; 32], attested: &AttestedStatement, crypto: &dyn Crypto) -> Self {
        let (statement, evidence) = digests(attested, crypto);
        Self { version: 1, boot: Hex(boot), statement, evidence }
    }
}

impl EpochRecord {
    /// The record of a boot's epoch with this attested statement.
    pub fn of(boot: [u8; 32], epoch: u64, attested: &AttestedStatement, crypto: &dyn Crypto) -> Self {
        let (statement, evidence) = digests(attested, crypto);
        Self { version: 1, boot: Hex(boot), epoch, statement, evidence }
    }
}

fn digests(attested: &AttestedStatement, crypto: &dyn Crypto) -> (Hex<32>, Hex<32>) {
    let evidence = evidence_blob(&attested.evidence);
    (Hex(crypto.sha256(&attested.statement.0)), Hex(crypto.sha256(&evidence)))
}

impl EndorsementsRecord {
    /// The record of these endorsements of a boot's evidence.
    pub fn of(boot: [u8; 32], endorsements: &Endorsements, crypto: &dyn Crypto) -> Self {
        let blob = endorsements_blob(endorsements);
        Self { version: 1, boot: Hex(boot), endorsements: Hex(crypto.sha256(&blob)) }
    }

    /// The canonical bytes: the leaf's body.
    pub fn to_bytes(&self) -> Vec<u8> {
        signed::to_bytes(self)
    }

    /// Parses a leaf's body.
    ///
    /// # Errors
    /// [`Error::PayloadMalformed`], [`Error::Version`] or [`Error::PayloadNotCanonical`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "endorsements record";
        let record: Self = parse_blob(WHAT, bytes)?;
        if record.version != 1 {
            return Err(Error::Version { what: WHAT, found: record.version, known: 1 });
        }
        Ok(record)
    }
}

impl Signed for BootRecord {
    const WHAT: &'static str = "boot record";
    const TYPE: PayloadType = PayloadType::Boot;
    fn version(&self) -> u64 {
        self.version
    }
    fn boot(&self) -> [u8; 32] {
        self.boot.0
    }
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Signed for EpochRecord {
    const WHAT: &'static str = "epoch record";
    const TYPE: PayloadType = PayloadType::Epoch;
    fn version(&self) -> u64 {
        self.version
    }
    fn boot(&self) -> [u8; 32] {
        self.boot.0
    }
    fn check(&self) -> Result<(), Error> {
        check_integers(Self::WHAT, [("epoch", self.epoch)])
    }
}

impl Signed for Heartbeat {
    const WHAT: &'static str = "heartbeat";
    const TYPE: PayloadType = PayloadType::Heartbeat;
    fn version(&self) -> u64 {
        self.version
    }
    fn boot(&self) -> [u8; 32] {
        self.boot.0
    }
    fn check(&self) -> Result<(), Error> {
        self.check_as(Self::WHAT)
    }
}

impl Heartbeat {
    fn check_as(&self, what: &'static str) -> Result<(), Error> {
        check_integers(
            what,
            [("epoch", self.epoch), ("seq_next", self.seq_next), ("unattested_time", self.unattested_time)],
        )?;
        CheckpointRef::check(what, Some(&self.checkpoint))?;
        if (self.seq_next == 0) != self.head.is_none() {
            let why = String::from("exactly a boot without receipts has no head");
            return Err(Error::PayloadMalformed { what, why });
        }
        Ok(())
    }
}

impl Signed for Close {
    const WHAT: &'static str = "close record";
    const TYPE: PayloadType = PayloadType::Close;
    fn version(&self) -> u64 {
        self.0.version
    }
    fn boot(&self) -> [u8; 32] {
        self.0.boot.0
    }
    fn check(&self) -> Result<(), Error> {
        self.0.check_as(Self::WHAT)
    }
}

macro_rules! signed_record {
    ($($record:ty),+) => {$(
        impl $record {
            /// The canonical bytes to sign.
            pub fn to_bytes(&self) -> Vec<u8> {
                signed::to_bytes(self)
            }

            /// Verifies an envelope as such a record of the boot whose receipt key is `key`.
            ///
            /// # Errors
            /// As [`crate::VerifiedReceipt::verify`].
            pub fn verify(
                envelope: &Envelope,
                key: &ReceiptKey,
                crypto: &dyn Crypto,
            ) -> Result<Self, Error> {
                signed::verify(envelope, key, crypto)
            }
        }
    )+};
}

signed_record!(BootRecord, EpochRecord, Heartbeat, Close);
