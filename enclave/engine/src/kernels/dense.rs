//! Panels of floats: a line for each column in single precision, for two columns in 16 bits.
//!
//! In every lane four sums, of the columns that leave 0, 1, 2 and 3 when divided by 4, each in ascending
//! order by fused multiply-add; then (first + second) + (third + fourth). Numbers of 16 bits are exact as
//! `f32`, so what they are stored as changes no result.

use super::lines::Line;
use super::panel::Sums;
use super::rows::Rows;
use super::simd::Simd;

/// A panel's weights, column by column.
pub(super) trait Columns: Copy {
    fn weights<S: Simd>(self, simd: S, column: usize, part: usize) -> S::F;
}

/// Single precision.
#[derive(Clone, Copy)]
pub(super) struct Floats<'a>(pub(super) &'a [Line]);

/// IEEE half precision.
#[derive(Clone, Copy)]
pub(super) struct Halves<'a>(pub(super) &'a [Line]);

/// `bfloat16`.
#[derive(Clone, Copy)]
pub(super) struct Brains<'a>(pub(super) &'a [Line]);

impl Columns for Floats<'_> {
    #[inline(always)]
    fn weights<S: Simd>(self, simd: S, column: usize, part: usize) -> S::F {
        simd.load(self.0[column].floats(), part)
    }
}

impl Columns for Halves<'_> {
    #[inline(always)]
    fn weights<S: Simd>(self, simd: S, column: usize, part: usize) -> S::F {
        simd.load_half_bytes(self.0[column / 2].half(column % 2), part)
    }
}

impl Columns for Brains<'_> {
    #[inline(always)]
    fn weights<S: Simd>(self, simd: S, column: usize, part: usize) -> S::F {
        simd.load_brain_bytes(self.0[column / 2].half(column % 2), part)
    }
}

/// The products of a panel with the `T` rows from `first` on.
#[inline(always)]
pub(super) fn product<S: Simd, C: Columns, const T: usize>(
    simd: S,
    panel: C,
    rows: &Rows,
    first: usize,
    results: &mut Sums<S, T>,
) {
    // Four sums for each token: more than two tokens at a time would not stay in registers.
    let mut token = 0;
    while token < T {
        if T - token >= 2 {
            some::<S, C, 2, T>(simd, panel, rows, (first, token), results);
            token += 2;
        } else {
            some::<S, C, 1, T>(simd, panel, rows, (first, token), results);
            token += 1;
        }
    }
}

#[inline(always)]
fn some<S: Simd, C: Columns, const N: usize, const T: usize>(
    simd: S,
    panel: C,
    rows: &Rows,
    (first, token): (usize, usize),
    results: &mut Sums<S, T>,
) {
    let tokens: [&[f32]; N] = std::array::from_fn(|at| rows.row(first + token + at));
    let columns = rows.width();
    let whole = columns / 4 * 4;
    for part in 0..S::PARTS {
        let mut sums = [[simd.splat(0.0); 4]; N];
        let mut column = 0;
        while column < whole {
            let values: [&[f32; 4]; N] = tokens.map(|values| &values[column..].as_chunks().0[0]);
            for at in 0..4 {
                let weights = panel.weights(simd, column + at, part);
                for token in 0..N {
                    sums[token][at] = simd.fma(weights, simd.splat(values[token][at]), sums[token][at]);
                }
            }
            column += 4;
        }
        for column in whole..columns {
            let weights = panel.weights(simd, column, part);
            for (sums, values) in sums.iter_mut().zip(tokens) {
                let at = column - whole;
                sums[at] = simd.fma(weights, simd.splat(values[column]), sums[at]);
            }
        }
        for (at, [a, b, c, d]) in sums.into_iter().enumerate() {
            results[part][token + at] = simd.add(simd.add(a, b), simd.add(c, d));
        }
    }
}
