//! The facts of a verified quote by stable names, for showing and for JSON.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::attributes::TdAttributeBits;
use super::event_log::Binding;
use super::pck::PckCa;
use super::tcb_status::{TcbPart, TcbStatus};
use super::verified::VerifiedTdx;
use crate::encoding::Hex;

/// What a TDX quote claims and what Intel's documents say of it. Bytes are lower-case hexadecimal in
/// the order they have in the quote, dates RFC 3339.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the quote's or document's field of that name")]
pub struct Claims {
    pub version: u16,
    pub body: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_type: Option<u16>,
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
    pub trailing_bytes: usize,
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
    pub collateral_valid_from: String,
    pub collateral_valid_until: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_log: Option<EventLogClaims>,
}

/// How far the event log that came with the quote can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EventLogClaims {
    /// Events in the log.
    pub events: usize,
    /// Events whose content, or a stated part of it, hashes to the digest that was extended.
    pub content_bound: usize,
    /// Events of which the digest alone is known to be true.
    pub digest_only: usize,
}

impl Claims {
    pub(super) fn of(verified: &VerifiedTdx) -> Self {
        let report = verified.report();
        let [rtmr0, rtmr1, rtmr2, rtmr3] = report.rtmr.map(Hex);
        let platform = verified.platform();
        let tcb = verified.tcb();
        let (tcb_info, qe_identity) = (verified.tcb_info_window(), verified.qe_identity_window());
        let collateral = verified.collateral_window();
        Self {
            version: verified.header().version,
            body: if report.td_1_5.is_some() { "TD 1.5" } else { "TD 1.0" },
            body_type: verified.header().body_type,
            qe_vendor: Hex(verified.header().qe_vendor_id),
            user_data: Hex(verified.header().user_data),
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
            trailing_bytes: verified.trailing().count,
            pck_ca: match verified.pck_ca() {
                PckCa::Platform => "platform",
                PckCa::Processor => "processor",
            },
            fmspc: Hex(*platform.fmspc()),
            pceid: Hex(*platform.pce_id()),
            pcesvn: platform.pcesvn(),
            cpusvn: Hex(*platform.cpusvn_components()),
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
            collateral_valid_from: collateral.issued.to_string(),
            collateral_valid_until: collateral.next_update.to_string(),
            event_log: verified.event_log().map(|log| {
                let events = log.events().len();
                let digest_only =
                    log.events().iter().filter(|event| event.binding() == Binding::DigestOnly).count();
                let unmeasured =
                    log.events().iter().filter(|event| event.binding() == Binding::NotMeasured).count();
                let content_bound = events.saturating_sub(digest_only).saturating_sub(unmeasured);
                EventLogClaims { events, content_bound, digest_only }
            }),
        }
    }
}
