//! The report's bit fields.

use super::error::Error as SnpError;

/// The guest policy that was enforced at launch (AMD 56860, "Guest Policy").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GuestPolicy(u64);

impl GuestPolicy {
    /// Bits 26 to 63 must be zero.
    const RESERVED: u64 = !0 << 26;

    /// Accepts a policy whose must-be-zero bits are zero and whose must-be-one bit is one.
    pub(super) fn parse(bits: u64) -> Result<Self, SnpError> {
        let policy = Self(bits);
        if bits & Self::RESERVED != 0 {
            return Err(SnpError::GuestPolicyReserved { policy: bits });
        }
        if !policy.bit(17) {
            return Err(SnpError::GuestPolicyBit17 { policy: bits });
        }
        Ok(policy)
    }

    fn bit(self, number: u32) -> bool {
        bit(self.0, number)
    }

    /// All 64 bits.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Bits 0 to 7: lowest minor version of the firmware ABI the guest accepts.
    pub fn abi_minor(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// Bits 8 to 15: lowest major version of the firmware ABI the guest accepts.
    pub fn abi_major(self) -> u8 {
        self.0.to_le_bytes()[1]
    }

    /// Bit 16: simultaneous multithreading is allowed.
    pub fn smt_allowed(self) -> bool {
        self.bit(16)
    }

    /// Bit 18: a migration agent may be associated, which can move the guest's memory elsewhere.
    pub fn migrate_ma_allowed(self) -> bool {
        self.bit(18)
    }

    /// Bit 19: the host may read and change the guest's memory for debugging.
    pub fn debug_allowed(self) -> bool {
        self.bit(19)
    }

    /// Bit 20: the guest may run on one socket only.
    pub fn single_socket(self) -> bool {
        self.bit(20)
    }

    /// Bit 21: CXL memory or devices may be populated.
    pub fn cxl_allowed(self) -> bool {
        self.bit(21)
    }

    /// Bit 22: memory must be encrypted with AES-256-XTS.
    pub fn aes_256_xts_required(self) -> bool {
        self.bit(22)
    }

    /// Bit 23: running average power limit must be disabled.
    pub fn rapl_disabled_required(self) -> bool {
        self.bit(23)
    }

    /// Bit 24: ciphertext hiding for DRAM must be enabled.
    pub fn ciphertext_hiding_required(self) -> bool {
        self.bit(24)
    }

    /// Bit 25: the host may not move or swap pages of this guest.
    pub fn page_swap_disabled(self) -> bool {
        self.bit(25)
    }
}

/// What the platform had enabled (AMD 56860, ATTESTATION_REPORT, PLATFORM_INFO).
///
/// Unlike the guest policy's, its reserved bits are not refused: processors in the field set bit 6,
/// and a feature this crate does not know takes nothing away from those it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlatformInfo(u64);

impl PlatformInfo {
    pub(super) fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// All 64 bits.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Bit 0: simultaneous multithreading is on.
    pub fn smt_enabled(self) -> bool {
        bit(self.0, 0)
    }

    /// Bit 1: transparent SME is on.
    pub fn tsme_enabled(self) -> bool {
        bit(self.0, 1)
    }

    /// Bit 2: memory has error correction.
    pub fn ecc_enabled(self) -> bool {
        bit(self.0, 2)
    }

    /// Bit 3: running average power limit is disabled.
    pub fn rapl_disabled(self) -> bool {
        bit(self.0, 3)
    }

    /// Bit 4: ciphertext hiding for DRAM is on.
    pub fn ciphertext_hiding_enabled(self) -> bool {
        bit(self.0, 4)
    }

    /// Bit 5: the firmware found no aliased memory addresses since the last reset (the defence
    /// against BadRAM, CVE-2024-21944).
    pub fn alias_check_complete(self) -> bool {
        bit(self.0, 5)
    }

    /// Bit 7: SEV-TIO is on.
    pub fn tio_enabled(self) -> bool {
        bit(self.0, 7)
    }
}

/// Which key signed, and how (AMD 56860, ATTESTATION_REPORT, offset 48h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyInfo(u32);

impl KeyInfo {
    /// Bits 5 to 31 must be zero.
    const RESERVED: u32 = !0 << 5;

    pub(super) fn parse(bits: u32) -> Result<Self, SnpError> {
        if bits & Self::RESERVED != 0 {
            return Err(SnpError::KeyInfoReserved { key_info: bits });
        }
        Ok(Self(bits))
    }

    /// All 32 bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Bit 0: the id block was signed with an author key, whose digest stands in AUTHOR_KEY_DIGEST.
    pub fn author_key_enabled(self) -> bool {
        bit(u64::from(self.0), 0)
    }

    /// Bit 1: the host forbade the use of the VCEK.
    pub fn chip_key_masked(self) -> bool {
        bit(u64::from(self.0), 1)
    }

    /// Bits 2 to 4: 0 for VCEK, 1 for VLEK, 7 for none.
    pub fn signing_key(self) -> u8 {
        (self.0.to_le_bytes()[0] >> 2) & 0b111
    }
}

fn bit(bits: u64, number: u32) -> bool {
    bits.checked_shr(number).is_some_and(|shifted| shifted & 1 == 1)
}
