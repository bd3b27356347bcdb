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
        // through a reference to exactly as many bytes, by an instruction that asks for no alignment.
        unsafe { $body }
    }};
}

/// Half of an array of `2 * N`.
#[inline(always)]
fn half<T, const N: usize>(values: &[T], part: usize) -> &[T; N] {
    &values.as_chunks().0[part]
}

impl Avx2 {
    /// Eight of sixteen bytes, a lane each.
    #[inline(always)]
    fn dwords(self, values: &[u8; LANES], part: usize) -> __m256i {
        let values = half::<_, 8>(values, part);
        proven!(self, _mm256_cvtepu8_epi32(_mm_loadl_epi64(values.as_ptr().cast())))
    }

    /// The sums of `N` times two products in 16 bits, then of those pairs in 32: `N` times the
    /// greatest weight times 254 must stay below 2^15.
    #[inline(always)]
    fn dot<const N: usize, const GROUP: usize>(self, weights: &[__m256i; N], values: &[i32; N]) -> __m256i {
        let mut sum = proven!(self, _mm256_setzero_si256());
        for group in 0..N / GROUP {
            let mut pairs = proven!(self, _mm256_setzero_si256());
            for at in GROUP * group..GROUP * (group + 1) {
                let values = proven!(self, _mm256_set1_epi32(values[at]));
                pairs = proven!(self, _mm256_add_epi16(pairs, _mm256_maddubs_epi16(weights[at], values)));
            }
            sum = proven!(self, _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))));
        }
        sum
    }
}

impl Simd for Avx2 {
    type F = __m256;
    type I = __m256i;
    type B = __m256i;

    const PARTS: usize = 2;
    const TOKENS_MAX: usize = 8;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        proven!(self, _mm256_set1_ps(value))
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES], part: usize) -> __m256 {
        proven!(self, _mm256_loadu_ps(half::<_, 8>(values, part).as_ptr()))
    }

    #[inline(always)]
    fn store(self, value: __m256, to: &mut [f32; LANES], part: usize) {
        let to: &mut [f32; 8] = &mut to.as_chunks_mut().0[part];
        proven!(self, _mm256_storeu_ps(to.as_mut_ptr(), value));
    }

    #[inline(always)]
    fn load_halves(self, values: &[u16; LANES], part: usize) -> __m256 {
        proven!(self, _mm256_cvtph_ps(_mm_loadu_si128(half::<_, 8>(values, part).as_ptr().cast())))
    }

    #[inline(always)]
    fn load_half_bytes(self, bytes: &[u8; 2 * LANES], part: usize) -> __m256 {
        proven!(self, _mm256_cvtph_ps(_mm_loadu_si128(half::<_, 16>(bytes, part).as_ptr().cast())))
    }

    #[inline(always)]
    fn prefetch(self, line: *const Line) {
        // A hint, which reads nothing: any address will do.
        proven!(self, _mm_prefetch::<_MM_HINT_T0>(line.cast()));
    }

    #[inline(always)]
    fn load_i8(self, values: &[u8; LANES], part: usize) -> __m256 {
        let values = half::<_, 8>(values, part);
        proven!(self, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(values.as_ptr().cast()))))
    }

    #[inline(always)]
    fn load_brain_bytes(self, bytes: &[u8; 2 * LANES], part: usize) -> __m256 {
        let bytes = half::<_, 16>(bytes, part);
        proven!(self, {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(bytes.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    fn load_u6(self, values: &[u8; LANES], part: usize) -> __m256 {
        let values = self.dwords(values, part);
        proven!(self, _mm256_cvtepi32_ps(_mm256_and_si256(values, _mm256_set1_epi32(63))))
    }

    #[inline(always)]
    fn load_u6_split<const HIGH: bool>(
        self,
        values: &[u8; LANES],
        tops: &[u8; LANES],
        part: usize,
    ) -> __m256 {
        let (values, tops) = (self.dwords(values, part), self.dwords(tops, part));
        proven!(self, {
            let low = if HIGH {
                _mm256_srli_epi32::<4>(values)
            } else {
                _mm256_and_si256(values, _mm256_set1_epi32(15))
            };
            let top = _mm256_and_si256(_mm256_srli_epi32::<2>(tops), _mm256_set1_epi32(48));
            _mm256_cvtepi32_ps(_mm256_or_si256(low, top))
        })
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        proven!(self, _mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        proven!(self, _mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        proven!(self, _mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn fnma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        proven!(self, _mm256_fnmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn int_less(self, a: __m256i, value: i32) -> __m256i {
        proven!(self, _mm256_sub_epi32(a, _mm256_set1_epi32(value)))
    }

    #[inline(always)]
    fn to_float(self, a: __m256i) -> __m256 {
        proven!(self, _mm256_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn bytes(self, line: &Line, part: usize) -> __m256i {
        proven!(self, _mm256_loadu_si256(line.half(part).as_ptr().cast()))
    }

    #[inline(always)]
    fn low(self, a: __m256i) -> __m256i {
        proven!(self, _mm256_and_si256(a, _mm256_set1_epi8(0x0f)))
    }

    #[inline(always)]
    fn high(self, a: __m256i) -> __m256i {
        proven!(self, _mm256_and_si256(_mm256_srli_epi16::<4>(a), _mm256_set1_epi8(0x0f)))
    }

    #[inline(always)]
    fn with_bit<const AT: i32>(self, bits: __m256i, nibbles: __m256i) -> __m256i {
        proven!(self, {
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
            _mm256_or_si256(_mm256_and_si256(moved, _mm256_set1_epi8(0x10)), nibbles)
        })
    }

    #[inline(always)]
    fn with_pair<const AT: i32>(self, bits: __m256i, nibbles: __m256i) -> __m256i {
        proven!(self, {
            let moved = match AT {
                0 => _mm256_slli_epi16::<4>(bits),
                2 => _mm256_slli_epi16::<2>(bits),
                4 => bits,
                _ => _mm256_srli_epi16::<2>(bits),
            };
            _mm256_or_si256(_mm256_and_si256(moved, _mm256_set1_epi8(0x30)), nibbles)
        })
    }

    #[inline(always)]
    fn dot_four_bits(self, weights: &[__m256i; 8], values: &[i32; 8]) -> __m256i {
        // 8 × 15 × 254 = 30,480
        self.dot::<8, 8>(weights, values)
    }

    #[inline(always)]
    fn dot_five_bits(self, weights: &[__m256i; 8], values: &[i32; 8]) -> __m256i {
        // 4 × 31 × 254 = 31,496
        self.dot::<8, 4>(weights, values)
    }

    #[inline(always)]
    fn dot_six_bits(self, weights: &[__m256i; 4], values: &[i32; 4]) -> __m256i {
        // 2 × 63 × 254 = 32,004
        self.dot::<4, 2>(weights, values)
    }

    #[inline(always)]
    fn dot_offset(self, weights: &[__m256i; 8], values: &[i32; 8], _sum: i32) -> __m256i {
        // As signed bytes w, -128 to 127: |w| × (v with w's sign). Two products of at most 128 × 127
        // stay below 2^15. Values are at least -127, so changing their sign is exact.
        let mut sum = proven!(self, _mm256_setzero_si256());
        for at in 0..8 {
            sum = proven!(self, {
                let signed = _mm256_xor_si256(weights[at], _mm256_set1_epi8(-128));
                let values = _mm256_sign_epi8(_mm256_set1_epi32(values[at]), signed);
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), values);
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            });
        }
        sum
    }
}
