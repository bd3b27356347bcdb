//! A report and its VCEK or VLEK certificate: AMD's certificate extensions, and what they say against
//! the report. The input is the report's 1184 bytes, then the certificate; every signature is believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{AT, Credulous, careless, planted};
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::snp::{REPORT_LEN, VekKind};
use vouchsafe_verifier::x509::Certificate;
use vouchsafe_verifier::{Endorsements, Evidence, SnpEndorsements, TrustRoots, verify};

fuzz_target!(|bytes: &[u8]| {
    let Some((report, vek)) = bytes.split_at_checked(REPORT_LEN) else { return };
    if let Ok(certificate) = Certificate::parse(vek) {
        // The hwID stands there without DER around it.
        let levels = certificate.extensions().iter().filter(|extension| extension.value.len() < 8);
        levels.for_each(|level| planted(|| careless::der_depth(level.value)));
    }
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
});
