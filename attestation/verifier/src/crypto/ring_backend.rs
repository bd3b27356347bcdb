//! The crypto seam on `ring`.

use ring::{digest, hmac, signature};

use super::Crypto;

/// [`Crypto`] by the crate `ring`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ring;

impl Ring {
    fn verifies(
        algorithm: &'static dyn signature::VerificationAlgorithm,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        signature::UnparsedPublicKey::new(algorithm, public_key).verify(message, signature).is_ok()
    }
}

/// Copies a digest of known length; the lengths of `ring`'s algorithms are fixed by their definition.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

impl Crypto for Ring {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        fixed(digest::digest(&digest::SHA256, data).as_ref())
    }

    fn sha384(&self, data: &[u8]) -> [u8; 48] {
        fixed(digest::digest(&digest::SHA384, data).as_ref())
    }

    fn sha512(&self, data: &[u8]) -> [u8; 64] {
        fixed(digest::digest(&digest::SHA512, data).as_ref())
    }

    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> [u8; 32] {
        fixed(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref())
    }

    fn verify_p256_sha256(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        Self::verifies(&signature::ECDSA_P256_SHA256_FIXED, public_key, message, signature)
    }

    fn verify_p384_sha384(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        Self::verifies(&signature::ECDSA_P384_SHA384_FIXED, public_key, message, signature)
    }

    fn verify_rsa_pss_sha384(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        Self::verifies(&signature::RSA_PSS_2048_8192_SHA384, public_key, message, signature)
    }

    fn verify_ed25519(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        Self::verifies(&signature::ED25519, public_key, message, signature)
    }
}
