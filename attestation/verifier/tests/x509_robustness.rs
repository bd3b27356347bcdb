//! Certificates, revocation lists, PEM and reports from hostile hands: parsers answer, and never panic.

use std::path::Path;

use proptest::prelude::*;
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::to_base64;
use vouchsafe_verifier::snp::Report;
use vouchsafe_verifier::x509::{
    CERTIFICATE_BYTES_MAX, CRL_BYTES_MAX, Certificate, Crl, Error, PublicKey, SignatureAlgorithm,
    pem_certificates,
};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn ark() -> Vec<u8> {
    file("roots/amd/milan-ark.der")
}

fn vcek() -> Vec<u8> {
    file("examples/data/turin-vcek.der")
}

/// Uses everything a parsed certificate offers.
fn exercise(certificate: &Certificate<'_>) {
    let _ = (certificate.issuer().to_string(), certificate.subject().common_name());
    let _ = certificate.check_validity(UnixSeconds(1_770_000_000));
    let _ = certificate.check_critical_extensions(&[]);
    let _ = certificate.check_issued_by(certificate, 0, &Ring);
    let _ = (certificate.check_leaf(), certificate.key_usage(), certificate.serial());
    for extension in certificate.extensions() {
        assert_eq!(certificate.extension(extension.oid), Some(extension));
    }
}

#[test]
fn a_certificate_is_read_as_others_read_it() {
    let (ark, vcek) = (ark(), vcek());
    let ark = Certificate::parse(&ark).unwrap();
    assert_eq!(ark.subject().common_name(), Some("ARK-Milan"));
    assert_eq!(ark.issuer(), ark.subject());
    assert_eq!(ark.serial(), [1, 0, 0]);
    assert!(ark.is_ca());
    assert_eq!(ark.signature_algorithm(), SignatureAlgorithm::RsaPssSha384);
    assert!(matches!(ark.public_key(), PublicKey::Rsa(key) if key.len() == 526));
    assert_eq!(ark.validity().not_before.to_string(), "2020-10-22T17:23:05Z");
    assert_eq!(ark.validity().not_after.to_string(), "2045-10-22T17:23:05Z");

    let vcek = Certificate::parse(&vcek).unwrap();
    assert_eq!(vcek.subject().to_string(), "SEV-VCEK");
    assert_eq!((vcek.serial(), vcek.is_ca(), vcek.extensions().len()), ([0].as_slice(), false, 11));
    assert!(matches!(vcek.public_key(), PublicKey::P384(_)));
}

#[test]
fn no_truncation_or_extension_of_a_certificate_parses() {
    for whole in [ark(), vcek()] {
        for len in 0..whole.len() {
            Certificate::parse(&whole[..len]).unwrap_err();
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(Certificate::parse(&longer).unwrap_err().code(), "certificate_malformed");
    }
}

#[test]
fn sizes_are_bounded() {
    let certificate = vec![0x30; CERTIFICATE_BYTES_MAX + 1];
    assert!(matches!(Certificate::parse(&certificate), Err(Error::CertificateTooLong { .. })));
    assert!(matches!(Certificate::parse(&certificate[1..]), Err(Error::CertificateMalformed(_))));
    let crl = vec![0x30; CRL_BYTES_MAX + 1];
    assert!(matches!(Crl::parse(&crl), Err(Error::CrlTooLong { .. })));
    assert!(matches!(Crl::parse(&crl[1..]), Err(Error::CrlMalformed(_))));
}

#[test]
fn a_certificate_is_not_a_revocation_list() {
    assert!(Crl::parse(&ark()).is_err());
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", to_base64(der))
}

#[test]
fn pem_chains_are_read_in_order_and_bounded() {
    let (ark, vcek) = (ark(), vcek());
    let text = format!("a comment\n{}{}", pem(&vcek), pem(&ark));
    assert_eq!(pem_certificates(text.as_bytes(), 2).unwrap(), [vcek, ark]);
    for (text, certificates_max) in [
        (text.as_str(), 1),
        ("", 1),
        ("no certificate", 1),
        ("-----BEGIN CERTIFICATE-----\n", 1),
        ("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", 1),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", 1),
    ] {
        let error = pem_certificates(text.as_bytes(), certificates_max).unwrap_err();
        assert_eq!(error.code(), "pem_malformed", "{text}");
    }
    let huge = vec![b'\n'; 5 * CERTIFICATE_BYTES_MAX];
    assert!(matches!(pem_certificates(&huge, 2), Err(Error::CertificateTooLong { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Certificate::parse(&bytes).is_err());
        prop_assert!(Crl::parse(&bytes).is_err());
        let _ = pem_certificates(&bytes, 3);
    }

    /// Copies a stretch of a certificate over another place: lengths stop fitting, elements repeat.
    #[test]
    fn rearranged_certificates_do_not_panic(
        from in 0usize..1280, to in 0usize..1280, len in 0usize..64, byte in any::<u8>(), at in 0usize..1280,
    ) {
        for whole in [ark(), vcek()] {
            let mut bytes = whole.clone();
            let len = len.min(bytes.len() - from.max(to));
            bytes.copy_within(from..from + len, to);
            bytes[at] = byte;
            if let Ok(certificate) = Certificate::parse(&bytes) {
                exercise(&certificate);
            }
        }
    }

    #[test]
    fn arbitrary_reports_do_not_panic(
        bytes in proptest::collection::vec(any::<u8>(), 1184), version in 0u8..7,
    ) {
        let mut bytes = bytes;
        let _ = Report::parse(&bytes);
        // Nearly right: a real report with a stretch of noise.
        let real = file("examples/data/turin-report.bin");
        let start = usize::from(bytes[0]) * 4;
        bytes[..start].copy_from_slice(&real[..start]);
        bytes[start + 16..].copy_from_slice(&real[start + 16..]);
        bytes[0] = version;
        if let Ok(report) = Report::parse(&bytes) {
            let claims = serde_json::to_value(report.claims()).unwrap();
            prop_assert_eq!(claims["version"].as_u64(), Some(u64::from(version)));
        }
    }
}
