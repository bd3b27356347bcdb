//! P-256 keys: of the authorities, of platforms, of quoting enclaves.

use const_oid::ObjectIdentifier;
use p256_x509::ecdsa::signature::Signer;
use p256_x509::ecdsa::{Signature, SigningKey};
use sha1::Sha1;
use sha2::Digest;

use crate::der;

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// An ECDSA key on P-256, signing over SHA-256. Nonces are RFC 6979's, so that the same bytes always
/// get the same signature.
#[derive(Clone)]
pub struct P256Key(pub(super) SigningKey);

impl core::fmt::Debug for P256Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("P256Key")
    }
}

impl P256Key {
    /// The key with this scalar, big-endian; `None` when it is zero or not below the group's order.
    pub fn from_scalar(scalar: &[u8; 32]) -> Option<Self> {
        SigningKey::from_slice(scalar).ok().map(Self)
    }

    /// The public point's coordinates, x‖y, 64 bytes big-endian, as quotes carry them.
    pub fn public_point(&self) -> [u8; 64] {
        let point = self.0.verifying_key().to_encoded_point(false);
        let mut coordinates = [0; 64];
        coordinates.copy_from_slice(&point.as_bytes()[1..]);
        coordinates
    }

    /// `SubjectPublicKeyInfo`, DER: named curve, uncompressed point.
    pub fn subject_public_key_info(&self) -> Vec<u8> {
        let point = self.0.verifying_key().to_encoded_point(false);
        der::sequence(&[
            &der::sequence(&[&der::oid(ID_EC_PUBLIC_KEY), &der::oid(PRIME256V1)]),
            &der::bit_string(0, point.as_bytes()),
        ])
    }

    /// The key identifier Intel uses, also as the serial number of its CA certificates: SHA-1 of the
    /// whole `SubjectPublicKeyInfo`.
    pub fn key_id(&self) -> [u8; 20] {
        Sha1::digest(self.subject_public_key_info()).into()
    }

    /// A signature as r‖s, 64 bytes big-endian: quotes and collateral.
    pub fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes().into()
    }

    /// A signature in DER: certificates and lists.
    pub fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.0.sign(message);
        signature.to_der().as_bytes().to_vec()
    }
}
