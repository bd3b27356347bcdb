//! AMD SEV-SNP attestation reports.
//!
//! In scope: reports of versions 2 to 5 from Milan, Genoa (with Bergamo and Siena) and Turin, signed
//! by a VCEK or VLEK; the chain from there to an ARK; the endorsement key's extensions against the
//! report; the ARK's revocation list; everything in the report that cannot be so on a genuine,
//! correctly operating platform. Left to policy: which TCB is new enough, which measurement is the
//! right one, debug, VMPL, whether a revocation list is required.
//!
//! Specifications, cited below by number: AMD 56860 "SEV Secure Nested Paging Firmware ABI
//! Specification" (rev. 1.58) and AMD 57230 "Versioned Chip Endorsement Key (VCEK) Certificate and
//! KDS Interface Specification" (rev. 1.00).

mod chain;
mod claims;
mod error;
mod flags;
pub(crate) mod pinned;
mod product;
mod report;
mod signature;
mod tcb;
mod vek;
mod verified;
mod verify;

pub use claims::{Claims, FlagClaims, KeyInfoClaims, TcbClaims, VekClaims};
pub use error::Error;
pub use flags::{GuestPolicy, KeyInfo, PlatformInfo};
pub use product::Product;
pub use report::{FirmwareVersion, REPORT_LEN, Report};
pub use signature::ReportSignature;
pub use tcb::{Tcb, TcbComponent, TcbVersion};
pub use vek::{VekKind, VekSubject};
pub use verified::{VerifiedCrl, VerifiedSnp, VerifiedVek};

pub(crate) use chain::product_of_ark;
pub(crate) use verify::verify;
