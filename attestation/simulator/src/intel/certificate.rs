//! What Intel's certificates and revocation lists say, in Intel's order and encodings.
//!
//! Each function states one kind with everything right. The one intended difference from Intel's
//! bytes is the host in distribution points (`s.invalid` for `intel.com`, of the same length): nobody
//! is sent to Intel for a simulated root's CRL.

use vouchsafe_verifier::UnixSeconds;

use super::pck::{self, PckFacts};
use super::{IntelIssuer, PckCa};
use crate::x509::{
    CertificateSpec, CrlSpec, Extension, Name, Revoked, SignatureAlgorithm, StringType, Validity, standard,
};
use crate::{Error, der};

const ROOT_CRL_URI: &str = "https://certificates.trustedservices.s.invalid/IntelSGXRootCA.der";
/// keyCertSign and cRLSign.
const CA_USAGE: (u8, u8) = (1, 0x06);
/// digitalSignature and nonRepudiation.
const SIGNER_USAGE: (u8, u8) = (6, 0xc0);
/// CRL reason keyCompromise.
const KEY_COMPROMISE: u8 = 1;

/// Root, PCK CA or TCB signer: everything that the root signs.
pub fn ca(
    subject: IntelIssuer,
    validity: Validity,
    spki: &[u8],
    key_id: &[u8; 20],
    root_key_id: &[u8; 20],
) -> CertificateSpec {
    let (usage, constraints) = match subject {
        IntelIssuer::Root => (CA_USAGE, standard::basic_constraints(true, Some(1))),
        IntelIssuer::PckCa(_) => (CA_USAGE, standard::basic_constraints(true, Some(0))),
        IntelIssuer::TcbSigning => (SIGNER_USAGE, standard::basic_constraints(false, None)),
    };
    CertificateSpec {
        serial: key_id.to_vec(),
        issuer: name(common_name(IntelIssuer::Root)),
        subject: name(common_name(subject)),
        validity,
        subject_public_key_info: spki.to_vec(),
        extensions: vec![
            standard::authority_key_id(root_key_id),
            standard::crl_distribution_point(ROOT_CRL_URI),
            standard::subject_key_id(key_id),
            standard::key_usage(usage.0, usage.1),
            constraints,
        ],
        algorithm: SignatureAlgorithm::EcdsaSha256,
        outer_algorithm: None,
    }
}

/// A platform's Provisioning Certification Key.
pub fn pck(
    ca: PckCa,
    facts: &PckFacts,
    serial: &[u8],
    validity: Validity,
    spki: &[u8],
    key_id: &[u8; 20],
    ca_key_id: &[u8; 20],
) -> CertificateSpec {
    let crl = format!(
        "https://api.trustedservices.s.invalid/sgx/certification/v4/pckcrl?ca={}&encoding=der",
        ca.name()
    );
    CertificateSpec {
        serial: serial.to_vec(),
        issuer: name(common_name(IntelIssuer::PckCa(ca))),
        subject: name("Intel SGX PCK Certificate"),
        validity,
        subject_public_key_info: spki.to_vec(),
        extensions: vec![
            standard::authority_key_id(ca_key_id),
            standard::crl_distribution_point(&crl),
            standard::subject_key_id(key_id),
            standard::key_usage(SIGNER_USAGE.0, SIGNER_USAGE.1),
            standard::basic_constraints(false, None),
            Extension::new(pck::oid::SGX_EXTENSIONS, pck::encode_sgx_entries(&facts.entries())),
        ],
        algorithm: SignatureAlgorithm::EcdsaSha256,
        outer_algorithm: None,
    }
}

/// The revocation list of the root or of a PCK CA, with nothing revoked. Intel's list number is
/// always 1.
pub fn crl(
    issuer: IntelIssuer,
    this_update: UnixSeconds,
    next_update: UnixSeconds,
    issuer_key_id: &[u8; 20],
) -> CrlSpec {
    CrlSpec {
        issuer: name(common_name(issuer)),
        this_update,
        next_update: Some(next_update),
        revoked: Vec::new(),
        extensions: vec![standard::crl_number(1), standard::authority_key_id(issuer_key_id)],
        algorithm: SignatureAlgorithm::EcdsaSha256,
        outer_algorithm: None,
    }
}

/// A line of a list, with the reason Intel gives.
pub fn revoked(serial: &[u8], at: UnixSeconds) -> Revoked {
    let reason = Extension::new(standard::REASON_CODE, der::enumerated(KEY_COMPROMISE));
    Revoked { serial: serial.to_vec(), at, extensions: vec![reason] }
}

/// A name as Intel writes it: everything but the common name is always the same.
pub fn name(common_name: &str) -> Name {
    let utf8 = |attribute, value: &str| (attribute, StringType::Utf8, value.to_owned());
    Name(vec![
        utf8(Name::COMMON_NAME, common_name),
        utf8(Name::ORGANIZATION, "Intel Corporation"),
        utf8(Name::LOCALITY, "Santa Clara"),
        utf8(Name::STATE, "CA"),
        (Name::COUNTRY, StringType::Printable, "US".to_owned()),
    ])
}

/// How long Intel's certificates of each kind last.
pub(super) fn validity(subject: IntelIssuer, not_before: UnixSeconds) -> Result<Validity, Error> {
    let years = match subject {
        IntelIssuer::Root => 31,
        IntelIssuer::PckCa(_) => 15,
        IntelIssuer::TcbSigning => 7,
    };
    Validity::years(not_before, years)
}

fn common_name(whose: IntelIssuer) -> &'static str {
    match whose {
        IntelIssuer::Root => "Intel SGX Root CA",
        IntelIssuer::PckCa(PckCa::Platform) => "Intel SGX PCK Platform CA",
        IntelIssuer::PckCa(PckCa::Processor) => "Intel SGX PCK Processor CA",
        IntelIssuer::TcbSigning => "Intel SGX TCB Signing",
    }
}
