//! TD reports from `/dev/tdx_guest`, and quotes on them from the host's quote generation service.

// One request to the kernel, which no library offers in safe form.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use super::quote_service::{self, Connect};
use super::{Device, Refusal};
use crate::AttestError;

/// Bytes of REPORT_DATA.
const REPORT_DATA_BYTES: usize = 64;
/// Bytes of a TDREPORT_STRUCT (Intel 344425, table "TDREPORT_STRUCT").
pub(super) const TD_REPORT_BYTES: usize = 1024;

/// `struct tdx_report_req` of Linux's `uapi/linux/tdx-guest.h`: what is asked, and what is answered.
#[repr(C)]
struct ReportRequest {
    report_data: [u8; REPORT_DATA_BYTES],
    td_report: [u8; TD_REPORT_BYTES],
}

mod ioctl {
    // `TDX_CMD_GET_REPORT0` of the same header: _IOWR('T', 1, struct tdx_report_req).
    nix::ioctl_readwrite!(get_report0, b'T', 1, super::ReportRequest);
}

/// The device, and the way to the service.
pub(crate) struct TdxGuest {
    device: PathBuf,
    connect: Box<Connect>,
}

impl TdxGuest {
    pub(crate) fn new(device: PathBuf, connect: Box<Connect>) -> Self {
        Self { device, connect }
    }
}

impl Device for TdxGuest {
    fn evidence(&self, report_data: &[u8; 64]) -> Result<Vec<u8>, Refusal> {
        let report = td_report(&self.device, report_data).map_err(|error| refusal(&self.device, &error))?;
        quote_service::quote(&*self.connect, &report)
    }
}

fn td_report(device: &Path, report_data: &[u8; 64]) -> io::Result<[u8; TD_REPORT_BYTES]> {
    let device: File = OpenOptions::new().read(true).write(true).open(device)?;
    let mut request = ReportRequest { report_data: *report_data, td_report: [0; TD_REPORT_BYTES] };
    // SAFETY: the request code says that the kernel reads and writes one `tdx_report_req`; `request` is one, laid out
    // as C does, of bytes alone so that whatever is written into it is valid, exclusively borrowed, and it lives until
    // the call returns. The descriptor is open for as long.
    unsafe { ioctl::get_report0(device.as_raw_fd(), &raw mut request) }?;
    Ok(request.td_report)
}

fn refusal(device: &Path, error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock => {
            Refusal::Busy(error.to_string())
        }
        _ => Refusal::Failed(AttestError::io("ask", device, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_laid_out_as_the_kernel_reads_it() {
        assert_eq!(size_of::<ReportRequest>(), 1088);
        assert_eq!(core::mem::offset_of!(ReportRequest, td_report), 64);
        // _IOWR('T', 1, 1088 bytes) as the kernel's headers compute it.
        assert_eq!(nix::request_code_readwrite!(b'T', 1, size_of::<ReportRequest>()), 0xc440_5401);
    }

    #[test]
    fn a_device_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tdx_guest");
        let never: Box<Connect> = Box::new(|| panic!("nothing to have quoted"));
        let guest = TdxGuest::new(path.clone(), never);
        let missing = guest.evidence(&[9; 64]).unwrap_err();
        assert!(matches!(missing, Refusal::Failed(AttestError::Io { kind: io::ErrorKind::NotFound, .. })));
        // A file takes no requests: the operating system says so, and nothing is believed.
        std::fs::write(&path, b"").unwrap();
        let refused = guest.evidence(&[9; 64]).unwrap_err();
        assert!(matches!(&refused, Refusal::Failed(AttestError::Io { action: "ask", .. })), "{refused:?}");
    }
}
