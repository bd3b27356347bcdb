//! Panels of `f32`: a line for each column.
//!
//! In every lane four sums, of the columns that leave 0, 1, 2 and 3 when divided by 4, each in ascending
//! order by fused multiply-add; then (first + second) + (third + fourth).

use super::lines::Line;
use super::panel::Sums;
use super::rows::Rows;
use super::simd::Simd;

/// The products of a panel with the `T` rows from `first` on.
#[inline(always)]
pub(super) fn product<S: Simd, const T: usize>(
    simd: S,
    panel: &[Line],
    rows: &Rows,
    first: usize,
    results: &mut Sums<S, T>,
) {
    let tokens: [&[f32]; T] = std::array::from_fn(|token| &rows.row(first + token)[..panel.len()]);
    for part in 0..S::PARTS {
        let mut sums = [[simd.splat(0.0); 4]; T];
        let (fours, rest) = panel.as_chunks::<4>();
        for (four, lines) in fours.iter().enumerate() {
            for (at, line) in lines.iter().enumerate() {
                let weights = simd.load(line.floats(), part);
                for token in 0..T {
                    let value = simd.splat(tokens[token][4 * four + at]);
                    sums[token][at] = simd.fma(weights, value, sums[token][at]);
                }
            }
        }
        for (at, line) in rest.iter().enumerate() {
            let weights = simd.load(line.floats(), part);
            for token in 0..T {
                let value = simd.splat(tokens[token][4 * fours.len() + at]);
                sums[token][at] = simd.fma(weights, value, sums[token][at]);
            }
        }
        results[part] = sums.map(|[a, b, c, d]| simd.add(simd.add(a, b), simd.add(c, d)));
    }
}
