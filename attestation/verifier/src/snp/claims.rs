//! A report's contents for people and for JSON, under stable names.

use alloc::string::{String, ToString};

use serde::Serialize;

use super::verified::{VerifiedSnp, VerifiedVek};
use super::{GuestPolicy, KeyInfo, PlatformInfo, Product, Report, Tcb, TcbVersion, VekKind, VekSubject};
use crate::encoding::{Hex, to_hex};
use crate::strict_json::{Map, Value};

/// Everything a report claims. Serialises with lower-case hexadecimal for bytes, `0x…` for bit
/// fields, numbers for bits.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the report's field of that name; see `Report`")]
pub struct Claims {
    pub version: u32,
    pub cpuid_fms: Option<CpuidClaims>,
    /// By the certificate chain when verified, else by CPUID.
    pub product: Option<&'static str>,
    pub guest_svn: u32,
    pub policy: String,
    pub policy_bits: FlagClaims,
    pub vmpl: u8,
    pub signature_algo: u32,
    pub platform_info: String,
    pub platform_info_bits: FlagClaims,
    pub key_info: KeyInfoClaims,
    pub report_data: Hex<64>,
    pub measurement: Hex<48>,
    pub host_data: Hex<32>,
    pub family_id: Hex<16>,
    pub image_id: Hex<16>,
    pub id_key_digest: Hex<48>,
    pub author_key_digest: Hex<48>,
    pub report_id: Hex<32>,
    pub report_id_ma: Hex<32>,
    pub chip_id: Hex<64>,
    pub current_tcb: TcbClaims,
    pub reported_tcb: TcbClaims,
    pub committed_tcb: TcbClaims,
    pub launch_tcb: TcbClaims,
    pub current_fw: String,
    pub committed_fw: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_mit_vector: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_mit_vector: Option<String>,
    /// Only of a verified report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vek: Option<VekClaims>,
    /// Only of a verified report: whether the ARK's revocation list was consulted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl_checked: Option<bool>,
}

/// CPUID family, model and stepping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "named after CPUID")]
pub struct CpuidClaims {
    pub family: u8,
    pub model: u8,
    pub stepping: u8,
}

/// A bit field's named bits, in order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct FlagClaims(pub Map<String, Value>);

/// KEY_INFO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "named after KEY_INFO's fields")]
pub struct KeyInfoClaims {
    pub author_key_en: u8,
    pub mask_chip_key: u8,
    pub signing_key: VekKind,
}

/// A TCB version: its bytes and, where the product and so the layout is known, its components.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "named after TCB_VERSION's fields")]
pub struct TcbClaims {
    pub raw: Hex<8>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub components: Option<Tcb>,
    /// The layout's reserved bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rsv: Option<String>,
}

/// The endorsement key's certificate.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "named after the certificate's fields")]
pub struct VekClaims {
    #[serde(rename = "type")]
    pub kind: VekKind,
    pub not_before: String,
    pub not_after: String,
    pub serial: String,
    pub product_name: String,
    pub struct_version: u32,
    pub tcb: Tcb,
    pub hwid: Option<String>,
    pub csp_id: Option<String>,
}

impl Report {
    /// Everything the report claims, believed or not. Without a certificate the product is known from
    /// CPUID only, which reports have since version 3.
    pub fn claims(&self) -> Claims {
        Claims::of_report(self, self.cpuid_product())
    }
}

impl Claims {
    pub(super) fn of_verified(verified: &VerifiedSnp) -> Self {
        Self {
            vek: Some(VekClaims::new(verified.vek())),
            crl_checked: Some(verified.crl_checked()),
            ..Self::of_report(verified.report(), Some(verified.product()))
        }
    }

    fn of_report(report: &Report, product: Option<Product>) -> Self {
        let tcb = |version| TcbClaims::new(version, product);
        Self {
            version: report.version(),
            cpuid_fms: report.cpuid().map(|(family, model, stepping)| CpuidClaims {
                family,
                model,
                stepping,
            }),
            product: product.map(Product::name),
            guest_svn: report.guest_svn(),
            policy: hex_number(report.policy().bits()),
            policy_bits: policy_bits(report.policy()),
            vmpl: report.vmpl(),
            // Parsing accepts no other.
            signature_algo: 1,
            platform_info: hex_number(report.platform_info().bits()),
            platform_info_bits: platform_info_bits(report.platform_info()),
            key_info: KeyInfoClaims::new(report.key_info(), report.signing_key()),
            report_data: Hex(*report.report_data()),
            measurement: Hex(*report.measurement()),
            host_data: Hex(*report.host_data()),
            family_id: Hex(*report.family_id()),
            image_id: Hex(*report.image_id()),
            id_key_digest: Hex(*report.id_key_digest_raw()),
            author_key_digest: Hex(*report.author_key_digest_raw()),
            report_id: Hex(*report.report_id()),
            report_id_ma: Hex(*report.report_id_ma()),
            chip_id: Hex(*report.chip_id_raw()),
            current_tcb: tcb(report.current_tcb()),
            reported_tcb: tcb(report.reported_tcb()),
            committed_tcb: tcb(report.committed_tcb()),
            launch_tcb: tcb(report.launch_tcb()),
            current_fw: report.current_firmware().to_string(),
            committed_fw: report.committed_firmware().to_string(),
            launch_mit_vector: report.launch_mitigations().map(hex_number),
            current_mit_vector: report.current_mitigations().map(hex_number),
            vek: None,
            crl_checked: None,
        }
    }
}

impl KeyInfoClaims {
    fn new(key_info: KeyInfo, signing_key: VekKind) -> Self {
        Self {
            author_key_en: key_info.author_key_enabled().into(),
            mask_chip_key: key_info.chip_key_masked().into(),
            signing_key,
        }
    }
}

impl TcbClaims {
    fn new(version: TcbVersion, product: Option<Product>) -> Self {
        let raw = version.raw();
        let [_, _, a, b, c, d, _, _] = raw;
        let components = product.and_then(|product| version.components(product).ok());
        let rsv = components.map(|tcb| match tcb.fmc {
            None => to_hex(&[a, b, c, d]),
            Some(_) => to_hex(&[c, d, raw[6]]),
        });
        Self { raw: Hex(raw), components, rsv }
    }
}

impl VekClaims {
    fn new(vek: &VerifiedVek) -> Self {
        let (hwid, csp_id) = match vek.subject() {
            VekSubject::Hwid(hwid) => (Some(to_hex(hwid)), None),
            VekSubject::CspId(csp_id) => (None, Some(csp_id.clone())),
        };
        Self {
            kind: vek.subject().kind(),
            not_before: vek.validity().not_before.to_string(),
            not_after: vek.validity().not_after.to_string(),
            serial: to_hex(vek.serial()),
            product_name: vek.product_name().to_string(),
            struct_version: vek.struct_version(),
            tcb: vek.tcb(),
            hwid,
            csp_id,
        }
    }
}

fn hex_number(bits: u64) -> String {
    alloc::format!("{bits:#x}")
}

fn policy_bits(policy: GuestPolicy) -> FlagClaims {
    flags(
        Some(("abi", alloc::format!("{}.{}", policy.abi_major(), policy.abi_minor()))),
        &[
            ("smt", policy.smt_allowed()),
            // Parsing accepts no policy without it, nor one with a bit from 26 up.
            ("rsv17", true),
            ("migrate_ma", policy.migrate_ma_allowed()),
            ("debug", policy.debug_allowed()),
            ("single_socket", policy.single_socket()),
            ("cxl", policy.cxl_allowed()),
            ("aes256xts", policy.aes_256_xts_required()),
            ("rapl_dis", policy.rapl_disabled_required()),
            ("ciphertext_hiding", policy.ciphertext_hiding_required()),
            ("page_swap_dis", policy.page_swap_disabled()),
        ],
        0,
    )
}

fn platform_info_bits(info: PlatformInfo) -> FlagClaims {
    flags(
        None,
        &[
            ("smt", info.smt_enabled()),
            ("tsme", info.tsme_enabled()),
            ("ecc", info.ecc_enabled()),
            ("rapl_dis", info.rapl_disabled()),
            ("cth", info.ciphertext_hiding_enabled()),
            ("alias_check", info.alias_check_complete()),
            ("b6", info.bits() & 0x40 != 0),
            ("tio", info.tio_enabled()),
        ],
        info.bits() >> 8,
    )
}

fn flags(text: Option<(&str, String)>, bits: &[(&str, bool)], high: u64) -> FlagClaims {
    let mut claims = Map::new();
    if let Some((name, value)) = text {
        claims.insert(name.into(), value.into());
    }
    for (name, is_set) in bits {
        claims.insert((*name).into(), u8::from(*is_set).into());
    }
    claims.insert("high".into(), hex_number(high).into());
    FlagClaims(claims)
}
