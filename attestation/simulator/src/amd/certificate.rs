//! What AMD's certificates and revocation lists say, in AMD's order and encodings.
//!
//! Each function states one kind of certificate with everything right. The one intended difference
//! from AMD's bytes is the host in the CRL distribution point (`kds.sim.invalid` for
//! `kdsintf.amd.com`, of the same length): nobody is sent to AMD for a simulated root's CRL.

use vouchsafe_verifier::UnixSeconds;

use super::{Product, Tcb, oid};
use crate::der;
use crate::x509::{
    CertificateSpec, CrlSpec, Extension, Name, PssParameters, SignatureAlgorithm, StringType, Validity,
    standard,
};

/// Root: "AMD Root Key".
pub fn ark(product: Product, validity: Validity, spki: &[u8], key_id: &[u8; 20]) -> CertificateSpec {
    let extensions = vec![
        standard::key_usage(1, 0x06),
        standard::subject_key_id(key_id),
        standard::basic_constraints(true, None),
        crl_distribution_point(product, "vcek"),
    ];
    let base = product.serial_base();
    ca(product, vec![base, 0, 0], &ark_common_name(product), validity, spki, extensions)
}

/// "AMD SEV Key": the CA of VCEKs.
pub fn ask(
    product: Product,
    validity: Validity,
    spki: &[u8],
    key_id: &[u8; 20],
    ark_key_id: &[u8; 20],
) -> CertificateSpec {
    let extensions = intermediate_extensions(product, key_id, ark_key_id, "vcek");
    // AMD retired its first Genoa ASK, 0x020001, and lists it in the Genoa CRL.
    let number = if product == Product::Genoa { 2 } else { 1 };
    let serial = vec![product.serial_base(), 0, number];
    ca(product, serial, &ask_common_name(product), validity, spki, extensions)
}

/// "AMD SEV VLEK Key": the CA of VLEKs.
pub fn asvk(
    product: Product,
    validity: Validity,
    spki: &[u8],
    key_id: &[u8; 20],
    ark_key_id: &[u8; 20],
) -> CertificateSpec {
    let extensions = intermediate_extensions(product, key_id, ark_key_id, "vlek");
    let serial = vec![product.serial_base(), 1, 1];
    ca(product, serial, &asvk_common_name(product), validity, spki, extensions)
}

/// "Versioned Chip Endorsement Key": one chip at one TCB. `hwid` is as long as the product has it.
pub fn vcek(product: Product, tcb: Tcb, hwid: &[u8], validity: Validity, spki: &[u8]) -> CertificateSpec {
    let product_name = match product {
        Product::Milan => "Milan-B0",
        Product::Genoa | Product::Turin => product.name(),
    };
    let mut extensions = vek_extensions(product, product_name, tcb);
    extensions.push(Extension::new(oid::HWID, hwid.to_vec()));
    vek(&ask_common_name(product), "SEV-VCEK", validity, spki, extensions)
}

/// "Versioned Loaded Endorsement Key": one cloud provider's key at one TCB.
pub fn vlek(product: Product, tcb: Tcb, csp_id: &str, validity: Validity, spki: &[u8]) -> CertificateSpec {
    let mut extensions = vek_extensions(product, product.name(), tcb);
    extensions.push(Extension::new(oid::CSP_ID, der::ia5_string(csp_id)));
    vek(&asvk_common_name(product), "SEV-VLEK", validity, spki, extensions)
}

/// The ARK's revocation list with nothing revoked. AMD numbers its lists.
pub fn crl(
    product: Product,
    number: u64,
    this_update: UnixSeconds,
    next_update: UnixSeconds,
    ark_key_id: &[u8; 20],
) -> CrlSpec {
    CrlSpec {
        issuer: name(&ark_common_name(product)),
        this_update,
        next_update: Some(next_update),
        revoked: Vec::new(),
        extensions: vec![standard::authority_key_id(ark_key_id), standard::crl_number(number)],
        algorithm: SignatureAlgorithm::RsaPss(PssParameters::AMD),
        outer_algorithm: None,
    }
}

/// A name as AMD writes it: everything but the common name is always the same.
pub fn name(common_name: &str) -> Name {
    let utf8 = |attribute, value: &str| (attribute, StringType::Utf8, value.to_owned());
    Name(vec![
        utf8(Name::ORGANIZATIONAL_UNIT, "Engineering"),
        (Name::COUNTRY, StringType::Printable, "US".to_owned()),
        utf8(Name::LOCALITY, "Santa Clara"),
        utf8(Name::STATE, "CA"),
        utf8(Name::ORGANIZATION, "Advanced Micro Devices"),
        utf8(Name::COMMON_NAME, common_name),
    ])
}

fn ark_common_name(product: Product) -> String {
    format!("ARK-{}", product.name())
}

fn ask_common_name(product: Product) -> String {
    format!("SEV-{}", product.name())
}

fn asvk_common_name(product: Product) -> String {
    format!("SEV-VLEK-{}", product.name())
}

fn ca(
    product: Product,
    serial: Vec<u8>,
    common_name: &str,
    validity: Validity,
    spki: &[u8],
    extensions: Vec<Extension>,
) -> CertificateSpec {
    CertificateSpec {
        serial,
        issuer: name(&ark_common_name(product)),
        subject: name(common_name),
        validity,
        subject_public_key_info: spki.to_vec(),
        extensions,
        algorithm: SignatureAlgorithm::RsaPss(PssParameters::AMD_EXPLICIT_TRAILER),
        outer_algorithm: None,
    }
}

fn intermediate_extensions(
    product: Product,
    key_id: &[u8; 20],
    ark_key_id: &[u8; 20],
    kind: &str,
) -> Vec<Extension> {
    vec![
        standard::subject_key_id(key_id),
        standard::authority_key_id(ark_key_id),
        standard::basic_constraints(true, Some(0)),
        standard::key_usage(1, 0x04),
        crl_distribution_point(product, kind),
    ]
}

fn crl_distribution_point(product: Product, kind: &str) -> Extension {
    let product = product.name();
    standard::crl_distribution_point(&format!("https://kds.sim.invalid/{kind}/v1/{product}/crl"))
}

fn vek(
    issuer: &str,
    subject: &str,
    validity: Validity,
    spki: &[u8],
    extensions: Vec<Extension>,
) -> CertificateSpec {
    CertificateSpec {
        // AMD gives every VCEK and VLEK the serial number 0.
        serial: vec![0],
        issuer: name(issuer),
        subject: name(subject),
        validity,
        subject_public_key_info: spki.to_vec(),
        extensions,
        algorithm: SignatureAlgorithm::RsaPss(PssParameters::AMD),
        outer_algorithm: None,
    }
}

/// All but the last extension, in the order AMD writes them.
fn vek_extensions(product: Product, product_name: &str, tcb: Tcb) -> Vec<Extension> {
    let number = |oid, value: u8| Extension::new(oid, der::integer_u64(value.into()));
    let struct_version = if product == Product::Turin { 1 } else { 0 };
    let mut extensions = vec![
        number(oid::STRUCT_VERSION, struct_version),
        Extension::new(oid::PRODUCT_NAME, der::ia5_string(product_name)),
    ];
    extensions.extend(match product {
        Product::Milan | Product::Genoa => vec![
            number(oid::BL_SPL, tcb.boot_loader),
            number(oid::TEE_SPL, tcb.tee),
            number(oid::SPL_4, 0),
            number(oid::SPL_5, 0),
            number(oid::SPL_6, 0),
            number(oid::SPL_7, 0),
            number(oid::SNP_SPL, tcb.snp),
            number(oid::UCODE_SPL, tcb.microcode),
        ],
        Product::Turin => vec![
            number(oid::FMC_SPL, tcb.fmc),
            number(oid::BL_SPL, tcb.boot_loader),
            number(oid::TEE_SPL, tcb.tee),
            number(oid::SNP_SPL, tcb.snp),
            number(oid::SPL_5, 0),
            number(oid::SPL_6, 0),
            number(oid::SPL_7, 0),
            number(oid::UCODE_SPL, tcb.microcode),
        ],
    });
    extensions
}
