//! Quorums: so many of these witnesses saw this checkpoint, and when at the least.

use alloc::string::String;
use alloc::vec::Vec;

use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Crypto;

use crate::cosignature::{self, Cosigner};
use crate::note::{Algorithm, VerifierKey};
use crate::{Checkpoint, Error, Hash, SignedCheckpoint};

/// Most witnesses of a quorum.
pub const WITNESSES_MAX: usize = 32;

/// `threshold` of `witnesses`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    witnesses: Vec<VerifierKey>,
    threshold: usize,
}

impl Quorum {
    /// A quorum of distinct witnesses. None is not a quorum.
    ///
    /// # Errors
    /// [`Error::QuorumUnusable`] for a threshold of zero or above the number of witnesses, for too many
    /// witnesses, and for one named twice (by name and id, or by public key: a cosignature does not
    /// say the witness's name, so one key under two names would count twice). [`Error::KeyAlgorithm`].
    pub fn new(witnesses: Vec<VerifierKey>, threshold: usize) -> Result<Self, Error> {
        let unusable = |why| Err(Error::QuorumUnusable { why });
        if threshold == 0 {
            return unusable("a threshold of zero trusts nobody's eyes");
        }
        if threshold > witnesses.len() {
            return unusable("the threshold is above the number of witnesses");
        }
        if witnesses.len() > WITNESSES_MAX {
            return unusable("too many witnesses");
        }
        for (at, key) in witnesses.iter().enumerate() {
            key.require(Algorithm::CosignatureV1)?;
            let is_same = |other: &VerifierKey| {
                other.public_key() == key.public_key()
                    || (other.name() == key.name() && other.id() == key.id())
            };
            if witnesses.iter().take(at).any(is_same) {
                return unusable("a witness is named twice");
            }
        }
        Ok(Self { witnesses, threshold })
    }

    /// The witnesses.
    pub fn witnesses(&self) -> &[VerifierKey] {
        &self.witnesses
    }

    /// How many of them must cosign.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// Verifies that the quorum cosigned.
    ///
    /// # Errors
    /// [`Error::CosignatureInvalid`] or [`Error::QuorumMissing`].
    pub fn verify(&self, signed: SignedCheckpoint, crypto: &dyn Crypto) -> Result<VerifiedCheckpoint, Error> {
        let cosigners = cosignature::cosigners(signed.note(), &self.witnesses, crypto)?;
        let missing = Error::QuorumMissing { found: cosigners.len(), needed: self.threshold };
        // From the latest to the earliest.
        let mut times = Vec::<UnixSeconds>::with_capacity(cosigners.len());
        for time in cosigners.iter().map(Cosigner::time) {
            times.insert(times.partition_point(|known| *known > time), time);
        }
        let kth = self.threshold.saturating_sub(1);
        let time = *times.get(kth).ok_or(missing.clone())?;
        times.reverse();
        let seen_by = *times.get(kth).ok_or(missing)?;
        Ok(VerifiedCheckpoint { signed, time, seen_by, cosigners })
    }
}

/// A log and the witnesses that watch it: what a relying party trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedLog {
    log: VerifierKey,
    quorum: Quorum,
}

impl TrustedLog {
    /// A log by its key, whose name is the log's origin, and `threshold` of `witnesses`.
    ///
    /// # Errors
    /// [`Error::KeyAlgorithm`], those of [`Quorum::new`], and [`Error::QuorumUnusable`] where the log
    /// is its own witness.
    pub fn new(log: VerifierKey, witnesses: Vec<VerifierKey>, threshold: usize) -> Result<Self, Error> {
        log.require(Algorithm::Ed25519)?;
        if witnesses.iter().any(|witness| witness.public_key() == log.public_key()) {
            return Err(Error::QuorumUnusable { why: "the log is its own witness" });
        }
        Ok(Self { log, quorum: Quorum::new(witnesses, threshold)? })
    }

    /// Reads a trusted log from verifier keys' texts.
    ///
    /// # Errors
    /// Those of [`VerifierKey::parse`] and [`TrustedLog::new`].
    pub fn parse<S: AsRef<str>>(
        log: &str,
        witnesses: &[S],
        threshold: usize,
        crypto: &dyn Crypto,
    ) -> Result<Self, Error> {
        let log = VerifierKey::parse(log, crypto)?;
        let witnesses: Result<_, _> =
            witnesses.iter().map(|text| VerifierKey::parse(text.as_ref(), crypto)).collect();
        Self::new(log, witnesses?, threshold)
    }

    /// The log's key.
    pub fn log(&self) -> &VerifierKey {
        &self.log
    }

    /// The log's name in its checkpoints.
    pub fn origin(&self) -> &str {
        self.log.name()
    }

    /// The witnesses, and how many must cosign.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// Opens a checkpoint that the log signed and the quorum cosigned.
    ///
    /// # Errors
    /// Those of [`SignedCheckpoint::open`] and [`Quorum::verify`].
    pub fn verify(&self, note: &[u8], crypto: &dyn Crypto) -> Result<VerifiedCheckpoint, Error> {
        let signed = SignedCheckpoint::open(note, self.origin(), core::slice::from_ref(&self.log), crypto)?;
        self.quorum.verify(signed, crypto)
    }
}

/// A checkpoint that the log signed and a quorum cosigned. Only [`Quorum::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    signed: SignedCheckpoint,
    time: UnixSeconds,
    seen_by: UnixSeconds,
    cosigners: Vec<Cosigner>,
}

impl VerifiedCheckpoint {
    /// What the log says.
    pub fn checkpoint(&self) -> &Checkpoint {
        self.signed.checkpoint()
    }

    /// Which log.
    pub fn origin(&self) -> &str {
        self.checkpoint().origin()
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.checkpoint().size()
    }

    /// The root over them.
    pub fn root(&self) -> &Hash {
        self.checkpoint().root()
    }

    /// The witness time: the k-th largest time of distinct trusted witnesses, k the threshold, so that
    /// at least k of them say that it was not earlier. A lower bound for what was made after the
    /// checkpoint; [`VerifiedCheckpoint::seen_by`] bounds what was made before it.
    pub fn time(&self) -> UnixSeconds {
        self.time
    }

    /// The k-th smallest time: at least k trusted witnesses say that they had seen the checkpoint by
    /// then. An upper bound for whatever the tree holds, which fewer than k witnesses cannot move back:
    /// the witness time is no such bound, since a single witness could.
    pub fn seen_by(&self) -> UnixSeconds {
        self.seen_by
    }

    /// Every trusted witness that cosigned.
    pub fn cosigners(&self) -> &[Cosigner] {
        &self.cosigners
    }

    /// The checkpoint as the log signed it, with the note.
    pub fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// The note's exact text, every signature line included.
    pub fn to_note(&self) -> String {
        alloc::format!("{}", self.signed.note())
    }
}
