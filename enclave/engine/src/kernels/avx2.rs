//! The instructions by AVX2, FMA and F16C: every x86-64 server processor since 2015, Zen 3 among them.

use core::arch::x86_64::*;

use super::LANES;
use super::lines::Line;
use super::simd::Simd;

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        all.then_some(Self(()))
    }
}

/// Runs instructions that the token proves.
macro_rules! proven {
    ($token:expr, $body:expr) => {{
        let _: Avx2 = $token;
        // SAFETY: the instructions exist, as the token shows; where memory is read or written, it is
        // within the array that a reference shows, by an instruction that asks for no alignment.
        unsafe { $body }
    }};
}

/// Does the same to both halves.
macro_rules! halves {
    ($token:expr, |$at:ident| $body:expr) => {
        proven!(
            $token,
            [
                {
                    let $at = 0;
                    $body
                },
                {
                    let $at = 1;
                    $body
                }
            ]
        )
    };
}

impl Simd for Avx2 {
    type F = [__m256; 2];
    type I = [__m256i; 2];
    type B = [__m256i; 2];

    const TOKENS_MAX: usize = 2;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        proven!(self, [_mm256_set1_ps(value); 2])
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> Self::F {
        halves!(self, |at| _mm256_loadu_ps(values.as_ptr().add(8 * at)))
    }

    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES]) {
        halves!(self, |at| _mm256_storeu_ps(to.as_mut_ptr().add(8 * at), value[at]));
    }

    #[inline(always)]
    fn load_halves(self, values: &[u16; LANES]) -> Self::F {
        halves!(self, |at| _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().add(8 * at).cast())))
    }

    #[inline(always)]
    fn load_half_bytes(self, bytes: &[u8; 2 * LANES]) -> Self::F {
        halves!(self, |at| _mm256_cvtph_ps(_mm_loadu_si128(bytes.as_ptr().add(16 * at).cast())))
    }

    #[inline(always)]
    fn load_u8(self, values: &[u8; LANES]) -> Self::F {
        halves!(self, |at| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(
            values.as_ptr().add(8 * at).cast()
        ))))
    }

    #[inline(always)]
    fn load_i8(self, values: &[u8; LANES]) -> Self::F {
        halves!(self, |at| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(
            values.as_ptr().add(8 * at).cast()
        ))))
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        halves!(self, |at| _mm256_add_ps(a[at], b[at]))
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        halves!(self, |at| _mm256_mul_ps(a[at], b[at]))
    }

    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        halves!(self, |at| _mm256_fmadd_ps(a[at], b[at], c[at]))
    }

    #[inline(always)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        halves!(self, |at| _mm256_fnmadd_ps(a[at], b[at], c[at]))
    }

    #[inline(always)]
    fn int_zero(self) -> Self::I {
        proven!(self, [_mm256_setzero_si256(); 2])
    }

    #[inline(always)]
    fn int_less(self, a: Self::I, value: i32) -> Self::I {
        halves!(self, |at| _mm256_sub_epi32(a[at], _mm256_set1_epi32(value)))
    }

    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        halves!(self, |at| _mm256_cvtepi32_ps(a[at]))
    }

    #[inline(always)]
    fn bytes(self, line: &Line) -> Self::B {
        halves!(self, |at| _mm256_loadu_si256(line.0.as_ptr().add(32 * at).cast()))
    }

    #[inline(always)]
    fn low(self, a: Self::B) -> Self::B {
        halves!(self, |at| _mm256_and_si256(a[at], _mm256_set1_epi8(0x0f)))
    }

    #[inline(always)]
    fn high(self, a: Self::B) -> Self::B {
        halves!(self, |at| _mm256_and_si256(_mm256_srli_epi16::<4>(a[at]), _mm256_set1_epi8(0x0f)))
    }

    #[inline(always)]
    fn with_bit<const AT: i32>(self, bits: Self::B, nibbles: Self::B) -> Self::B {
        halves!(self, |at| {
            let bits = bits[at];
            let moved = match AT {
                0 => _mm256_slli_epi16::<4>(bits),
                1 => _mm256_slli_epi16::<3>(bits),
                2 => _mm256_slli_epi16::<2>(bits),
                3 => _mm256_slli_epi16::<1>(bits),
                4 => bits,
                5 => _mm256_srli_epi16::<1>(bits),
                6 => _mm256_srli_epi16::<2>(bits),
                _ => _mm256_srli_epi16::<3>(bits),
            };
            _mm256_or_si256(_mm256_and_si256(moved, _mm256_set1_epi8(0x10)), nibbles[at])
        })
    }

    #[inline(always)]
    fn with_pair<const AT: i32>(self, bits: Self::B, nibbles: Self::B) -> Self::B {
        halves!(self, |at| {
            let bits = bits[at];
            let moved = match AT {
                0 => _mm256_slli_epi16::<4>(bits),
                2 => _mm256_slli_epi16::<2>(bits),
                4 => bits,
                _ => _mm256_srli_epi16::<2>(bits),
            };
            _mm256_or_si256(_mm256_and_si256(moved, _mm256_set1_epi8(0x30)), nibbles[at])
        })
    }

    #[inline(always)]
    fn dot(self, sum: Self::I, weights: Self::B, values: i32) -> Self::I {
        // Two products of at most 127 × 127 stay below 2^15, so the saturating sum of pairs is exact.
        halves!(self, |at| {
            let pairs = _mm256_maddubs_epi16(weights[at], _mm256_set1_epi32(values));
            _mm256_add_epi32(sum[at], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        })
    }

    #[inline(always)]
    fn dot_offset(self, sum: Self::I, weights: Self::B, values: i32) -> Self::I {
        // As signed bytes w, -128 to 127: |w| × (v with w's sign). Two products of at most 128 × 127
        // stay below 2^15. Values are at least -127, so changing their sign is exact.
        halves!(self, |at| {
            let signed = _mm256_xor_si256(weights[at], _mm256_set1_epi8(-128));
            let values = _mm256_sign_epi8(_mm256_set1_epi32(values), signed);
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), values);
            _mm256_add_epi32(sum[at], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        })
    }

    #[inline(always)]
    fn offset_done(self, sum: Self::I, _values_sum: i32) -> Self::I {
        sum
    }
}
