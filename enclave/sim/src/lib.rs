//! A simulated machine for the enclave server: the right bytes under a throwaway root.
//!
//! # Simulated. Not for production.
//!
//! What this attests proves nothing about any machine. It exists so that everything else can be
//! developed and tested without hardware; a verifier accepts it only under a policy that names its
//! root, and says so.

mod processor;

use std::path::Path;

use vouchsafe_platform::{AttestError, Attestation, Attester, Platform, Tee};
use vouchsafe_simulator::amd::{AmdAuthority, Product, SnpMachine, SnpMachineSpec};
use vouchsafe_simulator::{Error, OsRng};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};

pub use processor::{PROCESSOR_PORT, ProcessorAttester};

/// Sets this measurement apart from every other SHA-384.
const MEASUREMENT_TAG: &[u8] = b"vouchsafe/simulated-measurement/v1\0";
/// What is simulated.
const PRODUCT: Product = Product::Genoa;
/// How far back endorsements begin, seconds, so that clocks need not agree.
const BACKDATED: [u64; 2] = [2 * 86_400, 86_400];

/// What a simulated enclave measures to: SHA-384 over a tag, the SHA-384 of the enclave program's
/// executable file and the SHA-256 of its canonical configuration.
///
/// A function of what is started and nothing else, so that whoever starts it can compute the expected
/// value from the outside.
pub fn simulated_measurement(executable: &[u8], configuration: &[u8; 32]) -> [u8; 48] {
    let executable = Ring.sha384(executable);
    Ring.sha384(&[MEASUREMENT_TAG, executable.as_slice(), configuration].concat())
}

/// The authority kept in `folder`, made at the first use.
///
/// # Errors
/// The folder cannot be read or written, or holds something else.
pub fn authority(folder: &Path, now: UnixSeconds) -> Result<AmdAuthority, Error> {
    let [back, _] = BACKDATED;
    AmdAuthority::load_or_generate(folder, PRODUCT, UnixSeconds(now.0.saturating_sub(back)))
}

/// A simulated SNP guest.
pub struct SimulatedAttester {
    machine: SnpMachine,
}

impl SimulatedAttester {
    /// A guest with this launch measurement on the authority's first chip.
    ///
    /// # Errors
    /// The authority cannot sign.
    pub fn new(authority: &AmdAuthority, measurement: [u8; 48], now: UnixSeconds) -> Result<Self, Error> {
        let [_, back] = BACKDATED;
        let spec = SnpMachineSpec::typical(authority, UnixSeconds(now.0.saturating_sub(back)));
        Ok(Self { machine: SnpMachine::new(authority, &spec, measurement, &mut OsRng)? })
    }
}

impl Attester for SimulatedAttester {
    fn platform(&self) -> Platform {
        Platform { tee: Tee::SevSnp, simulated: true, interface: "simulator".into() }
    }

    fn attest(&self, report_data: &[u8; 64]) -> Result<Attestation, AttestError> {
        Ok(Attestation {
            evidence: self.machine.evidence(*report_data),
            endorsements: Some(self.machine.endorsements()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measurement_depends_on_program_and_configuration() {
        let base = simulated_measurement(b"program", &[1; 32]);
        assert_eq!(base, simulated_measurement(b"program", &[1; 32]));
        assert_ne!(base, simulated_measurement(b"programs", &[1; 32]));
        assert_ne!(base, simulated_measurement(b"program", &[2; 32]));
    }
}
