//! Timestamped cosignatures of witnesses (c2sp.org/tlog-cosignature, the Ed25519 form `cosignature/v1`).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Crypto;

use crate::Error;
use crate::note::{Algorithm, NoteSignature, SignedNote, VerifierKey};

/// Latest time that a cosignature can state: 2⁶³ − 1.
pub const TIME_MAX: u64 = (1 << 63) - 1;

/// A witness that cosigned a checkpoint, and when, by its own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner {
    key: VerifierKey,
    time: UnixSeconds,
}

impl Cosigner {
    /// The witness's key.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// When it cosigned.
    pub fn time(&self) -> UnixSeconds {
        self.time
    }
}

/// What a witness signs: a header, the time, and the checkpoint's whole text.
pub fn message(time: UnixSeconds, checkpoint_text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {}\n{checkpoint_text}", time.0).into_bytes()
}

/// Cosigns a checkpoint's text: `sign` makes an Ed25519 signature by `key`. Whether the checkpoint
/// deserves it is the witness's to know.
///
/// # Errors
/// [`Error::KeyAlgorithm`], or [`Error::NoteMalformed`] for a time of zero or above [`TIME_MAX`].
pub fn cosign(
    checkpoint_text: &str,
    time: UnixSeconds,
    key: &VerifierKey,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
) -> Result<NoteSignature, Error> {
    key.require(Algorithm::CosignatureV1)?;
    if !is_time(time) {
        return Err(Error::NoteMalformed { why: "a cosignature's time is between 1 and 2^63 - 1" });
    }
    let signature = sign(&message(time, checkpoint_text));
    Ok(NoteSignature::new(key, [time.0.to_be_bytes().as_slice(), &signature].concat()))
}

/// Verifies one line as `key`'s cosignature of a checkpoint's text, and gives its time.
///
/// # Errors
/// [`Error::KeyAlgorithm`] or [`Error::CosignatureInvalid`].
pub fn verify(
    checkpoint_text: &str,
    line: &NoteSignature,
    key: &VerifierKey,
    crypto: &dyn Crypto,
) -> Result<Cosigner, Error> {
    key.require(Algorithm::CosignatureV1)?;
    let invalid = || Error::CosignatureInvalid { name: String::from(key.name()) };
    let (time, signature) = line.signature().split_first_chunk::<8>().ok_or_else(invalid)?;
    let time = UnixSeconds(u64::from_be_bytes(*time));
    let verifies = key.is_named_by(line)
        && is_time(time)
        && crypto.verify_ed25519(key.public_key(), &message(time, checkpoint_text), signature);
    match verifies {
        true => Ok(Cosigner { key: key.clone(), time }),
        false => Err(invalid()),
    }
}

/// Which of `witnesses` cosigned a note, each at most once, in the order given. Lines of strangers
/// are ignored; of several lines of one witness the first counts.
///
/// # Errors
/// [`Error::KeyAlgorithm`], or [`Error::CosignatureInvalid`] where a line claims to be a witness's and
/// does not verify (signed-note, *Signatures*: such a note is refused).
pub fn cosigners(
    note: &SignedNote,
    witnesses: &[VerifierKey],
    crypto: &dyn Crypto,
) -> Result<Vec<Cosigner>, Error> {
    let line_of = |key: &VerifierKey| note.signatures().iter().find(|line| key.is_named_by(line));
    witnesses.iter().filter_map(|key| Some(verify(note.text(), line_of(key)?, key, crypto))).collect()
}

/// A time of zero says that the witness makes no statement about it; that is no time at all here.
fn is_time(time: UnixSeconds) -> bool {
    (1..=TIME_MAX).contains(&time.0)
}
