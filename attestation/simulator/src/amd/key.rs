//! The keys a simulated chip signs reports with.

use const_oid::ObjectIdentifier;
use p384_x509::ecdsa::signature::Signer;
use p384_x509::ecdsa::{Signature, SigningKey};

use super::report::{REPORT_BYTES, SIGNED_BYTES};
use crate::der;

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// A VCEK or VLEK: ECDSA on P-384.
#[derive(Clone)]
pub struct VekKey(SigningKey);

impl core::fmt::Debug for VekKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("VekKey(P-384)")
    }
}

impl VekKey {
    /// The key with this scalar, big-endian; `None` when it is zero or not below the group's order.
    pub fn from_scalar(scalar: &[u8; 48]) -> Option<Self> {
        SigningKey::from_slice(scalar).ok().map(Self)
    }

    /// `SubjectPublicKeyInfo`, DER, as AMD writes it: named curve, uncompressed point.
    pub fn subject_public_key_info(&self) -> Vec<u8> {
        let point = self.0.verifying_key().to_encoded_point(false);
        der::sequence(&[
            &der::sequence(&[&der::oid(ID_EC_PUBLIC_KEY), &der::oid(SECP384R1)]),
            &der::bit_string(0, point.as_bytes()),
        ])
    }

    /// A whole report: the signed bytes, then the signature over them (AMD 56860, table "Format for
    /// an ECDSA P-384 with SHA-384 Signature": R and S of 72 bytes each, little-endian, then zeros).
    /// The nonce is RFC 6979's, so that the same bytes always get the same signature.
    pub fn sign_report(&self, signed: &[u8; SIGNED_BYTES]) -> [u8; REPORT_BYTES] {
        let signature: Signature = self.0.sign(signed);
        let (r, s) = signature.split_bytes();
        let mut report = [0; REPORT_BYTES];
        report[..SIGNED_BYTES].copy_from_slice(signed);
        for (offset, component) in [(SIGNED_BYTES, r), (SIGNED_BYTES + 72, s)] {
            let field = &mut report[offset..offset + 48];
            field.copy_from_slice(&component);
            field.reverse();
        }
        report
    }
}
