//! Which trusted execution environment this machine is, or exactly why none is usable.
//!
//! Looks at configfs-tsm first. Kernels without it reach the hardware through the devices themselves.

use std::io;
use std::path::{Path, PathBuf};

use crate::device::{DeviceAttester, SevGuest, TdxGuest, connect_by_vsock};
use crate::hardware::TsmAttester;
use crate::tsm::Configfs;
use crate::{AttestError, Attester, DetectError, Tee};

/// Where the kernel shows its interfaces; injectable for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The folder of configfs-tsm's reports.
    pub tsm_report: PathBuf,
    /// The device of an SNP guest.
    pub sev_guest: PathBuf,
    /// The device of a TDX guest.
    pub tdx_guest: PathBuf,
    /// The event log that TDX firmware leaves.
    pub event_log: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            tsm_report: "/sys/kernel/config/tsm/report".into(),
            sev_guest: "/dev/sev-guest".into(),
            tdx_guest: "/dev/tdx_guest".into(),
            event_log: "/sys/firmware/acpi/tables/data/CCEL".into(),
        }
    }
}

/// Finds this machine's attester.
///
/// # Errors
/// [`DetectError`], with what was looked at and found.
pub fn detect() -> Result<Box<dyn Attester>, DetectError> {
    detect_at(&Paths::default())
}

/// Finds the attester behind these paths.
///
/// # Errors
/// [`DetectError`], with what was looked at and found.
pub fn detect_at(paths: &Paths) -> Result<Box<dyn Attester>, DetectError> {
    let mut findings = Vec::new();
    if paths.tsm_report.is_dir() {
        match TsmAttester::new(Configfs::new(paths.tsm_report.clone()), paths.event_log.clone()) {
            Ok(attester) => return Ok(Box::new(attester)),
            Err(error) => findings.push(explain(&paths.tsm_report, &error)),
        }
    } else {
        findings.push(format!(
            "{} is not there: the kernel has no configfs-tsm, or configfs is not mounted",
            paths.tsm_report.display()
        ));
    }
    for (device, tee) in [(&paths.sev_guest, Tee::SevSnp), (&paths.tdx_guest, Tee::Tdx)] {
        if device.exists() {
            return Ok(by_device(device, tee, paths));
        }
        findings.push(format!(
            "{} is not there: this is no {tee} guest, or its driver is not loaded",
            device.display()
        ));
    }
    Err(DetectError { findings })
}

/// The attester behind a device. That it works shows with the first report, without which no enclave serves anybody.
fn by_device(device: &Path, tee: Tee, paths: &Paths) -> Box<dyn Attester> {
    let (interface, event_log) = (device.display().to_string(), paths.event_log.clone());
    match tee {
        Tee::SevSnp => Box::new(DeviceAttester::new(SevGuest, tee, interface, event_log)),
        Tee::Tdx => {
            let guest = TdxGuest::new(device.to_owned(), Box::new(connect_by_vsock));
            let interface = format!("{interface} and the host's quote generation service");
            Box::new(DeviceAttester::new(guest, tee, interface, event_log))
        }
    }
}

fn explain(folder: &Path, error: &AttestError) -> String {
    match error {
        // ENXIO, "No such device or address": the interface is there and nothing provides it.
        AttestError::Io { action: "make", message, .. }
            if io::Error::from_raw_os_error(6).to_string() == *message =>
        {
            format!(
                "{} has no provider: neither sev-guest nor tdx-guest found its hardware",
                folder.display()
            )
        }
        other => format!("{}: {other}", folder.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_tee_is_told_what_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut paths = Paths {
            tsm_report: at("report"),
            sev_guest: at("sev-guest"),
            tdx_guest: at("tdx_guest"),
            event_log: at("CCEL"),
        };
        let error = detect_at(&paths).err().unwrap();
        assert_eq!(error.findings.len(), 3);
        assert!(error.to_string().contains("no configfs-tsm"), "{error}");
        assert!(error.to_string().contains("no AMD SEV-SNP guest"), "{error}");
        assert!(error.to_string().contains("no Intel TDX guest"), "{error}");

        // An interface that does not behave is reported as such.
        paths.tsm_report = folder.path().to_owned();
        let error = detect_at(&paths).err().unwrap();
        assert!(error.findings[0].contains("cannot read"), "{error}");
    }

    #[test]
    fn a_kernel_without_the_interface_is_asked_by_its_device() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let [sev_guest, tdx_guest] = ["sev-guest", "tdx_guest"].map(at);
        let paths = Paths { tsm_report: at("report"), sev_guest, tdx_guest, event_log: at("CCEL") };
        std::fs::write(&paths.tdx_guest, b"").unwrap();
        let tdx = detect_at(&paths).unwrap();
        assert_eq!((tdx.platform().tee, tdx.platform().simulated), (Tee::Tdx, false));
        assert!(tdx.platform().interface.contains("quote generation service"));
        // What answers no request attests nothing.
        assert_eq!(tdx.attest(&[9; 64]).unwrap_err().code(), "attest_io");
        std::fs::write(&paths.sev_guest, b"").unwrap();
        assert_eq!(detect_at(&paths).unwrap().platform().tee, Tee::SevSnp);
    }

    #[test]
    fn an_interface_without_a_provider_is_explained() {
        let error = AttestError::io("make", Path::new("/x"), &io::Error::from_raw_os_error(6));
        assert!(explain(Path::new("/x"), &error).contains("no provider"));
    }
}
