//! The pool: leaves that were admitted and wait to be sequenced, and whoever waits for them.
//!
//! A leaf that is in the pool already is not added again. A leaf that is in the log already, or in the
//! batch under way, is found by the sequencer when its turn comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use vouchsafe_translog::Hash;

use crate::{Error, NewLeaf};

/// Most leaves that one batch takes.
pub const POOL_LEAVES_MAX: usize = 16_384;
/// Most bytes of leaves that one batch takes.
pub const POOL_BYTES_MAX: usize = 32 << 20;

/// What came of a batch: each leaf's index in the log.
type Outcome = Option<Result<Arc<[u64]>, Error>>;

/// Where leaves come in.
#[derive(Debug, Default)]
pub struct Intake(Mutex<Pool>);

/// The leaves of one batch.
#[derive(Debug)]
pub struct Pool {
    leaves: Vec<NewLeaf>,
    by_hash: HashMap<Hash, usize>,
    bytes: usize,
    outcome: watch::Sender<Outcome>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { leaves: Vec::new(), by_hash: HashMap::new(), bytes: 0, outcome: watch::channel(None).0 }
    }
}

/// Where one submission's leaves are in their batch.
#[derive(Debug)]
pub struct Ticket {
    slots: Vec<usize>,
    outcome: watch::Receiver<Outcome>,
}

impl Intake {
    /// Puts leaves into the pool, all into one batch; `None` where there is no room.
    pub fn submit(&self, leaves: Vec<NewLeaf>) -> Option<Ticket> {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: usize = leaves.iter().map(|leaf| leaf.bytes.len()).sum();
        if pool.leaves.len().saturating_add(leaves.len()) > POOL_LEAVES_MAX
            || pool.bytes.saturating_add(bytes) > POOL_BYTES_MAX
        {
            return None;
        }
        let mut slots = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let next = pool.leaves.len();
            let slot = *pool.by_hash.entry(leaf.hash).or_insert(next);
            if slot == next {
                pool.bytes = pool.bytes.saturating_add(leaf.bytes.len());
                pool.leaves.push(leaf);
            }
            slots.push(slot);
        }
        Some(Ticket { slots, outcome: pool.outcome.subscribe() })
    }

    /// Takes the pool and leaves an empty one.
    pub fn take(&self) -> Pool {
        core::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pool {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// The leaves, and where to tell what came of them.
    pub fn into_parts(self) -> (Vec<NewLeaf>, PoolOutcome) {
        (self.leaves, PoolOutcome(self.outcome))
    }
}

/// Tells everyone who waits for a batch.
#[derive(Debug)]
pub struct PoolOutcome(watch::Sender<Outcome>);

impl PoolOutcome {
    /// Says what came of the batch. Dropped without a word, it says that the log is stopping.
    pub fn tell(self, outcome: Result<Vec<u64>, Error>) {
        self.0.send_replace(Some(outcome.map(Into::into)));
    }
}

impl Ticket {
    /// Waits until the batch is in the log and gives the leaves' indices, in the order submitted.
    ///
    /// # Errors
    /// What kept the batch from being committed.
    pub async fn indices(mut self) -> Result<Vec<u64>, Error> {
        let outcome = self.outcome.wait_for(Option::is_some).await.map_err(|_| Error::Stopping)?;
        let indices = match outcome.as_ref() {
            Some(outcome) => outcome.clone()?,
            None => return Err(Error::Stopping),
        };
        self.slots.iter().map(|slot| indices.get(*slot).copied().ok_or(Error::Stopping)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u8) -> NewLeaf {
        NewLeaf::new(vec![n; 10])
    }

    #[tokio::test]
    async fn two_that_submit_the_same_leaf_get_the_same_index() {
        let intake = Intake::default();
        let first = intake.submit(vec![leaf(1), leaf(2)]).unwrap();
        let second = intake.submit(vec![leaf(3), leaf(2), leaf(3)]).unwrap();
        let (leaves, outcome) = intake.take().into_parts();
        assert_eq!(leaves, [leaf(1), leaf(2), leaf(3)]);
        outcome.tell(Ok(vec![70, 71, 72]));
        assert_eq!(first.indices().await, Ok(vec![70, 71]));
        assert_eq!(second.indices().await, Ok(vec![72, 71, 72]));
    }

    #[tokio::test]
    async fn a_batch_that_is_dropped_answers_too() {
        let intake = Intake::default();
        let ticket = intake.submit(vec![leaf(1)]).unwrap();
        drop(intake.take());
        assert_eq!(ticket.indices().await, Err(Error::Stopping));
    }

    #[test]
    fn a_pool_has_a_bound() {
        let intake = Intake::default();
        let many = |n: u16| (0..n).map(|n| NewLeaf::new(n.to_be_bytes().to_vec())).collect::<Vec<_>>();
        assert!(intake.submit(many(16_384)).is_some());
        assert!(intake.submit(vec![leaf(1)]).is_none());
        assert!(!intake.take().is_empty());
        assert!(intake.submit(vec![leaf(1)]).is_some());
        let large = NewLeaf::new(vec![0; 65_535]);
        let bytes_max = (0..=512).map(|_| large.clone()).collect();
        assert!(intake.submit(bytes_max).is_none());
    }
}
