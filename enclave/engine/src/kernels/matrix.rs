//! A weight matrix in panels.

use candle_core::quantized::GgmlDType;

use super::lines::{Line, Lines};
use super::pool::Pool;
use super::{LANES, pack};

/// How a panel's weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `f32`.
    Float,
    /// IEEE half precision.
    Half,
    /// `bfloat16`.
    Brain,
    /// Eight bits, a scale for 32: GGUF's Q8_0, and Q5_0.
    Q8,
    /// Four bits, a scale for 32: Q4_0.
    Q4,
    /// Four bits, scale and minimum for 32 in superblocks of 256: Q4_K.
    Q4K,
    /// Five bits, the same: Q5_K.
    Q5K,
    /// Six bits, a scale for 16 in superblocks of 256: Q6_K, and Q3_K.
    Q6K,
}

impl Kind {
    pub(super) fn is_quantized(self) -> bool {
        !matches!(self, Self::Float | Self::Half | Self::Brain)
    }

    /// Lines that hold `columns` columns of a panel.
    fn lines(self, columns: usize) -> usize {
        let (block, lines) = self.block();
        columns.div_ceil(block) * lines
    }

    /// Columns that are packed together, and the lines that they take.
    pub(super) fn block(self) -> (usize, usize) {
        match self {
            Self::Float => (1, 1),
            Self::Half | Self::Brain => (2, 1),
            Self::Q8 => (64, 17),
            Self::Q4 => (64, 9),
            Self::Q4K => (256, 36),
            Self::Q5K => (256, 44),
            Self::Q6K => (256, 53),
        }
    }
}

/// A matrix `[rows, columns]`. Rows beyond the last of the file fill its last panel with zeros.
pub(crate) struct Matrix {
    pub(super) kind: Kind,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) lines_per_panel: usize,
    lines: Lines,
}

impl Matrix {
    /// Packs a tensor's bytes as they are in a GGUF file. `None` for a storage type that has no packed
    /// form, or bytes that are too few.
    pub(crate) fn pack(
        pool: &Pool,
        storage: GgmlDType,
        rows: usize,
        columns: usize,
        bytes: &[u8],
    ) -> std::io::Result<Option<Self>> {
        let Some(format) = pack::Format::of(storage) else { return Ok(None) };
        let row_bytes = columns / format.block_values * format.block_bytes;
        if bytes.len() != row_bytes * rows || !columns.is_multiple_of(format.block_values) {
            return Ok(None);
        }
        let mut matrix = Self::zeroed(format.kind, rows, columns)?;
        let (block, lines_per_block) = format.kind.block();
        let lines_per_panel = matrix.lines_per_panel;
        let source_bytes = row_bytes * LANES;
        pool.chunks(matrix.lines.as_mut_slice(), lines_per_panel.max(1), |at, panel| {
            let source = &bytes[at * source_bytes..];
            for (lane, row) in source.chunks(row_bytes).take(LANES).enumerate() {
                let groups = row.chunks(block / format.block_values * format.block_bytes);
                for (lines, group) in panel.chunks_mut(lines_per_block).zip(groups) {
                    for (index, bytes) in group.chunks(format.block_bytes).enumerate() {
                        (format.put)(lines, lane, index, bytes);
                    }
                }
            }
        });
        Ok(Some(matrix))
    }

    /// Packs values, row by row.
    pub(crate) fn from_floats(rows: usize, columns: usize, values: &[f32]) -> std::io::Result<Option<Self>> {
        if values.len() != rows * columns {
            return Ok(None);
        }
        let mut matrix = Self::zeroed(Kind::Float, rows, columns)?;
        let panels = matrix.lines.as_mut_slice().chunks_mut(columns.max(1));
        for (panel, source) in panels.zip(values.chunks(columns.max(1) * LANES)) {
            for (lane, row) in source.chunks(columns.max(1)).enumerate() {
                for (line, value) in panel.iter_mut().zip(row) {
                    line.set_float(lane, *value);
                }
            }
        }
        Ok(Some(matrix))
    }

    fn zeroed(kind: Kind, rows: usize, columns: usize) -> std::io::Result<Self> {
        let lines_per_panel = kind.lines(columns);
        let lines = Lines::zeroed(lines_per_panel * rows.div_ceil(LANES))?;
        Ok(Self { kind, rows, columns, lines_per_panel, lines })
    }

    /// A row's values.
    pub(crate) fn row(&self, index: usize, to: &mut [f32]) {
        let panel = self.panel(index / LANES);
        let (block, lines_per_block) = self.kind.block();
        for (to, lines) in to[..self.columns].chunks_mut(block).zip(panel.chunks(lines_per_block)) {
            pack::expand(self.kind, lines, index % LANES, to);
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.lines.as_slice())
    }

    pub(super) fn panels(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    pub(super) fn panel(&self, index: usize) -> &[Line] {
        &self.lines.as_slice()[index * self.lines_per_panel..][..self.lines_per_panel]
    }
}
