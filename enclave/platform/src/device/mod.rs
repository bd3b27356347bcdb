//! The devices' own interfaces, for kernels without configfs-tsm (before Linux 6.7).
//!
//! `/dev/sev-guest` gives a report by the crate `sev`. `/dev/tdx_guest` gives a report that means something on this
//! machine alone; the host's quote generation service turns it into a quote. Neither supplies certificates here: for
//! SNP the table would be read by the crate through pointers that the host chooses, and the host staples what it
//! fetches in any case.
//!
//! Untested on hardware, as is everything that talks to it; the tests here use devices made for them.

mod quote_service;
mod sev_guest;
mod tdx_guest;

use std::path::PathBuf;

pub(crate) use quote_service::connect_by_vsock;
pub(crate) use sev_guest::SevGuest;
pub(crate) use tdx_guest::TdxGuest;

use crate::hardware::{snp_evidence, tdx_evidence};
use crate::turns::{ATTEMPTS, Turns, pause_before};
use crate::{AttestError, Attestation, Attester, Platform, Tee};

/// Why a device gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// For now; worth another attempt.
    Busy(String),
    /// What another attempt would only repeat.
    Failed(AttestError),
}

/// A guest's device.
pub(crate) trait Device: Send + Sync {
    /// A report or quote on these 64 bytes. Blocks.
    fn evidence(&self, report_data: &[u8; 64]) -> Result<Vec<u8>, Refusal>;
}

/// A confidential VM's attester behind a device.
pub(crate) struct DeviceAttester<D> {
    device: D,
    tee: Tee,
    interface: String,
    event_log: PathBuf,
    turns: Turns,
}

impl<D: Device> DeviceAttester<D> {
    pub(crate) fn new(device: D, tee: Tee, interface: String, event_log: PathBuf) -> Self {
        Self { device, tee, interface, event_log, turns: Turns::default() }
    }

    fn request(&self, report_data: &[u8; 64]) -> Result<Vec<u8>, AttestError> {
        let _turn = self.turns.take()?;
        let mut busy = String::new();
        for attempt in 1..=ATTEMPTS {
            pause_before(attempt);
            match self.device.evidence(report_data) {
                Ok(evidence) => return Ok(evidence),
                Err(Refusal::Busy(message)) => busy = message,
                Err(Refusal::Failed(error)) => return Err(error),
            }
        }
        Err(AttestError::Busy { attempts: ATTEMPTS, message: busy })
    }
}

impl<D: Device> Attester for DeviceAttester<D> {
    fn platform(&self) -> Platform {
        Platform { tee: self.tee, simulated: false, interface: self.interface.clone() }
    }

    fn attest(&self, report_data: &[u8; 64]) -> Result<Attestation, AttestError> {
        let evidence = self.request(report_data)?;
        match self.tee {
            Tee::SevSnp => snp_evidence(report_data, evidence, None),
            Tee::Tdx => tdx_evidence(report_data, evidence, &self.event_log),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use vouchsafe_verifier::Evidence;

    use super::*;

    /// A device that is busy so many times, and then makes evidence; it never serves two at once.
    #[derive(Default)]
    struct Fake {
        busy: AtomicU32,
        fails: bool,
        is_stale: bool,
        asked: AtomicU32,
        serving: Mutex<()>,
    }

    impl Device for Fake {
        fn evidence(&self, report_data: &[u8; 64]) -> Result<Vec<u8>, Refusal> {
            let _serving = self.serving.try_lock().expect("one request at a time");
            self.asked.fetch_add(1, SeqCst);
            if self.fails {
                return Err(Refusal::Failed(AttestError::Failed("firmware error 5".into())));
            }
            if self.busy.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                return Err(Refusal::Busy("come again".into()));
            }
            let mut report = vec![0; 1184];
            report[0x50..0x90].copy_from_slice(if self.is_stale { &[1; 64] } else { report_data });
            Ok(report)
        }
    }

    fn attester(device: Fake, tee: Tee) -> DeviceAttester<Fake> {
        DeviceAttester::new(device, tee, "a fake".into(), "/nowhere/CCEL".into())
    }

    #[test]
    fn evidence_of_each_kind_comes_from_its_device() {
        let snp = attester(Fake::default(), Tee::SevSnp);
        assert_eq!(snp.platform().interface, "a fake");
        let attestation = snp.attest(&[9; 64]).unwrap();
        assert!(
            matches!(attestation.evidence, Evidence::SevSnp { report } if report.0[0x50..0x90] == [9; 64])
        );
        assert_eq!(attestation.endorsements, None);
        let tdx = attester(Fake::default(), Tee::Tdx).attest(&[9; 64]).unwrap();
        assert!(matches!(tdx.evidence, Evidence::Tdx { event_log: None, .. }));
    }

    #[test]
    fn a_busy_device_is_asked_again_and_not_for_ever() {
        let passing = attester(Fake { busy: 2.into(), ..Fake::default() }, Tee::SevSnp);
        assert!(passing.attest(&[9; 64]).is_ok());
        assert_eq!(passing.device.asked.load(SeqCst), 3);
        let busy = attester(Fake { busy: u32::MAX.into(), ..Fake::default() }, Tee::SevSnp);
        let error = busy.attest(&[9; 64]).unwrap_err();
        assert_eq!(error, AttestError::Busy { attempts: ATTEMPTS, message: "come again".into() });
        assert_eq!(busy.device.asked.load(SeqCst), ATTEMPTS);
    }

    #[test]
    fn a_failure_is_told_at_once_and_evidence_on_other_data_refused() {
        let failing = attester(Fake { fails: true, ..Fake::default() }, Tee::SevSnp);
        assert_eq!(failing.attest(&[9; 64]), Err(AttestError::Failed("firmware error 5".into())));
        assert_eq!(failing.device.asked.load(SeqCst), 1);
        for tee in [Tee::SevSnp, Tee::Tdx] {
            let stale = attester(Fake { is_stale: true, ..Fake::default() }, tee);
            assert_eq!(stale.attest(&[9; 64]), Err(AttestError::NotBound));
        }
    }

    #[test]
    fn requests_at_the_same_time_are_served_one_after_the_other() {
        let snp = attester(Fake::default(), Tee::SevSnp);
        std::thread::scope(|scope| {
            for byte in 1..=16 {
                let snp = &snp;
                scope.spawn(move || assert!(snp.attest(&[byte; 64]).is_ok()));
            }
        });
        assert_eq!(snp.device.asked.load(SeqCst), 16);
    }
}
