//! The instructions that the kernels are written in.

use super::LANES;
use super::lines::Line;

/// Registers. A value of an implementing type is the proof that its instructions exist here.
///
/// Sixteen lanes take one register or two: `part` says which half of an array or a line is meant. Each
/// operation is exact or rounds correctly, so implementations can differ in speed only.
pub(super) trait Simd: Copy + Send + Sync {
    /// Lanes of `f32`.
    type F: Copy;
    /// As many lanes of `i32`.
    type I: Copy;
    /// Four bytes for each lane.
    type B: Copy;

    /// Registers for sixteen lanes: 1 or 2.
    const PARTS: usize;

    /// Tokens that share a panel's unpacked weights: as many as the registers allow.
    const TOKENS_MAX: usize;

    fn splat(self, value: f32) -> Self::F;
    fn load(self, values: &[f32; LANES], part: usize) -> Self::F;
    fn store(self, value: Self::F, to: &mut [f32; LANES], part: usize);
    /// From IEEE half precision.
    fn load_halves(self, values: &[u16; LANES], part: usize) -> Self::F;
    /// From half precision, little-endian.
    fn load_half_bytes(self, bytes: &[u8; 2 * LANES], part: usize) -> Self::F;
    /// Asks for a line that will be read soon, whether there is one or not.
    fn prefetch(self, line: *const Line);
    fn load_i8(self, values: &[u8; LANES], part: usize) -> Self::F;
    /// From `bfloat16`, little-endian.
    fn load_brain_bytes(self, bytes: &[u8; 2 * LANES], part: usize) -> Self::F;
    /// The low six bits of each byte.
    fn load_u6(self, values: &[u8; LANES], part: usize) -> Self::F;
    /// The low four bits of each byte or, `HIGH`, its high four; above them the high two of `tops`.
    fn load_u6_split<const HIGH: bool>(
        self,
        values: &[u8; LANES],
        tops: &[u8; LANES],
        part: usize,
    ) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a * b`, rounded once.
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;

    /// `a` less `value` in every lane.
    fn int_less(self, a: Self::I, value: i32) -> Self::I;
    fn to_float(self, a: Self::I) -> Self::F;

    fn bytes(self, line: &Line, part: usize) -> Self::B;
    /// The low four bits of each byte.
    fn low(self, a: Self::B) -> Self::B;
    /// The high four bits of each byte.
    fn high(self, a: Self::B) -> Self::B;
    /// Bit `AT` of each byte, as bit 4; joined with `nibbles`.
    fn with_bit<const AT: i32>(self, bits: Self::B, nibbles: Self::B) -> Self::B;
    /// Bits `AT` and `AT + 1` of each byte, as bits 4 and 5; joined with `nibbles`. `AT` is even.
    fn with_pair<const AT: i32>(self, bits: Self::B, nibbles: Self::B) -> Self::B;

    /// In each lane the sum of the products of its bytes and the signed bytes (-127 to 127) of
    /// `values`, for weights of 0 to 15.
    fn dot_four_bits(self, weights: &[Self::B; 8], values: &[i32; 8]) -> Self::I;
    /// The same for weights of 0 to 31.
    fn dot_five_bits(self, weights: &[Self::B; 8], values: &[i32; 8]) -> Self::I;
    /// The same for half as many weights of 0 to 63.
    fn dot_six_bits(self, weights: &[Self::B; 4], values: &[i32; 4]) -> Self::I;
    /// The same for weights of 0 to 255 that stand for themselves less 128; `sum` is that of `values`.
    fn dot_offset(self, weights: &[Self::B; 8], values: &[i32; 8], sum: i32) -> Self::I;
}

/// Makes a function that picks the implementation: its body is compiled for each level with that
/// level's instructions, from one generic source that is always inlined.
macro_rules! dispatched {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($level:ident $(, $arg:ident: $type:ty)* $(,)?) = $generic:path) => {
        $(#[$meta])*
        $visibility fn $name($level: $crate::kernels::Level $(, $arg: $type)*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn on_avx2(simd: $crate::kernels::avx2::Avx2 $(, $arg: $type)*) {
                $generic(simd $(, $arg)*);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
            fn on_avx512(simd: $crate::kernels::avx512::Avx512 $(, $arg: $type)*) {
                $generic(simd $(, $arg)*);
            }
            match $level.tokens() {
                $crate::kernels::level::Tokens::Scalar(simd) => $generic(simd $(, $arg)*),
                #[cfg(test)]
                $crate::kernels::level::Tokens::Emulated(simd) => $generic(simd $(, $arg)*),
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::level::Tokens::Avx2(simd) => {
                    // SAFETY: the token is made only where these instructions were detected.
                    unsafe { on_avx2(simd $(, $arg)*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::level::Tokens::Avx512(simd) => {
                    // SAFETY: the token is made only where these instructions were detected.
                    unsafe { on_avx512(simd $(, $arg)*) }
                }
            }
        }
    };
}
pub(super) use dispatched;
