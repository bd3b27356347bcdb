//! Reference values for other verifiers, and from them: CoRIM (draft-ietf-rats-corim), by the crate `corim`.
//!
//! What a guest must measure to is written as the profiles of the vendors' technologies have it:
//!
//! - SEV-SNP by draft-deeglaze-amd-sev-snp-corim-profile: MEASUREMENT is the digest under `mkey` 641, of an
//!   environment whose class says whether a chip's key signs (VCEK) or a provider's (VLEK).
//! - TDX by draft-cds-rats-intel-corim-profile: MRTD is `tee.mrtee` (-83). RTMR0 to RTMR3 are CoRIM's
//!   `integrity-registers` 0 to 3. The draft names no class for a TD; here it is vendor "Intel Corporation", model
//!   "TDX".
//!
//! A CoRIM can say more than reference values of a policy can, and the reverse. Whatever has no place on the other
//! side is refused by its name. Signed CoRIMs are not read: who wrote one is for its reader to verify first.

mod export;
mod import;

pub use export::export;
pub use import::{Imported, import};

/// Longest CoRIM, in bytes.
pub const CORIM_BYTES_MAX: usize = 1 << 20;

/// The profile of SEV-SNP.
const SNP_PROFILE: &str = "tag:amd.com,2025:snp-corim-profile";
/// Class of an SEV-SNP environment whose reports a chip's key signs: the OID 1.3.6.1.4.1.3704.3.1 as the draft
/// writes it, with its DER tag and length.
const BY_CHIP: [u8; 11] = [0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x03, 0x01];
/// The same where a provider's key signs: 1.3.6.1.4.1.3704.3.2.
const BY_PROVIDER: [u8; 11] = [0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x03, 0x02];
/// Tag and length, which RFC 9090 leaves out of a tagged OID.
const OID_HEADER_BYTES: usize = 2;
/// MEASUREMENT among a report's fields.
const SNP_MEASUREMENT: u64 = 641;

/// Intel's profile: the OID 2.16.840.1.113741.1.16.1.
const INTEL_PROFILE: [u8; 10] = [0x60, 0x86, 0x48, 0x01, 0x86, 0xf8, 0x4d, 0x01, 0x10, 0x01];
const INTEL_VENDOR: &str = "Intel Corporation";
const INTEL_MODEL: &str = "TDX";
/// `tee.mrtee`, as an extension of the values, and as a measurement's key.
const TEE_MRTEE: i64 = -83;

/// SHA-384 in IANA's registry of named information hash algorithms.
const SHA_384: i64 = 7;

/// Why reference values can't be brought over. [`Error::code`] is stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a CoRIM.
    #[error("not a CoRIM: {0}")]
    Malformed(String),
    /// A CoRIM that says what reference values of a policy can't.
    #[error("{place}: {what}")]
    Unsupported {
        /// Where in the CoRIM.
        place: String,
        /// What is there.
        what: String,
    },
    /// A reference value that says what a CoRIM can't.
    #[error("{name:?}: {what}")]
    Unrepresentable {
        /// The reference value's name.
        name: String,
        /// What has no place.
        what: String,
    },
}

impl Error {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "corim_malformed",
            Self::Unsupported { .. } => "corim_unsupported",
            Self::Unrepresentable { .. } => "corim_unrepresentable",
        }
    }
}
