//! Why the monitor could not look, as opposed to what it saw.

use std::path::PathBuf;

/// Why the monitor could not do its work. What a log did wrong is a [`Violation`](crate::Violation).
/// [`Error::code`] is stable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log or another server cannot be reached.
    #[error("{url}: {problem}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why there is no answer.
        problem: String,
    },
    /// A file or folder cannot be used.
    #[error("{path}: {problem}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        problem: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {problem}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The state is of another log, or trusts others.
    #[error("{path} is the state of the log {found:?}, not of {expected:?}", path = path.display())]
    OtherLog {
        /// The state's file.
        path: PathBuf,
        /// The log's key in it.
        found: String,
        /// The log's key that was given.
        expected: String,
    },
    /// What is to be remembered has outgrown what can be loaded again.
    #[error(
        "{path} would have {bytes} bytes, more than the {bytes_max} that can be loaded again",
        path = path.display()
    )]
    StateTooLarge {
        /// The state's file.
        path: PathBuf,
        /// How many bytes it would have.
        bytes: usize,
        /// How many it may have.
        bytes_max: usize,
    },
    /// A key or quorum that was given cannot be used.
    #[error("{0}")]
    Trust(#[from] vouchsafe_translog::Error),
    /// The clock stands before 1970, or the client cannot work.
    #[error("{0}")]
    Client(#[from] vouchsafe_client::Error),
}

impl Error {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Io { .. } => "state_io",
            Self::Malformed { .. } => "file_malformed",
            Self::OtherLog { .. } => "state_of_other_log",
            Self::StateTooLarge { .. } => "state_too_large",
            Self::Trust(error) => error.code(),
            Self::Client(error) => error.code(),
        }
    }

    /// Exit status: 20 where the log could not be looked at, 30 where what was given is unusable.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => 20,
            Self::Malformed { .. } | Self::OtherLog { .. } | Self::Trust(_) => 30,
            Self::Io { .. } | Self::StateTooLarge { .. } | Self::Client(_) => 1,
        }
    }
}
