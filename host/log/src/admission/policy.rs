//! Admission by a policy document: evidence is appraised, signatures are verified.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use vouchsafe_bundle::{EvidenceInputs, Policy, appraise_evidence};
use vouchsafe_receipt::records::{parse_endorsements_blob, parse_evidence_blob};
use vouchsafe_receipt::{
    BootRecord, BootStatement, Close, EndorsementsRecord, EpochRecord, Heartbeat, Leaf, ReceiptKey,
    SignedLeaf, VerifiedReceipt, report_data,
};
use vouchsafe_translog::Tile;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::strict_json::{self, Limits};
use vouchsafe_verifier::{Endorsements, UnixSeconds};

use super::{Admission, Admitted, Refusal};
use crate::blobs::BlobPool;
use crate::log::{damaged, read_bundle};
use crate::storage::Storage;
use crate::{Error, NewLeaf};

/// Most boots whose keys are held in memory; the database has the others.
const KEYS_MAX: usize = 4_096;

/// A leaf names a blob that was not posted, or not lately.
pub(super) const BLOB_MISSING: &str = "blob_missing";
/// The boot is not in this log.
const BOOT_NOT_ADMITTED: &str = "boot_not_admitted";
/// The boot is in this log with another boot leaf.
const BOOT_ADMITTED_BEFORE: &str = "boot_admitted_before";
/// Endorsements come in together with their boot.
const ENDORSEMENTS_ALONE: &str = "endorsements_without_boot";

/// Admission under a policy.
pub struct PolicyAdmission {
    policy: Policy,
    storage: Storage,
    blobs: std::sync::Arc<BlobPool>,
    keys: Mutex<HashMap<[u8; 32], ReceiptKey>>,
}

impl core::fmt::Debug for PolicyAdmission {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PolicyAdmission")
    }
}

/// One submission: what it may refer to within itself.
struct Submission<'a> {
    admission: &'a PolicyAdmission,
    at: UnixSeconds,
    /// Endorsements of boots whose leaf comes before them, by boot, with their place.
    endorsements: HashMap<[u8; 32], (usize, EndorsementsRecord)>,
    /// Boots admitted earlier in this submission, and whether endorsements were used for them.
    boots: HashMap<[u8; 32], (ReceiptKey, Option<EndorsementsRecord>)>,
}

impl PolicyAdmission {
    /// Admission of boots that `policy` accepts into the log that `storage` keeps.
    pub fn new(policy: Policy, storage: Storage, blobs: std::sync::Arc<BlobPool>) -> Self {
        Self { policy, storage, blobs, keys: Mutex::default() }
    }

    /// The receipt key of a boot that is in the log.
    fn key_of(&self, boot: &[u8; 32]) -> Result<Option<ReceiptKey>, Error> {
        let held = || self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = held().get(boot) {
            return Ok(Some(key.clone()));
        }
        let Some(row) = self.storage.lock.boot(boot)? else { return Ok(None) };
        let key = ReceiptKey::from_spki(&row.spki, &Ring)
            .ok()
            .filter(|key| key.id() == *boot)
            .ok_or_else(|| damaged("the database", &"a boot's key is not the one it is named by"))?;
        let mut keys = held();
        if keys.len() >= KEYS_MAX {
            // Which are dropped does not matter: they come back from the database.
            keys.clear();
        }
        keys.insert(*boot, key.clone());
        Ok(Some(key))
    }

    fn blob(&self, sha256: &[u8; 32]) -> Result<Bytes, Refusal> {
        self.blobs.get(sha256)?.ok_or(Refusal::Code(BLOB_MISSING))
    }

    fn keep(&self, blobs: &[[u8; 32]]) -> Result<(), Refusal> {
        // Before the leaf can be in the log: a leaf whose blob is missing is a violation.
        blobs.iter().try_for_each(|sha256| self.blobs.keep(sha256)).map_err(Refusal::from)
    }

    /// The boot leaf that is in the log at `index`.
    fn boot_leaf(&self, index: u64) -> Result<Vec<u8>, Error> {
        let size = self.storage.lock.head()?.head.size;
        let (tile, place) = Tile::holding(0, index, size)
            .ok_or_else(|| damaged("the database", &"a boot lies outside the log"))?;
        let bytes = read_bundle(self.storage.tiles.as_ref(), tile)?;
        let leaves = tile.leaves(&bytes).map_err(|error| damaged(&tile.entries_path(), &error))?;
        let leaf = leaves.get(place).ok_or_else(|| damaged(&tile.entries_path(), &"too short"))?;
        Ok(leaf.to_vec())
    }
}

impl Admission for PolicyAdmission {
    fn admit(&self, leaves: &[&[u8]], at: UnixSeconds) -> Vec<Result<Admitted, Refusal>> {
        let parsed: Vec<_> = leaves.iter().map(|bytes| Leaf::parse(bytes)).collect();
        let endorsements = parsed.iter().enumerate().filter_map(|(at, leaf)| match leaf {
            Ok(Leaf::Endorsements(record)) => Some((record.boot.0, (at, record.clone()))),
            _ => None,
        });
        let mut submission =
            Submission { admission: self, at, endorsements: endorsements.collect(), boots: HashMap::new() };
        let mut judge = |(at, (leaf, bytes)): (usize, (_, &&[u8]))| match leaf {
            Ok(leaf) => submission.admit(at, &leaf, bytes),
            Err(error) => refuse(&error),
        };
        parsed.into_iter().zip(leaves).enumerate().map(&mut judge).collect()
    }
}

impl Submission<'_> {
    fn admit(&mut self, at: usize, leaf: &Leaf, bytes: &[u8]) -> Result<Admitted, Refusal> {
        let mut admitted =
            Admitted { leaf: NewLeaf::new(bytes.to_vec()), kind: leaf.leaf_type(), settle_by: None };
        match leaf {
            Leaf::Boot(signed) => admitted.leaf.boot = Some(self.boot(at, signed, bytes)?),
            Leaf::Endorsements(record) => self.endorsements(record)?,
            Leaf::Receipt(signed) => {
                let key = self.key(&signed.boot())?;
                let receipt =
                    VerifiedReceipt::verify(signed.envelope(), &key, &Ring).or_else(|e| refuse(&e))?;
                admitted.settle_by = receipt.payload().settle_by;
            }
            Leaf::Epoch(signed) => {
                let key = self.key(&signed.boot())?;
                let record = EpochRecord::verify(signed.envelope(), &key, &Ring).or_else(|e| refuse(&e))?;
                let named = [record.statement.0, record.evidence.0];
                for sha256 in &named {
                    self.admission.blob(sha256)?;
                }
                self.admission.keep(&named)?;
            }
            Leaf::Heartbeat(signed) => {
                let key = self.key(&signed.boot())?;
                Heartbeat::verify(signed.envelope(), &key, &Ring).or_else(|e| refuse(&e))?;
            }
            Leaf::Close(signed) => {
                let key = self.key(&signed.boot())?;
                Close::verify(signed.envelope(), &key, &Ring).or_else(|e| refuse(&e))?;
            }
            _ => return Err(Refusal::Code("leaf_type_unknown")),
        }
        Ok(admitted)
    }

    /// The key of a boot in the log, or earlier in this submission.
    fn key(&self, boot: &[u8; 32]) -> Result<ReceiptKey, Refusal> {
        if let Some((key, _)) = self.boots.get(boot) {
            return Ok(key.clone());
        }
        self.admission.key_of(boot)?.ok_or(Refusal::Code(BOOT_NOT_ADMITTED))
    }

    /// Admits a boot: its evidence verifies, the policy accepts it, and it binds the statement with the
    /// key that signed the leaf.
    fn boot(&mut self, at: usize, signed: &SignedLeaf, bytes: &[u8]) -> Result<([u8; 32], Vec<u8>), Refusal> {
        let (admission, boot) = (self.admission, signed.boot());
        if let Some(row) = admission.storage.lock.boot(&boot)? {
            // The same leaf is found again by its hash; another one would be a second beginning.
            if admission.boot_leaf(row.index)? != bytes {
                return Err(Refusal::Code(BOOT_ADMITTED_BEFORE));
            }
            return Ok((boot, row.spki));
        }
        if self.boots.contains_key(&boot) {
            return Err(Refusal::Code(BOOT_ADMITTED_BEFORE));
        }
        let claimed: BootRecord = unverified(signed)?;
        let statement_bytes = admission.blob(&claimed.statement.0)?;
        let statement = BootStatement::parse(&statement_bytes, &Ring).or_else(|e| refuse(&e))?;
        let key = statement.receipt_key(&Ring).or_else(|e| refuse(&e))?;
        let record = BootRecord::verify(signed.envelope(), &key, &Ring).or_else(|e| refuse(&e))?;
        let evidence_bytes = admission.blob(&record.evidence.0)?;
        // Only behind its leaf, so that the log tells of a boot before it tells of its endorsements.
        let endorsed = self.endorsements.get(&boot).filter(|(place, _)| *place > at);
        let endorsed = endorsed.map(|(_, record)| record.clone());
        let endorsements = endorsed.as_ref().map(|record| self.endorsements_blob(record)).transpose()?;
        self.appraise(&statement_bytes, &evidence_bytes, endorsements.as_ref())?;
        let mut blobs = vec![record.statement.0, record.evidence.0];
        blobs.extend(endorsed.as_ref().map(|record| record.endorsements.0));
        admission.keep(&blobs)?;
        self.boots.insert(boot, (key, endorsed));
        Ok((boot, statement.keys.receipt.0))
    }

    /// Admits endorsements with which their boot was admitted in this very submission. Others would be
    /// true and free to make in any number: a verifier gets those elsewhere.
    fn endorsements(&self, record: &EndorsementsRecord) -> Result<(), Refusal> {
        match self.boots.get(&record.boot.0) {
            Some((_, Some(used))) if used == record => Ok(()),
            _ => Err(Refusal::Code(ENDORSEMENTS_ALONE)),
        }
    }

    fn endorsements_blob(&self, record: &EndorsementsRecord) -> Result<Endorsements, Refusal> {
        let bytes = self.admission.blob(&record.endorsements.0)?;
        parse_endorsements_blob(&bytes).or_else(|error| refuse(&error))
    }

    fn appraise(
        &self,
        statement: &[u8],
        evidence: &[u8],
        endorsements: Option<&Endorsements>,
    ) -> Result<(), Refusal> {
        let evidence = parse_evidence_blob(evidence).or_else(|error| refuse(&error))?;
        let bound = report_data::boot(statement, &Ring);
        let inputs = EvidenceInputs { report_data: Some(&bound), ..EvidenceInputs::new(self.at) };
        let verdict = appraise_evidence(&evidence, endorsements, &self.admission.policy, &inputs, &Ring);
        match verdict.is_accepted() {
            true => Ok(()),
            false => Err(Refusal::Code(verdict.code().unwrap_or("nothing_proved"))),
        }
    }
}

fn refuse<T>(error: &vouchsafe_receipt::Error) -> Result<T, Refusal> {
    Err(Refusal::Code(error.code()))
}

/// What a boot leaf says before its key is known: which statement to look for the key in.
fn unverified(signed: &SignedLeaf) -> Result<BootRecord, Refusal> {
    let limits = Limits { bytes_max: 4096, depth_max: 4 };
    strict_json::parse(signed.envelope().unverified_payload(), limits)
        .map_err(|_| Refusal::Code("payload_malformed"))
}

/// The blobs that a leaf names, by its own word.
pub(crate) fn named_blobs(leaf: &Leaf) -> Vec<[u8; 32]> {
    let limits = Limits { bytes_max: 4096, depth_max: 4 };
    let payload = |signed: &SignedLeaf| signed.envelope().unverified_payload().to_vec();
    match leaf {
        Leaf::Boot(signed) => strict_json::parse(&payload(signed), limits)
            .map(|record: BootRecord| vec![record.statement.0, record.evidence.0])
            .unwrap_or_default(),
        Leaf::Epoch(signed) => strict_json::parse(&payload(signed), limits)
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
