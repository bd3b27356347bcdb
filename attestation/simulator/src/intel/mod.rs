//! An Intel-shaped authority, the platforms it certifies, and the quotes they make.
//!
//! Layouts and encodings follow the "Intel TDX DCAP Quoting Library API" (quote formats 4 and 5),
//! the "Intel SGX PCK Certificate and Certificate Revocation List Profile Specification" and the
//! "Intel SGX and TDX Provisioning Certification Service" API 4 (TCB info version 3, QE identity
//! version 2), and were compared byte for byte with what Intel's service and real platforms made.

mod authority;
pub mod certificate;
mod collateral;
mod event_log;
mod key;
mod machine;
mod pck;
mod quote;
mod store;

pub use authority::{IntelAuthority, IntelIssuer, PckCa};
pub use collateral::{
    AttributesMask, CollateralSpec, IsvSvn, PlatformTcb, QeIdentity, QeTcbLevel, SvnLevel, TcbComponent,
    TcbInfo, TcbLevel, TdxModuleIdentity,
};
pub use event_log::{EventLog, LoggedEvent, event_type};
pub use key::P256Key;
pub use machine::{TdxMachine, TdxMachineSpec};
pub use pck::{PckFacts, PlatformFacts, SgxEntry, encode_sgx_entries, oid};
pub use quote::{
    BODY_TYPE_TD10, BODY_TYPE_TD15, HEADER_BYTES, QE_REPORT_BYTES, QeReport, QuoteHeader, QuoteParts,
    Td15Fields, TdBody,
};
