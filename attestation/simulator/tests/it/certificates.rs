//! Taking real certificates apart, and comparing them with minted ones.

use der::{Decode, Encode};
use sha1::{Digest, Sha1};
use vouchsafe_simulator::x509::{CertificateSpec, Validity};
use vouchsafe_verifier::UnixSeconds;
use x509_cert::time::Time;
use x509_cert::{Certificate, TbsCertificate};

/// The spec, with the real signature, must be the real certificate; the distribution point's host
/// is the one intended difference.
pub(crate) fn assert_same(spec: &CertificateSpec, real: &[u8], (host, simulated): (&str, &str), what: &str) {
    let signature = Certificate::from_der(real).unwrap().signature;
    let minted = spec.with_signature(signature.as_bytes().unwrap()).unwrap();
    let mut expected = real.to_vec();
    assert_eq!(host.len(), simulated.len());
    if let Some(at) = real.windows(host.len()).position(|window| window == host.as_bytes()) {
        expected[at..at + host.len()].copy_from_slice(simulated.as_bytes());
    }
    assert!(minted == expected, "{what}:\n{minted:02x?}\n{expected:02x?}");
}

fn tbs(certificate: &[u8]) -> TbsCertificate {
    Certificate::from_der(certificate).unwrap().tbs_certificate
}

/// When a certificate is valid.
pub(crate) fn validity(certificate: &[u8]) -> Validity {
    let validity = tbs(certificate).validity;
    Validity { not_before: seconds(validity.not_before), not_after: seconds(validity.not_after) }
}

/// An X.509 time as a moment.
pub(crate) fn seconds(time: Time) -> UnixSeconds {
    UnixSeconds(time.to_unix_duration().as_secs())
}

/// A certificate's key, DER.
pub(crate) fn spki(certificate: &[u8]) -> Vec<u8> {
    tbs(certificate).subject_public_key_info.to_der().unwrap()
}

/// The key identifier as AMD computes it: SHA-1 of the key bits.
pub(crate) fn amd_key_id(certificate: &[u8]) -> [u8; 20] {
    let info = tbs(certificate).subject_public_key_info;
    Sha1::digest(info.subject_public_key.as_bytes().unwrap()).into()
}

/// The key identifier as Intel computes it: SHA-1 of the whole `SubjectPublicKeyInfo`.
pub(crate) fn intel_key_id(certificate: &[u8]) -> [u8; 20] {
    Sha1::digest(spki(certificate)).into()
}
