//! The witness's key: an Ed25519 key that signs timestamped cosignatures and nothing else.

use core::fmt;

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use vouchsafe_translog::note::{Algorithm, VerifierKey};
use vouchsafe_translog::{NoteSignature, cosignature};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use crate::Error;

/// Makes cosignatures. The key stays inside.
pub struct Signer {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// The signer of this name and seed (the private key of RFC 8032).
    ///
    /// # Errors
    /// [`Error::Name`] when the name cannot be a key's.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let unusable = || Error::Name(name.into());
        // ring refuses seeds of another length alone, and keys have one length.
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| unusable())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| unusable())?;
        let verifier =
            VerifierKey::new(name, Algorithm::CosignatureV1, public, &Ring).map_err(|_| unusable())?;
        Ok(Self { verifier, pair })
    }

    /// What verifies its cosignatures.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Cosigns a checkpoint's text.
    ///
    /// # Errors
    /// For a time that no cosignature can state.
    pub(crate) fn cosign(
        &self,
        text: &str,
        time: UnixSeconds,
    ) -> Result<NoteSignature, vouchsafe_translog::Error> {
        cosignature::cosign(text, time, &self.verifier, |message| {
            let mut signature = [0; 64];
            let made = self.pair.sign(message);
            // An Ed25519 signature of ring's has 64 bytes; zeros would not verify.
            if made.as_ref().len() == signature.len() {
                signature.copy_from_slice(made.as_ref());
            }
            signature
        })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.verifier.to_string()).finish()
    }
}
