//! Which logs and witnesses are trusted.

use serde::Serialize;
use vouchsafe_translog::{Algorithm, VerifierKey};
use vouchsafe_verifier::strict_json::{self, Fault, FromValue, Value};
use vouchsafe_verifier::{json_deserialize, json_record};

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

impl FromValue for Vkey {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        let text = strict_json::text(value)?;
        match VerifierKey::check_syntax(text) {
            Ok(algorithm) => Ok(Self { text: text.into(), algorithm }),
            Err(error) => Err(Fault::new(error.to_string())),
        }
    }
}

json_deserialize!(Vkey);

/// A trusted log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogReference {
    /// Its key, of type Ed25519. The key's name is the log's origin.
    pub key: Vkey,
}

json_record!(LogReference { key });

/// Trusted witnesses, and how many of them must have cosigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuorumReference {
    /// Their keys, of type cosignature/v1.
    pub keys: Vec<Vkey>,
    /// How many; at least one.
    pub threshold: u64,
}

json_record!(QuorumReference { keys, threshold });
