//! Reference values as a policy document states them.
//!
//! The shapes are those of `policies/schema/policy.v1.schema.json`, section `measurements`; a test
//! reads what is written here with the policy reader.

use serde::Serialize;
use vouchsafe_verifier::encoding::Hex;

/// The decision about one register: one of these digests, or none for a stated reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule<T> {
    /// The check must pass against this value.
    Require(T),
    /// The check does not count, for this reason.
    Ignore(String),
}

/// Digests of which any suffices.
pub type Digests = Rule<Vec<Hex<48>>>;

/// What one guest must measure to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReferenceValue {
    /// What people call it; unique in a policy.
    pub name: String,
    /// How the digests were computed, so that anyone can do it again.
    pub computed: String,
    /// The digests.
    pub digests: ReferenceDigests,
}

/// The digests, in their platform's terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "platform")]
pub enum ReferenceDigests {
    /// MEASUREMENT of an SEV-SNP report.
    #[serde(rename = "sev-snp")]
    SevSnp {
        /// The launch digest.
        measurement: Hex<48>,
    },
    /// Registers of a TDX quote.
    #[serde(rename = "tdx")]
    Tdx {
        /// MRTD: the firmware.
        mrtd: Digests,
        /// RTMR0: firmware configuration, ACPI tables, memory layout.
        rtmr0: Digests,
        /// RTMR1: the kernel.
        rtmr1: Digests,
        /// RTMR2: command line and initrd.
        rtmr2: Digests,
        /// RTMR3: what the guest's programs extended.
        rtmr3: Digests,
    },
}
