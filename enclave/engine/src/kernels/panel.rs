//! One panel of sixteen rows times some tokens' activations, for each format.
//!
//! In every lane, in this order, with `w` a row's weights and `a` a token's activations: for each block
//! of 32 (of 16 for six-bit weights) in ascending order the integer `n = Σ w × a`, then
//! `sum = fma(n, weight scale × activation scale, sum)`, and for formats with a minimum
//! `sum = fma(-minimum, activation scale × Σ a, sum)`. Weight scales of superblocks are the product of
//! the superblock's scale and the block's, rounded once.

use super::lines::Line;
use super::matrix::Kind;
use super::rows::{Block, Rows};
use super::simd::Simd;

/// The products of a panel with the `T` rows from `first` on.
#[inline(always)]
pub(super) fn product<S: Simd, const T: usize>(
    simd: S,
    kind: Kind,
    panel: &[Line],
    rows: &Rows,
    first: usize,
) -> [S::F; T] {
    match kind {
        Kind::Float => super::dense::product(simd, panel, rows, first),
        Kind::Q8 => q8(simd, panel, tokens(rows, first)),
        Kind::Q4 => q4(simd, panel, tokens(rows, first)),
        Kind::Q4K => q4k(simd, panel, tokens(rows, first)),
        Kind::Q5K => q5k(simd, panel, tokens(rows, first)),
        Kind::Q6K => q6k(simd, panel, tokens(rows, first)),
    }
}

#[inline(always)]
fn tokens<const T: usize>(rows: &Rows, first: usize) -> [&[Block]; T] {
    std::array::from_fn(|token| rows.blocks(first + token))
}

/// Pairs of blocks: a line of scales, then eight lines for each block.
#[inline(always)]
fn q8<S: Simd, const T: usize>(simd: S, panel: &[Line], tokens: [&[Block]; T]) -> [S::F; T] {
    let mut sums = [simd.splat(0.0); T];
    for (pair, lines) in panel.as_chunks::<17>().0.iter().enumerate() {
        for half in 0..2 {
            let scale = simd.load_half_bytes(lines[0].half(half));
            let weights: [S::B; 8] = std::array::from_fn(|at| simd.bytes(&lines[1 + 8 * half + at]));
            for token in 0..T {
                let block = &tokens[token][2 * pair + half];
                let mut sum = simd.int_zero();
                for at in 0..8 {
                    sum = simd.dot_offset(sum, weights[at], block.quants[at]);
                }
                let sum = simd.offset_done(sum, block.sums[0] + block.sums[1]);
                let scale = simd.mul(scale, simd.splat(block.scale));
                sums[token] = simd.fma(simd.to_float(sum), scale, sums[token]);
            }
        }
    }
    sums
}

/// Four lines of nibbles as eight of bytes: the low ones come first.
#[inline(always)]
fn nibbles<S: Simd>(simd: S, lines: &[Line; 4]) -> [S::B; 8] {
    let packed: [S::B; 4] = std::array::from_fn(|at| simd.bytes(&lines[at]));
    std::array::from_fn(|at| if at < 4 { simd.low(packed[at]) } else { simd.high(packed[at - 4]) })
}

#[inline(always)]
fn dot<S: Simd>(simd: S, weights: &[S::B; 8], block: &Block) -> S::I {
    let mut sum = simd.int_zero();
    for at in 0..8 {
        sum = simd.dot(sum, weights[at], block.quants[at]);
    }
    sum
}

/// Pairs of blocks: a line of scales, then four lines for each block.
#[inline(always)]
fn q4<S: Simd, const T: usize>(simd: S, panel: &[Line], tokens: [&[Block]; T]) -> [S::F; T] {
    let mut sums = [simd.splat(0.0); T];
    for (pair, lines) in panel.as_chunks::<9>().0.iter().enumerate() {
        let (scales, packed) = (&lines[0], lines[1..].as_chunks::<4>().0);
        for half in 0..2 {
            let scale = simd.load_half_bytes(scales.half(half));
            let weights = nibbles(simd, &packed[half]);
            for token in 0..T {
                let block = &tokens[token][2 * pair + half];
                let sum = simd.int_less(dot(simd, &weights, block), (block.sums[0] + block.sums[1]) << 3);
                let scale = simd.mul(scale, simd.splat(block.scale));
                sums[token] = simd.fma(simd.to_float(sum), scale, sums[token]);
            }
        }
    }
    sums
}

/// A block of a superblock with scales and minima.
#[inline(always)]
fn scaled_block<S: Simd, const T: usize>(
    simd: S,
    weights: &[S::B; 8],
    (scale, minimum): (S::F, S::F),
    tokens: &[&[Block]; T],
    at: usize,
    sums: &mut [S::F; T],
) {
    for token in 0..T {
        let block = &tokens[token][at];
        let sum = simd.to_float(dot(simd, weights, block));
        let scale = simd.mul(scale, simd.splat(block.scale));
        let with = simd.fma(sum, scale, sums[token]);
        sums[token] = simd.fnma(minimum, simd.splat(block.scaled_sum), with);
    }
}

/// A block's scale and minimum: lines 1 and 2 have the eight scales, 3 and 4 the minima.
#[inline(always)]
fn scale_and_minimum<S: Simd>(simd: S, lines: &[Line], block: usize) -> (S::F, S::F) {
    let (scale, minimum) = (simd.load_half_bytes(lines[0].half(0)), simd.load_half_bytes(lines[0].half(1)));
    (
        simd.mul(scale, simd.load_u8(lines[1 + block / 4].quarter(block % 4))),
        simd.mul(minimum, simd.load_u8(lines[3 + block / 4].quarter(block % 4))),
    )
}

/// Superblocks: five lines of scales and minima, then four lines for each block.
#[inline(always)]
fn q4k<S: Simd, const T: usize>(simd: S, panel: &[Line], tokens: [&[Block]; T]) -> [S::F; T] {
    let mut sums = [simd.splat(0.0); T];
    for (superblock, lines) in panel.as_chunks::<37>().0.iter().enumerate() {
        for (at, packed) in lines[5..].as_chunks::<4>().0.iter().enumerate() {
            let weights = nibbles(simd, packed);
            let scales = scale_and_minimum(simd, lines, at);
            scaled_block(simd, &weights, scales, &tokens, 8 * superblock + at, &mut sums);
        }
    }
    sums
}

/// As above, with a line of fifth bits before each block's four.
#[inline(always)]
fn q5k<S: Simd, const T: usize>(simd: S, panel: &[Line], tokens: [&[Block]; T]) -> [S::F; T] {
    let mut sums = [simd.splat(0.0); T];
    for (superblock, lines) in panel.as_chunks::<45>().0.iter().enumerate() {
        for (at, [fifth, a, b, c, d]) in lines[5..].as_chunks::<5>().0.iter().enumerate() {
            let bits = simd.bytes(fifth);
            let low = nibbles(simd, &[*a, *b, *c, *d]);
            let weights = [
                simd.with_bit::<0>(bits, low[0]),
                simd.with_bit::<1>(bits, low[1]),
                simd.with_bit::<2>(bits, low[2]),
                simd.with_bit::<3>(bits, low[3]),
                simd.with_bit::<4>(bits, low[4]),
                simd.with_bit::<5>(bits, low[5]),
                simd.with_bit::<6>(bits, low[6]),
                simd.with_bit::<7>(bits, low[7]),
            ];
            let scales = scale_and_minimum(simd, lines, at);
            scaled_block(simd, &weights, scales, &tokens, 8 * superblock + at, &mut sums);
        }
    }
    sums
}

/// Superblocks: a line of scales, four lines with the sixteen blocks' signed scales, then for each 32
/// weights two lines of high bits and four of low ones.
#[inline(always)]
fn q6k<S: Simd, const T: usize>(simd: S, panel: &[Line], tokens: [&[Block]; T]) -> [S::F; T] {
    let mut sums = [simd.splat(0.0); T];
    for (superblock, lines) in panel.as_chunks::<53>().0.iter().enumerate() {
        let scale = simd.load_half_bytes(lines[0].half(0));
        for (at, [e, f, a, b, c, d]) in lines[5..].as_chunks::<6>().0.iter().enumerate() {
            let (early, late) = (simd.bytes(e), simd.bytes(f));
            let low = nibbles(simd, &[*a, *b, *c, *d]);
            let weights = [
                simd.with_pair::<0>(early, low[0]),
                simd.with_pair::<2>(early, low[1]),
                simd.with_pair::<4>(early, low[2]),
                simd.with_pair::<6>(early, low[3]),
                simd.with_pair::<0>(late, low[4]),
                simd.with_pair::<2>(late, low[5]),
                simd.with_pair::<4>(late, low[6]),
                simd.with_pair::<6>(late, low[7]),
            ];
            for half in 0..2 {
                let number = 2 * at + half;
                let signed = simd.load_i8(lines[1 + number / 4].quarter(number % 4));
                let scale = simd.mul(scale, signed);
                for token in 0..T {
                    let block = &tokens[token][8 * superblock + at];
                    let mut sum = simd.int_zero();
                    for at in 4 * half..4 * half + 4 {
                        sum = simd.dot(sum, weights[at], block.quants[at]);
                    }
                    let sum = simd.int_less(sum, block.sums[half] << 5);
                    let scale = simd.mul(scale, simd.splat(block.scale));
                    sums[token] = simd.fma(simd.to_float(sum), scale, sums[token]);
                }
            }
        }
    }
    sums
}
