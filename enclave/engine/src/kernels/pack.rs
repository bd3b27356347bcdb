//! From GGUF's blocks to panels, and back to values.
//!
//! A panel has sixteen rows, a lane each. Weights lie in groups of four columns: one line has four bytes
//! of every lane, so that one instruction multiplies four columns of sixteen rows. Nothing is rounded:
//! a panel holds exactly what the file holds.
//!
//! Formats: `ggml-common.h` and `ggml-quants.c` in the ggml repository.

use candle_core::quantized::GgmlDType;
use half::f16;

use super::lines::Line;
use super::matrix::Kind;

/// How a storage type is packed.
pub(super) struct Format {
    pub(super) kind: Kind,
    /// Values in a block of the file.
    pub(super) block_values: usize,
    /// Bytes in it.
    pub(super) block_bytes: usize,
    pub(super) put: Put,
}

/// Puts a block, the `index`-th of those that are packed together, into a lane.
type Put = fn(lines: &mut [Line], lane: usize, index: usize, block: &[u8]);

impl Format {
    pub(super) fn of(storage: GgmlDType) -> Option<Self> {
        let (kind, put): (_, Put) = match storage {
            GgmlDType::F32 => (Kind::Float, put_f32),
            GgmlDType::F16 => (Kind::Half, put_sixteen_bits),
            GgmlDType::BF16 => (Kind::Brain, put_sixteen_bits),
            GgmlDType::Q8_0 => (Kind::Q8, put_q8_0),
            GgmlDType::Q5_0 => (Kind::Q8, put_q5_0),
            GgmlDType::Q4_0 => (Kind::Q4, put_q4_0),
            GgmlDType::Q4K => (Kind::Q4K, put_q4_k),
            GgmlDType::Q5K => (Kind::Q5K, put_q5_k),
            GgmlDType::Q6K => (Kind::Q6K, put_q6_k),
            GgmlDType::Q3K => (Kind::Q6K, put_q3_k),
            _ => return None,
        };
        Some(Self { kind, block_values: storage.block_size(), block_bytes: storage.type_size(), put })
    }
}

fn put_f32(lines: &mut [Line], lane: usize, _index: usize, block: &[u8]) {
    lines[0].set_float(lane, f32::from_le_bytes(block.as_chunks().0[0]));
}

/// Two columns to a line.
fn put_sixteen_bits(lines: &mut [Line], lane: usize, index: usize, block: &[u8]) {
    put_scale(&mut lines[0], index, lane, block);
}

/// Stores two bytes, mostly a half-precision scale, as half 0 or 1 of a line.
fn put_scale(line: &mut Line, half: usize, lane: usize, bytes: &[u8]) {
    line.0[32 * half + 2 * lane..][..2].copy_from_slice(&bytes[..2]);
}

/// Stores 32 bytes in eight lines.
fn put_bytes(lines: &mut [Line], lane: usize, values: &[u8; 32]) {
    for (line, four) in lines.iter_mut().zip(values.as_chunks::<4>().0) {
        *line.lane_mut(lane) = *four;
    }
}

/// Stores 32 nibbles in four lines: the first sixteen values are the low ones.
#[inline(always)]
fn put_nibbles(lines: &mut [Line], lane: usize, values: &[u8; 32]) {
    let (low, high) = values.split_at(16);
    let packed: [u8; 16] = std::array::from_fn(|at| (low[at] & 0x0f) | (high[at] & 0x0f) << 4);
    for (line, four) in lines.iter_mut().zip(packed.as_chunks::<4>().0) {
        *line.lane_mut(lane) = *four;
    }
}

/// A file's block of 32 nibbles: the low ones are the first sixteen values, as in a panel.
fn nibbles_of(packed: &[u8]) -> [u8; 32] {
    std::array::from_fn(|at| if at < 16 { packed[at] & 0x0f } else { packed[at - 16] >> 4 })
}

fn put_q8_0(lines: &mut [Line], lane: usize, index: usize, block: &[u8]) {
    put_scale(&mut lines[0], index, lane, block);
    let values: [u8; 32] = std::array::from_fn(|at| block[2 + at] ^ 0x80);
    put_bytes(&mut lines[1 + 8 * index..], lane, &values);
}

fn put_q5_0(lines: &mut [Line], lane: usize, index: usize, block: &[u8]) {
    put_scale(&mut lines[0], index, lane, block);
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    let low = nibbles_of(&block[6..]);
    let values: [u8; 32] = std::array::from_fn(|at| {
        let fifth = (high >> at & 1) as u8;
        (low[at] | fifth << 4) + (128 - 16)
    });
    put_bytes(&mut lines[1 + 8 * index..], lane, &values);
}

fn put_q4_0(lines: &mut [Line], lane: usize, index: usize, block: &[u8]) {
    put_scale(&mut lines[0], index, lane, block);
    put_nibbles(&mut lines[1 + 4 * index..], lane, &nibbles_of(&block[2..]));
}

/// The eight scales and minima of Q4_K and Q5_K: six bits each in twelve bytes, as in the file.
fn put_scales_and_minima(lines: &mut [Line], lane: usize, block: &[u8]) {
    put_scale(&mut lines[0], 0, lane, block);
    put_scale(&mut lines[0], 1, lane, &block[2..]);
    for (at, byte) in block[4..16].iter().enumerate() {
        lines[1 + at / 4].0[16 * (at % 4) + lane] = *byte;
    }
}

/// Scale and minimum number `at` of eight.
fn scale_and_minimum(lines: &[Line], lane: usize, at: usize) -> (u8, u8) {
    let byte = |line: usize| lines[line].quarter(at % 4)[lane];
    if at < 4 {
        (byte(1) & 63, byte(2) & 63)
    } else {
        (byte(3) & 0x0f | byte(1) >> 6 << 4, byte(3) >> 4 | byte(2) >> 6 << 4)
    }
}

/// Thirty-two values of Q4_K and Q5_K: 64 of them share 32 bytes, the low nibbles first.
#[inline(always)]
fn k_nibbles(packed: &[u8], at: usize) -> [u8; 32] {
    let bytes = &packed[32 * (at / 2)..][..32];
    std::array::from_fn(|value| if at.is_multiple_of(2) { bytes[value] & 0x0f } else { bytes[value] >> 4 })
}

fn put_q4_k(lines: &mut [Line], lane: usize, _index: usize, block: &[u8]) {
    put_scales_and_minima(lines, lane, block);
    for at in 0..8 {
        put_nibbles(&mut lines[4 + 4 * at..], lane, &k_nibbles(&block[16..], at));
    }
}

fn put_q5_k(lines: &mut [Line], lane: usize, _index: usize, block: &[u8]) {
    put_scales_and_minima(lines, lane, block);
    let high = &block[16..48];
    for at in 0..8 {
        let (fifth, rest) = lines[4 + 5 * at..].split_at_mut(1);
        put_nibbles(rest, lane, &k_nibbles(&block[48..], at));
        for (value, high) in high.iter().enumerate() {
            // The line has a bit for each of the eight groups of four values.
            fifth[0].lane_mut(lane)[value % 4] |= (high >> at & 1) << (value / 4);
        }
    }
}

/// Six-bit values and their signed scales.
fn put_six(lines: &mut [Line], lane: usize, scale: &[u8], scales: &[u8; 16], values: &[u8; 256]) {
    put_scale(&mut lines[0], 0, lane, scale);
    for (at, scale) in scales.iter().enumerate() {
        lines[1 + at / 4].0[16 * (at % 4) + lane] = *scale;
    }
    for (at, values) in values.as_chunks::<32>().0.iter().enumerate() {
        let (high, low) = lines[5 + 6 * at..].split_at_mut(2);
        put_nibbles(low, lane, values);
        for (line, values) in high.iter_mut().zip(values.as_chunks::<16>().0) {
            // Each of the two lines has two bits for four groups of four values.
            *line.lane_mut(lane) = std::array::from_fn(|at| {
                (0..4).fold(0, |byte, group| byte | (values[4 * group + at] >> 4) << (2 * group))
            });
        }
    }
}

fn put_q6_k(lines: &mut [Line], lane: usize, _index: usize, block: &[u8]) {
    let (low, high) = (&block[..128], &block[128..192]);
    let scales = &block.as_chunks::<16>().0[12];
    let values = std::array::from_fn(|at| {
        // Halves of 128; in each, four rows of 32 share the bytes.
        let (half, row, column) = (at / 128, at % 128 / 32, at % 32);
        let nibbles = low[64 * half + 32 * (row % 2) + column];
        let nibble = if row < 2 { nibbles & 0x0f } else { nibbles >> 4 };
        nibble | (high[32 * half + column] >> (2 * row) & 3) << 4
    });
    put_six(lines, lane, &block[208..], scales, &values);
}

/// Three bits less four: as six-bit values less 32, with the same scales.
fn put_q3_k(lines: &mut [Line], lane: usize, _index: usize, block: &[u8]) {
    let (masks, low, packed) = (&block[..32], &block[32..96], &block[96..108]);
    let scales: [u8; 16] = std::array::from_fn(|at| {
        let nibble = if at < 8 { packed[at] & 0x0f } else { packed[at - 8] >> 4 };
        let high = packed[8 + at % 4] >> (2 * (at / 4)) & 3;
        (nibble | high << 4).wrapping_sub(32)
    });
    let values = std::array::from_fn(|at| {
        let (half, row, column) = (at / 128, at % 128 / 32, at % 32);
        let two = low[32 * half + column] >> (2 * row) & 3;
        let third = masks[column] >> (4 * half + row) & 1;
        (two | third << 2) + (32 - 4)
    });
    put_six(lines, lane, &block[108..], &scales, &values);
}

/// The values of one lane in what is packed together.
pub(super) fn expand(kind: Kind, lines: &[Line], lane: usize, to: &mut [f32]) {
    for (at, to) in to.chunks_mut(32).enumerate() {
        match kind {
            Kind::Float => to[0] = lines[0].floats()[lane],
            Kind::Half => to.iter_mut().enumerate().for_each(|(at, to)| *to = half_at(&lines[0], at, lane)),
            Kind::Brain => {
                for (at, to) in to.iter_mut().enumerate() {
                    let bits = u16::from_le_bytes(lines[0].half(at).as_chunks().0[lane]);
                    *to = f32::from_bits(u32::from(bits) << 16);
                }
            }
            Kind::Q8 => {
                let scale = half_at(&lines[0], at, lane);
                for (column, to) in to.iter_mut().enumerate() {
                    let byte = lines[1 + 8 * at + column / 4].lane(lane)[column % 4];
                    *to = (f32::from(byte) - 128.0) * scale;
                }
            }
            Kind::Q4 => {
                let scale = half_at(&lines[0], at, lane);
                for (column, to) in to.iter_mut().enumerate() {
                    *to = (f32::from(nibble(&lines[1 + 4 * at..], lane, column)) - 8.0) * scale;
                }
            }
            Kind::Q4K | Kind::Q5K => expand_with_minimum(kind, lines, lane, at, to),
            Kind::Q6K => {
                let scale = half_at(&lines[0], 0, lane);
                let lines_here = &lines[5 + 6 * at..];
                for (column, to) in to.iter_mut().enumerate() {
                    let number = 2 * at + column / 16;
                    let signed = lines[1 + number / 4].quarter(number % 4)[lane].cast_signed();
                    let high = lines_here[column / 16].lane(lane)[column % 4] >> (2 * (column / 4 % 4)) & 3;
                    let value = nibble(&lines_here[2..], lane, column) | high << 4;
                    *to = (f32::from(value) - 32.0) * (scale * f32::from(signed));
                }
            }
        }
    }
}

fn expand_with_minimum(kind: Kind, lines: &[Line], lane: usize, at: usize, to: &mut [f32]) {
    let (scale, minimum) = scale_and_minimum(lines, lane, at);
    let scale = half_at(&lines[0], 0, lane) * f32::from(scale);
    let minimum = half_at(&lines[0], 1, lane) * f32::from(minimum);
    for (column, to) in to.iter_mut().enumerate() {
        let value = if kind == Kind::Q4K {
            nibble(&lines[4 + 4 * at..], lane, column)
        } else {
            let lines = &lines[4 + 5 * at..];
            let fifth = lines[0].lane(lane)[column % 4] >> (column / 4) & 1;
            nibble(&lines[1..], lane, column) | fifth << 4
        };
        *to = f32::from(value) * scale - minimum;
    }
}

fn half_at(line: &Line, half: usize, lane: usize) -> f32 {
    f16::from_le_bytes(line.half(half).as_chunks().0[lane]).to_f32_const()
}

/// Value `column` of 32 in four lines of nibbles.
fn nibble(lines: &[Line], lane: usize, column: usize) -> u8 {
    let byte = lines[column % 16 / 4].lane(lane)[column % 4];
    if column < 16 { byte & 0x0f } else { byte >> 4 }
}
