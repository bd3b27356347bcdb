//! The `Attester` seam and the hardware behind it.
//!
//! An [`Attester`] turns 64 bytes of REPORT_DATA into [`Evidence`], and passes on whatever
//! endorsements its host supplied with it. [`detect`] finds the one this machine has: the kernel's
//! configfs-tsm interface in front of AMD SEV-SNP or Intel TDX, or else their devices. What the evidence is bound to, how
//! often it is asked for and who judges it are others' business.
//!
//! Everything read from the kernel is bounded, and everything that the host can supply (certificate
//! tables, event logs) is treated as hostile: it is carried, never believed.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

mod certificates;
mod detect;
mod device;
mod error;
mod hardware;
mod tsm;
mod turns;

use core::fmt;

use vouchsafe_verifier::{Endorsements, Evidence};

pub use detect::{Paths, detect, detect_at};
pub use error::{AttestError, DetectError};

/// A kind of trusted execution environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tee {
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

impl Tee {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::SevSnp => "AMD SEV-SNP",
            Self::Tdx => "Intel TDX",
        }
    }
}

impl fmt::Display for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What makes the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// The kind of evidence it makes.
    pub tee: Tee,
    /// Whether the evidence is simulated: the right bytes under a throwaway root. Informative; what a
    /// verifier believes is the root alone.
    pub simulated: bool,
    /// How it is reached, for logs: an interface or a device.
    pub interface: String,
}

/// Evidence, and the endorsements that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// What the machine signed.
    pub evidence: Evidence,
    /// Certificates that the host supplied along with it, if any.
    pub endorsements: Option<Endorsements>,
}

/// Something that attests the machine it runs on.
pub trait Attester: Send + Sync {
    /// What this attester is.
    fn platform(&self) -> Platform;

    /// Evidence whose REPORT_DATA is `report_data`. Blocks for milliseconds to seconds: hardware and
    /// its host limit the rate.
    ///
    /// # Errors
    /// [`AttestError`]: the interface failed, or what it gave is not bound to `report_data`.
    fn attest(&self, report_data: &[u8; 64]) -> Result<Attestation, AttestError>;
}
