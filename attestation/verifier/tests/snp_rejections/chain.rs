//! Rows about the chain from the VEK to the ARK, and about validity.

use vouchsafe_simulator::amd::{Issuer, certificate, oid};
use vouchsafe_simulator::x509::{CertificateSpec, Extension, Validity, standard};
use vouchsafe_verifier::UnixSeconds;

use super::draft::{AT, BEGIN, DAY, Draft, ENDORSED};
use super::{Row, milan, milan_vlek, row};

fn named(spec: &mut CertificateSpec, common_name: &str) {
    spec.subject = certificate::name(common_name);
}

pub(crate) const CHAIN: &[Row] = &[
    row(
        18,
        "no ASK at hand",
        milan,
        |d| {
            d.offers_intermediate = false;
            d.vek_mut().issuer = certificate::name("SEV-Naples");
        },
        "snp_vek_issuer_unknown",
    ),
    row(
        18,
        "no ASK at hand but AMD's of the same name",
        milan,
        |d| d.offers_intermediate = false,
        "snp_certificate_signature_invalid",
    ),
    row(
        16,
        "a VCEK under the ASVK",
        milan,
        |d| {
            let vlek = milan_vlek();
            d.intermediate = vlek.intermediate;
            d.vek_mut().issuer = d.intermediate.spec.subject.clone();
            d.vek.as_mut().unwrap().by = Issuer::Asvk;
        },
        "snp_vek_issuer_kind",
    ),
    row(
        16,
        "a VLEK under the ASK",
        milan_vlek,
        |d| {
            let vcek = milan();
            d.intermediate = vcek.intermediate;
            d.vek_mut().issuer = d.intermediate.spec.subject.clone();
            d.vek.as_mut().unwrap().by = Issuer::Ask;
        },
        "snp_vek_issuer_kind",
    ),
    row(
        16,
        "a VCEK signed by the ASVK's key in the ASK's name",
        milan,
        |d| d.vek.as_mut().unwrap().by = Issuer::Asvk,
        "snp_certificate_signature_invalid",
    ),
    row(
        18,
        "a VCEK signed by the ARK's key in the ASK's name",
        milan,
        |d| d.vek.as_mut().unwrap().by = Issuer::Ark,
        "snp_certificate_signature_invalid",
    ),
    row(
        18,
        "a VEK that names another issuer",
        milan,
        |d| d.vek_mut().issuer = certificate::name("SEV-Genoa"),
        "snp_certificate_issuer_mismatch",
    ),
    row(
        18,
        "an ASK signed by its own key",
        milan,
        |d| d.intermediate.by = Issuer::Ask,
        "snp_certificate_signature_invalid",
    ),
    row(
        18,
        "an ASK that names another root",
        milan,
        |d| d.intermediate.spec.issuer = certificate::name("ARK-Genoa"),
        "snp_root_not_trusted",
    ),
    row(
        17,
        "an ASK of another name",
        milan,
        |d| named(&mut d.intermediate.spec, "SEV-Naples"),
        "snp_chain_name_unknown",
    ),
    row(
        17,
        "another product's ASK under this ARK",
        milan,
        |d| {
            named(&mut d.intermediate.spec, "SEV-Genoa");
            d.vek_mut().issuer = certificate::name("SEV-Genoa");
        },
        "snp_chain_product_mismatch",
    ),
    row(
        18,
        "a self-made ARK with AMD's names, offered as the root",
        milan,
        |d| {
            self_made(d);
            d.believes = Some(d.authority.ark_der().to_vec());
        },
        "snp_root_not_trusted",
    ),
    row(
        18,
        "a self-made ARK with AMD's names, not offered",
        milan,
        |d| {
            self_made(d);
            d.believes = Some(d.authority.ark_der().to_vec());
            d.offers_root = false;
        },
        "snp_certificate_signature_invalid",
    ),
    row(
        18,
        "the ASK is no authority",
        milan,
        |d| {
            *d.intermediate.spec.extension_mut(standard::BASIC_CONSTRAINTS).unwrap() =
                standard::basic_constraints(false, None)
        },
        "snp_certificate_issuer_not_ca",
    ),
    row(
        18,
        "the ASK has no basicConstraints",
        milan,
        |d| assert_eq!(d.intermediate.spec.remove_extension(standard::BASIC_CONSTRAINTS), 1),
        "snp_certificate_issuer_not_ca",
    ),
    row(
        18,
        "the ASK may not sign certificates",
        milan,
        |d| *d.intermediate.spec.extension_mut(standard::KEY_USAGE).unwrap() = standard::key_usage(1, 0x02),
        "snp_certificate_issuer_key_usage",
    ),
    row(
        18,
        "the ARK allows no authority below it",
        milan,
        |d| {
            *d.root.spec.extension_mut(standard::BASIC_CONSTRAINTS).unwrap() =
                standard::basic_constraints(true, Some(0))
        },
        "snp_certificate_path_too_long",
    ),
    row(
        18,
        "the ARK may not sign certificates",
        milan,
        |d| *d.root.spec.extension_mut(standard::KEY_USAGE).unwrap() = standard::key_usage(1, 0x02),
        "snp_certificate_issuer_key_usage",
    ),
    row(
        18,
        "an unknown critical extension in the ASK",
        milan,
        |d| d.intermediate.spec.extensions.push(Extension::critical(oid::HWID, vec![5, 0])),
        "snp_certificate_extension_critical_unknown",
    ),
];

/// An attacker's hierarchy under AMD's names: the ASVK's key plays the attacker's.
fn self_made(draft: &mut Draft) {
    let attacker = draft.authority.ca_spec(Issuer::Asvk, draft.authority.ca_validity().unwrap()).unwrap();
    draft.root.spec.subject_public_key_info = attacker.subject_public_key_info;
    draft.root.by = Issuer::Asvk;
    draft.intermediate.by = Issuer::Asvk;
    draft.crl = None;
}

const TOO_EARLY: &str = "snp_certificate_not_yet_valid";
const TOO_LATE: &str = "snp_certificate_expired";

fn until(last: UnixSeconds) -> Validity {
    Validity { not_before: BEGIN, not_after: last }
}

fn from(first: UnixSeconds) -> Validity {
    Validity { not_before: first, not_after: UnixSeconds(first.0 + 3650 * DAY) }
}

pub(crate) const VALIDITY: &[Row] = &[
    row(
        19,
        "VEK one second too early",
        milan,
        |d| d.vek_mut().validity = from(UnixSeconds(AT.0 + 1)),
        TOO_EARLY,
    ),
    row(
        19,
        "VEK one second too late",
        milan,
        |d| d.vek_mut().validity = until(UnixSeconds(AT.0 - 1)),
        TOO_LATE,
    ),
    row(
        19,
        "VLEK one second too late",
        milan_vlek,
        |d| d.vek_mut().validity = until(UnixSeconds(AT.0 - 1)),
        TOO_LATE,
    ),
    row(
        19,
        "ASK one second too early",
        milan,
        |d| d.intermediate.spec.validity = from(UnixSeconds(AT.0 + 1)),
        TOO_EARLY,
    ),
    row(
        19,
        "ASK one second too late",
        milan,
        |d| d.intermediate.spec.validity = until(UnixSeconds(AT.0 - 1)),
        TOO_LATE,
    ),
    row(
        19,
        "ASVK one second too late",
        milan_vlek,
        |d| d.intermediate.spec.validity = until(UnixSeconds(AT.0 - 1)),
        TOO_LATE,
    ),
    row(
        19,
        "ARK one second too early",
        milan,
        |d| d.root.spec.validity = from(UnixSeconds(AT.0 + 1)),
        TOO_EARLY,
    ),
    row(
        19,
        "ARK one second too late",
        milan,
        |d| d.root.spec.validity = until(UnixSeconds(AT.0 - 1)),
        TOO_LATE,
    ),
    row(19, "judged before the VEK was issued", milan, |d| d.at = UnixSeconds(ENDORSED.0 - 1), TOO_EARLY),
    row(
        19,
        "judged when the VEK has expired",
        milan,
        |d| d.at = UnixSeconds(ENDORSED.0 + 8 * 365 * DAY),
        TOO_LATE,
    ),
    row(19, "judged in 1970", milan, |d| d.at = UnixSeconds(0), TOO_EARLY),
    row(19, "judged at the end of time", milan, |d| d.at = UnixSeconds(u64::MAX), TOO_LATE),
];

#[test]
fn first_and_last_second_are_valid() {
    let mut draft = milan();
    for validity in [until(AT), from(AT)] {
        draft.vek_mut().validity = validity;
        draft.intermediate.spec.validity = validity;
        draft.root.spec.validity = validity;
        draft.judge().unwrap_or_else(|error| panic!("{validity:?}: {error}"));
    }
}
