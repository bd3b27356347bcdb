//! Receipts on their way to the host.
//!
//! Bounded. Without settlement nobody was promised that a receipt becomes public: it is kept until the
//! host says that it is stored, and beyond the bound the oldest gives way and is counted; the client has
//! its copy. With settlement it is kept until the log has proved that it holds it, whatever the host
//! says, and admission bounds how many there are.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// What one pass over the outbox sends.
pub(crate) type Batch = Vec<(u64, Vec<u8>)>;

/// Most receipts that one pass copies out.
const BATCH_MAX: usize = 64;

/// Receipts by ascending sequence number.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// `None`: what is promised gives way to nothing.
    max: Option<usize>,
    state: Mutex<State>,
    grown: Notify,
    shrunk: Notify,
}

#[derive(Debug, Default)]
struct State {
    receipts: VecDeque<(u64, Vec<u8>)>,
    dropped: u64,
}

impl Outbox {
    pub(super) fn new(max: usize) -> Self {
        Self { max: Some(max), state: Mutex::default(), grown: Notify::new(), shrunk: Notify::new() }
    }

    /// Of receipts that are promised to become public. Whoever pushes bounds their number.
    pub(super) fn of_promised() -> Self {
        Self { max: None, ..Self::new(0) }
    }

    /// Adds the receipt after all others. Called under the issuer's lock, which gives the order.
    pub(super) fn push(&self, seq: u64, envelope: Vec<u8>) {
        let mut state = self.lock();
        if self.max.is_some_and(|max| state.receipts.len() >= max) {
            state.receipts.pop_front();
            state.dropped = state.dropped.saturating_add(1);
        }
        state.receipts.push_back((seq, envelope));
        drop(state);
        self.grown.notify_waiters();
    }

    /// The first receipts from `from` on, waiting for one if there is none.
    pub(crate) async fn next_batch(&self, from: u64) -> Batch {
        loop {
            let grown = self.grown.notified();
            tokio::pin!(grown);
            // Registered before looking, so that a receipt added in between is not missed.
            grown.as_mut().enable();
            let batch: Batch = self
                .lock()
                .receipts
                .iter()
                .filter(|(seq, _)| *seq >= from)
                .take(BATCH_MAX)
                .cloned()
                .collect();
            if !batch.is_empty() {
                return batch;
            }
            grown.await;
        }
    }

    /// Forgets every receipt up to and including `seq`, unless they are promised.
    pub(crate) fn acknowledge(&self, seq: u64) {
        if self.max.is_none() {
            return;
        }
        self.lock().receipts.retain(|(kept, _)| *kept > seq);
        self.shrunk.notify_waiters();
    }

    /// Forgets a receipt that is public.
    pub(super) fn publish(&self, seq: u64) {
        self.lock().receipts.retain(|(kept, _)| *kept != seq);
        self.shrunk.notify_waiters();
    }

    /// Resolves when every receipt is acknowledged.
    pub(crate) async fn settled(&self) {
        loop {
            let shrunk = self.shrunk.notified();
            tokio::pin!(shrunk);
            shrunk.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            shrunk.await;
        }
    }

    /// How many receipts are not acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.lock().receipts.len()
    }

    /// How many receipts gave way unacknowledged.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Each change is one operation on the queue: a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn receipts_stay_until_acknowledged_and_the_oldest_gives_way() {
        let outbox = Outbox::new(3);
        for seq in 0..5 {
            outbox.push(seq, vec![u8::try_from(seq).unwrap()]);
        }
        assert_eq!((outbox.len(), outbox.dropped()), (3, 2));
        let seqs = |batch: Batch| batch.into_iter().map(|(seq, _)| seq).collect::<Vec<_>>();
        assert_eq!(seqs(outbox.next_batch(0).await), [2, 3, 4]);
        assert_eq!(seqs(outbox.next_batch(4).await), [4]);
        outbox.acknowledge(3);
        assert_eq!(seqs(outbox.next_batch(0).await), [4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_waits_for_the_next_receipt() {
        let outbox = std::sync::Arc::new(Outbox::new(3));
        let reader = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.next_batch(0).await }
        });
        tokio::task::yield_now().await;
        outbox.push(0, b"first".to_vec());
        assert_eq!(reader.await.unwrap(), [(0, b"first".to_vec())]);
    }
}
