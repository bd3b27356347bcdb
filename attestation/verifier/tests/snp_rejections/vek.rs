//! Rows about the VEK's certificate.

use vouchsafe_simulator::amd::{Product, certificate, oid};
use vouchsafe_simulator::der;
use vouchsafe_simulator::x509::{CertificateSpec, Extension, standard};
use vouchsafe_verifier::x509::oid::ObjectIdentifier;

use super::draft::Draft;
use super::{Row, milan, milan_vlek, row, turin};

fn without(draft: &mut Draft, oid: ObjectIdentifier) {
    assert_eq!(draft.vek_mut().remove_extension(oid), 1);
}

fn twice(draft: &mut Draft, oid: ObjectIdentifier) {
    assert!(draft.vek_mut().duplicate_extension(oid));
}

fn with_value(draft: &mut Draft, oid: ObjectIdentifier, value: &[u8]) {
    draft.vek_mut().extension_mut(oid).unwrap().value = value.to_vec();
}

fn named(spec: &mut CertificateSpec, common_name: &str) {
    spec.subject = certificate::name(common_name);
}

const MISSING: &str = "snp_vek_extension_missing";
const TWICE: &str = "snp_certificate_extension_duplicate";
const MALFORMED: &str = "snp_vek_extension_malformed";

pub(crate) const VEK: &[Row] = &[
    row(27, "no VEK", milan, |d| d.vek = None, "snp_vek_missing"),
    row(0, "structVersion missing", milan, |d| without(d, oid::STRUCT_VERSION), MISSING),
    row(0, "productName missing", milan, |d| without(d, oid::PRODUCT_NAME), MISSING),
    row(14, "blSPL missing", milan, |d| without(d, oid::BL_SPL), MISSING),
    row(14, "teeSPL missing", milan, |d| without(d, oid::TEE_SPL), MISSING),
    row(14, "snpSPL missing", milan, |d| without(d, oid::SNP_SPL), MISSING),
    row(14, "ucodeSPL missing", milan, |d| without(d, oid::UCODE_SPL), MISSING),
    row(14, "Turin: fmcSPL missing", turin, |d| without(d, oid::FMC_SPL), MISSING),
    row(14, "Turin: blSPL missing", turin, |d| without(d, oid::BL_SPL), MISSING),
    row(14, "Turin: teeSPL missing", turin, |d| without(d, oid::TEE_SPL), MISSING),
    row(14, "Turin: snpSPL missing", turin, |d| without(d, oid::SNP_SPL), MISSING),
    row(14, "Turin: ucodeSPL missing", turin, |d| without(d, oid::UCODE_SPL), MISSING),
    row(14, "VLEK: ucodeSPL missing", milan_vlek, |d| without(d, oid::UCODE_SPL), MISSING),
    row(0, "structVersion twice", milan, |d| twice(d, oid::STRUCT_VERSION), TWICE),
    row(0, "productName twice", milan, |d| twice(d, oid::PRODUCT_NAME), TWICE),
    row(14, "blSPL twice", milan, |d| twice(d, oid::BL_SPL), TWICE),
    row(14, "teeSPL twice", milan, |d| twice(d, oid::TEE_SPL), TWICE),
    row(14, "snpSPL twice", milan, |d| twice(d, oid::SNP_SPL), TWICE),
    row(14, "ucodeSPL twice", milan, |d| twice(d, oid::UCODE_SPL), TWICE),
    row(14, "Turin: fmcSPL twice", turin, |d| twice(d, oid::FMC_SPL), TWICE),
    row(0, "hwID twice", milan, |d| twice(d, oid::HWID), TWICE),
    row(0, "cspID twice", milan_vlek, |d| twice(d, oid::CSP_ID), TWICE),
    row(14, "blSPL a string", milan, |d| with_value(d, oid::BL_SPL, &[0x16, 1, 4]), MALFORMED),
    row(14, "teeSPL a string", milan, |d| with_value(d, oid::TEE_SPL, &[0x16, 1, 0]), MALFORMED),
    row(14, "ucodeSPL a string", milan, |d| with_value(d, oid::UCODE_SPL, &[0x16, 1, 0xdb]), MALFORMED),
    row(14, "Turin: fmcSPL a string", turin, |d| with_value(d, oid::FMC_SPL, &[0x16, 1, 1]), MALFORMED),
    row(14, "snpSPL of 256", milan, |d| with_value(d, oid::SNP_SPL, &[2, 2, 1, 0]), MALFORMED),
    row(14, "snpSPL negative", milan, |d| with_value(d, oid::SNP_SPL, &[2, 1, 0x9b]), MALFORMED),
    row(14, "snpSPL not minimal", milan, |d| with_value(d, oid::SNP_SPL, &[2, 2, 0, 0x1b]), MALFORMED),
    row(14, "snpSPL a string", milan, |d| with_value(d, oid::SNP_SPL, &[0x16, 1, 0x1b]), MALFORMED),
    row(
        14,
        "snpSPL with a byte after it",
        milan,
        |d| with_value(d, oid::SNP_SPL, &[2, 1, 0x1b, 0]),
        MALFORMED,
    ),
    row(14, "snpSPL empty", milan, |d| with_value(d, oid::SNP_SPL, &[]), MALFORMED),
    row(0, "hwID one byte short", milan, |d| with_value(d, oid::HWID, &[1; 63]), MALFORMED),
    row(0, "hwID one byte long", milan, |d| with_value(d, oid::HWID, &[1; 65]), MALFORMED),
    row(0, "hwID of Turin's length on Milan", milan, |d| with_value(d, oid::HWID, &[1; 8]), MALFORMED),
    row(0, "Turin: hwID of Milan's length", turin, |d| with_value(d, oid::HWID, &[1; 64]), MALFORMED),
    row(0, "cspID not ASCII", milan_vlek, |d| with_value(d, oid::CSP_ID, &[0x16, 1, 0x80]), MALFORMED),
    row(
        0,
        "structVersion 1 on Milan",
        milan,
        |d| with_value(d, oid::STRUCT_VERSION, &[2, 1, 1]),
        "snp_vek_struct_version",
    ),
    row(
        0,
        "Turin: structVersion 0",
        turin,
        |d| with_value(d, oid::STRUCT_VERSION, &[2, 1, 0]),
        "snp_vek_struct_version",
    ),
    row(
        0,
        "Turin: structVersion 2",
        turin,
        |d| with_value(d, oid::STRUCT_VERSION, &[2, 1, 2]),
        "snp_vek_struct_version",
    ),
    row(
        14,
        "fmcSPL on Milan",
        milan,
        |d| d.vek_mut().extensions.push(Extension::new(oid::FMC_SPL, vec![2, 1, 0])),
        "snp_vek_extension_unexpected",
    ),
    row(
        17,
        "product unknown",
        milan,
        |d| with_value(d, oid::PRODUCT_NAME, &der::ia5_string("Naples")),
        "snp_vek_product_unknown",
    ),
    row(
        17,
        "product of another chain",
        milan,
        |d| with_value(d, oid::PRODUCT_NAME, &der::ia5_string("Genoa")),
        "snp_vek_product_mismatch",
    ),
    row(15, "neither hwID nor cspID", milan, |d| without(d, oid::HWID), "snp_vek_kind_unclear"),
    row(
        15,
        "both hwID and cspID",
        milan,
        |d| d.vek_mut().extensions.push(Extension::new(oid::CSP_ID, der::ia5_string("CN=x"))),
        "snp_vek_kind_unclear",
    ),
    row(15, "a VCEK named SEV-VLEK", milan, |d| named(d.vek_mut(), "SEV-VLEK"), "snp_vek_kind_unclear"),
    row(15, "a VLEK named SEV-VCEK", milan_vlek, |d| named(d.vek_mut(), "SEV-VCEK"), "snp_vek_kind_unclear"),
    row(
        18,
        "the key is RSA",
        milan,
        |d| d.vek_mut().subject_public_key_info = d.intermediate.spec.subject_public_key_info.clone(),
        "snp_vek_key",
    ),
    row(
        18,
        "the certificate is an authority",
        milan,
        |d| d.vek_mut().extensions.push(standard::basic_constraints(true, None)),
        "snp_certificate_leaf_is_ca",
    ),
    row(
        18,
        "an unknown critical extension",
        milan,
        |d| d.vek_mut().extensions.push(Extension::critical(oid::SPL_5.parent().unwrap(), vec![5, 0])),
        "snp_certificate_extension_critical_unknown",
    ),
];

/// The wrapping that some certificates have around hwID, on both lengths.
#[test]
fn a_wrapped_hwid_is_read_like_a_bare_one() {
    for (product, len) in [(Product::Milan, 64), (Product::Turin, 8)] {
        let mut draft = Draft::vcek(product);
        let wrapped = der::octet_string(&draft.fields.chip_id[..len]);
        draft.vek_mut().extension_mut(oid::HWID).unwrap().value = wrapped;
        draft.judge().unwrap_or_else(|error| panic!("{product:?}: {error}"));
    }
}

/// AMD names the product with and without a stepping.
#[test]
fn product_names_may_carry_a_stepping() {
    for name in ["Milan", "Milan-B0", "Milan-B1"] {
        let mut draft = milan();
        with_value(&mut draft, oid::PRODUCT_NAME, &der::ia5_string(name));
        let verified = draft.judge().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(verified.snp().unwrap().vek().product_name(), name);
    }
}
