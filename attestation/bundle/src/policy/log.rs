//! Which logs and witnesses are trusted.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use vouchsafe_translog::{Algorithm, VerifierKey};

/// A verifier key as text (c2sp.org/signed-note, *Verifier keys*). Its form is checked when a policy is
/// read; that its short id is its key's, when it is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Vkey {
    text: String,
    #[serde(skip)]
    algorithm: Algorithm,
}

impl Vkey {
    /// A verifier key's text; `None` for what is not one.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let algorithm = VerifierKey::check_syntax(&text).ok()?;
        Some(Self { text, algorithm })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How the key signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl<'de> Deserialize<'de> for Vkey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match VerifierKey::check_syntax(&text) {
            Ok(algorithm) => Ok(Self { text, algorithm }),
            Err(error) => Err(D::Error::custom(error)),
        }
    }
}

/// A trusted log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogReference {
    /// Its key, of type Ed25519. The key's name is the log's origin.
    pub key: Vkey,
}

/// Trusted witnesses, and how many of them must have cosigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuorumReference {
    /// Their keys, of type cosignature/v1.
    pub keys: Vec<Vkey>,
    /// How many; at least one.
    pub threshold: u64,
}
