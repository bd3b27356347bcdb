//! The keys and values of sequences: blocks from a store with a fixed budget.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::Config;
use crate::ComputeError;
use crate::kernels::{KvBlock, KvShape, POSITIONS_PER_BLOCK};

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KvPrecision {
    /// IEEE half precision.
    #[default]
    Half,
    /// Single precision: twice the memory, for comparison with other implementations.
    Single,
}

/// All blocks that there may be. Blocks are made when they are first needed and kept from then on; one
/// that comes back is cleared before anybody else has it.
pub(crate) struct KvStore {
    shape: KvShape,
    blocks_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    free: Vec<KvBlock>,
    /// Blocks that exist, free or not.
    made: usize,
}

impl KvStore {
    /// For `positions` in all, divided among at most `sequences`.
    pub(crate) fn new(config: &Config, positions: usize, sequences: usize, precision: KvPrecision) -> Self {
        let shape = KvShape {
            layers: config.layers,
            heads: config.heads_kv,
            width: config.head_width,
            full_precision: precision == KvPrecision::Single,
        };
        // Each sequence's last block may be begun only.
        let blocks_max = positions.div_ceil(POSITIONS_PER_BLOCK).saturating_add(sequences);
        Self { shape, blocks_max, state: Mutex::default() }
    }

    /// Bytes that all blocks have together.
    pub(crate) fn bytes_max(&self) -> usize {
        self.shape.block_bytes().saturating_mul(self.blocks_max)
    }

    fn take(&self) -> Result<KvBlock, ComputeError> {
        let mut state = self.lock();
        if let Some(block) = state.free.pop() {
            return Ok(block);
        }
        if state.made >= self.blocks_max {
            return Err(ComputeError::new("the key-value budget is spent"));
        }
        let block =
            KvBlock::new(self.shape).ok_or_else(|| ComputeError::new("no memory for keys and values"))?;
        state.made = state.made.saturating_add(1);
        Ok(block)
    }

    fn give_back(&self, mut blocks: Vec<KvBlock>) {
        blocks.iter_mut().for_each(KvBlock::clear);
        self.lock().free.append(&mut blocks);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock with the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One sequence's keys and values.
pub(crate) struct KvCache {
    store: Arc<KvStore>,
    blocks: Vec<KvBlock>,
    length: usize,
}

impl KvCache {
    pub(crate) fn new(store: &Arc<KvStore>) -> Self {
        Self { store: Arc::clone(store), blocks: Vec::new(), length: 0 }
    }

    /// Positions held.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The blocks, from position 0 on.
    pub(super) fn blocks(&self) -> &[KvBlock] {
        &self.blocks
    }

    /// Makes room for `count` more positions.
    pub(super) fn make_room(&mut self, count: usize) -> Result<(), ComputeError> {
        let needed = self.length.saturating_add(count).div_ceil(POSITIONS_PER_BLOCK);
        while self.blocks.len() < needed {
            self.blocks.push(self.store.take()?);
        }
        Ok(())
    }

    /// Stores a position's key and value, for which [`Self::make_room`] made room.
    pub(super) fn store(&mut self, layer: usize, head: usize, position: usize, key: &[f32], value: &[f32]) {
        let (block, within) = (
            position.checked_div(POSITIONS_PER_BLOCK).unwrap_or(0),
            position.checked_rem(POSITIONS_PER_BLOCK).unwrap_or(0),
        );
        if let Some(block) = self.blocks.get_mut(block) {
            block.store(layer, head, within, key, value);
        }
    }

    /// Leaves an empty one.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self::new(&self.store);
        std::mem::replace(self, empty)
    }

    /// Forgets all positions from `length` on.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
        let needed = self.length.div_ceil(POSITIONS_PER_BLOCK);
        if needed < self.blocks.len() {
            self.store.give_back(self.blocks.split_off(needed));
        }
    }

    /// Positions that its blocks could hold.
    pub(crate) fn capacity(&self) -> usize {
        self.blocks.len().saturating_mul(POSITIONS_PER_BLOCK)
    }

    /// Notes that every layer has `count` more positions.
    pub(super) fn advance(&mut self, count: usize) {
        self.length = self.length.saturating_add(count);
    }
}

impl Drop for KvCache {
    fn drop(&mut self) {
        self.store.give_back(std::mem::take(&mut self.blocks));
    }
}
