//! The object identifiers this crate understands.

pub use const_oid::ObjectIdentifier;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// `commonName` (RFC 5280, A.1).
pub const COMMON_NAME: ObjectIdentifier = oid("2.5.4.3");

/// `rsaEncryption` (RFC 3279, 2.3.1).
pub const RSA_ENCRYPTION: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
/// `id-RSASSA-PSS` (RFC 4055, 3.1).
pub const RSASSA_PSS: ObjectIdentifier = oid("1.2.840.113549.1.1.10");
/// `id-mgf1` (RFC 4055, 2.2).
pub const MGF1: ObjectIdentifier = oid("1.2.840.113549.1.1.8");
/// `id-sha384` (RFC 4055, 2.1).
pub const SHA384: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.2");
/// `id-ecPublicKey` (RFC 5480, 2.1.1).
pub const EC_PUBLIC_KEY: ObjectIdentifier = oid("1.2.840.10045.2.1");
/// `secp256r1` (RFC 5480, 2.1.1.1).
pub const SECP256R1: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
/// `secp384r1` (RFC 5480, 2.1.1.1).
pub const SECP384R1: ObjectIdentifier = oid("1.3.132.0.34");
/// `ecdsa-with-SHA256` (RFC 5758, 3.2).
pub const ECDSA_WITH_SHA256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");

/// `subjectKeyIdentifier` (RFC 5280, 4.2.1.2).
pub const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = oid("2.5.29.14");
/// `keyUsage` (RFC 5280, 4.2.1.3).
pub const KEY_USAGE: ObjectIdentifier = oid("2.5.29.15");
/// `basicConstraints` (RFC 5280, 4.2.1.9).
pub const BASIC_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.19");
/// `cRLNumber` (RFC 5280, 5.2.3).
pub const CRL_NUMBER: ObjectIdentifier = oid("2.5.29.20");
/// `issuingDistributionPoint` (RFC 5280, 5.2.5).
pub const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = oid("2.5.29.28");
/// `authorityKeyIdentifier` (RFC 5280, 4.2.1.1).
pub const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = oid("2.5.29.35");
