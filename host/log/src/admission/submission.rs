//! One submission's leaves, judged in their order: a boot and its epochs by the whole policy, what it
//! signed by its key.

use std::collections::HashMap;

use vouchsafe_bundle::{LoggedEpoch, Verdict, appraise_boot, appraise_epoch};
use vouchsafe_receipt::{
    AttestedStatement, BootRecord, BootStatement, Close, EndorsementsRecord, EpochRecord, Heartbeat, Leaf,
    ReceiptKey, SignedLeaf, VerifiedReceipt,
};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::strict_json::{self, Limits};

use super::{Admitted, PolicyAdmission, Refusal};
use crate::NewLeaf;

/// A leaf names a blob that was not posted, or not lately.
pub(super) const BLOB_MISSING: &str = "blob_missing";
/// The boot is not in this log.
const BOOT_NOT_ADMITTED: &str = "boot_not_admitted";
/// The boot is in this log with another boot leaf.
const BOOT_ADMITTED_BEFORE: &str = "boot_admitted_before";
/// The submission has more new boots than one may have.
const BOOTS_TOO_MANY: &str = "boots_too_many";
/// Endorsements come in together with what was admitted with them.
const ENDORSEMENTS_ALONE: &str = "endorsements_without_boot";

pub(super) const PAYLOAD_LIMITS: Limits = Limits { bytes_max: 4096, depth_max: 4 };

/// Most new boots that are judged in one submission: their evidence costs milliseconds, and anyone may submit.
const BOOTS_MAX: usize = 64;

/// One submission: what it may refer to within itself.
pub(super) struct Submission<'a> {
    admission: &'a PolicyAdmission,
    at: UnixSeconds,
    leaves: Vec<(&'a [u8], Result<Leaf, vouchsafe_receipt::Error>)>,
    /// Endorsements in this submission, by their place; those that the log has come last.
    endorsements: Vec<(usize, EndorsementsRecord)>,
    /// Boots admitted earlier in this submission.
    boots: HashMap<[u8; 32], Boot>,
    /// Endorsements with which something was admitted.
    used: Vec<EndorsementsRecord>,
    /// How many new boots were judged, or are being judged.
    judged_boots: usize,
    /// What was said of epochs, which cost as much: nobody has one judged twice.
    judged_epochs: HashMap<&'a [u8], Result<Admitted, Refusal>>,
}

/// A boot that was admitted in this submission.
struct Boot {
    key: ReceiptKey,
    attested: AttestedStatement,
    endorsements: Option<EndorsementsRecord>,
}

impl<'a> Submission<'a> {
    pub(super) fn new(
        admission: &'a PolicyAdmission,
        leaves: &[&'a [u8]],
        known: &[&[u8]],
        at: UnixSeconds,
    ) -> Self {
        let leaves: Vec<_> = leaves.iter().map(|bytes| (*bytes, Leaf::parse(bytes))).collect();
        let known = known.iter().map(|bytes| Leaf::parse(bytes)).collect::<Vec<_>>();
        let parsed = leaves.iter().map(|(_, leaf)| leaf).chain(&known).enumerate();
        let endorsements = parsed
            .filter_map(|(place, leaf)| match leaf {
                Ok(Leaf::Endorsements(record)) => Some((place, record.clone())),
                _ => None,
            })
            .collect();
        let (boots, used, judged_boots, judged_epochs) = Default::default();
        Self { admission, at, leaves, endorsements, boots, used, judged_boots, judged_epochs }
    }

    pub(super) fn judge(mut self) -> Vec<Result<Admitted, Refusal>> {
        let leaves = core::mem::take(&mut self.leaves);
        let judge = |(place, (bytes, leaf)): (usize, (&'a [u8], _))| match leaf {
            Ok(leaf @ Leaf::Epoch(_)) => match self.judged_epochs.get(bytes) {
                Some(judged) => judged.clone(),
                None => {
                    let judged = self.admit(place, &leaf, bytes);
                    self.judged_epochs.insert(bytes, judged.clone());
                    judged
                }
            },
            Ok(leaf) => self.admit(place, &leaf, bytes),
            Err(error) => refuse(&error),
        };
        leaves.into_iter().enumerate().map(judge).collect()
    }

    fn admit(&mut self, place: usize, leaf: &Leaf, bytes: &[u8]) -> Result<Admitted, Refusal> {
        let mut admitted =
            Admitted { leaf: NewLeaf::new(bytes.to_vec()), kind: leaf.leaf_type(), settle_by: None };
        match leaf {
            Leaf::Boot(signed) => admitted.leaf.boot = Some(self.boot(place, signed, bytes)?),
            Leaf::Epoch(signed) => self.epoch(place, signed)?,
            Leaf::Endorsements(record) => self.endorsements(record)?,
            Leaf::Receipt(signed) => {
                let key = self.key(&signed.boot())?;
                let receipt =
                    VerifiedReceipt::verify(signed.envelope(), &key, &Ring).or_else(|e| refuse(&e))?;
                admitted.settle_by = receipt.payload().settle_by;
            }
            Leaf::Heartbeat(signed) => {
                let key = self.key(&signed.boot())?;
                Heartbeat::verify(signed.envelope(), &key, &Ring).or_else(|e| refuse(&e))?;
            }
            Leaf::Close(signed) => {
                let key = self.key(&signed.boot())?;
                Close::verify(signed.envelope(), &key, &Ring).or_else(|e| refuse(&e))?;
            }
            Leaf::Image(signed) => self.admission.image(signed)?,
            Leaf::Revocation(signed) => self.admission.revocations(signed, self.at)?,
            _ => return Err(Refusal::Code("leaf_type_unknown")),
        }
        let released = self.admission.release(leaf, &admitted.leaf.hash)?;
        (admitted.leaf.release, admitted.leaf.on_its_way) = released.unzip();
        Ok(admitted)
    }

    /// The key of a boot in the log, or earlier in this submission.
    fn key(&self, boot: &[u8; 32]) -> Result<ReceiptKey, Refusal> {
        if let Some(boot) = self.boots.get(boot) {
            return Ok(boot.key.clone());
        }
        self.admission.key_of(boot)?.ok_or(Refusal::Code(BOOT_NOT_ADMITTED))
    }

    /// Admits a boot: the policy accepts its evidence and its statement, which holds the key that signed
    /// the leaf.
    fn boot(
        &mut self,
        place: usize,
        signed: &SignedLeaf,
        bytes: &[u8],
    ) -> Result<([u8; 32], Vec<u8>), Refusal> {
        let (admission, boot) = (self.admission, signed.boot());
        if let Some(row) = admission.storage.lock.boot(&boot)? {
            // The same leaf is found again by its hash; another one would be a second beginning.
            let logged = admission.leaves(row.index, row.index.saturating_add(1))?;
            if logged.first().is_none_or(|logged| logged != bytes) {
                return Err(Refusal::Code(BOOT_ADMITTED_BEFORE));
            }
            return Ok((boot, row.spki));
        }
        if self.boots.contains_key(&boot) {
            return Err(Refusal::Code(BOOT_ADMITTED_BEFORE));
        }
        self.judged_boots = self.judged_boots.saturating_add(1);
        if self.judged_boots > BOOTS_MAX {
            return Err(Refusal::Code(BOOTS_TOO_MANY));
        }
        let claimed = unverified(signed)?;
        let statement = admission.blob(&claimed.statement.0)?;
        let statement = BootStatement::parse(&statement, &Ring).or_else(|e| refuse(&e))?;
        let key = statement.receipt_key(&Ring).or_else(|e| refuse(&e))?;
        let record = BootRecord::verify(signed.envelope(), &key, &Ring).or_else(|e| refuse(&e))?;
        let attested = admission.attested(&record.statement, &record.evidence)?;
        // Only behind its leaf, so that the log tells of a boot before it tells of its endorsements.
        let endorsed = self.behind(place, &boot);
        let endorsements = endorsed.as_ref().map(|record| admission.endorsements(record)).transpose()?;
        let (policy, images) = (&admission.policy, admission.images()?);
        let accepted = appraise_boot(&attested, endorsements.as_ref(), policy, &images, self.at, &Ring)
            .map_err(|verdict| refused(&verdict))?;
        self.keep([record.statement.0, record.evidence.0], endorsed.as_ref())?;
        let spki = accepted.statement().keys.receipt.0.clone();
        self.boots.insert(boot, Boot { key, attested, endorsements: endorsed });
        Ok((boot, spki))
    }

    /// Admits an epoch: the policy accepts its evidence and its boot's, which are of one machine, and its
    /// statement is of that boot. Newer endorsements come behind its leaf; else its boot's have to do.
    fn epoch(&mut self, place: usize, signed: &SignedLeaf) -> Result<(), Refusal> {
        let (admission, boot) = (self.admission, signed.boot());
        let key = self.key(&boot)?;
        let record = EpochRecord::verify(signed.envelope(), &key, &Ring).or_else(|e| refuse(&e))?;
        let epoch = admission.attested(&record.statement, &record.evidence)?;
        let (attested, admitted_with, images) = match self.boots.get(&boot) {
            Some(boot) => (boot.attested.clone(), boot.endorsements.clone(), admission.images()?),
            None => {
                let row = admission.storage.lock.boot(&boot)?.ok_or(Refusal::Code(BOOT_NOT_ADMITTED))?;
                let (attested, endorsements) = admission.logged_boot(row.index)?;
                (attested, endorsements, admission.images_of_boot(row.index)?)
            }
        };
        let newer = self.behind(place, &boot);
        let endorsed = newer.as_ref().or(admitted_with.as_ref());
        let endorsements = endorsed.map(|record| admission.endorsements(record)).transpose()?;
        let (policy, endorsements) = (&admission.policy, endorsements.as_ref());
        let logged = LoggedEpoch { boot: &attested, epoch: &epoch, number: record.epoch };
        appraise_epoch(logged, endorsements, policy, &images, self.at, &Ring)
            .map_err(|verdict| refused(&verdict))?;
        self.keep([record.statement.0, record.evidence.0], newer.as_ref())
    }

    /// Admits endorsements with which something was admitted in this very submission. Others would be
    /// true and free to make in any number: a verifier gets those elsewhere.
    fn endorsements(&self, record: &EndorsementsRecord) -> Result<(), Refusal> {
        match self.used.contains(record) {
            true => Ok(()),
            false => Err(Refusal::Code(ENDORSEMENTS_ALONE)),
        }
    }

    /// The next endorsements of `boot` behind the leaf at `place`.
    fn behind(&self, place: usize, boot: &[u8; 32]) -> Option<EndorsementsRecord> {
        let of_boot = |(at, record): &&(usize, EndorsementsRecord)| *at > place && record.boot.0 == *boot;
        self.endorsements.iter().find(of_boot).map(|(_, record)| record.clone())
    }

    /// Keeps blobs before the leaf that names them can be in the log: one without is a violation.
    fn keep(
        &mut self,
        named: [[u8; 32]; 2],
        endorsements: Option<&EndorsementsRecord>,
    ) -> Result<(), Refusal> {
        self.admission.keep(&named)?;
        if let Some(record) = endorsements {
            self.admission.keep(&[record.endorsements.0])?;
            self.used.push(record.clone());
        }
        Ok(())
    }
}

pub(super) fn refuse<T>(error: &vouchsafe_receipt::Error) -> Result<T, Refusal> {
    Err(Refusal::Code(error.code()))
}

fn refused(verdict: &Verdict) -> Refusal {
    Refusal::Code(verdict.code().unwrap_or("nothing_proved"))
}

/// What a boot leaf says before its key is known: which statement to look for the key in.
pub(super) fn unverified(signed: &SignedLeaf) -> Result<BootRecord, Refusal> {
    strict_json::parse(signed.envelope().unverified_payload(), PAYLOAD_LIMITS)
        .map_err(|_| Refusal::Code("payload_malformed"))
}

/// The blobs that a leaf names, by its own word.
pub(crate) fn named_blobs(leaf: &Leaf) -> Vec<[u8; 32]> {
    let payload = |signed: &SignedLeaf| signed.envelope().unverified_payload().to_vec();
    match leaf {
        Leaf::Boot(signed) => strict_json::parse(&payload(signed), PAYLOAD_LIMITS)
            .map(|record: BootRecord| vec![record.statement.0, record.evidence.0])
            .unwrap_or_default(),
        Leaf::Epoch(signed) => strict_json::parse(&payload(signed), PAYLOAD_LIMITS)
            .map(|record: EpochRecord| vec![record.statement.0, record.evidence.0])
            .unwrap_or_default(),
        Leaf::Endorsements(record) => vec![record.endorsements.0],
        _ => Vec::new(),
    }
}

/// SHA-256, as blobs are named.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Ring.sha256(bytes)
}
