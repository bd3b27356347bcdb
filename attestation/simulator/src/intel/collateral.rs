//! TCB info and QE identity: the JSON that Intel signs.
//!
//! Intel SGX and TDX Provisioning Certification Service API 4, models "TcbInfoV3" (id TDX) and
//! "EnclaveIdentityV2" (id TD_QE). Fields stand in the order in which Intel writes them, since the
//! signature is over the text. Texts are plain strings: any value can be written.

use serde::{Deserialize, Serialize};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::encoding::to_hex;

use super::PckCa;
use crate::x509::CrlSpec;

/// Everything that goes into a [`vouchsafe_verifier::TdxCollateral`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollateralSpec {
    /// Which PCK CA the list and its chain are of.
    pub ca: PckCa,
    /// TCB levels of the platform.
    pub tcb_info: TcbInfo,
    /// Identity of the quoting enclave.
    pub qe_identity: QeIdentity,
    /// The root's list.
    pub root_crl: CrlSpec,
    /// The PCK CA's list.
    pub pck_crl: CrlSpec,
}

/// TCB info, version 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcbInfo {
    /// `TDX`.
    pub id: String,
    /// 3.
    pub version: u32,
    /// RFC 3339.
    pub issue_date: String,
    /// RFC 3339.
    pub next_update: String,
    /// Six bytes in upper-case hexadecimal.
    pub fmspc: String,
    /// Two bytes in upper-case hexadecimal.
    pub pce_id: String,
    /// 0.
    pub tcb_type: u32,
    /// Which of Intel's evaluations these levels come from.
    pub tcb_evaluation_data_number: u32,
    /// Identity of TDX modules of major version 0.
    pub tdx_module: AttributesMask,
    /// Identities of later TDX modules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tdx_module_identities: Vec<TdxModuleIdentity>,
    /// Best first.
    pub tcb_levels: Vec<TcbLevel>,
}

/// Who signed a TDX module, and which attributes it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttributesMask {
    /// 48 bytes in upper-case hexadecimal.
    pub mrsigner: String,
    /// Eight bytes in upper-case hexadecimal.
    pub attributes: String,
    /// Eight bytes in upper-case hexadecimal.
    pub attributes_mask: String,
}

/// Identity and levels of one TDX module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TdxModuleIdentity {
    /// `TDX_` and the module's major version, two hexadecimal digits.
    pub id: String,
    /// 48 bytes in upper-case hexadecimal.
    pub mrsigner: String,
    /// Eight bytes in upper-case hexadecimal.
    pub attributes: String,
    /// Eight bytes in upper-case hexadecimal.
    pub attributes_mask: String,
    /// Best first.
    pub tcb_levels: Vec<SvnLevel>,
}

/// A level of something with one security version: a TDX module, a quoting enclave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SvnLevel {
    /// The least version of this level.
    pub tcb: IsvSvn,
    /// RFC 3339.
    pub tcb_date: String,
    /// `UpToDate`, `OutOfDate`, `Revoked`, ….
    pub tcb_status: String,
    /// `INTEL-SA-…`.
    #[serde(default, rename = "advisoryIDs", skip_serializing_if = "Vec::is_empty")]
    pub advisory_ids: Vec<String>,
}

/// A level of a quoting enclave.
pub type QeTcbLevel = SvnLevel;

/// One security version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IsvSvn {
    /// The version.
    pub isvsvn: u32,
}

/// A level of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcbLevel {
    /// The least versions of this level.
    pub tcb: PlatformTcb,
    /// RFC 3339.
    pub tcb_date: String,
    /// `UpToDate`, `SWHardeningNeeded`, `ConfigurationNeeded`, `OutOfDate`, `Revoked`, ….
    pub tcb_status: String,
    /// `INTEL-SA-…`.
    #[serde(default, rename = "advisoryIDs", skip_serializing_if = "Vec::is_empty")]
    pub advisory_ids: Vec<String>,
}

/// The least versions of a platform's level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformTcb {
    /// 16 of them.
    pub sgxtcbcomponents: Vec<TcbComponent>,
    /// Of the Provisioning Certification Enclave.
    pub pcesvn: u16,
    /// 16 of them.
    pub tdxtcbcomponents: Vec<TcbComponent>,
}

/// One component's version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcbComponent {
    /// The version.
    pub svn: u8,
    /// `BIOS`, `OS/VMM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// What it is.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Identity of the quoting enclave, version 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QeIdentity {
    /// `TD_QE`.
    pub id: String,
    /// 2.
    pub version: u32,
    /// RFC 3339.
    pub issue_date: String,
    /// RFC 3339.
    pub next_update: String,
    /// Which of Intel's evaluations these levels come from.
    pub tcb_evaluation_data_number: u32,
    /// Four bytes in upper-case hexadecimal.
    pub miscselect: String,
    /// Four bytes in upper-case hexadecimal.
    pub miscselect_mask: String,
    /// 16 bytes in upper-case hexadecimal.
    pub attributes: String,
    /// 16 bytes in upper-case hexadecimal.
    pub attributes_mask: String,
    /// 32 bytes in upper-case hexadecimal.
    pub mrsigner: String,
    /// Product id.
    pub isvprodid: u16,
    /// Best first.
    pub tcb_levels: Vec<QeTcbLevel>,
}

const NO_SIGNER: &str =
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";
const NO_ATTRIBUTES: &str = "0000000000000000";
const ALL_ATTRIBUTES: &str = "FFFFFFFFFFFFFFFF";
/// Intel's signer of quoting enclaves.
pub(super) const QE_MRSIGNER: [u8; 32] = [
    0xdc, 0x9e, 0x2a, 0x7c, 0x6f, 0x94, 0x8f, 0x17, 0x47, 0x4e, 0x34, 0xa7, 0xfc, 0x43, 0xed, 0x03, 0x0f,
    0x7c, 0x15, 0x63, 0xf1, 0xba, 0xbd, 0xdf, 0x63, 0x40, 0xc8, 0x2e, 0x0e, 0x54, 0xa8, 0xc5,
];
/// Days between issue and next update of both documents.
const DOCUMENT_DAYS: u64 = 30;
const EVALUATION_DATA_NUMBER: u32 = 18;
const RECENT: &str = "2024-11-13T00:00:00Z";
const OLDER: &str = "2024-03-13T00:00:00Z";
const OLD: &str = "2018-01-04T00:00:00Z";

impl TcbInfo {
    /// Three levels as Intel publishes them for a Sapphire Rapids class platform: one up to date, two
    /// out of date. [`super::TdxMachineSpec::typical`] reaches the first.
    pub fn typical(fmspc: [u8; 6], pce_id: [u8; 2], issued_at: UnixSeconds) -> Self {
        let module = |id: &str, levels| TdxModuleIdentity {
            id: id.to_owned(),
            mrsigner: NO_SIGNER.to_owned(),
            attributes: NO_ATTRIBUTES.to_owned(),
            attributes_mask: ALL_ATTRIBUTES.to_owned(),
            tcb_levels: levels,
        };
        let out_of_date = ["INTEL-SA-01036", "INTEL-SA-01099"];
        Self {
            id: "TDX".to_owned(),
            version: 3,
            issue_date: issued_at.to_string(),
            next_update: next_update(issued_at).to_string(),
            fmspc: to_hex(&fmspc).to_uppercase(),
            pce_id: to_hex(&pce_id).to_uppercase(),
            tcb_type: 0,
            tcb_evaluation_data_number: EVALUATION_DATA_NUMBER,
            tdx_module: AttributesMask {
                mrsigner: NO_SIGNER.to_owned(),
                attributes: NO_ATTRIBUTES.to_owned(),
                attributes_mask: ALL_ATTRIBUTES.to_owned(),
            },
            tdx_module_identities: vec![
                module("TDX_03", vec![SvnLevel::new(3, RECENT, "UpToDate", &[])]),
                module(
                    "TDX_01",
                    vec![
                        SvnLevel::new(6, RECENT, "UpToDate", &[]),
                        SvnLevel::new(4, OLDER, "OutOfDate", &out_of_date),
                    ],
                ),
            ],
            tcb_levels: vec![
                TcbLevel::new([3, 3, 2, 2, 4, 1, 0, 5], 13, [5, 0, 3], RECENT, "UpToDate", &[]),
                TcbLevel::new([2, 2, 2, 2, 3, 1, 0, 5], 13, [5, 0, 2], OLDER, "OutOfDate", &out_of_date),
                TcbLevel::new([2, 2, 2, 2, 3, 1, 0, 3], 5, [2, 0, 2], OLD, "OutOfDate", &["INTEL-SA-00837"]),
            ],
        }
    }

    /// The text that is signed.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl QeIdentity {
    /// The identity of Intel's quoting enclave for TDX, and its one level.
    pub fn typical(issued_at: UnixSeconds) -> Self {
        Self {
            id: "TD_QE".to_owned(),
            version: 2,
            issue_date: issued_at.to_string(),
            next_update: next_update(issued_at).to_string(),
            tcb_evaluation_data_number: EVALUATION_DATA_NUMBER,
            miscselect: "00000000".to_owned(),
            miscselect_mask: "FFFFFFFF".to_owned(),
            attributes: "11000000000000000000000000000000".to_owned(),
            attributes_mask: "FBFFFFFFFFFFFFFF0000000000000000".to_owned(),
            mrsigner: to_hex(&QE_MRSIGNER).to_uppercase(),
            isvprodid: 2,
            tcb_levels: vec![SvnLevel::new(4, RECENT, "UpToDate", &[])],
        }
    }

    /// The text that is signed.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl SvnLevel {
    /// A level.
    pub fn new(isvsvn: u32, date: &str, status: &str, advisories: &[&str]) -> Self {
        Self {
            tcb: IsvSvn { isvsvn },
            tcb_date: date.to_owned(),
            tcb_status: status.to_owned(),
            advisory_ids: advisories.iter().map(|&id| id.to_owned()).collect(),
        }
    }
}

impl TcbLevel {
    /// A level whose components beyond the given ones are zero.
    pub fn new(
        sgx: [u8; 8],
        pcesvn: u16,
        tdx: [u8; 3],
        date: &str,
        status: &str,
        advisories: &[&str],
    ) -> Self {
        let named = |svns: &[u8], names: &[(&str, &str)]| {
            (0..16)
                .map(|index| {
                    let (category, kind) = names.get(index).copied().unwrap_or_default();
                    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
                    let svn = svns.get(index).copied().unwrap_or_default();
                    TcbComponent { svn, category: some(category), kind: some(kind) }
                })
                .collect()
        };
        Self {
            tcb: PlatformTcb {
                sgxtcbcomponents: named(&sgx, &SGX_COMPONENTS),
                pcesvn,
                tdxtcbcomponents: named(&tdx, &TDX_COMPONENTS),
            },
            tcb_date: date.to_owned(),
            tcb_status: status.to_owned(),
            advisory_ids: advisories.iter().map(|&id| id.to_owned()).collect(),
        }
    }
}

/// Category and type of each component, as Intel writes them.
const SGX_COMPONENTS: [(&str, &str); 8] = [
    ("BIOS", "Early Microcode Update"),
    ("OS/VMM", "SGX Late Microcode Update"),
    ("OS/VMM", "TXT SINIT"),
    ("BIOS", ""),
    ("BIOS", ""),
    ("BIOS", ""),
    ("", ""),
    ("OS/VMM", "SEAMLDR ACM"),
];
const TDX_COMPONENTS: [(&str, &str); 3] =
    [("OS/VMM", "TDX Module"), ("OS/VMM", "TDX Module"), ("OS/VMM", "TDX Late Microcode Update")];

pub(super) fn next_update(issued_at: UnixSeconds) -> UnixSeconds {
    UnixSeconds(issued_at.0 + DOCUMENT_DAYS * 86_400)
}

fn to_json(document: &impl Serialize) -> String {
    serde_json::to_string(document).unwrap_or_else(|_| unreachable!("no map keys, no failing serializer"))
}
