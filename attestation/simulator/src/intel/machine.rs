//! A TDX platform with one TD on it, and the evidence they make.

use sha2::{Digest, Sha256};
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{Endorsements, Evidence, UnixSeconds};

use super::collateral::next_update;
use super::{
    CollateralSpec, EventLog, IntelAuthority, IntelIssuer, P256Key, PckCa, PckFacts, PlatformFacts,
    QeIdentity, QeReport, QuoteHeader, QuoteParts, TcbInfo, Td15Fields, TdBody,
};
use crate::{Error, pem};

/// How long the root's list lasts, days.
const ROOT_CRL_DAYS: u64 = 365;

/// What a machine is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdxMachineSpec {
    /// The platform, as its PCK certificate tells.
    pub facts: PckFacts,
    /// Which CA certifies it.
    pub ca: PckCa,
    /// Quote version, 4 or 5.
    pub quote_version: u16,
    /// Versions of the TDX module: minor, major, late microcode.
    pub tee_tcb_svn: [u8; 16],
    /// Whether the body is TD 1.5's.
    pub is_td15: bool,
    /// First second of the PCK certificate, of the lists and of the signed documents.
    pub endorsed_at: UnixSeconds,
}

impl TdxMachineSpec {
    /// The authority's first platform, up to date by [`TcbInfo::typical`], with quotes of version 4
    /// and a TD 1.0 body.
    pub fn typical(authority: &IntelAuthority, endorsed_at: UnixSeconds) -> Self {
        let ppid = authority.ppid(0);
        Self {
            facts: PckFacts {
                ppid,
                components: [4, 4, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
                pcesvn: 13,
                cpu_svn: [4, 4, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
                pce_id: [0, 0],
                fmspc: [0x90, 0xc0, 0x6f, 0, 0, 0],
                sgx_type: 1,
                platform: Some(PlatformFacts {
                    instance_id: ppid,
                    dynamic_platform: true,
                    cached_keys: true,
                    smt_enabled: true,
                }),
            },
            ca: PckCa::Platform,
            quote_version: 4,
            tee_tcb_svn: [0x0b, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            is_td15: false,
            endorsed_at,
        }
    }
}

/// A simulated platform with one TD. Its quotes are what hardware would make, under another root.
#[derive(Debug, Clone)]
pub struct TdxMachine {
    header: QuoteHeader,
    body: TdBody,
    qe_report: QeReport,
    auth_data: Vec<u8>,
    pck_chain: String,
    pck: P256Key,
    attestation_key: P256Key,
    event_log: Option<EventLog>,
    collateral: CollateralSpec,
    authority: IntelAuthority,
}

impl TdxMachine {
    /// Starts a TD with this build-time measurement, and has its platform endorsed.
    pub fn new(authority: &IntelAuthority, spec: &TdxMachineSpec, mr_td: [u8; 48]) -> Result<Self, Error> {
        let certificate = authority.pck_spec(spec.ca, &spec.facts, spec.endorsed_at)?;
        let pck_ca = IntelIssuer::PckCa(spec.ca);
        let certificate = authority.sign_certificate(pck_ca, &certificate)?;
        let pck_chain =
            pem::certificates(&[&certificate, authority.certificate_der(pck_ca), authority.root_der()]);
        let mut header = QuoteHeader::typical(spec.quote_version);
        // Intel's quoting enclave puts the platform's QE id there.
        header.user_data[..16].copy_from_slice(&spec.facts.ppid);
        let mut body = TdBody::typical(spec.tee_tcb_svn, mr_td);
        body.td15 =
            spec.is_td15.then_some(Td15Fields { tee_tcb_svn2: spec.tee_tcb_svn, mr_service_td: [0; 48] });
        let next = next_update(spec.endorsed_at);
        let root_next = UnixSeconds(spec.endorsed_at.0 + ROOT_CRL_DAYS * 86_400);
        Ok(Self {
            header,
            body,
            qe_report: QeReport::typical(spec.facts.cpu_svn),
            auth_data: (0..32).collect(),
            pck_chain,
            pck: authority.pck_key(&spec.facts),
            attestation_key: authority.attestation_key(&spec.facts),
            event_log: None,
            collateral: CollateralSpec {
                ca: spec.ca,
                tcb_info: TcbInfo::typical(spec.facts.fmspc, spec.facts.pce_id, spec.endorsed_at),
                qe_identity: QeIdentity::typical(spec.endorsed_at),
                root_crl: authority.crl_spec(IntelIssuer::Root, spec.endorsed_at, root_next),
                pck_crl: authority.crl_spec(pck_ca, spec.endorsed_at, next),
            },
            authority: authority.clone(),
        })
    }

    /// What every quote's header says.
    pub fn header_mut(&mut self) -> &mut QuoteHeader {
        &mut self.header
    }

    /// What every quote of this machine says, REPORTDATA aside.
    pub fn body(&self) -> &TdBody {
        &self.body
    }

    /// Changes what every quote of this machine says.
    pub fn body_mut(&mut self) -> &mut TdBody {
        &mut self.body
    }

    /// What the quoting enclave's report says, REPORTDATA aside.
    pub fn qe_report_mut(&mut self) -> &mut QeReport {
        &mut self.qe_report
    }

    /// The PCK chain in PEM that quotes carry.
    pub fn pck_chain_mut(&mut self) -> &mut String {
        &mut self.pck_chain
    }

    /// What the platform's collateral says.
    pub fn collateral_mut(&mut self) -> &mut CollateralSpec {
        &mut self.collateral
    }

    /// Boots the TD through these events: the log goes with its evidence, and its RTMRs are what the
    /// log replays to.
    pub fn boot(&mut self, event_log: EventLog) {
        self.body.rtmrs = event_log.rtmrs();
        self.event_log = Some(event_log);
    }

    /// The quote on `report_data` in parts, everything right and signed.
    pub fn quote_parts(&self, report_data: [u8; 64]) -> QuoteParts {
        let mut parts = QuoteParts::unsigned(
            &self.header,
            &TdBody { report_data, ..self.body.clone() },
            &self.qe_report,
            self.attestation_key.public_point(),
            self.auth_data.clone(),
            &self.pck_chain,
        );
        self.sign_body(&mut parts);
        Self::bind_attestation_key(&mut parts);
        self.sign_qe_report(&mut parts);
        parts
    }

    /// Signs header and body anew.
    pub fn sign_body(&self, parts: &mut QuoteParts) {
        parts.signature = self.attestation_key.sign_raw(&parts.signed);
    }

    /// Writes the digest of attestation key and authentication data into the QE report, which then
    /// wants to be signed anew.
    pub fn bind_attestation_key(parts: &mut QuoteParts) {
        let digest =
            Sha256::new().chain_update(parts.attestation_key).chain_update(&parts.auth_data).finalize();
        parts.qe_report[320..352].copy_from_slice(&digest);
    }

    /// Signs the QE report anew.
    pub fn sign_qe_report(&self, parts: &mut QuoteParts) {
        parts.qe_report_signature = self.pck.sign_raw(&parts.qe_report);
    }

    /// The quote on `report_data`.
    pub fn attest(&self, report_data: [u8; 64]) -> Vec<u8> {
        self.quote_parts(report_data).to_bytes()
    }

    /// The quote on `report_data` and the event log, as evidence travels.
    pub fn evidence(&self, report_data: [u8; 64]) -> Evidence {
        Evidence::Tdx {
            quote: Base64(self.attest(report_data)),
            event_log: self.event_log.as_ref().map(|log| Base64(log.to_ccel())),
        }
    }

    /// The platform's collateral, as endorsements travel.
    pub fn endorsements(&self) -> Result<Endorsements, Error> {
        Ok(Endorsements::Tdx(self.authority.collateral(&self.collateral)?))
    }
}
