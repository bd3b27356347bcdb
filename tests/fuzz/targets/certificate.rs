//! X.509 certificates of both vendors, in DER and in PEM.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{AT, Credulous, careless, planted};
use vouchsafe_verifier::x509::{Certificate, pem_certificates};

fuzz_target!(|bytes: &[u8]| {
    let _ = pem_certificates(bytes, 4);
    let Ok(certificate) = Certificate::parse(bytes) else { return };
    assert_eq!(certificate.der(), bytes);
    let _ = (
        certificate.check_validity(AT),
        certificate.check_critical_extensions(&[]),
        certificate.check_leaf(),
    );
    let _ = (certificate.subject().to_string(), certificate.issuer().common_name());
    if certificate.check_issued_by(&certificate, 1, &Credulous).is_ok() {
        assert_eq!(certificate.issuer(), certificate.subject());
        assert!(certificate.is_ca());
    }
    let validity = certificate.validity();
    planted(|| careless::seconds_between(validity.not_before.0, validity.not_after.0));
});
