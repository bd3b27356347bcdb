//! The machine as its processor sees it: measured at launch, attested on request.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use vouchsafe_measure::firmware::Firmware;
use vouchsafe_measure::{CommandLine, tdx};
use vouchsafe_simulator::intel::{IntelAuthority, TdxMachine, TdxMachineSpec};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::{Endorsements, Evidence, UnixSeconds};

use crate::Error;

/// How far back certificates and collateral begin, seconds, so that clocks need not agree.
const AUTHORITY_BACKDATED: u64 = 2 * 86_400;
const MACHINE_BACKDATED: u64 = 86_400;

/// What a machine was started from, measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launched {
    mrtd: [u8; 48],
    rtmrs: [[u8; 48]; 4],
}

/// The processor's answer.
#[derive(Serialize)]
struct Answer {
    evidence: Evidence,
    endorsements: Endorsements,
}

impl Launched {
    /// Measures these files, as they are now.
    pub(crate) fn measure(
        firmware: &Path,
        kernel: &Path,
        initrd: &Path,
        append: &str,
    ) -> Result<Self, Error> {
        let read =
            |path: &Path| fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source });
        let (firmware, kernel, initrd) = (read(firmware)?, read(kernel)?, read(initrd)?);
        let firmware = Firmware::parse(&firmware)?;
        let guest = tdx::Guest::new(&firmware, &kernel, Some(&initrd), CommandLine::new(append)?, None)?;
        // Of the variants that hosts and firmware differ in, the first: a policy accepts each.
        let [mrtd, _] = guest.mrtds();
        let rtmr2 = guest.rtmr2s().first().copied().unwrap_or([0; 48]);
        Ok(Self { mrtd, rtmrs: [[0; 48], guest.rtmr1(), rtmr2, [0; 48]] })
    }

    /// The answer to one request, JSON.
    pub(crate) fn attest(&self, authority: &IntelAuthority, report_data: [u8; 64]) -> Result<Vec<u8>, Error> {
        // Made anew each time, so that the collateral of a machine that runs for months stays fresh.
        let endorsed_at = UnixSeconds(now().0.saturating_sub(MACHINE_BACKDATED));
        let spec = TdxMachineSpec::typical(authority, endorsed_at);
        let mut machine = TdxMachine::new(authority, &spec, self.mrtd)?;
        machine.body_mut().rtmrs = self.rtmrs;
        let answer =
            Answer { evidence: machine.evidence(report_data), endorsements: machine.endorsements()? };
        Ok(serde_json::to_vec(&answer)?)
    }
}

/// The authority kept in `folder`, made at the first use.
pub(crate) fn authority(folder: &Path) -> Result<IntelAuthority, Error> {
    let not_before = UnixSeconds(now().0.saturating_sub(AUTHORITY_BACKDATED));
    Ok(IntelAuthority::load_or_generate(folder, not_before)?)
}

/// SHA-256 of the authority's root certificate.
pub(crate) fn root_sha256(folder: &Path) -> Result<Hex<32>, Error> {
    Ok(Hex(Ring.sha256(authority(folder)?.root_der())))
}

fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
