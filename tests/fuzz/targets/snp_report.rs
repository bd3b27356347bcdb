//! SEV-SNP reports: parsing is total, and what parses keeps its own bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{careless, planted};
use vouchsafe_verifier::snp::Report;

fuzz_target!(|bytes: &[u8]| {
    let Ok(report) = Report::parse(bytes) else { return };
    assert_eq!(bytes.len(), 1184);
    assert_eq!(report.report_data().as_slice(), &bytes[0x50..0x90]);
    assert_eq!(report.measurement().as_slice(), &bytes[0x90..0xc0]);
    assert!((2..=5).contains(&report.version()));
    assert!(report.vmpl() <= 3);
    planted(|| careless::builds_ahead(report.committed_firmware(), report.current_firmware()));
});
