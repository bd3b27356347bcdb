//! Keys and values that outlive their sequence, for the next turn of a conversation.
//!
//! A sequence that is over leaves what it computed under its request's [`ReuseKey`]; a later request with
//! the same key, whose prompt begins with the same tokens, takes it and reads only the rest. What it
//! would have computed is the same to the bit, so answers do not change. Time does: whoever sends a
//! prompt can tell from the time to the first token whether its beginning was there. That is why nothing
//! is shared between keys, and why a key must stand for one tenant.
//!
//! What is kept takes only room that no running sequence has reserved, and the longest unused goes first.

use crate::model::KvCache;

/// Whose requests may share what was computed: equal keys share, others never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReuseKey([u8; 32]);

impl ReuseKey {
    /// A key of 32 bytes that belongs to one tenant alone: a digest of its name, or random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// What one sequence left.
pub(super) struct Left {
    pub(super) key: ReuseKey,
    /// The tokens whose keys and values there are.
    pub(super) tokens: Vec<u32>,
    pub(super) cache: KvCache,
}

/// What sequences left, the longest unused first.
#[derive(Default)]
pub(super) struct Kept(Vec<Left>);

impl Kept {
    /// Keeps it, in place of what it continues.
    pub(super) fn keep(&mut self, left: Left) {
        if left.tokens.len() < TOKENS_MIN {
            return;
        }
        self.0.retain(|other| other.key != left.key || !left.tokens.starts_with(&other.tokens));
        self.0.push(left);
    }

    /// Takes the keys and values of the longest beginning of `prompt` that the key has, one token less
    /// than the prompt at most: the last one's logits are still to be computed.
    pub(super) fn take(&mut self, key: ReuseKey, prompt: &[u32]) -> Option<KvCache> {
        let readable = prompt.get(..prompt.len().saturating_sub(1)).unwrap_or_default();
        let common = |left: &Left| {
            let same = left.tokens.iter().zip(readable).take_while(|(a, b)| a == b).count();
            if left.key == key { same } else { 0 }
        };
        let (at, count) = self.0.iter().map(common).enumerate().max_by_key(|(_, count)| *count)?;
        if count < TOKENS_MIN {
            return None;
        }
        let mut cache = self.0.remove(at).cache;
        cache.truncate(count);
        Some(cache)
    }

    /// Lets go of as much as leaves at most `tokens_max`.
    pub(super) fn shrink(&mut self, tokens_max: usize) {
        let mut left = tokens_max;
        let keep = self.0.iter().rev().take_while(|kept| {
            let size = kept.cache.capacity();
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        });
        let gone = self.0.len().saturating_sub(keep.count());
        self.0.drain(..gone);
    }
}

/// Shorter beginnings are read again: a block of the cache has so many positions.
const TOKENS_MIN: usize = crate::kernels::POSITIONS_PER_BLOCK;
