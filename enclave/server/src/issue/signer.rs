//! The receipt key.

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vouchsafe_receipt::{Envelope, PayloadType, ReceiptKey, pae, to_low_s};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};

use super::IssueError;

/// The key that signs this boot's receipts and stream records. It is made here and never exported.
pub(crate) struct ReceiptSigner {
    key: EcdsaKeyPair,
    random: SystemRandom,
    spki: Vec<u8>,
    key_id: [u8; 32],
}

impl ReceiptSigner {
    /// Makes a fresh key.
    pub(crate) fn generate() -> Result<Self, IssueError> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| IssueError::Randomness)?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
            .map_err(|error| IssueError::Key(error.to_string()))?;
        let point = <[u8; 65]>::try_from(key.public_key().as_ref())
            .map_err(|_| IssueError::Key("the public key is not an uncompressed point".into()))?;
        let spki = ReceiptKey::spki_of_point(&point);
        let key_id = Ring.sha256(&spki);
        Ok(Self { key, random, spki, key_id })
    }

    /// The DER of the public key's SubjectPublicKeyInfo.
    pub(crate) fn spki(&self) -> Vec<u8> {
        self.spki.clone()
    }

    /// SHA-256 of the SPKI: the boot id.
    pub(crate) fn key_id(&self) -> [u8; 32] {
        self.key_id
    }

    /// Signs a payload as what it is.
    pub(super) fn sign(&self, kind: PayloadType, payload: Vec<u8>) -> Result<Envelope, IssueError> {
        let message = pae(kind.as_str(), &payload);
        let signature = self.key.sign(&self.random, &message).map_err(|_| IssueError::Randomness)?;
        let signature = <[u8; 64]>::try_from(signature.as_ref())
            .map_err(|_| IssueError::Key("the signature is not 64 bytes".into()))?;
        Ok(Envelope::new(kind, payload, self.key_id, to_low_s(signature)))
    }

    /// Fresh random bytes: salts, tokens, ids.
    pub(super) fn random<const N: usize>(&self) -> Result<[u8; N], IssueError> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes).map_err(|_| IssueError::Randomness)?;
        Ok(bytes)
    }
}
