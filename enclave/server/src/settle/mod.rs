//! Settlement: what was signed stays here until the log has proved that it holds it.
//!
//! The host carries leaves to the log and proofs back, and everything that it says is hostile. A
//! message that does not verify changes nothing. While too much is unproven, for too long, or while no
//! newer checkpoint arrives, no request is admitted: a host that withholds the log gets a service that
//! has stopped, and never more than a bounded number of receipts that nobody else knows of.

mod config;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use vouchsafe_link::control::{INCLUSIONS_MAX, Included};
use vouchsafe_receipt::CheckpointRef;
use vouchsafe_translog::merkle::{leaf_hash, verify_inclusion};
use vouchsafe_translog::{Hash, TlogProof, TrustedLog};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{from_base64, from_hex};

pub use config::{LogConfig, SettlementConfig};
pub(crate) use view::RefusedCode;
use view::View;

use crate::ServeError;

/// Records that may be unproven at a time; no epoch begins beyond it.
const RECORDS_MAX: usize = 16;

/// Why no request is admitted at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsettled {
    /// As many receipts are unproven as may be.
    Full,
    /// No newer checkpoint, or something signed long ago is still unproven.
    Stale,
}

/// A record on its way to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The leaf's exact bytes.
    pub(crate) leaf: Vec<u8>,
    /// What it names by digest.
    pub(crate) blobs: Vec<Vec<u8>>,
}

/// What became proven with one message.
#[derive(Debug, Default)]
pub(crate) struct Proven {
    /// Receipts, by their place in the sequence, each with the text of its proof.
    pub(crate) receipts: Vec<(u64, Hash, Arc<str>)>,
}

/// The log as this boot sees it, and what it still has to prove.
pub(crate) struct Settlement {
    trusted: TrustedLog,
    bound_s: u64,
    unsettled_max: usize,
    age_max: Duration,
    heartbeat: Duration,
    state: Mutex<State>,
    /// Told of every change to what is unproven.
    changed: Notify,
    /// Whether the boot record is proven.
    is_public: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    view: View,
    /// When the view last changed for the better.
    refreshed: Option<Instant>,
    /// Requests that were admitted and have no receipt yet.
    admitted: usize,
    unproven: HashMap<Hash, Unproven>,
    /// Records that are not proven, by number.
    records: BTreeMap<u64, Record>,
    records_signed: u64,
}

struct Unproven {
    what: What,
    since: Instant,
    waiting: Option<oneshot::Sender<Arc<str>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Receipt(u64),
    Record(u64),
}

/// A place among the receipts that may be unproven; given back when dropped before it was filled.
pub(crate) struct Place {
    settlement: Arc<Settlement>,
}

impl Settlement {
    /// Knows nothing of the log yet.
    pub(crate) fn new(config: &LogConfig) -> Result<Self, ServeError> {
        Ok(Self {
            trusted: config.trusted()?,
            bound_s: config.bound_s,
            unsettled_max: usize::try_from(config.unsettled_max).unwrap_or(usize::MAX),
            age_max: Duration::from_secs(config.checkpoint_age_max_s),
            heartbeat: Duration::from_secs(config.heartbeat_s),
            state: Mutex::default(),
            changed: Notify::new(),
            is_public: watch::Sender::new(false),
        })
    }

    /// Between two heartbeats.
    pub(crate) fn heartbeat_interval(&self) -> Duration {
        self.heartbeat
    }

    /// The checkpoint that gives the trusted time, and the time by which a receipt signed now is
    /// promised to be public.
    pub(crate) fn now(&self) -> Option<(CheckpointRef, u64)> {
        let at = self.lock().view.floor()?.at;
        Some((at, at.time.saturating_add(self.bound_s)))
    }

    /// The note of the checkpoint that gives the trusted time.
    pub(crate) fn note(&self) -> Option<String> {
        self.lock().view.floor().map(|seen| seen.note.to_string())
    }

    /// Size of the largest tree that was verified.
    pub(crate) fn size(&self) -> u64 {
        self.lock().view.size()
    }

    /// From signing to the end of anybody's patience.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.bound_s)
    }

    /// Whether no request is admitted because too little is known of the log.
    pub(crate) fn has_stalled(&self) -> bool {
        self.is_stale(&self.lock())
    }

    /// Takes a place for the receipt that an admitted request will get.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Place, Unsettled> {
        let mut state = self.lock();
        if !*self.is_public.borrow() || self.is_stale(&state) {
            return Err(Unsettled::Stale);
        }
        let receipts = state.unproven.len().saturating_sub(state.records.len());
        if receipts.saturating_add(state.admitted) >= self.unsettled_max {
            return Err(Unsettled::Full);
        }
        state.admitted = state.admitted.saturating_add(1);
        Ok(Place { settlement: Arc::clone(self) })
    }

    /// By the guest's monotonic clock, which a host can only slow down, by pausing the guest: it decides when messages
    /// come, and can stretch how long that seems to take.
    fn is_stale(&self, state: &State) -> bool {
        let is_old = |since: Instant| since.elapsed() > self.age_max;
        // What the log included must be younger than our own leaves in it: so a host that replays an
        // old but growing log is found by what it does not hold.
        state.refreshed.is_none_or(is_old) || state.unproven.values().any(|unproven| is_old(unproven.since))
    }

    /// Keeps a receipt until it is proven; where its proof is waited for, it comes through the channel.
    /// Called under the issuer's lock, which gives the order.
    pub(crate) fn keep_receipt(
        &self,
        seq: u64,
        leaf: &Hash,
        is_awaited: bool,
    ) -> Option<oneshot::Receiver<Arc<str>>> {
        let (waiting, proof) = is_awaited.then(oneshot::channel).unzip();
        let unproven = Unproven { what: What::Receipt(seq), since: Instant::now(), waiting };
        self.lock().unproven.insert(*leaf, unproven);
        proof
    }

    /// Keeps a record until it is proven, and gives its number.
    pub(crate) fn keep_record(&self, record: Record) -> u64 {
        let hash = leaf_hash(&record.leaf, &Ring);
        let mut state = self.lock();
        let number = state.records_signed;
        state.records_signed = number.saturating_add(1);
        state.records.insert(number, record);
        let unproven = Unproven { what: What::Record(number), since: Instant::now(), waiting: None };
        state.unproven.insert(hash, unproven);
        drop(state);
        self.changed.notify_waiters();
        number
    }

    /// Whether a record is unproven.
    pub(crate) fn holds_record(&self, number: u64) -> bool {
        self.lock().records.contains_key(&number)
    }

    /// Whether a further record may be signed.
    pub(crate) fn has_room_for_record(&self) -> bool {
        self.lock().records.len() < RECORDS_MAX
    }

    /// The first unproven record from `from` on, waiting for one if there is none.
    pub(crate) async fn next_record(&self, from: u64) -> (u64, Record) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let next =
                self.lock().records.range(from..).next().map(|(number, record)| (*number, record.clone()));
            match next {
                Some(next) => return next,
                None => changed.await,
            }
        }
    }

    /// Resolves once the boot record is proven.
    pub(crate) async fn public(&self) {
        // The sender is in `self`, so it cannot be gone.
        let _ = self.is_public.subscribe().wait_for(|is_public| *is_public).await;
    }

    /// Resolves when nothing is unproven.
    pub(crate) async fn settled(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.lock().unproven.is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// How many leaves are unproven.
    pub(crate) fn unproven(&self) -> usize {
        self.lock().unproven.len()
    }

    /// Takes what the host says of the log: a checkpoint, and leaves that are in it. All of it verifies,
    /// or nothing changes.
    pub(crate) fn learn(
        &self,
        note: &str,
        from: u64,
        consistency: &[String],
        leaves: &[Included],
    ) -> Result<Proven, RefusedCode> {
        let consistency = hashes(consistency).ok_or(RefusedCode("consistency_malformed"))?;
        if leaves.len() > INCLUSIONS_MAX {
            return Err(RefusedCode("too_many_leaves"));
        }
        let mut state = self.lock();
        let seen = state.view.verify(&self.trusted, note, from, &consistency)?;
        let mut found = Vec::new();
        for leaf in leaves {
            let (hash, proof) = included(leaf, &seen)?;
            // What is not waited for was proven before, or is somebody else's: no harm, no news.
            if state.unproven.contains_key(&hash) {
                found.push((hash, proof));
            }
        }
        if state.view.accept(&seen) {
            state.refreshed = Some(Instant::now());
        }
        let mut proven = Proven::default();
        for (hash, proof) in found {
            let Some(unproven) = state.unproven.remove(&hash) else { continue };
            match unproven.what {
                What::Receipt(seq) => proven.receipts.push((seq, hash, Arc::clone(&proof))),
                What::Record(number) => {
                    state.records.remove(&number);
                    if number == 0 {
                        self.is_public.send_replace(true);
                    }
                }
            }
            if let Some(waiting) = unproven.waiting {
                // Whoever waited may have left.
                let _ = waiting.send(proof);
            }
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(proven)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Verifies that a leaf is under a checkpoint, and writes the proof that a client can check.
fn included(leaf: &Included, seen: &view::Seen) -> Result<(Hash, Arc<str>), RefusedCode> {
    let malformed = RefusedCode("inclusion_malformed");
    let hash: Hash = from_hex(&leaf.hash).ok_or(malformed)?;
    let path = hashes(&leaf.path).ok_or(malformed)?;
    verify_inclusion(&hash, leaf.index, seen.at.size, &path, &seen.at.root.0, &Ring)
        .map_err(|_| RefusedCode("inclusion_invalid"))?;
    let proof = TlogProof::new(leaf.index, path, seen.note.clone())?;
    Ok((hash, proof.to_string().into()))
}

fn hashes(texts: &[String]) -> Option<Vec<Hash>> {
    if texts.len() > HASHES_MAX {
        return None;
    }
    texts.iter().map(|text| from_base64(text)?.try_into().ok()).collect()
}

/// More hashes than any proof has (RFC 9162, section 2.1).
const HASHES_MAX: usize = 128;

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.settlement.lock();
        state.admitted = state.admitted.saturating_sub(1);
    }
}

#[cfg(test)]
pub(crate) mod test_log;
#[cfg(test)]
pub(crate) mod tests;
