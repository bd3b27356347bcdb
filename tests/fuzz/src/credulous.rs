//! Crypto that accepts every signature.
//!
//! Most of what the verifier parses it parses only once a signature has been checked, and a fuzzer
//! cannot sign. Behind this implementation of the crypto seam the same code sees hostile bytes. Hashes
//! are honest, so that whatever is bound by a digest stays bound.

use vouchsafe_verifier::crypto::{Crypto, Ring};

/// Hashes like [`Ring`]; believes every signature.
pub struct Credulous;

impl Crypto for Credulous {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        Ring.sha256(data)
    }
    fn sha384(&self, data: &[u8]) -> [u8; 48] {
        Ring.sha384(data)
    }
    fn sha512(&self, data: &[u8]) -> [u8; 64] {
        Ring.sha512(data)
    }
    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> [u8; 32] {
        Ring.hmac_sha256(key, data)
    }
    fn verify_ed25519(&self, _: &[u8], _: &[u8], _: &[u8]) -> bool {
        true
    }
    fn verify_p256_sha256(&self, _: &[u8], _: &[u8], _: &[u8]) -> bool {
        true
    }
    fn verify_p384_sha384(&self, _: &[u8], _: &[u8], _: &[u8]) -> bool {
        true
    }
    fn verify_rsa_pss_sha384(&self, _: &[u8], _: &[u8], _: &[u8]) -> bool {
        true
    }
}
