//! The standard extensions that both vendors' certificates and lists carry. RFC 5280, 4.2.1 and 5.2.

use const_oid::ObjectIdentifier;

use super::Extension;
use crate::der;

/// subjectKeyIdentifier.
pub const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
/// keyUsage.
pub const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
/// basicConstraints.
pub const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
/// cRLNumber.
pub const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
/// reasonCode of a CRL entry.
pub const REASON_CODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");
/// issuingDistributionPoint of a CRL.
pub const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");
/// cRLDistributionPoints.
pub const CRL_DISTRIBUTION_POINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.31");
/// authorityKeyIdentifier.
pub const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");

/// subjectKeyIdentifier.
pub fn subject_key_id(key_id: &[u8; 20]) -> Extension {
    Extension::new(SUBJECT_KEY_ID, der::octet_string(key_id))
}

/// authorityKeyIdentifier with the key identifier alone.
pub fn authority_key_id(key_id: &[u8; 20]) -> Extension {
    let value = der::sequence(&[&der::context_primitive(0, key_id)]);
    Extension::new(AUTHORITY_KEY_ID, value)
}

/// basicConstraints, critical.
pub fn basic_constraints(is_ca: bool, path_length: Option<u8>) -> Extension {
    let ca = if is_ca { der::boolean(true) } else { Vec::new() };
    let path = path_length.map(|n| der::integer_u64(n.into())).unwrap_or_default();
    Extension::critical(BASIC_CONSTRAINTS, der::sequence(&[&ca, &path]))
}

/// keyUsage, critical. `bits` has digitalSignature as its highest bit; keyCertSign is `0x04`,
/// cRLSign `0x02`. DER wants every trailing zero bit counted as unused, and AMD's ASKs do not.
pub fn key_usage(unused_bits: u8, bits: u8) -> Extension {
    Extension::critical(KEY_USAGE, der::bit_string(unused_bits, &[bits]))
}

/// cRLDistributionPoints with one URI.
pub fn crl_distribution_point(uri: &str) -> Extension {
    let full_name = der::context(0, &der::context_primitive(6, uri.as_bytes()));
    let point = der::sequence(&[&der::context(0, &full_name)]);
    Extension::new(CRL_DISTRIBUTION_POINTS, der::sequence(&[&point]))
}

/// cRLNumber.
pub fn crl_number(number: u64) -> Extension {
    Extension::new(CRL_NUMBER, der::integer_u64(number))
}
