//! Leaves on their way to the log, and the places that it answers with.

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;
use vouchsafe_translog::{Hash, tile};
use vouchsafe_verifier::encoding::{Base64, Hex};

use super::tree::Tree;
use super::{Client, Failure, Key, PAUSE_MAX, Place, Waiting, after};
use crate::Event;
use crate::metrics::add;

/// Most bytes of one submission.
const ADD_BYTES_MAX: usize = 1 << 20;
/// Most leaves of one submission.
const ADD_LEAVES_MAX: usize = 1024;

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

impl Client {
    /// Submits what has no place yet.
    pub(super) async fn submit(&mut self) -> Result<bool, Failure> {
        let now = Instant::now();
        let due = |waiting: &&Waiting| waiting.place.is_none() && waiting.retry_at <= now;
        let (mut body, mut keys, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
        for waiting in self.waiting.values().filter(due).take(ADD_LEAVES_MAX) {
            let leaf = &waiting.item.leaf.0;
            if !body.is_empty() && body.len().saturating_add(leaf.len()).saturating_add(2) > ADD_BYTES_MAX {
                break;
            }
            tile::push_leaf(&mut body, leaf).map_err(|error| error.to_string())?;
            keys.push((waiting.item.key.clone(), Role::Own));
            if let Some(endorsements) = waiting.item.endorsements_leaf() {
                tile::push_leaf(&mut body, &endorsements).map_err(|error| error.to_string())?;
                keys.push((waiting.item.key.clone(), Role::Endorsements));
            }
            blobs.extend(waiting.item.blobs.iter().map(|blob| Bytes::from(blob.0.clone())));
        }
        if keys.is_empty() {
            return Ok(false);
        }
        for blob in blobs {
            self.log.post("blob", blob).await.map_err(|error| format!("blob: {error}"))?;
        }
        let answer = self.log.post("add", body.into()).await.map_err(|error| format!("add: {error}"))?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(|error| format!("add: {error}"))?;
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
        Ok(true)
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
