//! TD attributes: what the guest was started with and may do.
//!
//! Bit positions: Intel TDX Module ABI Specification (348551-008US), table 3.23, "ATTRIBUTES"; Linux carries
//! the named ones in `arch/x86/include/asm/shared/tdx.h`. The table says of bits 1 to 3, 7 to 15, 23 to 26
//! and 32 to 61 that they must be zero, and a quote that sets one of them is refused. Bits 18 to 22, which it
//! leaves without a name and without that demand, are passed on for a policy to see.

use serde::Serialize;

/// The 64 bits of TD attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TdAttributes(u64);

/// The attribute bits with a meaning, as numbers 0 or 1 so that they read as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct TdAttributeBits {
    /// The TD runs under the host's debugger.
    pub debug: u8,
    /// An access to a pending page is fatal instead of a #VE that the host can time.
    pub sept_ve_disable: u8,
    /// A migration TD may move this TD to another machine.
    pub migratable: u8,
    /// Supervisor protection keys.
    pub pks: u8,
    /// Key Locker.
    pub kl: u8,
    /// Performance monitoring.
    pub perfmon: u8,
}

impl TdAttributes {
    /// Bit 0, DEBUG: the host can read and write the TD's memory and registers.
    pub const DEBUG: u64 = 1;
    /// Bit 4, HGS_PLUS_PROF: the host may profile the TD.
    pub const HGS_PLUS_PROF: u64 = 1 << 4;
    /// Bit 5, PERF_PROF: the host may profile the TD.
    pub const PERF_PROF: u64 = 1 << 5;
    /// Bit 6, PMT_PROF: the host may profile the TD.
    pub const PMT_PROF: u64 = 1 << 6;
    /// Bit 16, ICSSD: instruction-count based single-step defence.
    pub const ICSSD: u64 = 1 << 16;
    /// Bit 17, SERVTD_EXT: the report covers a hash of what binds service TDs.
    pub const SERVTD_EXT: u64 = 1 << 17;
    /// Bit 27, LASS: linear address space separation.
    pub const LASS: u64 = 1 << 27;
    /// Bit 28, SEPT_VE_DISABLE.
    pub const SEPT_VE_DISABLE: u64 = 1 << 28;
    /// Bit 29, MIGRATABLE.
    pub const MIGRATABLE: u64 = 1 << 29;
    /// Bit 30, PKS.
    pub const PKS: u64 = 1 << 30;
    /// Bit 31, KL: Key Locker, in revisions of the specification before 008.
    pub const KL: u64 = 1 << 31;
    /// Bit 62, TPA: a TDX Connect provisioning agent.
    pub const TPA: u64 = 1 << 62;
    /// Bit 63, PERFMON.
    pub const PERFMON: u64 = 1 << 63;

    /// Bits 7:0, the group TUD ("TD under debug"): any of them makes the TD untrusted.
    const UNDER_DEBUG: u64 = 0xff;

    /// Bits 3:1, 15:7, 26:23 and 61:32.
    const MUST_BE_ZERO: u64 = 0x3fff_ffff_0780_ff8e;

    /// The attributes in the byte order of the quote.
    pub fn from_le_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    /// The eight bytes as the quote has them.
    pub fn to_le_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// All bits as one integer.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether every bit of `mask` (one of this type's constants) is set.
    pub fn contains(self, mask: u64) -> bool {
        self.0 & mask == mask
    }

    /// Whether the host may debug or profile the TD: any bit of the group TUD, DEBUG among them.
    pub fn is_under_debug(self) -> bool {
        self.0 & Self::UNDER_DEBUG != 0
    }

    /// The bits set that must be zero. Verification refuses any.
    pub fn reserved(self) -> u64 {
        self.0 & Self::MUST_BE_ZERO
    }

    /// The bits that policies and readers ask for.
    pub fn named(self) -> TdAttributeBits {
        let bit = |mask| u8::from(self.contains(mask));
        TdAttributeBits {
            debug: bit(Self::DEBUG),
            sept_ve_disable: bit(Self::SEPT_VE_DISABLE),
            migratable: bit(Self::MIGRATABLE),
            pks: bit(Self::PKS),
            kl: bit(Self::KL),
            perfmon: bit(Self::PERFMON),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bits_are_those_of_the_abi_specification() {
        for bit in 0..64 {
            let attributes = TdAttributes(1 << bit);
            let must_be_zero = matches!(bit, 1..=3 | 7..=15 | 23..=26 | 32..=61);
            assert_eq!(attributes.reserved() != 0, must_be_zero, "bit {bit}");
            assert_eq!(attributes.is_under_debug(), bit < 8, "bit {bit}");
        }
    }

    #[test]
    fn the_bytes_are_little_endian() {
        let ordinary = TdAttributes::from_le_bytes([0, 0, 0, 0x10, 0, 0, 0, 0]);
        assert!(ordinary.contains(TdAttributes::SEPT_VE_DISABLE) && !ordinary.is_under_debug());
        assert_eq!(ordinary.to_le_bytes(), [0, 0, 0, 0x10, 0, 0, 0, 0]);
        assert_eq!(ordinary.named().sept_ve_disable, 1);
        assert_eq!(ordinary.named().debug, 0);
    }
}
