//! What verification of a quote establishes.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::body::TdReport;
use super::claims::Claims;
use super::event_log::ReplayedLog;
use super::pck::{PckCa, PckPlatform};
use super::qe_report::EnclaveReport;
use super::quote::{Header, TrailingBytes};
use super::signed_json::Window;
use super::tcb_info::ModuleTcb;
use super::tcb_status::{TcbPart, TcbStatus};
use crate::RootKind;
use crate::x509::Validity;

/// A quote whose signatures, certificates, collateral and, where there was one, event log were
/// verified. Only [`verify`](super::verify) makes one.
#[derive(Debug, Clone)]
pub struct VerifiedTdx {
    parts: Parts,
}

/// The fields, gathered by `verify`.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) header: Header,
    pub(super) report: TdReport,
    pub(super) qe_report: EnclaveReport,
    pub(super) qe_auth_data: Vec<u8>,
    pub(super) trailing: TrailingBytes,
    pub(super) pck_ca: PckCa,
    pub(super) pck_serial: Vec<u8>,
    pub(super) pck_validity: Validity,
    pub(super) platform: PckPlatform,
    pub(super) tcb: TcbAppraisal,
    pub(super) tcb_info_window: Window,
    pub(super) tcb_info_evaluation_number: u32,
    pub(super) qe_identity_window: Window,
    pub(super) qe_identity_evaluation_number: u32,
    pub(super) collateral_window: Window,
    pub(super) event_log: Option<ReplayedLog>,
    pub(super) root: RootKind,
}

/// The TCB of a platform as Intel's documents judge it: of the whole, and of each part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcbAppraisal {
    status: TcbStatus,
    advisories: BTreeSet<String>,
    launch: (TcbPart, ModuleTcb),
    current: Option<(TcbPart, ModuleTcb)>,
    qe: TcbPart,
}

impl TcbAppraisal {
    pub(super) fn new(
        launch: (TcbPart, ModuleTcb),
        current: Option<(TcbPart, ModuleTcb)>,
        qe: TcbPart,
    ) -> Self {
        let mut status = status_of(&launch);
        if let Some(current) = &current {
            status = status.with_current(status_of(current));
        }
        let status = status.converge(qe.status());
        let platforms = [Some(&launch), current.as_ref()].into_iter().flatten();
        let mut advisories = BTreeSet::new();
        let parts = platforms
            .flat_map(|(platform, module)| [Some(platform), module.part()])
            .chain([Some(&qe)])
            .flatten();
        parts.for_each(|part| advisories.extend(part.advisories().iter().cloned()));
        Self { status, advisories, launch, current, qe }
    }

    /// The status of the whole.
    pub fn status(&self) -> TcbStatus {
        self.status
    }

    /// The status by what the TD was launched on, and of the quoting enclave: that of the whole unless a
    /// TD 1.5 says that it runs on something else now.
    pub fn launch_status(&self) -> TcbStatus {
        status_of(&self.launch).converge(self.qe.status())
    }

    /// The advisories of all parts, by id.
    pub fn advisories(&self) -> &BTreeSet<String> {
        &self.advisories
    }

    /// The platform: its SGX and TDX components and its PCE, at the TD's launch.
    pub fn platform(&self) -> &TcbPart {
        &self.launch.0
    }

    /// The TDX module at the TD's launch.
    pub fn module(&self) -> &ModuleTcb {
        &self.launch.1
    }

    /// The platform by TEE_TCB_SVN2: as it is now. TD 1.5 only.
    pub fn current_platform(&self) -> Option<&TcbPart> {
        self.current.as_ref().map(|(platform, _)| platform)
    }

    /// The TDX module by TEE_TCB_SVN2: the one that runs now. TD 1.5 only.
    pub fn current_module(&self) -> Option<&ModuleTcb> {
        self.current.as_ref().map(|(_, module)| module)
    }

    /// The status by TEE_TCB_SVN2 alone, platform and module together. TD 1.5 only.
    pub fn current_status(&self) -> Option<TcbStatus> {
        self.current.as_ref().map(status_of)
    }

    /// The quoting enclave.
    pub fn qe(&self) -> &TcbPart {
        &self.qe
    }
}

/// Platform and module together.
fn status_of((platform, module): &(TcbPart, ModuleTcb)) -> TcbStatus {
    module.part().map_or(platform.status(), |module| platform.status().converge(module.status()))
}

impl VerifiedTdx {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// The quote's header.
    pub fn header(&self) -> &Header {
        &self.parts.header
    }

    /// The TD report that the quote carries.
    pub fn report(&self) -> &TdReport {
        &self.parts.report
    }

    /// The 64 bytes that the guest chose.
    pub fn report_data(&self) -> &[u8; 64] {
        &self.parts.report.report_data
    }

    /// The quoting enclave's report.
    pub fn qe_report(&self) -> &EnclaveReport {
        &self.parts.qe_report
    }

    /// QE authentication data, which the QE report binds together with the attestation key.
    pub fn qe_auth_data(&self) -> &[u8] {
        &self.parts.qe_auth_data
    }

    /// What follows the quote in its buffer. Nothing signs it, so what may stand there is a policy's matter.
    pub fn trailing(&self) -> TrailingBytes {
        self.parts.trailing
    }

    /// Which authority issued the PCK certificate.
    pub fn pck_ca(&self) -> PckCa {
        self.parts.pck_ca
    }

    /// The PCK certificate's serial number, big-endian.
    pub fn pck_serial(&self) -> &[u8] {
        &self.parts.pck_serial
    }

    /// When the PCK certificate may be used.
    pub fn pck_validity(&self) -> Validity {
        self.parts.pck_validity
    }

    /// The platform that the PCK certificate is about.
    pub fn platform(&self) -> &PckPlatform {
        &self.parts.platform
    }

    /// The TCB as Intel's documents judge it.
    pub fn tcb(&self) -> &TcbAppraisal {
        &self.parts.tcb
    }

    /// When the TCB info was issued and is to be replaced.
    pub fn tcb_info_window(&self) -> Window {
        self.parts.tcb_info_window
    }

    /// `tcbEvaluationDataNumber` of the TCB info: grows with every TCB recovery.
    pub fn tcb_info_evaluation_number(&self) -> u32 {
        self.parts.tcb_info_evaluation_number
    }

    /// When the QE identity was issued and is to be replaced.
    pub fn qe_identity_window(&self) -> Window {
        self.parts.qe_identity_window
    }

    /// `tcbEvaluationDataNumber` of the QE identity.
    pub fn qe_identity_evaluation_number(&self) -> u32 {
        self.parts.qe_identity_evaluation_number
    }

    /// The lower of the two evaluation numbers: what a policy's minimum is held against.
    pub fn evaluation_number(&self) -> u32 {
        self.parts.tcb_info_evaluation_number.min(self.parts.qe_identity_evaluation_number)
    }

    /// When all certificates, revocation lists and documents used here are valid at once: from the
    /// latest issue to the earliest expiry.
    pub fn collateral_window(&self) -> Window {
        self.parts.collateral_window
    }

    /// The event log, replayed and found to give the quote's RTMRs; `None` when none was given.
    pub fn event_log(&self) -> Option<&ReplayedLog> {
        self.parts.event_log.as_ref()
    }

    /// Whether Intel vouches for the platform, or a test authority does.
    pub fn root(&self) -> RootKind {
        self.parts.root
    }

    /// Everything established, for showing and for JSON.
    pub fn claims(&self) -> Claims {
        Claims::of(self)
    }
}
