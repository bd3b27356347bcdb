//! Which trusted execution environment this machine is, or exactly why none is usable.
//!
//! Looks at configfs-tsm first. Kernels without it reach the hardware through the devices' own
//! ioctls; that second way joins here, behind the same trait.

use std::io;
use std::path::{Path, PathBuf};

use crate::hardware::TsmAttester;
use crate::tsm::Configfs;
use crate::{AttestError, Attester, DetectError};

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
    for (device, guest) in [(&paths.sev_guest, "SNP"), (&paths.tdx_guest, "TDX")] {
        let device_found = device.exists();
        findings.push(match device_found {
            false => format!("{} is not there: this is no {guest} guest, or its driver is not loaded", device.display()),
            true => format!(
                "{} is there, but reports are read through configfs-tsm alone (Linux 6.7 or later, module tsm)",
                device.display()
            ),
        });
    }
    Err(DetectError { findings })
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
        assert!(error.to_string().contains("no SNP guest"), "{error}");
        assert!(error.to_string().contains("no TDX guest"), "{error}");

        // A device whose interface is missing is not the same as no device.
        std::fs::write(&paths.sev_guest, b"").unwrap();
        let error = detect_at(&paths).err().unwrap();
        assert!(error.findings[1].contains("is there, but"), "{error}");

        // An interface that does not behave is reported as such.
        paths.tsm_report = folder.path().to_owned();
        let error = detect_at(&paths).err().unwrap();
        assert!(error.findings[0].contains("cannot read"), "{error}");
    }

    #[test]
    fn an_interface_without_a_provider_is_explained() {
        let error = AttestError::io("make", Path::new("/x"), &io::Error::from_raw_os_error(6));
        assert!(explain(Path::new("/x"), &error).contains("no provider"));
    }
}
