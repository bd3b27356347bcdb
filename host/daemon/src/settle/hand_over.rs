//! Proofs on their way to the enclave.

use core::time::Duration;

use tokio::time::{Instant, timeout};
use vouchsafe_link::control::{HostMessage, INCLUSIONS_MAX, Included};
use vouchsafe_translog::Hash;
use vouchsafe_verifier::encoding::{to_base64, to_hex};

use super::tree::Tree;
use super::{Client, Failure, Key, POLL, Place, Report, Waiting};
use crate::metrics::add;

/// Longest time for the enclave's answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

impl Client {
    /// Proves to the enclave what has a place.
    pub(super) async fn hand_over(&mut self) -> Result<bool, Failure> {
        let Some((boot, from)) = self.enclave.clone() else { return Ok(false) };
        let ours = |waiting: &&Waiting| {
            waiting.place.is_some() && !waiting.is_proven && waiting.item.key.boot == boot
        };
        let mut leaves: Vec<(Key, Hash, Place)> = self
            .waiting
            .values()
            .filter(ours)
            .filter_map(|waiting| Some((waiting.item.key.clone(), waiting.hash, waiting.place.clone()?)))
            .take(INCLUSIONS_MAX)
            .collect();
        if leaves.is_empty() {
            return Ok(false);
        }
        let mut tree = self.tree_from(from).await?;
        for (_, _, place) in &mut leaves {
            if place.size != tree.size() {
                place.path = tree.inclusion(&self.log, place.index).await?;
                place.size = tree.size();
            }
        }
        let consistency = tree.consistency(&self.log, from).await?;
        let message = HostMessage::Inclusion {
            note: tree.note().to_owned(),
            from,
            consistency: texts(&consistency),
            leaves: leaves
                .iter()
                .map(|(_, hash, place)| Included {
                    hash: to_hex(hash),
                    index: place.index,
                    path: texts(&place.path),
                })
                .collect(),
        };
        self.tell(message, &tree).await?;
        self.forget(leaves.into_iter().map(|(key, ..)| key).collect()).await;
        Ok(true)
    }

    /// Looks for a newer checkpoint now and then: the enclave stops answering without.
    pub(super) async fn poll(&mut self) -> Result<bool, Failure> {
        let Some((_, from)) = self.enclave.clone() else { return Ok(false) };
        if self.polled.elapsed() < POLL {
            return Ok(false);
        }
        self.polled = Instant::now();
        let tree = self.fetch().await?;
        // A log without leaves proves nothing yet.
        if tree.size() < from.max(1) || self.handed.as_deref() == Some(tree.note()) {
            return Ok(false);
        }
        let consistency = texts(&tree.clone().consistency(&self.log, from).await?);
        let message = HostMessage::Checkpoint { note: tree.note().to_owned(), from, consistency };
        self.tell(message, &tree).await?;
        self.renew(tree);
        Ok(false)
    }

    pub(super) async fn fetch(&self) -> Result<Tree, Failure> {
        let note = self.log.get("checkpoint").await.map_err(|error| format!("checkpoint: {error}"))?;
        Tree::new(String::from_utf8_lossy(&note).into_owned())
    }

    /// The newest tree known, which must not be smaller than what the enclave verified.
    async fn tree_from(&mut self, from: u64) -> Result<Tree, Failure> {
        if self.tree.as_ref().is_none_or(|tree| tree.size() < from) {
            let tree = self.fetch().await?;
            if tree.size() < from {
                return Err(format!("the log has {} leaves, and had {from}: rolled back?", tree.size()));
            }
            self.renew(tree);
        }
        self.tree.clone().ok_or_else(|| "no checkpoint is known".into())
    }

    /// Sends a message to the enclave and waits for its answer.
    async fn tell(&mut self, message: HostMessage, tree: &Tree) -> Result<(), Failure> {
        let lost = || String::from("the control connection was lost");
        let connection = self.connection;
        self.channels.messages.send((connection, message)).await.map_err(|_| lost())?;
        let Ok(answer) = timeout(ANSWER_MAX, self.channels.reports.recv()).await else {
            // Whatever it says next, late, says again where it stands.
            self.enclave = None;
            return Err("the enclave does not answer".into());
        };
        let (answering, report) = answer.ok_or_else(lost)?;
        self.hear((answering, report.clone()));
        if answering != connection {
            return Err(lost());
        }
        match report {
            Report::Verified { .. } => {
                self.handed = Some(tree.note().to_owned());
                Ok(())
            }
            Report::Refused { code, .. } => {
                add(&self.metrics.enclave_refusals, 1);
                // Whatever it did not like is made anew from the log's newest state.
                self.tree = None;
                Err(format!("the enclave refused the log's proof: {code}"))
            }
            Report::Lost => Err(lost()),
        }
    }
}

fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| to_base64(hash)).collect()
}
