//! One panel of sixteen rows times some tokens' activations, for each format.
//!
//! In every lane, in this order, with `w` a row's weights and `a` a token's activations: for each block
//! of 32 (of 16 for six-bit weights) in ascending order the integer `n = Σ w × a`, then
//! `sum = fma(n, weight scale × activation scale, sum)`, and for formats with a minimum
//! `sum = fma(-minimum, activation scale × Σ a, sum)`. Weight scales of superblocks are the product of
//! the superblock's scale and the block's, rounded once.

use super::dense::{Brains, Floats, Halves};
use super::lines::Line;
use super::matrix::Kind;
use super::rows::{Block, Rows};
use super::simd::Simd;

/// A panel's results for `T` tokens: sixteen lanes in one register or, by halves, in two.
pub(super) type Sums<S, const T: usize> = [[<S as Simd>::F; T]; 2];

/// The products of a panel with the `T` rows from `first` on.
#[inline(always)]
pub(super) fn product<S: Simd, const T: usize>(
    simd: S,
    kind: Kind,
    panel: &[Line],
    rows: &Rows,
    first: usize,
) -> Sums<S, T> {
    let mut sums = [[simd.splat(0.0); T]; 2];
    match kind {
        Kind::Float => super::dense::product(simd, Floats(panel), rows, first, &mut sums),
        Kind::Half => super::dense::product(simd, Halves(panel), rows, first, &mut sums),
        Kind::Brain => super::dense::product(simd, Brains(panel), rows, first, &mut sums),
        _ => quantized(simd, kind, panel, rows, first, &mut sums),
    }
    sums
}

#[inline(always)]
fn quantized<S: Simd, const T: usize>(
    simd: S,
    kind: Kind,
    panel: &[Line],
    rows: &Rows,
    first: usize,
    sums: &mut Sums<S, T>,
) {
    let tokens: [&[Block]; T] = std::array::from_fn(|token| rows.blocks(first + token));
    match kind {
        Kind::Q8 => q8(simd, panel, tokens, sums),
        Kind::Q4 => q4(simd, panel, tokens, sums),
        Kind::Q4K => q4k(simd, panel, tokens, sums),
        Kind::Q5K => q5k(simd, panel, tokens, sums),
        _ => q6k(simd, panel, tokens, sums),
    }
}

/// Asks for the lines that come so far behind these that they are there when they are needed: one
/// sequence's decoding waits for memory.
#[inline(always)]
fn ahead<S: Simd>(simd: S, lines: &[Line]) {
    for line in lines {
        simd.prefetch(std::ptr::from_ref(line).wrapping_add(AHEAD_LINES));
    }
}

/// Adds a block's integers, scaled.
#[inline(always)]
fn scaled<S: Simd>(simd: S, integers: S::I, scale: S::F, block: &Block, sum: &mut S::F) {
    let scale = simd.mul(scale, simd.splat(block.scale));
    *sum = simd.fma(simd.to_float(integers), scale, *sum);
}

/// Pairs of blocks: a line of scales, then eight lines for each block.
#[inline(always)]
fn q8<S: Simd, const T: usize>(simd: S, panel: &[Line], tokens: [&[Block]; T], sums: &mut Sums<S, T>) {
    for (pair, lines) in panel.as_chunks::<17>().0.iter().enumerate() {
        for half in 0..2 {
            ahead(simd, &lines[1 + 8 * half..][..8]);
            for part in 0..S::PARTS {
                let scale = simd.load_half_bytes(lines[0].half(half), part);
                let weights = std::array::from_fn(|at| simd.bytes(&lines[1 + 8 * half + at], part));
                for token in 0..T {
                    let block = &tokens[token][2 * pair + half];
                    let sum = block.sums[0] + block.sums[1];
                    let integers = simd.dot_offset(&weights, &block.quants, sum);
                    scaled(simd, integers, scale, block, &mut sums[part][token]);
                }
            }
        }
    }
}

/// Four lines of nibbles as eight registers of bytes: the low ones come first.
#[inline(always)]
fn nibbles<S: Simd>(simd: S, lines: &[Line; 4], part: usize) -> [S::B; 8] {
    let packed: [S::B; 4] = std::array::from_fn(|at| simd.bytes(&lines[at], part));
    std::array::from_fn(|at| if at < 4 { simd.low(packed[at]) } else { simd.high(packed[at - 4]) })
}

/// Pairs of blocks: a line of scales, then four lines for each block.
#[inline(always)]
fn q4<S: Simd, const T: usize>(simd: S, panel: &[Line], tokens: [&[Block]; T], sums: &mut Sums<S, T>) {
    for (pair, lines) in panel.as_chunks::<9>().0.iter().enumerate() {
        let (scales, packed) = (&lines[0], lines[1..].as_chunks::<4>().0);
        for half in 0..2 {
            ahead(simd, &packed[half]);
            for part in 0..S::PARTS {
                let scale = simd.load_half_bytes(scales.half(half), part);
                let weights = nibbles(simd, &packed[half], part);
                for token in 0..T {
                    let block = &tokens[token][2 * pair + half];
                    let integers = simd.dot_four_bits(&weights, &block.quants);
                    let integers = simd.int_less(integers, (block.sums[0] + block.sums[1]) << 3);
                    scaled(simd, integers, scale, block, &mut sums[part][token]);
                }
            }
        }
    }
}

/// A superblock's scale and minimum, by parts.
#[inline(always)]
fn superblock_scales<S: Simd>(simd: S, line: &Line) -> [(S::F, S::F); 2] {
    let mut scales = [(simd.splat(0.0), simd.splat(0.0)); 2];
    for (part, scales) in scales.iter_mut().enumerate().take(S::PARTS) {
        *scales = (simd.load_half_bytes(line.half(0), part), simd.load_half_bytes(line.half(1), part));
    }
    scales
}

/// A block's scale and minimum. Lines 1 and 2 have the first four scales and minima, and in their high
/// bits the upper two of the last four, whose lower ones line 3 has, the scales' below the minima's.
#[inline(always)]
fn scale_and_minimum<S: Simd>(
    simd: S,
    lines: &[Line],
    (scale, minimum): (S::F, S::F),
    block: usize,
    part: usize,
) -> (S::F, S::F) {
    let (scales, minima) = (lines[1].quarter(block % 4), lines[2].quarter(block % 4));
    let (scales, minima) = if block < 4 {
        (simd.load_u6(scales, part), simd.load_u6(minima, part))
    } else {
        let low = lines[3].quarter(block % 4);
        (simd.load_u6_split::<false>(low, scales, part), simd.load_u6_split::<true>(low, minima, part))
    };
    (simd.mul(scale, scales), simd.mul(minimum, minima))
}

/// Takes off a block's minima.
#[inline(always)]
fn less_minimum<S: Simd>(simd: S, minimum: S::F, block: &Block, sum: &mut S::F) {
    *sum = simd.fnma(minimum, simd.splat(block.scaled_sum), *sum);
}

/// Superblocks: four lines of scales and minima, then four lines for each block.
#[inline(always)]
fn q4k<S: Simd, const T: usize>(simd: S, panel: &[Line], tokens: [&[Block]; T], sums: &mut Sums<S, T>) {
    for (superblock, lines) in panel.as_chunks::<36>().0.iter().enumerate() {
        let scales = superblock_scales(simd, &lines[0]);
        for (at, packed) in lines[4..].as_chunks::<4>().0.iter().enumerate() {
            ahead(simd, packed);
            for part in 0..S::PARTS {
                let weights = nibbles(simd, packed, part);
                let (scale, minimum) = scale_and_minimum(simd, lines, scales[part], at, part);
                for token in 0..T {
                    let block = &tokens[token][8 * superblock + at];
                    let integers = simd.dot_four_bits(&weights, &block.quants);
                    scaled(simd, integers, scale, block, &mut sums[part][token]);
                    less_minimum(simd, minimum, block, &mut sums[part][token]);
                }
            }
        }
    }
}

/// As above, with a line of fifth bits before each block's four.
#[inline(always)]
fn q5k<S: Simd, const T: usize>(simd: S, panel: &[Line], tokens: [&[Block]; T], sums: &mut Sums<S, T>) {
    for (superblock, lines) in panel.as_chunks::<44>().0.iter().enumerate() {
        let scales = superblock_scales(simd, &lines[0]);
        for (at, lines_here) in lines[4..].as_chunks::<5>().0.iter().enumerate() {
            ahead(simd, lines_here);
            for part in 0..S::PARTS {
                let bits = simd.bytes(&lines_here[0], part);
                let low = nibbles(simd, &lines_here[1..].as_chunks().0[0], part);
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
                let (scale, minimum) = scale_and_minimum(simd, lines, scales[part], at, part);
                for token in 0..T {
                    let block = &tokens[token][8 * superblock + at];
                    let integers = simd.dot_five_bits(&weights, &block.quants);
                    scaled(simd, integers, scale, block, &mut sums[part][token]);
                    less_minimum(simd, minimum, block, &mut sums[part][token]);
                }
            }
        }
    }
}

/// Superblocks: a line of scales, four lines with the sixteen blocks' signed scales, then for each 32
/// weights two lines of high bits and four of low ones.
#[inline(always)]
fn q6k<S: Simd, const T: usize>(simd: S, panel: &[Line], tokens: [&[Block]; T], sums: &mut Sums<S, T>) {
    for (superblock, lines) in panel.as_chunks::<53>().0.iter().enumerate() {
        let scales = superblock_scales(simd, &lines[0]);
        for (at, lines_here) in lines[5..].as_chunks::<6>().0.iter().enumerate() {
            ahead(simd, lines_here);
            for part in 0..S::PARTS {
                let (early, late) = (simd.bytes(&lines_here[0], part), simd.bytes(&lines_here[1], part));
                let low = nibbles(simd, &lines_here[2..].as_chunks().0[0], part);
                let weights = [
                    [
                        simd.with_pair::<0>(early, low[0]),
                        simd.with_pair::<2>(early, low[1]),
                        simd.with_pair::<4>(early, low[2]),
                        simd.with_pair::<6>(early, low[3]),
                    ],
                    [
                        simd.with_pair::<0>(late, low[4]),
                        simd.with_pair::<2>(late, low[5]),
                        simd.with_pair::<4>(late, low[6]),
                        simd.with_pair::<6>(late, low[7]),
                    ],
                ];
                for (half, weights) in weights.iter().enumerate() {
                    let number = 2 * at + half;
                    let signed = simd.load_i8(lines[1 + number / 4].quarter(number % 4), part);
                    let scale = simd.mul(scales[part].0, signed);
                    for token in 0..T {
                        let block = &tokens[token][8 * superblock + at];
                        let integers = simd.dot_six_bits(weights, &block.quants.as_chunks().0[half]);
                        let integers = simd.int_less(integers, block.sums[half] << 5);
                        scaled(simd, integers, scale, block, &mut sums[part][token]);
                    }
                }
            }
        }
    }
}

/// Four kilobytes.
const AHEAD_LINES: usize = 64;
