//! The instructions by AVX-512 with VNNI: Zen 4, Ice Lake and later.
//!
//! What is imported as `x86` is the compiler's instructions; for the tests, which run on machines
//! without them too, it is a model of them after Intel's pseudo-code.

use super::x86::*;
use crate::kernels::LANES;
use crate::kernels::lines::Line;
use crate::kernels::simd::Simd;

/// Proof that the processor has AVX-512 F, BW, DQ, VL and VNNI.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct Avx512(());

impl Avx512 {
    pub(in crate::kernels) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        all.then_some(Self(()))
    }
}

/// Runs instructions that the token proves.
macro_rules! proven {
    ($token:expr, $body:expr) => {{
        let _: Avx512 = $token;
        // SAFETY: the instructions exist, as the token shows; where memory is read or written, it is
        // through a reference to an array of exactly the instruction's width, by an instruction that
        // asks for no alignment beyond the type's.
        unsafe { $body }
    }};
}

impl Avx512 {
    /// Sixteen bytes, a lane each.
    #[inline(always)]
    fn dwords(self, values: &[u8; LANES]) -> __m512i {
        proven!(self, _mm512_cvtepu8_epi32(_mm_loadu_si128(values.as_ptr().cast())))
    }

    #[inline(always)]
    fn dot<const N: usize>(self, weights: &[__m512i; N], values: &[i32; N]) -> __m512i {
        let mut sum = proven!(self, _mm512_setzero_si512());
        for at in 0..N {
            sum = proven!(self, _mm512_dpbusd_epi32(sum, weights[at], _mm512_set1_epi32(values[at])));
        }
        sum
    }
}

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    type B = __m512i;

    const PARTS: usize = 1;
    const TOKENS_MAX: usize = 8;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        proven!(self, _mm512_set1_ps(value))
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES], _part: usize) -> __m512 {
        proven!(self, _mm512_loadu_ps(values.as_ptr()))
    }

    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32; LANES], _part: usize) {
        proven!(self, _mm512_storeu_ps(to.as_mut_ptr(), value));
    }

    #[inline(always)]
    fn load_halves(self, values: &[u16; LANES], _part: usize) -> __m512 {
        proven!(self, _mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_half_bytes(self, bytes: &[u8; 2 * LANES], _part: usize) -> __m512 {
        proven!(self, _mm512_cvtph_ps(_mm256_loadu_si256(bytes.as_ptr().cast())))
    }

    #[inline(always)]
    fn prefetch(self, line: *const Line) {
        // A hint, which reads nothing: any address will do.
        proven!(self, _mm_prefetch::<_MM_HINT_T0>(line.cast()));
    }

    #[inline(always)]
    fn load_i8(self, values: &[u8; LANES], _part: usize) -> __m512 {
        proven!(self, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(values.as_ptr().cast()))))
    }

    #[inline(always)]
    fn load_brain_bytes(self, bytes: &[u8; 2 * LANES], _part: usize) -> __m512 {
        proven!(self, {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(bytes.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    fn load_u6(self, values: &[u8; LANES], _part: usize) -> __m512 {
        let values = self.dwords(values);
        proven!(self, _mm512_cvtepi32_ps(_mm512_and_si512(values, _mm512_set1_epi32(63))))
    }

    #[inline(always)]
    fn load_u6_split<const HIGH: bool>(
        self,
        values: &[u8; LANES],
        tops: &[u8; LANES],
        _part: usize,
    ) -> __m512 {
        let (values, tops) = (self.dwords(values), self.dwords(tops));
        proven!(self, {
            let low = if HIGH {
                _mm512_srli_epi32::<4>(values)
            } else {
                _mm512_and_si512(values, _mm512_set1_epi32(15))
            };
            // (top & 48) | low
            let top = _mm512_srli_epi32::<2>(tops);
            _mm512_cvtepi32_ps(_mm512_ternarylogic_epi64::<0xea>(top, _mm512_set1_epi32(48), low))
        })
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        proven!(self, _mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        proven!(self, _mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(self, _mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn fnma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(self, _mm512_fnmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn int_less(self, a: __m512i, value: i32) -> __m512i {
        proven!(self, _mm512_sub_epi32(a, _mm512_set1_epi32(value)))
    }

    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        proven!(self, _mm512_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn bytes(self, line: &Line, _part: usize) -> __m512i {
        proven!(self, _mm512_loadu_si512(line.0.as_ptr().cast()))
    }

    #[inline(always)]
    fn low(self, a: __m512i) -> __m512i {
        proven!(self, _mm512_and_si512(a, _mm512_set1_epi8(0x0f)))
    }

    #[inline(always)]
    fn high(self, a: __m512i) -> __m512i {
        proven!(self, _mm512_and_si512(_mm512_srli_epi16::<4>(a), _mm512_set1_epi8(0x0f)))
    }

    #[inline(always)]
    fn with_bit<const AT: i32>(self, bits: __m512i, nibbles: __m512i) -> __m512i {
        proven!(self, {
            let moved = match AT {
                0 => _mm512_slli_epi16::<4>(bits),
                1 => _mm512_slli_epi16::<3>(bits),
                2 => _mm512_slli_epi16::<2>(bits),
                3 => _mm512_slli_epi16::<1>(bits),
                4 => bits,
                5 => _mm512_srli_epi16::<1>(bits),
                6 => _mm512_srli_epi16::<2>(bits),
                _ => _mm512_srli_epi16::<3>(bits),
            };
            // (moved & 0x10) | nibbles
            _mm512_ternarylogic_epi64::<0xea>(moved, _mm512_set1_epi8(0x10), nibbles)
        })
    }

    #[inline(always)]
    fn with_pair<const AT: i32>(self, bits: __m512i, nibbles: __m512i) -> __m512i {
        proven!(self, {
            let moved = match AT {
                0 => _mm512_slli_epi16::<4>(bits),
                2 => _mm512_slli_epi16::<2>(bits),
                4 => bits,
                _ => _mm512_srli_epi16::<2>(bits),
            };
            // (moved & 0x30) | nibbles
            _mm512_ternarylogic_epi64::<0xea>(moved, _mm512_set1_epi8(0x30), nibbles)
        })
    }

    #[inline(always)]
    fn dot_four_bits(self, weights: &[__m512i; 8], values: &[i32; 8]) -> __m512i {
        self.dot(weights, values)
    }

    #[inline(always)]
    fn dot_five_bits(self, weights: &[__m512i; 8], values: &[i32; 8]) -> __m512i {
        self.dot(weights, values)
    }

    #[inline(always)]
    fn dot_six_bits(self, weights: &[__m512i; 4], values: &[i32; 4]) -> __m512i {
        self.dot(weights, values)
    }

    #[inline(always)]
    fn dot_offset(self, weights: &[__m512i; 8], values: &[i32; 8], sum: i32) -> __m512i {
        self.int_less(self.dot(weights, values), sum << 7)
    }
}
