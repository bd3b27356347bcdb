//! Why there are no endorsements, or no new ones.

use core::time::Duration;
use std::path::PathBuf;

/// Why there are no endorsements, or no new ones. [`Error::code`] is stable; the text is for operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The evidence does not say what its endorsements would be.
    #[error("evidence: {0}")]
    Evidence(String),
    /// A base address is none.
    #[error("{0:?} is not http://… or https://…")]
    Address(String),
    /// A service cannot be reached, or broke off.
    #[error("{url}: {message}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What happened.
        message: String,
    },
    /// A service wants to be left alone for a while.
    #[error("{url}: status {status}{}", wait.map(|wait| format!(", asks to wait {} s", wait.as_secs())).unwrap_or_default())]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// A service answered with something that is not what it was asked for.
    #[error("{url}: {message}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        message: String,
    },
    /// The cache cannot be used.
    #[error("{}: {message}", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's text.
        message: String,
    },
}

impl Error {
    /// A stable word for this failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Evidence(_) => "collateral_evidence",
            Self::Address(_) => "collateral_address",
            Self::Unreachable { .. } => "collateral_unreachable",
            Self::Status { .. } => "collateral_status",
            Self::Answer { .. } => "collateral_answer",
            Self::Cache { .. } => "collateral_cache",
        }
    }
}
