//! The facts of a quote by stable names, for showing and for JSON.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::attributes::TdAttributeBits;
use super::body::TdReport;
use super::event_claims::EventLogClaims;
use super::pck::PckCa;
use super::qe_report::EnclaveReport;
use super::quote::{Header, Quote, TrailingBytes};
use super::tcb_status::{TcbPart, TcbStatus};
use super::verified::VerifiedTdx;
use crate::encoding::{Hex, to_hex};

/// What a TDX quote says, by its own account. Bytes are lower-case hexadecimal in the order they have in
/// the quote.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the quote's field of that name")]
pub struct QuoteClaims {
    pub version: u16,
    pub body: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_type: Option<u16>,
    pub att_key_type: u16,
    pub tee_type: String,
    pub qe_vendor: Hex<16>,
    pub user_data: Hex<20>,
    pub tee_tcb_svn: Hex<16>,
    pub mrseam: Hex<48>,
    pub mrsignerseam: Hex<48>,
    pub seamattributes: Hex<8>,
    pub td_attributes: Hex<8>,
    pub td_attributes_bits: TdAttributeBits,
    pub xfam: Hex<8>,
    pub mrtd: Hex<48>,
    pub mrconfigid: Hex<48>,
    pub mrowner: Hex<48>,
    pub mrownerconfig: Hex<48>,
    pub rtmr0: Hex<48>,
    pub rtmr1: Hex<48>,
    pub rtmr2: Hex<48>,
    pub rtmr3: Hex<48>,
    pub report_data: Hex<64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tee_tcb_svn2: Option<Hex<16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mrservicetd: Option<Hex<48>>,
    pub qe_report: QeReportClaims,
    pub trailing_bytes: usize,
    pub trailing_all_zero: bool,
}

/// The quoting enclave's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the report's field of that name")]
pub struct QeReportClaims {
    pub mrsigner: Hex<32>,
    pub isvprodid: u16,
    pub isvsvn: u16,
    pub attributes: Hex<16>,
    pub auth_data: String,
}

/// What a verified quote claims and what Intel's documents say of it. Dates are RFC 3339.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the quote's or document's field of that name")]
pub struct Claims {
    #[serde(flatten)]
    pub quote: QuoteClaims,
    pub pck: PckClaims,
    pub pck_ca: &'static str,
    pub fmspc: Hex<6>,
    pub pceid: Hex<2>,
    pub pcesvn: u16,
    pub cpusvn: Hex<16>,
    pub sgx_type: u8,
    pub ppid: Hex<16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_instance_id: Option<Hex<16>>,
    pub tcb_status: TcbStatus,
    pub advisories: Vec<String>,
    pub platform_level_status: TcbStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_level_date: Option<String>,
    pub tdx_module: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tdx_module_status: Option<TcbStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_tcb_status: Option<TcbStatus>,
    pub qe_status: TcbStatus,
    pub qe_isvsvn: u16,
    pub tcb_eval_number: u32,
    pub qe_identity_eval: u32,
    pub tcb_info_issue: String,
    pub tcb_info_next: String,
    pub qe_identity_issue: String,
    pub qe_identity_next: String,
    /// From when to when everything that was used here is valid at once.
    pub valid_from: String,
    pub valid_until: String,
    /// Both of Intel's lists were consulted. Always false: what they revoke does not verify.
    pub crl_revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_log: Option<EventLogClaims>,
}

/// The PCK certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the certificate's field of that name")]
pub struct PckClaims {
    /// The name of the authority that issued it.
    pub ca: &'static str,
    pub serial: String,
    pub not_before: String,
    pub not_after: String,
    pub fmspc: Hex<6>,
    pub pceid: Hex<2>,
    pub pcesvn: u16,
    pub cpusvn_components: [u8; 16],
    pub sgx_type: u8,
    pub ppid: Hex<16>,
}

impl Quote<'_> {
    /// Everything the quote says, believed or not.
    pub fn claims(&self) -> QuoteClaims {
        let (header, report, qe) = (self.header(), self.report(), self.qe_report());
        QuoteClaims::new(header, report, QeReportClaims::new(qe, self.qe_auth_data()), self.trailing())
    }
}

impl QuoteClaims {
    fn new(header: &Header, report: &TdReport, qe_report: QeReportClaims, trailing: TrailingBytes) -> Self {
        let [rtmr0, rtmr1, rtmr2, rtmr3] = report.rtmr.map(Hex);
        Self {
            version: header.version,
            body: if report.td_1_5.is_some() { "TD 1.5" } else { "TD 1.0" },
            body_type: header.body_type,
            att_key_type: header.attestation_key_type,
            tee_type: alloc::format!("{:#x}", header.tee_type),
            qe_vendor: Hex(header.qe_vendor_id),
            user_data: Hex(header.user_data),
            tee_tcb_svn: Hex(report.tee_tcb_svn),
            mrseam: Hex(report.mrseam),
            mrsignerseam: Hex(report.mrsignerseam),
            seamattributes: Hex(report.seamattributes),
            td_attributes: Hex(report.td_attributes.to_le_bytes()),
            td_attributes_bits: report.td_attributes.named(),
            xfam: Hex(report.xfam),
            mrtd: Hex(report.mrtd),
            mrconfigid: Hex(report.mrconfigid),
            mrowner: Hex(report.mrowner),
            mrownerconfig: Hex(report.mrownerconfig),
            rtmr0,
            rtmr1,
            rtmr2,
            rtmr3,
            report_data: Hex(report.report_data),
            tee_tcb_svn2: report.td_1_5.map(|td| Hex(td.tee_tcb_svn2)),
            mrservicetd: report.td_1_5.map(|td| Hex(td.mrservicetd)),
            qe_report,
            trailing_bytes: trailing.count,
            trailing_all_zero: trailing.all_zero,
        }
    }
}

impl QeReportClaims {
    fn new(report: &EnclaveReport, auth_data: &[u8]) -> Self {
        Self {
            mrsigner: Hex(report.mrsigner),
            isvprodid: report.isvprodid,
            isvsvn: report.isvsvn,
            attributes: Hex(report.attributes),
            auth_data: to_hex(auth_data),
        }
    }
}

impl Claims {
    pub(super) fn of(verified: &VerifiedTdx) -> Self {
        let platform = verified.platform();
        let tcb = verified.tcb();
        let (tcb_info, qe_identity) = (verified.tcb_info_window(), verified.qe_identity_window());
        let collateral = verified.collateral_window();
        let qe_report = QeReportClaims::new(verified.qe_report(), verified.qe_auth_data());
        Self {
            quote: QuoteClaims::new(verified.header(), verified.report(), qe_report, verified.trailing()),
            pck: PckClaims::of(verified),
            pck_ca: match verified.pck_ca() {
                PckCa::Platform => "platform",
                PckCa::Processor => "processor",
            },
            fmspc: Hex(*platform.fmspc()),
            pceid: Hex(*platform.pce_id()),
            pcesvn: platform.pcesvn(),
            cpusvn: Hex(*platform.cpusvn()),
            sgx_type: platform.sgx_type().number(),
            ppid: Hex(*platform.ppid()),
            platform_instance_id: platform.platform_instance_id().copied().map(Hex),
            tcb_status: tcb.status(),
            advisories: tcb.advisories().iter().cloned().collect(),
            platform_level_status: tcb.platform().status(),
            platform_level_date: tcb.platform().tcb_date().map(|date| date.to_string()),
            tdx_module: tcb.module().id().to_string(),
            tdx_module_status: tcb.module().part().map(TcbPart::status),
            current_tcb_status: tcb.current_status(),
            qe_status: tcb.qe().status(),
            qe_isvsvn: verified.qe_report().isvsvn,
            tcb_eval_number: verified.tcb_info_evaluation_number(),
            qe_identity_eval: verified.qe_identity_evaluation_number(),
            tcb_info_issue: tcb_info.issued.to_string(),
            tcb_info_next: tcb_info.next_update.to_string(),
            qe_identity_issue: qe_identity.issued.to_string(),
            qe_identity_next: qe_identity.next_update.to_string(),
            valid_from: collateral.issued.to_string(),
            valid_until: collateral.next_update.to_string(),
            crl_revoked: false,
            event_log: verified.event_log().map(EventLogClaims::of),
        }
    }
}

impl PckClaims {
    fn of(verified: &VerifiedTdx) -> Self {
        let (platform, validity) = (verified.platform(), verified.pck_validity());
        let serial = to_hex(verified.pck_serial());
        Self {
            ca: verified.pck_ca().name(),
            serial: alloc::format!("0x{}", serial.trim_start_matches('0')),
            not_before: validity.not_before.to_string(),
            not_after: validity.not_after.to_string(),
            fmspc: Hex(*platform.fmspc()),
            pceid: Hex(*platform.pce_id()),
            pcesvn: platform.pcesvn(),
            cpusvn_components: *platform.components(),
            sgx_type: platform.sgx_type().number(),
            ppid: Hex(*platform.ppid()),
        }
    }
}
