//! Rows about the ARK's revocation list.

use vouchsafe_simulator::amd::{Issuer, certificate};
use vouchsafe_simulator::der;
use vouchsafe_simulator::x509::{Extension, Hash, PssParameters, Revoked, SignatureAlgorithm, standard};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::x509::oid::ObjectIdentifier;

use super::draft::{AT, BEGIN, DAY, Draft, ENDORSED};
use super::signatures::{RSASSA_PSS, pss};
use super::{Row, genoa, milan, milan_vlek, row};

fn revoked(serial: &[u8]) -> Revoked {
    Revoked { serial: serial.to_vec(), at: BEGIN, extensions: Vec::new() }
}

fn genoa_with_the_retired_ask_listed() -> Draft {
    let mut draft = genoa();
    draft.crl_mut().revoked.push(revoked(&[0x02, 0x00, 0x01]));
    draft
}

fn raw(elements: &[&[u8]]) -> SignatureAlgorithm {
    SignatureAlgorithm::Raw(der::sequence(elements))
}

fn distribution_point(fields: &[&[u8]]) -> Extension {
    Extension::critical(standard::ISSUING_DISTRIBUTION_POINT, der::sequence(fields))
}

pub(crate) const REVOCATION: &[Row] = &[
    row(
        21,
        "the retired Genoa ASK",
        genoa_with_the_retired_ask_listed,
        |d| d.intermediate.spec.serial = vec![0x02, 0x00, 0x01],
        "snp_certificate_revoked",
    ),
    row(
        21,
        "the ASK is listed",
        milan,
        |d| d.crl_mut().revoked.push(revoked(&[0x01, 0x00, 0x01])),
        "snp_certificate_revoked",
    ),
    row(
        21,
        "the ASVK is listed",
        milan_vlek,
        |d| d.crl_mut().revoked.push(revoked(&[0x01, 0x01, 0x01])),
        "snp_certificate_revoked",
    ),
    row(
        21,
        "the ARK is listed",
        milan,
        |d| d.crl_mut().revoked.push(revoked(&[0x01, 0x00, 0x00])),
        "snp_certificate_revoked",
    ),
    row(
        21,
        "the ASK is listed last of many",
        milan,
        |d| {
            let crl = d.crl_mut();
            crl.revoked.extend((2..200).map(|serial| revoked(&[0x01, 0x00, serial])));
            crl.revoked.push(revoked(&[0x01, 0x00, 0x01]));
        },
        "snp_certificate_revoked",
    ),
    row(
        21,
        "the ASK is listed from a future date",
        milan,
        |d| {
            d.crl_mut().revoked.push(Revoked { at: UnixSeconds(AT.0 + DAY), ..revoked(&[0x01, 0x00, 0x01]) });
        },
        "snp_certificate_revoked",
    ),
    row(
        21,
        "the ASK is listed with a reason",
        milan,
        |d| {
            let reason = Extension::new(standard::REASON_CODE, der::enumerated(1));
            d.crl_mut().revoked.push(Revoked { extensions: vec![reason], ..revoked(&[0x01, 0x00, 0x01]) });
        },
        "snp_certificate_revoked",
    ),
    row(
        20,
        "stale by a second",
        milan,
        |d| d.crl_mut().next_update = Some(UnixSeconds(AT.0 - 1)),
        "snp_crl_stale",
    ),
    row(
        20,
        "from a second ahead",
        milan,
        |d| d.crl_mut().this_update = UnixSeconds(AT.0 + 1),
        "snp_crl_future",
    ),
    row(20, "without nextUpdate", milan, |d| d.crl_mut().next_update = None, "snp_crl_without_next_update"),
    row(20, "of another product's ARK", milan, |d| d.crl = genoa().crl, "snp_crl_issuer_mismatch"),
    row(
        20,
        "issued in the ASK's name",
        milan,
        |d| d.crl_mut().issuer = certificate::name("SEV-Milan"),
        "snp_crl_issuer_mismatch",
    ),
    row(
        20,
        "signed by the ASK's key",
        milan,
        |d| d.crl.as_mut().unwrap().by = Issuer::Ask,
        "snp_crl_signature_invalid",
    ),
    row(
        20,
        "a bit of its signature changed",
        milan,
        |d| d.crl_afterwards = Some(|crl| *crl.last_mut().unwrap() ^= 1),
        "snp_crl_signature_invalid",
    ),
    row(20, "empty", milan, |d| d.crl_afterwards = Some(Vec::clear), "snp_crl_malformed"),
    row(
        20,
        "a byte short",
        milan,
        |d| d.crl_afterwards = Some(|crl| crl.truncate(crl.len() - 1)),
        "snp_crl_malformed",
    ),
    row(
        20,
        "with a byte after it",
        milan,
        |d| d.crl_afterwards = Some(|crl| crl.push(0)),
        "snp_crl_malformed",
    ),
    row(
        20,
        "longer than a megabyte",
        milan,
        |d| d.crl_afterwards = Some(|crl| crl.resize(1024 * 1024 + 1, 0)),
        "snp_crl_too_long",
    ),
    row(
        20,
        "an ARK that may not sign revocation lists",
        milan,
        |d| {
            *d.root.spec.extension_mut(standard::KEY_USAGE).unwrap() = standard::key_usage(1, 0x04);
        },
        "snp_crl_issuer_key_usage",
    ),
    row(
        20,
        "a salt of 32 bytes",
        milan,
        |d| d.crl_mut().algorithm = pss(PssParameters { salt_bytes: 32, ..PssParameters::AMD }),
        "snp_crl_pss_salt_length",
    ),
    row(
        20,
        "onlySomeReasons, empty",
        milan,
        |d| {
            d.crl_mut().extensions.push(distribution_point(&[&der::context_primitive(3, &[])]));
        },
        "snp_crl_scope",
    ),
    row(
        20,
        "onlySomeReasons, no bits",
        milan,
        |d| {
            d.crl_mut().extensions.push(distribution_point(&[&der::context_primitive(3, &[0])]));
        },
        "snp_crl_scope",
    ),
    row(
        20,
        "onlySomeReasons",
        milan,
        |d| {
            d.crl_mut().extensions.push(distribution_point(&[&der::context_primitive(3, &[1, 0x7e])]));
        },
        "snp_crl_scope",
    ),
    row(
        20,
        "onlyContainsUserCerts",
        milan,
        |d| {
            d.crl_mut().extensions.push(distribution_point(&[&der::context_primitive(1, &[0xff])]));
        },
        "snp_crl_scope",
    ),
    row(
        20,
        "onlyContainsCACerts",
        milan,
        |d| {
            d.crl_mut().extensions.push(distribution_point(&[&der::context_primitive(2, &[0xff])]));
        },
        "snp_crl_scope",
    ),
    row(
        20,
        "indirectCRL",
        milan,
        |d| {
            d.crl_mut().extensions.push(distribution_point(&[&der::context_primitive(4, &[0xff])]));
        },
        "snp_crl_scope",
    ),
    row(
        20,
        "onlyContainsAttributeCerts",
        milan,
        |d| {
            d.crl_mut().extensions.push(distribution_point(&[&der::context_primitive(5, &[0xff])]));
        },
        "snp_crl_scope",
    ),
    row(
        20,
        "an unknown field in its scope",
        milan,
        |d| {
            d.crl_mut().extensions.push(distribution_point(&[&der::context_primitive(6, &[0xff])]));
        },
        "snp_crl_malformed",
    ),
    row(
        20,
        "a delta list",
        milan,
        |d| {
            let base = ObjectIdentifier::new_unwrap("2.5.29.27");
            d.crl_mut().extensions.push(Extension::critical(base, der::integer_u64(1)));
        },
        "snp_crl_extension_critical_unknown",
    ),
    row(
        20,
        "an entry of another issuer",
        milan,
        |d| {
            let issuer = Extension::critical(ObjectIdentifier::new_unwrap("2.5.29.29"), der::sequence(&[]));
            d.crl_mut().revoked.push(Revoked { extensions: vec![issuer], ..revoked(&[9]) });
        },
        "snp_crl_extension_critical_unknown",
    ),
    row(
        20,
        "33 extensions",
        milan,
        |d| {
            let other =
                |number| ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.99").push_arc(number).unwrap();
            let extensions = (0..31).map(|number| Extension::new(other(number), vec![5, 0]));
            d.crl_mut().extensions.extend(extensions);
            assert_eq!(d.crl_mut().extensions.len(), 33);
        },
        "snp_crl_extensions_too_many",
    ),
    row(
        20,
        "other parameters outside than inside",
        milan,
        |d| d.crl_mut().outer_algorithm = Some(pss(PssParameters::AMD_EXPLICIT_TRAILER)),
        "snp_crl_signature_algorithms_differ",
    ),
    row(
        20,
        "an unknown algorithm declared",
        milan,
        |d| d.crl_mut().algorithm = raw(&[&der::oid(standard::CRL_NUMBER)]),
        "snp_crl_signature_algorithm",
    ),
    row(
        20,
        "SHA-256, as declared",
        milan,
        |d| {
            let sha256 = PssParameters { hash: Hash::Sha256, mgf1_hash: Hash::Sha256, ..PssParameters::AMD };
            d.crl_mut().algorithm = pss(sha256);
        },
        "snp_crl_pss_algorithm",
    ),
    row(
        20,
        "RSASSA-PSS without parameters",
        milan,
        |d| d.crl_mut().algorithm = raw(&[&der::oid(RSASSA_PSS)]),
        "snp_crl_pss_malformed",
    ),
    row(
        20,
        "an extension twice",
        milan,
        |d| d.crl_mut().extensions.push(standard::crl_number(8)),
        "snp_crl_extension_duplicate",
    ),
];

/// A distribution point that narrows nothing is harmless, and so are entries that are none of ours.
#[test]
fn harmless_revocation_lists_are_accepted() {
    let mut draft = milan();
    draft.crl_mut().extensions.push(distribution_point(&[]));
    let reason = Extension::new(standard::REASON_CODE, der::enumerated(1));
    let other = Revoked { extensions: vec![reason], ..revoked(&[0x01, 0x00, 0x02]) };
    draft.crl_mut().revoked.push(other);
    let verified = draft.judge().unwrap();
    let crl = verified.snp().unwrap().crl().unwrap();
    assert_eq!(crl.number(), Some([7].as_slice()));
    assert_eq!(crl.this_update(), ENDORSED);
}
