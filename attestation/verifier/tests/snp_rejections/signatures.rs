//! Rows about RSASSA-PSS and its parameters.

use vouchsafe_simulator::amd::oid;
use vouchsafe_simulator::der;
use vouchsafe_simulator::x509::{Hash, PssParameters, SignatureAlgorithm};
use vouchsafe_verifier::x509::oid::ObjectIdentifier;

use super::{Row, milan, row};

pub(crate) const fn pss(parameters: PssParameters) -> SignatureAlgorithm {
    SignatureAlgorithm::RsaPss(parameters)
}

pub(crate) const SIGNATURES: &[Row] = &[
    row(
        22,
        "salt of 32 bytes, as declared",
        milan,
        |d| d.vek_mut().algorithm = pss(PssParameters { salt_bytes: 32, ..PssParameters::AMD }),
        "snp_certificate_pss_salt_length",
    ),
    row(
        22,
        "salt of 64 bytes, as declared",
        milan,
        |d| d.vek_mut().algorithm = pss(PssParameters { salt_bytes: 64, ..PssParameters::AMD }),
        "snp_certificate_pss_salt_length",
    ),
    row(
        22,
        "salt of 32 bytes, 48 declared",
        milan,
        |d| d.vek.as_mut().unwrap().how = Some(PssParameters { salt_bytes: 32, ..PssParameters::AMD }),
        "snp_certificate_signature_invalid",
    ),
    row(
        22,
        "salt of 64 bytes, 48 declared",
        milan,
        |d| d.vek.as_mut().unwrap().how = Some(PssParameters { salt_bytes: 64, ..PssParameters::AMD }),
        "snp_certificate_signature_invalid",
    ),
    row(
        22,
        "SHA-256, as declared",
        milan,
        |d| {
            d.vek_mut().algorithm =
                pss(PssParameters { hash: Hash::Sha256, mgf1_hash: Hash::Sha256, ..PssParameters::AMD })
        },
        "snp_certificate_pss_algorithm",
    ),
    row(
        22,
        "SHA-512, as declared",
        milan,
        |d| {
            d.vek_mut().algorithm =
                pss(PssParameters { hash: Hash::Sha512, mgf1_hash: Hash::Sha512, ..PssParameters::AMD })
        },
        "snp_certificate_pss_algorithm",
    ),
    row(
        22,
        "MGF1 with SHA-256 declared",
        milan,
        |d| d.vek_mut().algorithm = pss(PssParameters { mgf1_hash: Hash::Sha256, ..PssParameters::AMD }),
        "snp_certificate_pss_algorithm",
    ),
    row(
        22,
        "SHA-256, SHA-384 declared",
        milan,
        |d| d.vek.as_mut().unwrap().how = Some(PssParameters { hash: Hash::Sha256, ..PssParameters::AMD }),
        "snp_certificate_signature_invalid",
    ),
    row(
        22,
        "an ASK with a salt of 32 bytes",
        milan,
        |d| {
            d.intermediate.spec.algorithm =
                pss(PssParameters { salt_bytes: 32, ..PssParameters::AMD_EXPLICIT_TRAILER })
        },
        "snp_certificate_pss_salt_length",
    ),
    row(
        22,
        "ECDSA declared",
        milan,
        |d| d.vek_mut().algorithm = SignatureAlgorithm::EcdsaSha256,
        "snp_certificate_signature_invalid",
    ),
    row(
        22,
        "an unknown algorithm declared",
        milan,
        |d| d.vek_mut().algorithm = SignatureAlgorithm::Raw(der::sequence(&[&der::oid(oid::HWID)])),
        "snp_certificate_signature_algorithm",
    ),
    row(
        22,
        "other parameters outside than inside",
        milan,
        |d| d.vek_mut().outer_algorithm = Some(pss(PssParameters::AMD_EXPLICIT_TRAILER)),
        "snp_certificate_signature_algorithms_differ",
    ),
    row(
        22,
        "RSASSA-PSS without parameters",
        milan,
        |d| d.vek_mut().algorithm = SignatureAlgorithm::Raw(der::sequence(&[&der::oid(RSASSA_PSS)])),
        "snp_certificate_pss_malformed",
    ),
    row(
        22,
        "RSASSA-PSS with empty parameters",
        milan,
        |d| {
            d.vek_mut().algorithm =
                SignatureAlgorithm::Raw(der::sequence(&[&der::oid(RSASSA_PSS), &der::sequence(&[])]))
        },
        "snp_certificate_pss_malformed",
    ),
    row(
        22,
        "trailerField 2",
        milan,
        |d| d.vek_mut().algorithm = trailer(&der::integer_u64(2)),
        "snp_certificate_pss_malformed",
    ),
    row(
        22,
        "trailerField with a byte after it",
        milan,
        |d| d.vek_mut().algorithm = trailer(&[2, 1, 1, 0]),
        "snp_certificate_pss_malformed",
    ),
];

pub(crate) const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// AMD's parameters with this trailer field.
fn trailer(value: &[u8]) -> SignatureAlgorithm {
    let sha384 =
        der::sequence(&[&der::oid(ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2")), &der::null()]);
    let mgf1 = der::sequence(&[&der::oid(ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8")), &sha384]);
    let parameters = der::sequence(&[
        &der::context(0, &sha384),
        &der::context(1, &mgf1),
        &der::context(2, &der::integer_u64(48)),
        &der::context(3, value),
    ]);
    SignatureAlgorithm::Raw(der::sequence(&[&der::oid(RSASSA_PSS), &parameters]))
}

/// Both of AMD's encodings of the same parameters pass, in every place.
#[test]
fn both_encodings_of_the_pss_parameters_are_accepted() {
    for vek in [PssParameters::AMD, PssParameters::AMD_EXPLICIT_TRAILER] {
        for ca in [PssParameters::AMD, PssParameters::AMD_EXPLICIT_TRAILER] {
            let mut draft = milan();
            draft.vek_mut().algorithm = pss(vek);
            draft.intermediate.spec.algorithm = pss(ca);
            draft.root.spec.algorithm = pss(ca);
            draft.crl_mut().algorithm = pss(vek);
            draft.judge().unwrap_or_else(|error| panic!("{vek:?} {ca:?}: {error}"));
        }
    }
    let mut draft = milan();
    draft.vek_mut().algorithm = trailer(&der::integer_u64(1));
    draft.judge().unwrap();
}
