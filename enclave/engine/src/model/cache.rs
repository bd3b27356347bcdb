//! The keys and values of one sequence.

use candle_core::{DType, Device, Result, Tensor};

use super::config::Config;

/// Grows in blocks up to its capacity; each sequence has its own.
pub(crate) struct KvCache {
    layers: Vec<LayerCache>,
    length: usize,
    capacity: usize,
}

struct LayerCache {
    /// `[heads, allocated positions, head width]`
    keys: Tensor,
    values: Tensor,
}

impl KvCache {
    /// An empty cache for at most `capacity` positions.
    pub(crate) fn new(config: &Config, capacity: usize) -> Result<Self> {
        let allocated = capacity.min(BLOCK_POSITIONS);
        let empty =
            || Tensor::zeros((config.heads_kv, allocated, config.head_width), DType::F32, &Device::Cpu);
        let layers = (0..config.layers)
            .map(|_| Ok(LayerCache { keys: empty()?, values: empty()? }))
            .collect::<Result<_>>()?;
        Ok(Self { layers, length: 0, capacity })
    }

    /// Positions held.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Appends the new positions' keys and values (`[heads, n, head width]`) to a layer and returns
    /// all of that layer's. [`Self::advance`] follows after the last layer.
    pub(crate) fn append(
        &mut self,
        layer: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let (start, capacity) = (self.length, self.capacity);
        let Some(cache) = self.layers.get_mut(layer) else {
            candle_core::bail!("layer {layer} has no cache")
        };
        let total = start.saturating_add(keys.dim(1)?);
        if total > capacity {
            candle_core::bail!("{total} positions do not fit a cache of {capacity}")
        }
        cache.grow(start, total, capacity)?;
        cache.keys.slice_set(keys, 1, start)?;
        cache.values.slice_set(values, 1, start)?;
        Ok((cache.keys.narrow(1, 0, total)?, cache.values.narrow(1, 0, total)?))
    }

    /// Notes that every layer has `count` more positions.
    pub(crate) fn advance(&mut self, count: usize) {
        self.length = self.length.saturating_add(count);
    }
}

impl LayerCache {
    fn grow(&mut self, length: usize, needed: usize, capacity: usize) -> Result<()> {
        let (heads, allocated, width) = self.keys.dims3()?;
        if needed <= allocated {
            return Ok(());
        }
        // Doubling keeps the copying linear in the sequence's length.
        let target = allocated.saturating_mul(2).max(needed.next_multiple_of(BLOCK_POSITIONS)).min(capacity);
        for tensor in [&mut self.keys, &mut self.values] {
            let grown = Tensor::zeros((heads, target, width), DType::F32, &Device::Cpu)?;
            if length > 0 {
                grown.slice_set(&tensor.narrow(1, 0, length)?.contiguous()?, 1, 0)?;
            }
            *tensor = grown;
        }
        Ok(())
    }
}

/// Positions that are allocated at a time.
const BLOCK_POSITIONS: usize = 256;
