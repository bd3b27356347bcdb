//! Reports from `/dev/sev-guest`, by the crate `sev`.

use sev::error::{UserApiError, VmmError};
use sev::firmware::guest::Firmware;

use super::{Device, Refusal};
use crate::AttestError;

/// The level of privilege that guest kernels run at where nothing runs below them.
const VMPL: u32 = 0;

/// The device. The crate knows its path.
pub(crate) struct SevGuest;

impl Device for SevGuest {
    fn evidence(&self, report_data: &[u8; 64]) -> Result<Vec<u8>, Refusal> {
        // Opened anew each time: what one request did wrong stays with it.
        let mut firmware = Firmware::open()
            .map_err(|error| Refusal::Failed(AttestError::io("open", "/dev/sev-guest".as_ref(), &error)))?;
        // The raw bytes; the crate's own view of a report would not keep all of them.
        firmware.get_report(None, Some(*report_data), Some(VMPL)).map_err(|error| refusal(&error))
    }
}

fn refusal(error: &UserApiError) -> Refusal {
    match error {
        // The host asks for patience (GHCB specification, SNP Guest Request).
        UserApiError::VmmError(VmmError::RateLimitRetryRequest) => Refusal::Busy(error.to_string()),
        _ => Refusal::Failed(AttestError::Failed(format!("/dev/sev-guest: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_asks_for_patience_is_asked_again_and_no_other() {
        assert!(matches!(refusal(&VmmError::RateLimitRetryRequest.into()), Refusal::Busy(_)));
        assert!(matches!(refusal(&VmmError::InvalidCertificatePageLength.into()), Refusal::Failed(_)));
        assert!(matches!(refusal(&UserApiError::VmplError), Refusal::Failed(_)));
    }

    #[test]
    fn a_machine_without_the_device_says_so() {
        if std::path::Path::new("/dev/sev-guest").exists() {
            eprintln!("NOT RUN: this machine has /dev/sev-guest");
            return;
        }
        let error = SevGuest.evidence(&[9; 64]).unwrap_err();
        assert!(matches!(error, Refusal::Failed(AttestError::Io { action: "open", .. })), "{error:?}");
    }
}
