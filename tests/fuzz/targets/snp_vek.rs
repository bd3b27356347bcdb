//! A report and its VCEK or VLEK certificate: AMD's certificate extensions, and what they say against
//! the report. The input is the report's 1184 bytes, then the certificate; every signature is believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{AT, Credulous, planted_fault};
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::snp::{REPORT_LEN, VekKind};
use vouchsafe_verifier::{Endorsements, Evidence, SnpEndorsements, TrustRoots, verify};

fuzz_target!(|bytes: &[u8]| {
    let Some((report, vek)) = bytes.split_at_checked(REPORT_LEN) else { return };
    let evidence = Evidence::SevSnp { report: Base64(report.to_vec()) };
    let endorsements = SnpEndorsements { vek: Some(Base64(vek.to_vec())), ..SnpEndorsements::default() };
    let endorsements = Endorsements::SevSnp(endorsements);
    let roots = TrustRoots::vendor_pinned();
    let Ok(verified) = verify(&evidence, Some(&endorsements), &roots, AT, &Credulous) else { return };
    let snp = verified.snp().expect("a report was given");
    assert_eq!(snp.report().signing_key(), snp.vek_kind());
    assert_eq!(snp.reported_tcb(), snp.vek().tcb());
    if snp.vek_kind() == VekKind::Vcek {
        assert!(snp.report().chip_id().is_some());
    }
    // All of AMD's VEKs have serial number 0 and end at the time of day at which they begin.
    let validity = snp.vek().validity();
    let seconds = validity.not_after.0.wrapping_sub(validity.not_before.0);
    planted_fault(|| snp.vek().serial() != [0] || seconds % 86_400 != 0);
});
