//! Submissions: from leaves to their proofs.
//!
//! A submission is answered when its leaves are in the log and under a published checkpoint, with the
//! quorum's cosignatures where there are witnesses. Until then nothing is promised: whoever is told to
//! come again submits the same leaves again, and what is in the log already is found, not doubled.

use core::time::Duration;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use vouchsafe_translog::{Hash, merkle, tile};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};

use crate::admission::{Admission, Admitted, Refusal};
use crate::alarm::{Promise, Promises};
use crate::blobs::BlobPool;
use crate::edge::Edge;
use crate::intake::Intake;
use crate::log::{build_error, tree_reader};
use crate::metrics::{Metrics, add, set};
use crate::publish::Published;
use crate::sequencer::find;
use crate::storage::Storage;
use crate::{Error, NewLeaf};

/// Most leaves of one submission.
pub(crate) const ADD_LEAVES_MAX: usize = 4_096;
/// Most bytes of one submission.
pub(crate) const ADD_BYTES_MAX: usize = 1 << 20;
/// Submissions whose signatures are verified at once.
const VERIFYING_MAX: usize = 4;

/// What answers submissions.
pub(crate) struct Service {
    pub(crate) storage: Storage,
    pub(crate) edge: Arc<RwLock<Edge>>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) blobs: Arc<BlobPool>,
    pub(crate) promises: Arc<Promises>,
    pub(crate) published: watch::Receiver<Option<Published>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) answer_max: Duration,
    pub(crate) verifying: Arc<Semaphore>,
}

/// What a submission is answered with.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    #[serde(serialize_with = "text")]
    checkpoint: Arc<str>,
    leaves: Vec<LeafAnswer>,
}

fn text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

#[derive(Debug, Serialize)]
struct LeafAnswer {
    hash: Hex<32>,
    #[serde(flatten)]
    result: LeafResult,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum LeafResult {
    Logged { index: u64, path: Vec<Base64> },
    Refused { error: &'static str },
}

/// Why a submission is not answered with proofs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// It cannot be read.
    Malformed(&'static str),
    /// Not now: the code says why.
    Unavailable(&'static str),
}

impl From<Error> for NoAnswer {
    fn from(error: Error) -> Self {
        Self::Unavailable(error.code())
    }
}

/// Where one leaf of a submission stands.
enum Standing {
    Known {
        index: u64,
        /// What a receipt promises that no published checkpoint covers.
        settle_by: Option<u64>,
    },
    New(Box<Admitted>),
    Refused(&'static str),
}

impl Service {
    pub(crate) fn verifying() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(VERIFYING_MAX))
    }

    /// Takes a submission: an entry bundle's bytes.
    pub(crate) async fn add(self: &Arc<Self>, body: Bytes) -> Result<Answer, NoAnswer> {
        let arrived = Instant::now();
        let result = self.add_until(body, arrived).await;
        let counter = match &result {
            Ok(_) => &self.metrics.adds_answered,
            Err(NoAnswer::Unavailable(_)) => &self.metrics.adds_unavailable,
            Err(NoAnswer::Malformed(_)) => &self.metrics.adds_malformed,
        };
        add(counter, 1);
        result
    }

    async fn add_until(self: &Arc<Self>, body: Bytes, arrived: Instant) -> Result<Answer, NoAnswer> {
        let deadline = arrived.checked_add(self.answer_max).unwrap_or(arrived);
        let now = self.moment().ok_or(NoAnswer::Unavailable("starting"))?;
        let (hashes, standings) = self.judge(body, now, deadline).await?;
        let (mut slots, mut fresh, mut promises) = (Vec::new(), Vec::new(), Vec::new());
        let promise = |leaf, settle_by: Option<u64>, index| {
            settle_by.map(|settle_by| Promise { leaf, settle_by, index })
        };
        for (hash, standing) in hashes.iter().zip(standings) {
            slots.push(match standing {
                Standing::Known { index, settle_by } => {
                    promises.extend(promise(*hash, settle_by, Some(index)));
                    Slot::At(index)
                }
                Standing::Refused(code) => Slot::Refused(code),
                Standing::New(admitted) => {
                    promises.extend(promise(*hash, admitted.settle_by, None));
                    fresh.push(admitted.leaf);
                    Slot::Waits(fresh.len().saturating_sub(1))
                }
            });
        }
        let refused = slots.iter().filter(|slot| matches!(slot, Slot::Refused(_))).count();
        add(&self.metrics.leaves_refused, refused);
        // Until they are kept, and not as long as this submission waits: it is told to come again before that.
        self.promises.watch(&promises, now);
        let indices = self.sequence(fresh, deadline).await?;
        let places = hashes.iter().zip(&slots);
        self.promises.placed(places.filter_map(|(hash, slot)| Some((*hash, slot.index(&indices)?))));
        self.metrics.sequenced.observe(arrived.elapsed());
        let end = slots.iter().filter_map(|slot| Some(slot.index(&indices)?.saturating_add(1))).max();
        let published = self.wait_published(end.unwrap_or(0), deadline).await?;
        let answer = self.prove(published, hashes, slots, indices).await?;
        self.metrics.published.observe(arrived.elapsed());
        Ok(answer)
    }

    /// Parses and judges a submission's leaves. Those that the log has need no judgement.
    async fn judge(
        self: &Arc<Self>,
        body: Bytes,
        at: UnixSeconds,
        deadline: Instant,
    ) -> Result<(Vec<Hash>, Vec<Standing>), NoAnswer> {
        let turn = timeout_at(deadline, Arc::clone(&self.verifying).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(NoAnswer::Unavailable("busy"))?;
        let this = Arc::clone(self);
        let judged = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let leaves =
                tile::parse_leaves(&body, ADD_LEAVES_MAX).map_err(|_| NoAnswer::Malformed("bundle"))?;
            let hashes: Vec<_> = leaves.iter().map(|leaf| merkle::leaf_hash(leaf, &Ring)).collect();
            let known = hashes.iter().map(|hash| find(&this.storage, &this.edge, hash));
            let known = known.collect::<Result<Vec<_>, _>>()?;
            add(&this.metrics.leaves_known, known.iter().flatten().count());
            let which = |is_known: bool| -> Vec<&[u8]> {
                let of = leaves.iter().zip(&known).filter(|(_, known)| known.is_some() == is_known);
                of.map(|(leaf, _)| *leaf).collect()
            };
            let mut judged = this.admission.admit(&which(false), &which(true), at).into_iter();
            let published = this.published.borrow().as_ref().map_or(0, |published| published.head.size);
            let standing = |(known, leaf): (&Option<u64>, &&[u8])| match known {
                Some(index) => {
                    let is_promise = *index >= published;
                    let settle_by = if is_promise { this.admission.settle_by(leaf) } else { None };
                    Ok(Standing::Known { index: *index, settle_by })
                }
                None => match judged.next() {
                    Some(Ok(admitted)) => Ok(Standing::New(Box::new(admitted))),
                    Some(Err(Refusal::Code(code))) => Ok(Standing::Refused(code)),
                    Some(Err(Refusal::Unavailable(error))) => Err(NoAnswer::from(error)),
                    None => Err(NoAnswer::Unavailable("stopping")),
                },
            };
            let standings = known.iter().zip(&leaves).map(standing).collect::<Result<Vec<_>, _>>()?;
            Ok((hashes, standings))
        });
        judged.await.unwrap_or(Err(NoAnswer::Unavailable("stopping")))
    }

    async fn sequence(&self, fresh: Vec<NewLeaf>, deadline: Instant) -> Result<Vec<u64>, NoAnswer> {
        if fresh.is_empty() {
            return Ok(Vec::new());
        }
        let ticket = self.intake.submit(fresh).ok_or(NoAnswer::Unavailable("busy"))?;
        match timeout_at(deadline, ticket.indices()).await {
            Ok(indices) => Ok(indices?),
            Err(_) => Err(NoAnswer::Unavailable("not_sequenced_in_time")),
        }
    }

    async fn wait_published(&self, end: u64, deadline: Instant) -> Result<Published, NoAnswer> {
        let mut published = self.published.clone();
        let holds = |published: &Option<Published>| published.as_ref().is_some_and(|p| p.head.size >= end);
        match timeout_at(deadline, published.wait_for(holds)).await {
            Ok(Ok(published)) => published.clone().ok_or(NoAnswer::Unavailable("starting")),
            Ok(Err(_)) => Err(NoAnswer::Unavailable("stopping")),
            Err(_) => Err(NoAnswer::Unavailable("not_witnessed_in_time")),
        }
    }

    async fn prove(
        self: &Arc<Self>,
        published: Published,
        hashes: Vec<Hash>,
        slots: Vec<Slot>,
        indices: Vec<u64>,
    ) -> Result<Answer, NoAnswer> {
        let this = Arc::clone(self);
        let proved = tokio::task::spawn_blocking(move || {
            let size = published.head.size;
            let leaf = |(hash, slot): (Hash, Slot)| {
                let result = match (slot.index(&indices), slot) {
                    (Some(index), _) => LeafResult::Logged { index, path: this.path(index, size)? },
                    (None, Slot::Refused(error)) => LeafResult::Refused { error },
                    (None, _) => return Err(NoAnswer::Unavailable("stopping")),
                };
                Ok(LeafAnswer { hash: Hex(hash), result })
            };
            let leaves = hashes.into_iter().zip(slots).map(leaf).collect::<Result<_, _>>()?;
            Ok(Answer { checkpoint: published.note, leaves })
        });
        proved.await.unwrap_or(Err(NoAnswer::Unavailable("stopping")))
    }

    /// The inclusion path, from memory for the newest leaves and from tiles for the others.
    fn path(&self, index: u64, size: u64) -> Result<Vec<Base64>, Error> {
        let held = self.edge.read().unwrap_or_else(PoisonError::into_inner).path(index, size, &Ring);
        let path = match held {
            Some(path) => path,
            None => tree_reader(self.storage.tiles.as_ref(), size).inclusion(index).map_err(build_error)?,
        };
        Ok(path.into_iter().map(|hash| Base64(hash.to_vec())).collect())
    }

    /// Holds a blob until a leaf names it, and says its digest.
    pub(crate) fn blob(&self, blob: Bytes) -> [u8; 32] {
        let sha256 = crate::admission::digest(&blob);
        self.blobs.hold(sha256, blob);
        set(&self.metrics.blobs_pending, u64::try_from(self.blobs.pending_bytes()).unwrap_or(u64::MAX));
        sha256
    }

    /// The moment for which evidence is judged, once the log is open: the quorum's witness time, and
    /// how long ago that was; without witnesses there is only this machine's clock.
    fn moment(&self) -> Option<UnixSeconds> {
        self.published.borrow().as_ref().map(now)
    }
}

/// The time now as far as this log can tell: for judging evidence and for alarms, never for the tree.
pub(crate) fn now(published: &Published) -> UnixSeconds {
    match published.time {
        Some(time) => UnixSeconds(time.0.saturating_add(published.since.elapsed().as_secs())),
        None => {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            UnixSeconds(since.map_or(0, |since| since.as_secs()))
        }
    }
}

/// Where a leaf's index comes from.
#[derive(Clone, Copy)]
enum Slot {
    At(u64),
    Waits(usize),
    Refused(&'static str),
}

impl Slot {
    fn index(self, indices: &[u64]) -> Option<u64> {
        match self {
            Self::At(index) => Some(index),
            Self::Waits(at) => indices.get(at).copied(),
            Self::Refused(_) => None,
        }
    }
}
