//! Portable proof that a log signed two trees that contradict each other.
//!
//! Two signed checkpoints of one size with different roots contradict each other as they are. Of two
//! sizes they do if a consistency proof leads from *another* root of the smaller size to the larger
//! tree: then that other root is what the larger tree begins with. Either needs nobody's word.

use serde::{Deserialize, Serialize};
use vouchsafe_translog::note::{NOTE_BYTES_MAX, VerifierKey};
use vouchsafe_translog::{SignedCheckpoint, merkle};
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::strict_json::{self, Limits};

const LIMITS: Limits = Limits { bytes_max: 4 * NOTE_BYTES_MAX, depth_max: 4 };
const VERSION: u64 = 1;

/// Why a file proves no equivocation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotProved {
    /// Not a file of this format.
    #[error("not a proof of equivocation: {0}")]
    Malformed(String),
    /// One of the checkpoints is not the log's.
    #[error("{which} checkpoint: {error}")]
    Checkpoint {
        /// `first` or `second`.
        which: &'static str,
        /// What is wrong with it.
        error: vouchsafe_translog::Error,
    },
    /// The checkpoints do not contradict each other.
    #[error("the two checkpoints do not contradict each other: {0}")]
    NoContradiction(String),
}

impl NotProved {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "equivocation_malformed",
            Self::Checkpoint { error, .. } => error.code(),
            Self::NoContradiction(_) => "no_contradiction",
        }
    }
}

/// What the file holds. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EquivocationFile {
    /// Version of this format: 1.
    pub version: u64,
    /// The log's verifier key.
    pub log: String,
    /// One signed checkpoint: the smaller one.
    pub first: String,
    /// The other.
    pub second: String,
    /// The root of the second tree's first leaves, as many as the first has; null for equal sizes.
    pub prefix_root: Option<Hex<32>>,
    /// The consistency proof from that root to the second checkpoint; empty for equal sizes.
    pub consistency: Vec<Base64>,
}

/// Two checkpoints that one log signed and that no one history has. Only [`Equivocation::verify`]
/// makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equivocation {
    log: VerifierKey,
    first: SignedCheckpoint,
    second: SignedCheckpoint,
    found: [u8; 32],
}

impl Equivocation {
    /// Verifies a proof under the log's key that it names. Whether that key is the log's is the
    /// caller's to know: compare [`Equivocation::log`].
    ///
    /// # Errors
    /// [`NotProved`].
    pub fn verify(json: &[u8], crypto: &dyn Crypto) -> Result<Self, NotProved> {
        let file: EquivocationFile =
            strict_json::parse(json, LIMITS).map_err(|error| NotProved::Malformed(error.to_string()))?;
        if file.version != VERSION {
            return Err(NotProved::Malformed(format!("version {}, where {VERSION} is known", file.version)));
        }
        let log =
            VerifierKey::parse(&file.log, crypto).map_err(|error| NotProved::Malformed(error.to_string()))?;
        let open = |which, note: &str| {
            SignedCheckpoint::open(note.as_bytes(), log.name(), std::slice::from_ref(&log), crypto)
                .map_err(|error| NotProved::Checkpoint { which, error })
        };
        let (first, second) = (open("first", &file.first)?, open("second", &file.second)?);
        let (one, other) = (first.checkpoint(), second.checkpoint());
        let nothing = |why: String| Err(NotProved::NoContradiction(why));
        let found = match (file.prefix_root, one.size() == other.size()) {
            (None, true) => *other.root(),
            (Some(root), false) => {
                let proof: Option<Vec<[u8; 32]>> =
                    file.consistency.iter().map(|hash| hash.0.as_slice().try_into().ok()).collect();
                let Some(proof) = proof else {
                    return Err(NotProved::Malformed("a hash has 32 bytes".into()));
                };
                let proved = merkle::verify_consistency(
                    one.size(),
                    &root.0,
                    other.size(),
                    other.root(),
                    &proof,
                    crypto,
                );
                if let Err(error) = proved {
                    return nothing(format!("the consistency proof does not hold: {error}"));
                }
                root.0
            }
            (None, false) | (Some(_), true) => {
                return nothing("a prefix root belongs to two sizes, and to nothing else".into());
            }
        };
        if found == *one.root() {
            return nothing("the second tree begins with the first".into());
        }
        Ok(Self { log, first, second, found })
    }

    /// The log's key.
    pub fn log(&self) -> &VerifierKey {
        &self.log
    }

    /// One checkpoint.
    pub fn first(&self) -> &SignedCheckpoint {
        &self.first
    }

    /// The other.
    pub fn second(&self) -> &SignedCheckpoint {
        &self.second
    }

    /// The second tree's root over as many leaves as the first has.
    pub fn found(&self) -> &[u8; 32] {
        &self.found
    }
}

impl EquivocationFile {
    /// The proof of two checkpoints of one size.
    pub fn of_one_size(log: &VerifierKey, first: &SignedCheckpoint, second: &SignedCheckpoint) -> Self {
        Self {
            version: VERSION,
            log: log.to_string(),
            first: first.note().to_string(),
            second: second.note().to_string(),
            prefix_root: None,
            consistency: Vec::new(),
        }
    }

    /// The proof of a later tree that begins with `prefix_root` in place of the first one's root.
    pub fn of_two_sizes(
        log: &VerifierKey,
        first: &SignedCheckpoint,
        second: &SignedCheckpoint,
        prefix_root: [u8; 32],
        consistency: &[[u8; 32]],
    ) -> Self {
        Self {
            prefix_root: Some(Hex(prefix_root)),
            consistency: consistency.iter().map(|hash| Base64(hash.to_vec())).collect(),
            ..Self::of_one_size(log, first, second)
        }
    }

    /// The file's text.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and numbers only: serialisation has no failing case.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}
