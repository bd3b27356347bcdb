//! Which instructions this processor has.

use super::scalar::Scalar;

/// An instruction set that exists here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level(Tokens);

/// The proofs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tokens {
    Scalar(Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(super::avx2::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(super::avx512::Avx512),
    #[cfg(test)]
    Emulated(super::emulated::avx512::Avx512),
}

impl Level {
    /// The fastest that this processor has.
    pub(crate) fn detect() -> Self {
        Self::available().pop().unwrap_or(Self(Tokens::Scalar(Scalar)))
    }

    /// Every one that this processor has, from the slowest to the fastest.
    pub(crate) fn available() -> Vec<Self> {
        let mut levels = vec![Self(Tokens::Scalar(Scalar))];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(super::avx2::Avx2::detect().map(|simd| Self(Tokens::Avx2(simd))));
            levels.extend(super::avx512::Avx512::detect().map(|simd| Self(Tokens::Avx512(simd))));
        }
        levels
    }

    /// Its name, for people.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Tokens::Scalar(_) => "scalar",
            #[cfg(target_arch = "x86_64")]
            Tokens::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Tokens::Avx512(_) => "avx512-vnni",
            #[cfg(test)]
            Tokens::Emulated(_) => "emulated avx512-vnni",
        }
    }

    /// Every one that this processor has, and AVX-512 emulated.
    #[cfg(test)]
    pub(crate) fn testable() -> Vec<Self> {
        let mut levels = Self::available();
        levels.extend(super::emulated::avx512::Avx512::detect().map(|simd| Self(Tokens::Emulated(simd))));
        levels
    }

    pub(super) fn tokens(self) -> Tokens {
        self.0
    }
}
