//! Matrix products: panels shared among threads, tokens in tiles.

use super::matrix::Matrix;
use super::pool::{Pool, Shareable};
use super::rows::Rows;
use super::simd::{Simd, dispatched};
use super::{LANES, panel};

/// A product to be computed: `output = rows × matrixᵀ`.
pub(crate) struct Product<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) output: &'a mut Rows,
}

/// Computes products of the same rows with several matrices, all threads together.
///
/// # Panics
/// Where a matrix does not have as many columns as the rows are wide.
pub(crate) fn products<const N: usize>(pool: &Pool, rows: &mut Rows, products: [Product<'_>; N]) {
    let count = rows.count();
    if products.iter().any(|product| product.matrix.kind.is_quantized()) {
        rows.quantize(pool);
    }
    let rows = &*rows;
    let mut pieces = 0;
    let tasks = products.map(|Product { matrix, output }| {
        assert_eq!(matrix.columns, rows.width(), "rows of another width than the matrix");
        let output = output.reset(count, matrix.rows);
        let columns = Columns {
            start: Shareable::new(output.as_mut_ptr()),
            length: output.len(),
            rows: count,
            stride: matrix.rows,
        };
        let panels = panels_per_piece(matrix, pool.threads());
        let first = pieces;
        pieces += matrix.panels().div_ceil(panels);
        (matrix, columns, panels, first)
    });
    let level = pool.level();
    pool.pieces(pieces, &|piece| {
        let Some((matrix, columns, panels, first)) = tasks.iter().rev().find(|task| piece >= task.3) else {
            return;
        };
        let start = (piece - first) * panels;
        let end = (start + panels).min(matrix.panels());
        for at in start..end {
            multiply(level, matrix, rows, columns, at);
        }
    });
}

/// Enough for a thread to read some tens of kilobytes, and several pieces for each thread.
fn panels_per_piece(matrix: &Matrix, threads: usize) -> usize {
    let by_size = PIECE_LINES_MIN.div_ceil(matrix.lines_per_panel.max(1));
    let by_share = matrix.panels() / (threads * 4).max(1);
    by_size.min(by_share).max(1)
}

/// A matrix of results `[rows, stride]`, of which threads write different columns at the same time.
struct Columns {
    start: Shareable<f32>,
    length: usize,
    rows: usize,
    stride: usize,
}

impl Columns {
    /// Writes a panel's results for one row; what is beyond the last column is dropped.
    ///
    /// # Safety
    /// No two threads write the same panel at the same time, and nobody reads meanwhile.
    unsafe fn write(&self, row: usize, panel: usize, values: &[f32; LANES]) {
        let column = panel * LANES;
        let count = LANES.min(self.stride - column);
        let from = row * self.stride + column;
        assert!(row < self.rows && from + count <= self.length, "a result outside the output");
        // SAFETY: within the output, as just checked; the output stays exclusively borrowed while
        // `products` runs, and a panel's columns belong to one thread.
        let to = unsafe { std::slice::from_raw_parts_mut(self.start.get().add(from), count) };
        to.copy_from_slice(&values[..count]);
    }
}

dispatched! {
    fn multiply(level, matrix: &Matrix, rows: &Rows, columns: &Columns, at: usize) = multiply_generic
}

/// One panel times all rows.
#[inline(always)]
fn multiply_generic<S: Simd>(simd: S, matrix: &Matrix, rows: &Rows, columns: &Columns, at: usize) {
    let mut row = 0;
    while row < rows.count() {
        let left = rows.count() - row;
        if S::TOKENS_MAX >= 8 && left >= 8 {
            tile::<S, 8>(simd, matrix, rows, columns, (at, row));
            row += 8;
        } else if S::TOKENS_MAX >= 4 && left >= 4 {
            tile::<S, 4>(simd, matrix, rows, columns, (at, row));
            row += 4;
        } else if left >= 2 {
            tile::<S, 2>(simd, matrix, rows, columns, (at, row));
            row += 2;
        } else {
            tile::<S, 1>(simd, matrix, rows, columns, (at, row));
            row += 1;
        }
    }
}

#[inline(always)]
fn tile<S: Simd, const T: usize>(
    simd: S,
    matrix: &Matrix,
    rows: &Rows,
    columns: &Columns,
    (at, row): (usize, usize),
) {
    let results = panel::product::<S, T>(simd, matrix.kind, matrix.panel(at), rows, row);
    for token in 0..T {
        let mut values = [0.0; LANES];
        for (part, results) in results.iter().take(S::PARTS).enumerate() {
            simd.store(results[token], &mut values, part);
        }
        // SAFETY: a panel belongs to one piece of work, and a piece to one thread.
        unsafe { columns.write(row + token, at, &values) };
    }
}

const PIECE_LINES_MIN: usize = 1024;
