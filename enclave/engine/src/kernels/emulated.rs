//! The AVX-512 path over a model of its instructions, so that every machine tests it.
//!
//! The model follows the pseudo-code of Intel's intrinsics guide, lane by lane, and shares nothing with
//! the scalar path.

/// What is emulated is there.
macro_rules! is_x86_feature_detected {
    ($feature:tt) => {
        !$feature.is_empty()
    };
}

#[allow(clippy::duplicate_mod, reason = "the same source over other instructions")]
#[path = "avx512.rs"]
pub(super) mod avx512;

mod x86 {
    #![allow(non_camel_case_types, reason = "the instructions' own names")]
    #![allow(clippy::missing_safety_doc, reason = "unsafe where the instructions are")]

    use std::array::from_fn;

    #[derive(Debug, Clone, Copy)]
    pub(in crate::kernels) struct __m512([f32; 16]);
    #[derive(Debug, Clone, Copy)]
    pub(in crate::kernels) struct __m512i([u8; 64]);
    #[derive(Debug, Clone, Copy)]
    pub(in crate::kernels) struct __m256i([u8; 32]);
    #[derive(Debug, Clone, Copy)]
    pub(in crate::kernels) struct __m128i([u8; 16]);

    fn dwords(a: __m512i) -> [i32; 16] {
        from_fn(|at| i32::from_le_bytes(a.0[4 * at..][..4].try_into().unwrap()))
    }

    fn of_dwords(a: [i32; 16]) -> __m512i {
        __m512i(from_fn(|at| a[at / 4].to_le_bytes()[at % 4]))
    }

    fn map_words(a: __m512i, f: impl Fn(u16) -> u16) -> __m512i {
        __m512i(from_fn(|at| {
            let word = u16::from_le_bytes([a.0[at & !1], a.0[at | 1]]);
            f(word).to_le_bytes()[at % 2]
        }))
    }

    pub(super) unsafe fn _mm512_set1_ps(a: f32) -> __m512 {
        __m512([a; 16])
    }

    pub(super) unsafe fn _mm512_loadu_ps(from: *const f32) -> __m512 {
        // SAFETY: the caller's, who has sixteen floats there.
        __m512(unsafe { from.cast::<[f32; 16]>().read_unaligned() })
    }

    pub(super) unsafe fn _mm512_storeu_ps(to: *mut f32, a: __m512) {
        // SAFETY: the caller's, who has room for sixteen floats there.
        unsafe { to.cast::<[f32; 16]>().write_unaligned(a.0) }
    }

    pub(super) unsafe fn _mm_loadu_si128(from: *const __m128i) -> __m128i {
        // SAFETY: the caller's, who has sixteen bytes there.
        unsafe { from.read_unaligned() }
    }

    pub(super) unsafe fn _mm256_loadu_si256(from: *const __m256i) -> __m256i {
        // SAFETY: the caller's, who has 32 bytes there.
        unsafe { from.read_unaligned() }
    }

    pub(super) unsafe fn _mm512_loadu_si512(from: *const __m512i) -> __m512i {
        // SAFETY: the caller's, who has 64 bytes there.
        unsafe { from.read_unaligned() }
    }

    pub(super) unsafe fn _mm512_cvtph_ps(a: __m256i) -> __m512 {
        __m512(from_fn(|at| {
            let bits = u16::from_le_bytes([a.0[2 * at], a.0[2 * at + 1]]);
            let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
            let magnitude = match exponent {
                0 => fraction * 2.0_f32.powi(-24),
                31 if fraction == 0.0 => f32::INFINITY,
                31 => f32::NAN,
                _ => (1.0 + fraction / 1024.0) * 2.0_f32.powi(exponent - 15),
            };
            if bits >> 15 == 1 { -magnitude } else { magnitude }
        }))
    }

    pub(super) unsafe fn _mm512_cvtepu8_epi32(a: __m128i) -> __m512i {
        of_dwords(a.0.map(i32::from))
    }

    pub(super) unsafe fn _mm512_cvtepi8_epi32(a: __m128i) -> __m512i {
        of_dwords(a.0.map(|byte| i32::from(byte.cast_signed())))
    }

    pub(super) const _MM_HINT_T0: i32 = 3;

    pub(super) unsafe fn _mm_prefetch<const HINT: i32>(_address: *const i8) {}

    pub(super) unsafe fn _mm512_cvtepu16_epi32(a: __m256i) -> __m512i {
        of_dwords(from_fn(|at| i32::from(u16::from_le_bytes([a.0[2 * at], a.0[2 * at + 1]]))))
    }

    pub(super) unsafe fn _mm512_slli_epi32<const COUNT: u32>(a: __m512i) -> __m512i {
        of_dwords(dwords(a).map(|dword| dword << COUNT))
    }

    pub(super) unsafe fn _mm512_srli_epi32<const COUNT: u32>(a: __m512i) -> __m512i {
        of_dwords(dwords(a).map(|dword| (dword.cast_unsigned() >> COUNT).cast_signed()))
    }

    pub(super) unsafe fn _mm512_castsi512_ps(a: __m512i) -> __m512 {
        __m512(dwords(a).map(|dword| f32::from_bits(dword.cast_unsigned())))
    }

    pub(super) unsafe fn _mm512_cvtepi32_ps(a: __m512i) -> __m512 {
        __m512(dwords(a).map(|dword| dword as f32))
    }

    pub(super) unsafe fn _mm512_add_ps(a: __m512, b: __m512) -> __m512 {
        __m512(from_fn(|at| a.0[at] + b.0[at]))
    }

    pub(super) unsafe fn _mm512_mul_ps(a: __m512, b: __m512) -> __m512 {
        __m512(from_fn(|at| a.0[at] * b.0[at]))
    }

    pub(super) unsafe fn _mm512_fmadd_ps(a: __m512, b: __m512, c: __m512) -> __m512 {
        __m512(from_fn(|at| a.0[at].mul_add(b.0[at], c.0[at])))
    }

    pub(super) unsafe fn _mm512_fnmadd_ps(a: __m512, b: __m512, c: __m512) -> __m512 {
        __m512(from_fn(|at| (-a.0[at]).mul_add(b.0[at], c.0[at])))
    }

    pub(super) unsafe fn _mm512_setzero_si512() -> __m512i {
        __m512i([0; 64])
    }

    pub(super) unsafe fn _mm512_set1_epi32(a: i32) -> __m512i {
        of_dwords([a; 16])
    }

    pub(super) unsafe fn _mm512_set1_epi8(a: i8) -> __m512i {
        __m512i([a.cast_unsigned(); 64])
    }

    pub(super) unsafe fn _mm512_sub_epi32(a: __m512i, b: __m512i) -> __m512i {
        let (a, b) = (dwords(a), dwords(b));
        of_dwords(from_fn(|at| a[at].wrapping_sub(b[at])))
    }

    pub(super) unsafe fn _mm512_and_si512(a: __m512i, b: __m512i) -> __m512i {
        __m512i(from_fn(|at| a.0[at] & b.0[at]))
    }

    pub(super) unsafe fn _mm512_srli_epi16<const COUNT: u32>(a: __m512i) -> __m512i {
        map_words(a, |word| word >> COUNT)
    }

    pub(super) unsafe fn _mm512_slli_epi16<const COUNT: u32>(a: __m512i) -> __m512i {
        map_words(a, |word| word << COUNT)
    }

    /// For each bit, the bit of `TABLE` that the three bits number, `a`'s the highest.
    pub(super) unsafe fn _mm512_ternarylogic_epi64<const TABLE: i32>(
        a: __m512i,
        b: __m512i,
        c: __m512i,
    ) -> __m512i {
        __m512i(from_fn(|at| {
            (0..8).fold(0, |byte, bit| {
                let of = |from: __m512i| from.0[at] >> bit & 1;
                let number = of(a) << 2 | of(b) << 1 | of(c);
                byte | u8::from(TABLE >> number & 1 == 1) << bit
            })
        }))
    }

    /// Unsigned bytes of `a` times signed bytes of `b`, four products to a lane, without saturation.
    pub(super) unsafe fn _mm512_dpbusd_epi32(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        let sums = dwords(sum);
        of_dwords(from_fn(|lane| {
            (4 * lane..4 * lane + 4).fold(sums[lane], |sum, at| {
                sum.wrapping_add(i32::from(a.0[at]) * i32::from(b.0[at].cast_signed()))
            })
        }))
    }
}
