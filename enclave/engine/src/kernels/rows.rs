//! Activations: a row for each token, in f32 and quantised.
//!
//! A block of 32 values has the scale s = max|v| / 127 and the integers round(v × (127 / max|v|)), ties
//! to even. A block whose greatest magnitude is below 1e-30 counts as zero. A value that is no finite
//! number makes its block's scale NaN, so that it shows in every result that it touches.

use super::float;
use super::pool::Pool;
use super::simd::{Simd, dispatched};

/// Values in a block.
pub(super) const BLOCK: usize = 32;

/// Thirty-two quantised values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C, align(16))]
pub(super) struct Block {
    /// The integers, four signed bytes to a word, little-endian.
    pub(super) quants: [i32; 8],
    pub(super) scale: f32,
    /// The sum of the integers, times the scale.
    pub(super) scaled_sum: f32,
    /// The sums of the first and of the last sixteen integers.
    pub(super) sums: [i32; 2],
}

/// Rows of equal width.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    count: usize,
    width: usize,
    values: Vec<f32>,
    blocks: Vec<Block>,
    quantized: bool,
}

impl Rows {
    /// Makes it `count` rows of `width`, of whatever values, and returns them.
    pub(crate) fn reset(&mut self, count: usize, width: usize) -> &mut [f32] {
        (self.count, self.width, self.quantized) = (count, width, false);
        self.values.resize(count * width, 0.0);
        &mut self.values
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..][..self.width]
    }

    pub(crate) fn row_mut(&mut self, index: usize) -> &mut [f32] {
        self.quantized = false;
        &mut self.values[index * self.width..][..self.width]
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        self.quantized = false;
        &mut self.values
    }

    /// A row's blocks: an even number of them, as products take them in pairs.
    pub(super) fn blocks(&self, index: usize) -> &[Block] {
        let stride = self.blocks_per_row();
        &self.blocks[index * stride..][..stride]
    }

    fn blocks_per_row(&self) -> usize {
        self.width.div_ceil(BLOCK).next_multiple_of(2)
    }

    /// Quantises what is not quantised yet.
    pub(super) fn quantize(&mut self, pool: &Pool) {
        if self.quantized {
            return;
        }
        let (stride, width, level) = (self.blocks_per_row(), self.width, pool.level());
        self.blocks.resize(self.count * stride, Block::default());
        let values = &self.values;
        pool.chunks(&mut self.blocks, stride, |row, blocks| {
            quantize_row(level, &values[row * width..][..width], blocks);
        });
        self.quantized = true;
    }
}

dispatched! {
    fn quantize_row(level, values: &[f32], blocks: &mut [Block]) = quantize_generic
}

#[inline(always)]
fn quantize_generic<S: Simd>(_simd: S, values: &[f32], blocks: &mut [Block]) {
    let (whole, rest) = values.as_chunks::<BLOCK>();
    for (block, values) in blocks.iter_mut().zip(whole) {
        *block = quantize_block(values);
    }
    if let Some(after) = blocks.get_mut(whole.len()..) {
        after.fill(Block::default());
        if let Some(block) = after.first_mut()
            && !rest.is_empty()
        {
            let mut padded = [0.0; BLOCK];
            padded[..rest.len()].copy_from_slice(rest);
            *block = quantize_block(&padded);
        }
    }
}

#[inline(always)]
fn quantize_block(values: &[f32; BLOCK]) -> Block {
    // As integers, magnitudes compare like floats, with infinity and NaN above all numbers.
    let mut greatest = 0_u32;
    for value in values {
        greatest = greatest.max(value.to_bits() & 0x7fff_ffff);
    }
    let greatest = f32::from_bits(greatest);
    if !greatest.is_finite() {
        return Block { scale: f32::NAN, scaled_sum: f32::NAN, ..Block::default() };
    }
    if greatest < MAGNITUDE_MIN {
        return Block::default();
    }
    let (scale, inverse) = (greatest / 127.0, 127.0 / greatest);
    let mut quants = [0_i32; BLOCK];
    for (quant, value) in quants.iter_mut().zip(values) {
        *quant = float::to_nearest(value * inverse);
    }
    let mut sums = [0_i32; 2];
    for (sum, half) in sums.iter_mut().zip(quants.as_chunks::<16>().0) {
        *sum = half.iter().fold(0, |sum, quant| sum.wrapping_add(*quant));
    }
    let mut words = [0_i32; 8];
    for (word, four) in words.iter_mut().zip(quants.as_chunks::<4>().0) {
        let [a, b, c, d] = *four;
        *word = (a & 0xff) | (b & 0xff) << 8 | (c & 0xff) << 16 | d << 24;
    }
    let scaled_sum = scale * sums[0].wrapping_add(sums[1]) as f32;
    Block { quants: words, scale, scaled_sum, sums }
}

const MAGNITUDE_MIN: f32 = 1e-30;
