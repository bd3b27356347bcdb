//! Checkpoints: a log's signed statement of its tree (c2sp.org/tlog-checkpoint@v1).

use alloc::string::{String, ToString as _};
use core::fmt;

use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::to_base64;

use crate::note::{Algorithm, SignedNote, VerifierKey};
use crate::{Error, Hash, TREE_SIZE_MAX, lines};

/// What a checkpoint says: which log, how many leaves, which root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: String,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    ///
    /// # Errors
    /// [`Error::CheckpointMalformed`] for an origin that is empty or has control characters, or a size
    /// above [`TREE_SIZE_MAX`].
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, Error> {
        if origin.is_empty() || origin.chars().any(|c| c < ' ') {
            return Err(Error::CheckpointMalformed { why: "the origin is empty or not one line" });
        }
        if size > TREE_SIZE_MAX {
            return Err(Error::CheckpointMalformed { why: "the size is above 2^63 - 1" });
        }
        Ok(Self { origin: origin.into(), size, root, extensions: String::new() })
    }

    /// Reads a note's text as a checkpoint.
    ///
    /// # Errors
    /// [`Error::CheckpointMalformed`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed = |why| Error::CheckpointMalformed { why };
        let missing = malformed("it has fewer than three lines");
        let (origin, rest) = lines::next(text).ok_or(missing.clone())?;
        let (size, rest) = lines::next(rest).ok_or(missing.clone())?;
        let (root, extensions) = lines::next(rest).ok_or(missing)?;
        let size = lines::decimal(size).ok_or(malformed("the size is not a plain decimal"))?;
        let root = lines::hash(root).ok_or(malformed("the root is not 32 bytes of base64"))?;
        let mut checkpoint = Self::new(origin, size, root)?;
        if !extensions.is_empty() {
            let lines = extensions.strip_suffix('\n').ok_or(malformed("it ends without a newline"))?;
            if lines.split('\n').any(str::is_empty) {
                return Err(malformed("an extension line is empty"));
            }
        }
        checkpoint.extensions = extensions.into();
        Ok(checkpoint)
    }

    /// Which log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The extension lines with their newlines; logs should have none, and nobody interprets them.
    pub fn extensions(&self) -> &str {
        &self.extensions
    }

    /// Signs the checkpoint for a log: `sign` makes an Ed25519 signature by `key`.
    ///
    /// # Errors
    /// [`Error::KeyAlgorithm`], or [`Error::Origin`] where the key's name is another log's.
    pub fn sign(&self, key: &VerifierKey, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<SignedNote, Error> {
        if key.name() != self.origin {
            return Err(Error::Origin { found: self.origin.clone(), expected: key.name().into() });
        }
        SignedNote::sign(&self.to_string(), key, sign)
    }
}

/// The note's text.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, root, extensions } = self;
        write!(f, "{origin}\n{size}\n{}\n{extensions}", to_base64(root))
    }
}

/// A checkpoint that the log signed. Only [`SignedCheckpoint::open`] makes one.
///
/// That the log signed it says nothing about what it shows to others: see
/// [`Quorum`](crate::Quorum).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: SignedNote,
}

impl SignedCheckpoint {
    /// Opens a checkpoint of the log `origin`, which must be signed by one of the log's `keys`; every
    /// line that claims to be a key's must verify (signed-note, *Signatures*). Of several lines of one
    /// key the first counts.
    ///
    /// # Errors
    /// Those of [`SignedNote::parse`] and [`Checkpoint::parse`]; [`Error::Origin`],
    /// [`Error::KeyAlgorithm`], [`Error::LogSignatureInvalid`], [`Error::LogSignatureMissing`], or
    /// [`Error::EmptyRoot`].
    pub fn open(note: &[u8], origin: &str, keys: &[VerifierKey], crypto: &dyn Crypto) -> Result<Self, Error> {
        let note = SignedNote::parse(note)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != origin {
            return Err(Error::Origin { found: checkpoint.origin, expected: origin.into() });
        }
        let mut is_signed = false;
        for key in keys {
            key.require(Algorithm::Ed25519)?;
            let Some(line) = note.signatures().iter().find(|line| key.is_named_by(line)) else { continue };
            if !crypto.verify_ed25519(key.public_key(), note.text().as_bytes(), line.signature()) {
                return Err(Error::LogSignatureInvalid { name: key.name().into() });
            }
            is_signed = true;
        }
        if !is_signed {
            return Err(Error::LogSignatureMissing { origin: origin.into() });
        }
        if checkpoint.size == 0 && checkpoint.root != crypto.sha256(&[]) {
            return Err(Error::EmptyRoot);
        }
        Ok(Self { checkpoint, note })
    }

    /// What the log says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, with every signature line, those of strangers too.
    pub fn note(&self) -> &SignedNote {
        &self.note
    }
}
