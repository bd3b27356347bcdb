//! The instructions in plain Rust: what the others are held against, and what other processors run.

use half::f16;

use super::LANES;
use super::lines::Line;
use super::simd::Simd;

/// Needs nothing of the processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar;

fn map2(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

/// Every lane's bytes, less `offset`, times the signed bytes of `values`.
fn dot(weights: &[[u8; 64]], values: &[i32], offset: i32) -> [i32; LANES] {
    let mut sums = [0; LANES];
    for (weights, values) in weights.iter().zip(values) {
        let values = values.to_le_bytes().map(|value| i32::from(value.cast_signed()));
        for (sum, four) in sums.iter_mut().zip(weights.as_chunks::<4>().0) {
            for (weight, value) in four.iter().zip(values) {
                *sum += (i32::from(*weight) - offset) * value;
            }
        }
    }
    sums
}

impl Simd for Scalar {
    type F = [f32; LANES];
    type I = [i32; LANES];
    type B = [u8; 64];

    const PARTS: usize = 1;
    const TOKENS_MAX: usize = 4;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES], _part: usize) -> Self::F {
        *values
    }

    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES], _part: usize) {
        *to = value;
    }

    #[inline(always)]
    fn load_halves(self, values: &[u16; LANES], _part: usize) -> Self::F {
        values.map(|value| f16::from_bits(value).to_f32_const())
    }

    #[inline(always)]
    fn load_half_bytes(self, bytes: &[u8; 2 * LANES], _part: usize) -> Self::F {
        let (pairs, _) = bytes.as_chunks();
        std::array::from_fn(|lane| f16::from_le_bytes(pairs[lane]).to_f32_const())
    }

    #[inline(always)]
    fn prefetch(self, _line: *const Line) {}

    #[inline(always)]
    fn load_i8(self, values: &[u8; LANES], _part: usize) -> Self::F {
        values.map(|value| f32::from(value.cast_signed()))
    }

    #[inline(always)]
    fn load_brain_bytes(self, bytes: &[u8; 2 * LANES], _part: usize) -> Self::F {
        let (pairs, _) = bytes.as_chunks();
        std::array::from_fn(|lane| f32::from_bits(u32::from(u16::from_le_bytes(pairs[lane])) << 16))
    }

    #[inline(always)]
    fn load_u6(self, values: &[u8; LANES], _part: usize) -> Self::F {
        values.map(|value| f32::from(value & 63))
    }

    #[inline(always)]
    fn load_u6_split<const HIGH: bool>(
        self,
        values: &[u8; LANES],
        tops: &[u8; LANES],
        _part: usize,
    ) -> Self::F {
        std::array::from_fn(|lane| {
            let low = if HIGH { values[lane] >> 4 } else { values[lane] & 0x0f };
            f32::from(low | tops[lane] >> 6 << 4)
        })
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        map2(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        map2(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        std::array::from_fn(|lane| (-a[lane]).mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    fn int_less(self, a: Self::I, value: i32) -> Self::I {
        a.map(|lane| lane.wrapping_sub(value))
    }

    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        a.map(|lane| lane as f32)
    }

    #[inline(always)]
    fn bytes(self, line: &Line, _part: usize) -> Self::B {
        line.0
    }

    #[inline(always)]
    fn low(self, a: Self::B) -> Self::B {
        a.map(|byte| byte & 0x0f)
    }

    #[inline(always)]
    fn high(self, a: Self::B) -> Self::B {
        a.map(|byte| byte >> 4)
    }

    #[inline(always)]
    fn with_bit<const AT: i32>(self, bits: Self::B, nibbles: Self::B) -> Self::B {
        std::array::from_fn(|at| nibbles[at] | (((bits[at] >> AT) & 1) << 4))
    }

    #[inline(always)]
    fn with_pair<const AT: i32>(self, bits: Self::B, nibbles: Self::B) -> Self::B {
        std::array::from_fn(|at| nibbles[at] | (((bits[at] >> AT) & 3) << 4))
    }

    #[inline(always)]
    fn dot_four_bits(self, weights: &[Self::B; 8], values: &[i32; 8]) -> Self::I {
        dot(weights, values, 0)
    }

    #[inline(always)]
    fn dot_five_bits(self, weights: &[Self::B; 8], values: &[i32; 8]) -> Self::I {
        dot(weights, values, 0)
    }

    #[inline(always)]
    fn dot_six_bits(self, weights: &[Self::B; 4], values: &[i32; 4]) -> Self::I {
        dot(weights, values, 0)
    }

    #[inline(always)]
    fn dot_offset(self, weights: &[Self::B; 8], values: &[i32; 8], _sum: i32) -> Self::I {
        dot(weights, values, 128)
    }
}
