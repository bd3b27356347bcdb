//! Speculation by a draft: a smaller model with the same tokens says what it would answer.
//!
//! The draft reads what its sequence has, greedily continues it by a few tokens, and these are guesses
//! like any others (see [`super::lookup`]): the model chooses from its own logits, so that a draft changes
//! time and nothing else. It has keys and values of its own, in a store of the same number of positions. A
//! prompt is read in pieces, one for each step, so that nobody waits for it; there are no guesses until it
//! has been read. Where a draft fails the engine goes on without it.

use std::sync::Arc;

use super::EngineOptions;
use super::sequence::Sequence;
use crate::kernels::Pool;
use crate::model::{KvCache, KvPrecision, KvStore, Slot, Want, Workspace};
use crate::{ComputeError, Model, StartError};

/// A draft, and its room.
pub(super) struct Draft {
    model: Model,
    store: Arc<KvStore>,
    space: Workspace,
    piece_tokens: usize,
}

/// What a draft has read of one sequence.
pub(super) struct Read {
    cache: KvCache,
    /// The tokens whose keys and values there are.
    tokens: Vec<u32>,
}

impl Draft {
    /// Checks that the draft can speak for the model.
    pub(super) fn new(draft: Model, model: &Model, options: &EngineOptions) -> Result<Self, StartError> {
        if !draft.tokenizer.has_tokens_of(&model.tokenizer) {
            return Err(StartError::DraftTokens);
        }
        let (draft_context, context) = (draft.identity.context_length(), model.identity.context_length());
        if draft_context < context {
            return Err(StartError::DraftContext { draft: draft_context, model: context });
        }
        let (config, precision) = (&draft.transformer.config, KvPrecision::default());
        let store = KvStore::new(config, options.kv_tokens_max, options.max_sequences, precision);
        let (store, space) = (Arc::new(store), Workspace::default());
        Ok(Self { model: draft, store, space, piece_tokens: options.prefill_chunk })
    }

    /// Bytes that its keys and values may take.
    pub(super) fn kv_bytes_max(&self) -> usize {
        self.store.bytes_max()
    }

    /// Gives each sequence that wants guesses, and has none, the draft's.
    pub(super) fn guess<'s>(
        &mut self,
        pool: &Pool,
        sequences: impl Iterator<Item = &'s mut Sequence>,
    ) -> Result<(), ComputeError> {
        for sequence in sequences {
            let count = sequence.guesses_wanted();
            if count == 0 {
                continue;
            }
            let mut read = sequence
                .take_read()
                .unwrap_or_else(|| Read { cache: KvCache::new(&self.store), tokens: Vec::new() });
            let guesses = self.continued(pool, &mut read, sequence.history(), count)?;
            sequence.offer(guesses, read);
        }
        Ok(())
    }

    /// Up to `count` tokens that the draft would put behind `history`; none while it is still reading.
    fn continued(
        &mut self,
        pool: &Pool,
        read: &mut Read,
        history: &[u32],
        count: usize,
    ) -> Result<Vec<u32>, ComputeError> {
        // Guesses that were wrong are forgotten. The last token is read anew where all of it is there.
        let same = read.tokens.iter().zip(history).take_while(|(a, b)| a == b).count();
        let known = same.min(history.len().saturating_sub(1));
        read.tokens.truncate(known);
        read.cache.truncate(known);
        let unread = history.get(known..).unwrap_or_default();
        let piece = unread.get(..self.piece_tokens).unwrap_or(unread);
        let want = if piece.len() == unread.len() { Want::Last } else { Want::Nothing };
        self.read(pool, read, piece, want)?;
        let mut guesses = Vec::new();
        if want == Want::Nothing {
            return Ok(guesses);
        }
        loop {
            guesses.push(greatest(self.space.logits_mut().row_mut(0)));
            match guesses.last() {
                Some(last) if guesses.len() < count => self.read(pool, read, &[*last], Want::Last)?,
                _ => return Ok(guesses),
            }
        }
    }

    fn read(&mut self, pool: &Pool, read: &mut Read, tokens: &[u32], want: Want) -> Result<(), ComputeError> {
        let slot = Slot { tokens, cache: &mut read.cache, want };
        self.model.transformer.forward(pool, &mut self.space, &mut [slot])?;
        read.tokens.extend(tokens);
        Ok(())
    }
}

/// The token with the greatest logit: of equal ones, the first.
fn greatest(logits: &[f32]) -> u32 {
    let best = (0_u32..).zip(logits).max_by(|(a, x), (b, y)| x.total_cmp(y).then(b.cmp(a)));
    best.map_or(0, |(token, _)| token)
}
