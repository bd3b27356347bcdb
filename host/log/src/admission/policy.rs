//! Admission by a policy document, and what it looks up in the log: keys, blobs, boots and their
//! endorsements.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use vouchsafe_bundle::Policy;
use vouchsafe_receipt::records::{parse_endorsements_blob, parse_evidence_blob};
use vouchsafe_receipt::{AttestedStatement, EndorsementsRecord, Leaf, ReceiptKey, ReceiptPayload};
use vouchsafe_translog::Tile;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::strict_json;
use vouchsafe_verifier::{Endorsements, UnixSeconds};

use super::releases::{Pending, ReadImage};
use super::submission::{BLOB_MISSING, PAYLOAD_LIMITS, Submission, refuse, unverified};
use super::{Admission, Admitted, Refusal};
use crate::Error;
use crate::blobs::BlobPool;
use crate::log::{damaged, read_bundle};
use crate::storage::Storage;

/// Most boots whose keys are held in memory; the database has the others.
const KEYS_MAX: usize = 4_096;

/// Leaves behind a boot's among which its endorsements are: as many as one submission has.
const ENDORSEMENTS_WITHIN: u64 = 4_096;

/// Admission under a policy.
pub struct PolicyAdmission {
    pub(super) policy: Policy,
    pub(super) storage: Storage,
    blobs: Arc<BlobPool>,
    keys: Mutex<HashMap<[u8; 32], ReceiptKey>>,
    /// Releases on their way into the log, by their payload.
    pub(super) pending: Mutex<HashMap<[u8; 32], Pending>>,
    /// The images in the log, in their order, as far as they were asked for.
    pub(super) images: Mutex<Vec<ReadImage>>,
}

impl core::fmt::Debug for PolicyAdmission {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PolicyAdmission")
    }
}

impl PolicyAdmission {
    /// Admission of boots that `policy` accepts into the log that `storage` keeps.
    pub fn new(policy: Policy, storage: Storage, blobs: Arc<BlobPool>) -> Self {
        let (keys, pending, images) = Default::default();
        Self { policy, storage, blobs, keys, pending, images }
    }

    /// The receipt key of a boot that is in the log.
    pub(super) fn key_of(&self, boot: &[u8; 32]) -> Result<Option<ReceiptKey>, Error> {
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

    pub(super) fn blob(&self, sha256: &[u8; 32]) -> Result<Bytes, Refusal> {
        self.blobs.get(sha256)?.ok_or(Refusal::Code(BLOB_MISSING))
    }

    pub(super) fn keep(&self, blobs: &[[u8; 32]]) -> Result<(), Refusal> {
        // Before the leaf can be in the log: a leaf whose blob is missing is a violation.
        blobs.iter().try_for_each(|sha256| self.blobs.keep(sha256)).map_err(Refusal::from)
    }

    /// The statement and evidence that a record names.
    pub(super) fn attested(
        &self,
        statement: &Hex<32>,
        evidence: &Hex<32>,
    ) -> Result<AttestedStatement, Refusal> {
        let statement = Base64(self.blob(&statement.0)?.to_vec());
        let evidence = self.blob(&evidence.0)?;
        let evidence = parse_evidence_blob(&evidence).or_else(|error| refuse(&error))?;
        Ok(AttestedStatement { statement, evidence })
    }

    pub(super) fn endorsements(&self, record: &EndorsementsRecord) -> Result<Endorsements, Refusal> {
        let bytes = self.blob(&record.endorsements.0)?;
        parse_endorsements_blob(&bytes).or_else(|error| refuse(&error))
    }

    /// A boot that is in the log at `index`: its statement and evidence, and the endorsements with which
    /// it was admitted.
    pub(super) fn logged_boot(
        &self,
        index: u64,
    ) -> Result<(AttestedStatement, Option<EndorsementsRecord>), Refusal> {
        let wrong = || damaged("the database", &"a boot is not where it says");
        let leaves = self.leaves(index, index.saturating_add(1))?;
        let Some(Ok(Leaf::Boot(signed))) = leaves.first().map(|leaf| Leaf::parse(leaf)) else {
            return Err(wrong().into());
        };
        let record = unverified(&signed)?;
        let attested = self.attested(&record.statement, &record.evidence)?;
        let behind = self.leaves(index.saturating_add(1), index.saturating_add(ENDORSEMENTS_WITHIN))?;
        let of_boot = |leaf: &Vec<u8>| match Leaf::parse(leaf) {
            Ok(Leaf::Endorsements(record)) if record.boot == Hex(signed.boot()) => Some(record),
            _ => None,
        };
        Ok((attested, behind.iter().find_map(of_boot)))
    }

    /// The leaves in the log from `index` to before `end`, as far as the log goes.
    pub(super) fn leaves(&self, index: u64, end: u64) -> Result<Vec<Vec<u8>>, Error> {
        let size = self.storage.lock.head()?.head.size;
        let (mut next, end) = (index, end.min(size));
        let mut found = Vec::new();
        while next < end {
            let Some((tile, place)) = Tile::holding(0, next, size) else { break };
            let bytes = read_bundle(self.storage.tiles.as_ref(), tile)?;
            let leaves = tile.leaves(&bytes).map_err(|error| damaged(&tile.entries_path(), &error))?;
            let wanted = usize::try_from(end.saturating_sub(next)).unwrap_or(usize::MAX);
            found.extend(leaves.into_iter().skip(place).take(wanted).map(<[u8]>::to_vec));
            next = tile.first_leaf().saturating_add(u64::try_from(tile.width()).unwrap_or(u64::MAX));
        }
        Ok(found)
    }
}

impl Admission for PolicyAdmission {
    fn admit(&self, leaves: &[&[u8]], known: &[&[u8]], at: UnixSeconds) -> Vec<Result<Admitted, Refusal>> {
        Submission::new(self, leaves, known, at).judge()
    }

    fn settle_by(&self, leaf: &[u8]) -> Option<u64> {
        let Ok(Leaf::Receipt(signed)) = Leaf::parse(leaf) else { return None };
        // It was verified when it was admitted.
        let payload: ReceiptPayload =
            strict_json::parse(signed.envelope().unverified_payload(), PAYLOAD_LIMITS).ok()?;
        payload.settle_by
    }
}
