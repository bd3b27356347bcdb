//! Intel TDX: quotes, the collateral that appraises their platform, and event logs.
//!
//! In scope: quotes of version 4 and 5 with TD 1.0 and TD 1.5 reports; the quoting enclave and its
//! binding of the attestation key; Intel's certificate hierarchy and revocation lists; TCB info and
//! QE identity and what they say of platform, TDX module and quoting enclave; replay of event logs
//! with the contents that their digests prove.
//!
//! Not read: quotes of version 5 whose body is of type 4 (TD 1.5 with extended service TD fields), which are
//! refused as `tdx_body_type`; no real one is at hand to hold a parser against.
//!
//! Left to others: whether a TCB status, an attribute or a measurement is good enough, which is
//! policy; fetching collateral, which is I/O; SGX quotes.
//!
//! Specifications: Intel TDX DCAP Quoting Library API (quote layouts); Intel PCS API v4 (TCB info,
//! QE identity); Intel SGX PCK Certificate and CRL Profile; Intel TDX Module ABI (reports and
//! attributes); TCG PC Client Platform Firmware Profile (event logs). Each module names its sections.
//!
//! # Example
//!
//! A quote minted by the simulator, under its own root; a real one differs in nothing but
//! [`TrustRoots::vendor_pinned`](crate::TrustRoots::vendor_pinned).
//!
//! ```
//! use vouchsafe_simulator::intel::{EventLog, IntelAuthority, TdxMachine, TdxMachineSpec};
//! use vouchsafe_verifier::crypto::Ring;
//! use vouchsafe_verifier::tdx::{Binding, TcbStatus};
//! use vouchsafe_verifier::{RootKind, TrustRoots, UnixSeconds, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let at = UnixSeconds::from_rfc3339("2026-02-06T00:00:00Z").ok_or("not a moment")?;
//! let authority = IntelAuthority::generate(at)?;
//! let mut machine = TdxMachine::new(&authority, &TdxMachineSpec::typical(&authority, at), [0x4d; 48])?;
//! machine.boot(EventLog::typical("console=ttyS0"));
//!
//! let (evidence, collateral) = (machine.evidence([7; 64]), machine.endorsements()?);
//! let roots = TrustRoots::none().with_test_intel_root(authority.root_der())?;
//! let verified = verify(&evidence, Some(&collateral), &roots, at, &Ring)?;
//! assert!(matches!(verified.root(), RootKind::Test { .. }));
//!
//! let tdx = verified.tdx().ok_or("not a quote")?;
//! assert_eq!(tdx.report().mrtd, [0x4d; 48]);
//! assert_eq!(tdx.tcb().status(), TcbStatus::UpToDate);
//!
//! // The log replays to the quoted RTMRs. The command line is proved, the name of an image is not.
//! let events = tdx.event_log().ok_or("no log")?.events();
//! let command_line = events.iter().find(|event| event.binding() == Binding::TextAfterLabel);
//! assert_eq!(command_line.and_then(|event| event.bound_content()), Some(&b"console=ttyS0"[..]));
//!
//! // Under Intel's root the same evidence is nothing.
//! let refused = verify(&evidence, Some(&collateral), &TrustRoots::vendor_pinned(), at, &Ring);
//! assert_eq!(refused.unwrap_err().code(), "tdx_root_not_trusted");
//! # Ok(())
//! # }
//! ```

mod attributes;
mod body;
mod chain;
mod claims;
mod error;
mod event_claims;
pub mod event_log;
mod pck;
mod qe_identity;
mod qe_report;
mod quote;
mod reader;
mod signed_json;
mod tcb_info;
mod tcb_status;
mod verified;
mod verify;

pub use attributes::{TdAttributeBits, TdAttributes};
pub use body::{Measurement, TD_1_0_LEN, TD_1_5_LEN, Td15Fields, TdReport};
pub use chain::claimed_platform;
pub use claims::{Claims, PckClaims, QeReportClaims, QuoteClaims};
pub use error::{Document, DocumentFault, Error, PckExtensionFault, Place, SurplusBytes, Truncated};
pub use event_claims::{EventClaims, EventLogClaims};
pub use event_log::{Binding, Event, EventLog, ReplayedLog};
pub use pck::{PckCa, PckPlatform, SgxType};
pub use qe_report::{ENCLAVE_REPORT_LEN, EnclaveReport};
pub use quote::{Header, KEY_TYPE_ECDSA_P256, QUOTE_LEN_MAX, Quote, TEE_TYPE_TDX, TrailingBytes};
pub use signed_json::Window;
pub use tcb_info::ModuleTcb;
pub use tcb_status::{TcbPart, TcbStatus};
pub use verified::{TcbAppraisal, VerifiedTdx};
pub use verify::{QE_VENDOR_INTEL, verify};

/// Intel's roots: the SGX root CA, under which TDX platforms stand too. Provenance:
/// `roots/intel/README.md`.
pub(crate) const PINNED_ROOTS: &[&[u8]] = &[include_bytes!("../../roots/intel/sgx-root-ca.der")];
