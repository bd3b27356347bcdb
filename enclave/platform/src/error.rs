//! Why there is no evidence.

use std::io;
use std::path::{Path, PathBuf};

/// Why evidence could not be obtained. [`AttestError::code`] is stable; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The operating system refused.
    #[error("cannot {action} {}: {message}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// The operating system's text.
        message: String,
    },
    /// The report interface belongs to a provider this program does not know.
    #[error("report provider {found:?} is not known: sev_guest and tdx_guest are")]
    ProviderUnknown {
        /// What the interface calls its provider.
        found: String,
    },
    /// The provider changed while the program ran.
    #[error("report provider {found:?}, where {expected:?} was there at start")]
    ProviderChanged {
        /// The provider found at start.
        expected: &'static str,
        /// The provider found now.
        found: String,
    },
    /// Somebody else used the same report entry, or the kernel did not take the input, each time.
    #[error("the report's generation was {found}, not {expected}, in {attempts} attempts")]
    GenerationChanged {
        /// Attempts made.
        attempts: u32,
        /// The generation after one write.
        expected: u64,
        /// The generation found.
        found: u64,
    },
    /// The interface stayed busy.
    #[error("the report interface was busy in {attempts} attempts: {message}")]
    Busy {
        /// Attempts made.
        attempts: u32,
        /// The operating system's text.
        message: String,
    },
    /// The request before took so long that this one was given up.
    #[error("another request held the report interface for more than {seconds} s")]
    Timeout {
        /// How long this one waited.
        seconds: u64,
    },
    /// An attribute that is not what the interface promises.
    #[error("{attribute}: {problem}")]
    Attribute {
        /// The attribute.
        attribute: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The evidence does not carry the REPORT_DATA that was asked for.
    #[error("the evidence does not carry the report data it was asked for")]
    NotBound,
    /// The attester itself failed: for attesters that are not hardware.
    #[error("{0}")]
    Failed(String),
}

impl AttestError {
    /// A stable word for this failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "attest_io",
            Self::ProviderUnknown { .. } => "attest_provider_unknown",
            Self::ProviderChanged { .. } => "attest_provider_changed",
            Self::GenerationChanged { .. } => "attest_generation_changed",
            Self::Busy { .. } => "attest_busy",
            Self::Timeout { .. } => "attest_timeout",
            Self::Attribute { .. } => "attest_attribute",
            Self::NotBound => "attest_not_bound",
            Self::Failed(_) => "attest_failed",
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), kind: error.kind(), message: error.to_string() }
    }
}

/// Why no trusted execution environment was found: what was looked for, and what was there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no usable TEE: {}", findings.join("; "))]
pub struct DetectError {
    /// One finding per thing looked at, in order.
    pub findings: Vec<String>,
}

impl DetectError {
    /// A stable word for this failure.
    pub fn code(&self) -> &'static str {
        "tee_not_found"
    }
}
