//! The log's signing key, in the form that Go's `sumdb/note` writes.
//!
//! `PRIVATE+KEY+<name>+<key id>+<base64 of type and seed>`. The name is the log's origin. The file is
//! readable by its owner alone; where it is kept is the operator's choice.

use core::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use vouchsafe_translog::note::Algorithm;
use vouchsafe_translog::{Checkpoint, VerifierKey};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{from_base64, to_base64};

use crate::Error;
use crate::storage::{SignedHead, TreeHead};

const PREFIX: &str = "PRIVATE+KEY+";

/// The key pair of a log.
pub struct LogKey {
    pair: Ed25519KeyPair,
    public: VerifierKey,
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.public)
    }
}

impl LogKey {
    /// Makes a key for the log called `origin` and writes it to a new file.
    ///
    /// # Errors
    /// [`Error::LogExists`] where the file exists; [`Error::Key`] for an origin that no key can have.
    pub fn create(path: &Path, origin: &str) -> Result<Self, Error> {
        let mut seed = [0_u8; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| Error::Key("no randomness".into()))?;
        let key = Self::from_seed(origin, &seed)?;
        let typed = [&[Algorithm::Ed25519.byte()], seed.as_slice()].concat();
        let text = format!("{PREFIX}{origin}+{:08x}+{}\n", key.public.id(), to_base64(&typed));
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
        match written {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Error::LogExists { path: path.display().to_string() })
            }
            Err(error) => Err(Error::io(path, &error)),
        }
    }

    /// Reads a key from its file.
    ///
    /// # Errors
    /// [`Error::Key`] or [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, &error))?;
        Self::parse(text.trim_end()).ok_or_else(|| {
            Error::Key(format!("{} holds no key of the form {PREFIX}<name>+<id>+<key>", path.display()))
        })
    }

    /// A key from its seed: for tests and measurements, which keep nothing.
    ///
    /// # Errors
    /// [`Error::Key`] for an origin that no key can have.
    pub fn from_seed(origin: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let unusable = |why: String| Error::Key(why);
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|error| unusable(error.to_string()))?;
        let public: [u8; 32] = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| unusable("a public key of another length".into()))?;
        let public = VerifierKey::new(origin, Algorithm::Ed25519, public, &Ring)
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self { pair, public })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.splitn(3, '+');
        let (origin, id, key) = (parts.next()?, parts.next()?, parts.next()?);
        let typed = from_base64(key)?;
        let seed = typed.strip_prefix(&[Algorithm::Ed25519.byte()])?.try_into().ok()?;
        let key = Self::from_seed(origin, seed).ok()?;
        (format!("{:08x}", key.public.id()) == id).then_some(key)
    }

    /// The verifier key, whose name is the log's origin.
    pub fn public(&self) -> &VerifierKey {
        &self.public
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        self.public.name()
    }

    /// Signs a tree head. Only [`crate::log`] may call this, and only for a head that was never signed
    /// before or is being signed again with the same root.
    pub(crate) fn sign(&self, head: TreeHead) -> Result<SignedHead, Error> {
        let sign = |text: &[u8]| {
            let mut bytes = [0; 64];
            for (to, from) in bytes.iter_mut().zip(self.pair.sign(text).as_ref()) {
                *to = *from;
            }
            bytes
        };
        let note = Checkpoint::new(self.origin(), head.size, head.root)
            .and_then(|checkpoint| checkpoint.sign(&self.public, sign))
            .map_err(|error| Error::Key(error.to_string()))?;
        Ok(SignedHead { head, note: note.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = LogKey::create(&path, "log.example/2026").unwrap();
        let read = LogKey::open(&path).unwrap();
        assert_eq!(made.public(), read.public());
        assert_eq!(read.origin(), "log.example/2026");
        assert!(matches!(LogKey::create(&path, "other"), Err(Error::LogExists { .. })));
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
        assert!(!format!("{read:?}").contains("PRIVATE"), "no key in debug output");
    }

    #[test]
    fn a_key_with_another_keys_id_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        LogKey::create(&path, "a").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("+a+", "+b+", 1)).unwrap();
        assert!(matches!(LogKey::open(&path), Err(Error::Key(_))));
    }
}
