//! Receipts for later retrieval, each under a random 256-bit token that only its client knows.
//!
//! The map is keyed by the token's digest, so that how long a look-up takes says nothing about any
//! token. Bounded in number and bytes; the oldest give way.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};

/// What is known under a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The answer is still being made.
    Pending,
    /// The document with receipt and opening.
    Done {
        /// Its JSON text.
        document: Bytes,
        /// The log's proof of the receipt, once there is one.
        proof: Option<Arc<str>>,
    },
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
    /// Finished entries, oldest first, each with the receipt's leaf hash.
    order: VecDeque<([u8; 32], [u8; 32])>,
    /// Finished entries by the receipt's leaf hash.
    by_leaf: HashMap<[u8; 32], [u8; 32]>,
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

    /// Fills an entry with the document of the receipt with this leaf hash, at the cost of the oldest
    /// where there is no room.
    pub(super) fn fill(&self, token: &[u8; 32], document: Bytes, leaf: [u8; 32]) {
        let key = Ring.sha256(token);
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_add(document.len());
        state.kept.insert(key, Kept::Done { document, proof: None });
        state.by_leaf.insert(leaf, key);
        state.order.push_back((key, leaf));
        self.make_room(&mut state);
    }

    /// Adds the proof of the receipt with this leaf hash, if it is still kept.
    pub(super) fn prove(&self, leaf: &[u8; 32], text: Arc<str>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let key = state.by_leaf.get(leaf);
        if let Some(Kept::Done { proof: proof @ None, .. }) = key.and_then(|key| state.kept.get_mut(key)) {
            state.bytes = state.bytes.saturating_add(text.len());
            *proof = Some(text);
        }
        self.make_room(state);
    }

    fn make_room(&self, state: &mut State) {
        while state.order.len() > self.count_max || state.bytes > self.bytes_max {
            let Some((oldest, leaf)) = state.order.pop_front() else { break };
            state.by_leaf.remove(&leaf);
            if let Some(Kept::Done { document, proof }) = state.kept.remove(&oldest) {
                let proof = proof.map_or(0, |proof| proof.len());
                state.bytes = state.bytes.saturating_sub(document.len()).saturating_sub(proof);
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
            store.fill(&[token; 32], Bytes::from(vec![token; 10]), [token; 32]);
        }
        assert_eq!(store.get(&[0; 32]), None);
        let done = |byte: u8, count, proof: Option<&str>| {
            Some(Kept::Done { document: Bytes::from(vec![byte; count]), proof: proof.map(Arc::from) })
        };
        assert_eq!(store.get(&[1; 32]), done(1, 10, None));
        store.prove(&[1; 32], "proof".into());
        store.prove(&[1; 32], "another".into());
        store.prove(&[0; 32], "of what gave way".into());
        assert_eq!(store.get(&[1; 32]), done(1, 10, Some("proof")));
        assert_eq!(store.lock().bytes, 25);
        store.open(&[9; 32]);
        store.fill(&[9; 32], Bytes::from(vec![9; 95]), [9; 32]);
        assert_eq!(store.get(&[2; 32]), None);
        assert_eq!(store.get(&[9; 32]), done(9, 95, None));
        store.open(&[4; 32]);
        store.abandon(&[4; 32]);
        assert_eq!(store.get(&[4; 32]), None);
        let state = store.lock();
        assert_eq!((state.bytes, state.by_leaf.len()), (95, 1));
    }
}
