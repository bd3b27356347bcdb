//! Receipts for later retrieval, each under a random 256-bit token that only its client knows.
//!
//! The map is keyed by the token's digest, so that how long a look-up takes says nothing about any
//! token. Bounded in number and bytes; the oldest give way.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};

/// What is known under a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The answer is still being made.
    Pending,
    /// The document with receipt and opening.
    Done(Bytes),
}

/// Receipts by token.
#[derive(Debug)]
pub(crate) struct Store {
    count_max: usize,
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: HashMap<[u8; 32], Kept>,
    /// Finished entries, oldest first.
    order: VecDeque<[u8; 32]>,
    bytes: usize,
}

impl Store {
    pub(super) fn new(count_max: usize, bytes_max: usize) -> Self {
        Self { count_max, bytes_max, state: Mutex::default() }
    }

    /// Opens an entry. Pending entries are bounded by the requests that run.
    pub(super) fn open(&self, token: &[u8; 32]) {
        self.lock().kept.insert(Ring.sha256(token), Kept::Pending);
    }

    /// Fills an entry, at the cost of the oldest where there is no room.
    pub(super) fn fill(&self, token: &[u8; 32], document: Bytes) {
        let key = Ring.sha256(token);
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_add(document.len());
        state.kept.insert(key, Kept::Done(document));
        state.order.push_back(key);
        while state.order.len() > self.count_max || state.bytes > self.bytes_max {
            let Some(oldest) = state.order.pop_front() else { break };
            if let Some(Kept::Done(document)) = state.kept.remove(&oldest) {
                state.bytes = state.bytes.saturating_sub(document.len());
            }
        }
    }

    /// Forgets an entry that will never be filled.
    pub(super) fn abandon(&self, token: &[u8; 32]) {
        self.lock().kept.remove(&Ring.sha256(token));
    }

    /// What is known under a token.
    pub(crate) fn get(&self, token: &[u8; 32]) -> Option<Kept> {
        let key = Ring.sha256(token);
        self.lock().kept.get(&key).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic between two of these changes could at worst leave the byte count too high.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_give_way_by_number_and_by_bytes() {
        let store = Store::new(2, 100);
        for token in 0..3_u8 {
            store.open(&[token; 32]);
            assert_eq!(store.get(&[token; 32]), Some(Kept::Pending));
            store.fill(&[token; 32], Bytes::from(vec![token; 10]));
        }
        assert_eq!(store.get(&[0; 32]), None);
        assert_eq!(store.get(&[1; 32]), Some(Kept::Done(Bytes::from(vec![1; 10]))));
        store.open(&[9; 32]);
        store.fill(&[9; 32], Bytes::from(vec![9; 95]));
        assert_eq!(store.get(&[2; 32]), None);
        assert_eq!(store.get(&[9; 32]), Some(Kept::Done(Bytes::from(vec![9; 95]))));
        store.open(&[4; 32]);
        store.abandon(&[4; 32]);
        assert_eq!(store.get(&[4; 32]), None);
        assert_eq!(store.lock().bytes, 95);
    }
}
