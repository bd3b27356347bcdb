//! Leaves on their way to the log, and the places that it answers with.

use core::time::Duration;
use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use vouchsafe_translog::{Hash, tile};
use vouchsafe_verifier::encoding::{Base64, Hex};

use super::http::LogClient;
use super::tree::Tree;
use super::{Client, Failure, Item, Key, Kind, PAUSE_MAX, Place, Waiting, after};
use crate::Event;
use crate::metrics::add;

/// Most bytes of one submission.
const ADD_BYTES_MAX: usize = 1 << 20;
/// Most leaves of one submission.
const ADD_LEAVES_MAX: usize = 1024;
/// Most submissions that are under way at once.
const SUBMISSIONS_MAX: usize = 16;
/// From the start of one submission to that of the next: what comes meanwhile goes together.
const SPREAD: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
struct Answer {
    checkpoint: String,
    leaves: Vec<LeafAnswer>,
}

#[derive(Deserialize)]
struct LeafAnswer {
    hash: Hex<32>,
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    path: Vec<Base64>,
    #[serde(default)]
    error: Option<String>,
}

/// Why a leaf is in a submission.
enum Role {
    /// It waits for its place.
    Own,
    /// It accompanies a boot's.
    Endorsements,
}

/// The submissions that are under way.
#[derive(Default)]
pub(super) struct Submissions {
    tasks: JoinSet<Result<Answer, Failure>>,
    leaves: HashMap<Id, Vec<(Key, Role)>>,
    started: Option<Instant>,
}

/// What came of a submission.
pub(super) struct Ended {
    leaves: Vec<(Key, Role)>,
    answer: Result<Answer, Failure>,
}

impl Submissions {
    /// The next one that ends; `None` where none is under way.
    pub(super) async fn ended(&mut self) -> Option<Ended> {
        let ended = self.tasks.join_next_with_id().await?;
        Some(self.take(ended))
    }

    /// One that has ended.
    pub(super) fn try_ended(&mut self) -> Option<Ended> {
        let ended = self.tasks.try_join_next_with_id()?;
        Some(self.take(ended))
    }

    fn take(&mut self, ended: Result<(Id, Result<Answer, Failure>), JoinError>) -> Ended {
        let (id, answer) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(format!("add: {error}"))),
        };
        Ended { leaves: self.leaves.remove(&id).unwrap_or_default(), answer }
    }

    fn start(&mut self, log: LogClient, leaves: Vec<(Key, Role)>, blobs: Vec<Bytes>, body: Bytes) {
        let task = self.tasks.spawn(async move {
            for blob in blobs {
                log.post("blob", blob).await.map_err(|error| format!("blob: {error}"))?;
            }
            let answer = log.post("add", body).await.map_err(|error| format!("add: {error}"))?;
            serde_json::from_slice(&answer).map_err(|error| format!("add: {error}"))
        });
        self.leaves.insert(task.id(), leaves);
        self.started = Some(Instant::now());
    }
}

impl Client {
    /// From when on something may be submitted; `None` where a submission has to end first: there are
    /// enough, or one holds a boot's record, without which the log takes nothing of that boot.
    pub(super) fn may_submit_at(&self, now: Instant) -> Option<Instant> {
        let mut under_way = self.submissions.leaves.values().flatten();
        let is_full = self.submissions.tasks.len() >= SUBMISSIONS_MAX;
        if is_full || under_way.any(|(key, _)| key.kind == Kind::Record) {
            return None;
        }
        let next = |started: Instant| started.checked_add(SPREAD).unwrap_or(started);
        Some(self.submissions.started.map_or(now, next))
    }

    /// Submits what has no place yet.
    pub(super) fn submit(&mut self) -> Result<bool, Failure> {
        let now = Instant::now();
        if self.may_submit_at(now).is_none_or(|at| at > now) {
            return Ok(false);
        }
        let due =
            |waiting: &Waiting| waiting.place.is_none() && !waiting.is_submitted && waiting.retry_at <= now;
        let waiting = self.waiting.values().filter(|waiting| due(waiting)).map(|waiting| &waiting.item);
        let Packed { body, keys, blobs } = pack(waiting)?;
        if keys.is_empty() {
            return Ok(false);
        }
        for (key, _) in &keys {
            if let Some(waiting) = self.waiting.get_mut(key) {
                waiting.is_submitted = true;
            }
        }
        self.submissions.start(self.log.clone(), keys, blobs, body.into());
        Ok(true)
    }

    /// Takes what came of a submission.
    pub(super) fn conclude(&mut self, ended: Ended) -> Result<(), Failure> {
        let Ended { leaves: keys, answer } = ended;
        for (key, _) in &keys {
            if let Some(waiting) = self.waiting.get_mut(key) {
                waiting.is_submitted = false;
            }
        }
        let answer = answer?;
        if answer.leaves.len() != keys.len() {
            return Err(format!("add: {} answers to {} leaves", answer.leaves.len(), keys.len()));
        }
        let tree = Tree::new(answer.checkpoint)?;
        let size = tree.size();
        self.renew(tree);
        for ((key, role), leaf) in keys.iter().zip(answer.leaves) {
            match role {
                Role::Own => self.place(key, leaf, size)?,
                // Nobody waits for its place; if it is refused, so is the boot.
                Role::Endorsements => {}
            }
        }
        Ok(())
    }

    fn place(&mut self, key: &Key, leaf: LeafAnswer, size: u64) -> Result<(), Failure> {
        let Some(waiting) = self.waiting.get_mut(key) else { return Ok(()) };
        if leaf.hash.0 != waiting.hash {
            return Err("add: an answer to another leaf".into());
        }
        let Some(index) = leaf.index else {
            let code = leaf.error.unwrap_or_else(|| "unknown".into());
            waiting.retry_at = after(PAUSE_MAX);
            add(&self.metrics.log_refusals, 1);
            self.events.tell(Event::LogRefused { boot: key.boot.clone(), number: key.number, code });
            return Ok(());
        };
        let path: Option<Vec<Hash>> = leaf.path.into_iter().map(|hash| hash.0.try_into().ok()).collect();
        let path = path.ok_or_else(|| String::from("add: a malformed path"))?;
        if waiting.place.is_none() {
            self.metrics.gap_witnessed.observe(waiting.since.elapsed());
        }
        waiting.place = Some(Place { index, path, size });
        Ok(())
    }
}

/// What goes together.
#[derive(Default)]
struct Packed {
    body: Vec<u8>,
    keys: Vec<(Key, Role)>,
    blobs: Vec<Bytes>,
}

/// The first of these items that fit into one submission: at least one, if there is any.
fn pack<'w>(items: impl Iterator<Item = &'w Item>) -> Result<Packed, Failure> {
    let mut packed = Packed::default();
    for item in items.take(ADD_LEAVES_MAX) {
        let (leaf, endorsements) = (&item.leaf.0, item.endorsements_leaf());
        // Both go together or not at all: what is too long is refused whole, for ever.
        let both = bytes_of(leaf).saturating_add(endorsements.as_deref().map_or(0, bytes_of));
        if !packed.keys.is_empty() && packed.body.len().saturating_add(both) > ADD_BYTES_MAX {
            break;
        }
        tile::push_leaf(&mut packed.body, leaf).map_err(|error| error.to_string())?;
        packed.keys.push((item.key.clone(), Role::Own));
        if let Some(endorsements) = endorsements {
            tile::push_leaf(&mut packed.body, &endorsements).map_err(|error| error.to_string())?;
            packed.keys.push((item.key.clone(), Role::Endorsements));
        }
        packed.blobs.extend(item.blobs.iter().map(|blob| Bytes::from(blob.0.clone())));
    }
    Ok(packed)
}

/// A leaf's bytes in a submission, with those of its length.
fn bytes_of(leaf: &[u8]) -> usize {
    leaf.len().saturating_add(2)
}

#[cfg(test)]
mod tests {
    use vouchsafe_link::control::BootId;
    use vouchsafe_receipt::records::endorsements_blob;
    use vouchsafe_receipt::{BootRecord, Envelope, PayloadType, envelope_leaf};
    use vouchsafe_verifier::{Endorsements, SnpEndorsements};

    use super::*;

    fn item(number: u64, leaf: Vec<u8>, blobs: Vec<Base64>) -> Item {
        let key = Key { boot: BootId::new(&"ab".repeat(32)).unwrap(), kind: Kind::Record, number };
        Item { key, leaf: Base64(leaf), blobs }
    }

    /// A boot's record, with endorsements.
    fn endorsed(number: u64) -> Item {
        let (boot, digest) = ([0xab; 32], Hex([1; 32]));
        let record = BootRecord { version: 1, boot: Hex(boot), statement: digest, evidence: digest };
        let signed = Envelope::new(PayloadType::Boot, record.to_bytes(), boot, [1; 64]);
        let vek = Some(Base64(vec![1]));
        let endorsements = Endorsements::SevSnp(SnpEndorsements { vek, ..SnpEndorsements::default() });
        let blobs = [vec![1], vec![2], endorsements_blob(&endorsements)].map(Base64);
        item(number, envelope_leaf(&signed).unwrap(), blobs.into())
    }

    #[test]
    fn a_submission_is_never_longer_than_a_log_takes() {
        assert_eq!(pack([endorsed(0)].iter()).unwrap().keys.len(), 2);
        // As much as leaves room for the record, and not for the endorsements behind it.
        let own = bytes_of(&endorsed(0).leaf.0);
        let mut items: Vec<Item> = (0..16).map(|number| item(number, vec![0; 65_000], Vec::new())).collect();
        let rest = ADD_BYTES_MAX - 16 * bytes_of(&items[0].leaf.0);
        items.push(item(16, vec![0; rest - own - 2], Vec::new()));
        items.push(endorsed(17));
        let packed = pack(items.iter()).unwrap();
        assert_eq!((packed.keys.len(), packed.body.len()), (17, ADD_BYTES_MAX - own));
        // What was left over goes with the next one.
        assert_eq!(pack(items[17..].iter()).unwrap().keys.len(), 2);
    }
}
