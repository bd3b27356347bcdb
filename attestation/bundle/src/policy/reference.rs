//! Reference values: measurements that were blessed, for how long, and whether that still holds.

use serde::Serialize;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::strict_json::{Fault, Fields, FromValue, Value};
use vouchsafe_verifier::{Moment, UnixSeconds, json_deserialize, json_fields, json_record};

use super::platform::PlatformName;
use super::rule::Rule;

/// One blessed measurement of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReferenceValue {
    /// What people call it; unique in the policy.
    pub name: String,
    /// How the digests were computed, so that anyone can do it again.
    pub computed: String,
    /// The digests.
    pub digests: ReferenceDigests,
    /// Good from this moment on; left out: from ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Moment>,
    /// Good until before this moment; left out: without end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Moment>,
    /// Withdrawn for a reason. What was honest before stays honest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revocation>,
}

json_record!(ReferenceValue { name, computed, digests, valid_from, valid_until, revoked });

/// When and why a measurement was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revocation {
    /// Not good from this moment on.
    pub at: Moment,
    /// Why.
    pub reason: String,
}

json_record!(Revocation { at, reason });

/// The digests of one guest image, in its platform's terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "platform")]
#[non_exhaustive]
pub enum ReferenceDigests {
    /// MEASUREMENT of an SEV-SNP report.
    #[serde(rename = "sev-snp")]
    SevSnp {
        /// The launch digest.
        measurement: Hex<48>,
    },
    /// Registers of a TDX quote. Of several digests for one register any suffices: public tools
    /// disagree about the order of MRTD's pages, for one.
    #[serde(rename = "tdx")]
    Tdx {
        /// MRTD: the firmware.
        mrtd: Rule<Vec<Hex<48>>>,
        /// RTMR0: firmware configuration, ACPI tables, memory layout.
        rtmr0: Rule<Vec<Hex<48>>>,
        /// RTMR1: the kernel.
        rtmr1: Rule<Vec<Hex<48>>>,
        /// RTMR2: command line and initrd.
        rtmr2: Rule<Vec<Hex<48>>>,
        /// RTMR3: what the guest's programs extended.
        rtmr3: Rule<Vec<Hex<48>>>,
    },
}

impl FromValue for ReferenceDigests {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        match Fields::of(value, &[])?.take("platform")? {
            PlatformName::SevSnp => json_fields!(value, ["platform"], Self::SevSnp { measurement }),
            PlatformName::Tdx => {
                json_fields!(value, ["platform"], Self::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 })
            }
        }
    }
}

json_deserialize!(ReferenceDigests);

impl ReferenceDigests {
    /// The platform whose terms these are.
    pub fn platform(&self) -> PlatformName {
        match self {
            Self::SevSnp { .. } => PlatformName::SevSnp,
            Self::Tdx { .. } => PlatformName::Tdx,
        }
    }
}

/// Whether a reference value holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    NotYetValid,
    Expired,
    Revoked,
}

impl ReferenceValue {
    /// A reference value without limits of time.
    pub fn new(name: impl Into<String>, computed: impl Into<String>, digests: ReferenceDigests) -> Self {
        Self {
            name: name.into(),
            computed: computed.into(),
            digests,
            valid_from: None,
            valid_until: None,
            revoked: None,
        }
    }

    pub(crate) fn standing(&self, at: UnixSeconds) -> Standing {
        if self.revoked.as_ref().is_some_and(|revoked| at >= revoked.at.0) {
            Standing::Revoked
        } else if self.valid_until.is_some_and(|until| at >= until.0) {
            Standing::Expired
        } else if self.valid_from.is_some_and(|from| at < from.0) {
            Standing::NotYetValid
        } else {
            Standing::Good
        }
    }
}
