//! X.509 certificates and revocation lists, for both vendors' hierarchies.
//!
//! In scope: parsing (RFC 5280 profile, DER, borrowed from the input, bounded), validity at a given
//! moment, one issuer link at a time (names, `basicConstraints`, `keyUsage`, signature over the raw
//! `tbsCertificate` bytes), CRLs with the same care, and raw extensions by OID.
//!
//! Left to the callers: which certificates form a chain, which root is believed, and what the
//! vendors' own extensions mean. There is no path building, no name constraints, no policies: AMD's
//! and Intel's hierarchies use none, and an unknown critical extension is refused.
//!
//! Signatures understood: RSASSA-PSS with SHA-384, MGF1-SHA-384 and a 48-byte salt (RFC 4055; both
//! encodings that AMD issues, see [`SignatureAlgorithm`]) and ECDSA with SHA-256 on P-256.

mod certificate;
mod crl;
mod der;
mod error;
mod extension;
mod key;
pub mod oid;
mod pem;
mod signature;

pub use certificate::{Certificate, Name, Validity};
pub use crl::Crl;
pub use der::{DerError, DerReader, Tlv};
pub use error::Error;
pub(crate) use error::ROOT_NOT_TRUSTED;
pub use extension::{Extension, KeyUsage};
pub use key::PublicKey;
pub use pem::pem_certificates;
pub use signature::SignatureAlgorithm;

/// Longest accepted certificate, in bytes. AMD's and Intel's are below 2 KiB.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// Longest accepted revocation list, in bytes. Intel's longest has some 60 entries and 3 KiB.
pub const CRL_BYTES_MAX: usize = 1024 * 1024;
/// Most extensions in one certificate, revocation list or list entry.
pub const EXTENSIONS_MAX: usize = 32;
/// Longest accepted serial number, in bytes without sign (RFC 5280, 4.1.2.2).
pub const SERIAL_BYTES_MAX: usize = 20;
