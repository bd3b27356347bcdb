//! Why a witness cannot work, and why it refuses a checkpoint.

use std::path::PathBuf;

use vouchsafe_translog::merkle::ConsistencyError;

/// Why a witness could not be made, opened or run. [`Error::code`] is stable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is a witness in this folder already; its key must not be replaced by accident.
    #[error("{path} holds a witness already", path = .0.display())]
    Exists(PathBuf),
    /// There is no witness in this folder.
    #[error("{path} holds no witness: run init first", path = .0.display())]
    Missing(PathBuf),
    /// Another process works on this state.
    #[error("another process uses the witness in {path}", path = .0.display())]
    Busy(PathBuf),
    /// The file is no state of a witness, or of another version.
    #[error("{path} is no witness state of version {known}: {found}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The version this program reads.
        known: u32,
        /// What was found.
        found: String,
    },
    /// A file or folder cannot be used.
    #[error("{path}: {problem}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        problem: std::io::Error,
    },
    /// The database failed.
    #[error("{path}: {problem}", path = path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        problem: rusqlite::Error,
    },
    /// The name cannot be a key's name.
    #[error("{0:?} cannot name a witness: a name is not empty and has neither white space nor plus")]
    Name(String),
    /// A key given for a log is no log key.
    #[error("{vkey:?} is no log's verifier key: {problem}")]
    LogKey {
        /// What was given.
        vkey: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No log was named.
    #[error("no log to witness was named")]
    NoLogs,
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {problem}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system says.
        problem: std::io::Error,
    },
}

impl Error {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exists(_) => "state_exists",
            Self::Missing(_) => "state_missing",
            Self::Busy(_) => "state_busy",
            Self::Format { .. } => "state_format",
            Self::Io { .. } => "state_io",
            Self::Database { .. } => "state_database",
            Self::Name(_) => "name_unusable",
            Self::LogKey { .. } => "log_key_unusable",
            Self::NoLogs => "no_logs",
            Self::Random => "randomness_unavailable",
            Self::Listen { .. } => "listen_failed",
        }
    }
}

/// Why a checkpoint was not cosigned. [`Refusal::status`] is the HTTP status that
/// c2sp.org/tlog-witness prescribes; [`Refusal::code`] is a stable word for metrics and logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The request is not of the protocol's form.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// The origin is none of this witness's logs.
    #[error("unknown log {0:?}")]
    UnknownLog(String),
    /// No signature by a key that is trusted for the origin, or a bad one under such a key.
    #[error("no valid signature by the log's key: {0}")]
    Signature(String),
    /// The old size exceeds the new one.
    #[error("the old size {old} exceeds the checkpoint's size {size}")]
    OldSize {
        /// The old size of the request.
        old: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The old size is not the one that was cosigned last.
    #[error("the old size is {old}, but {latest} was cosigned last")]
    Conflict {
        /// The old size of the request.
        old: u64,
        /// The size that was cosigned last, 0 for none.
        latest: u64,
    },
    /// The checkpoint has the size that was cosigned last, with another root.
    #[error("another root of {size} entries was cosigned last")]
    Forked {
        /// The size.
        size: u64,
    },
    /// The checkpoint is not proved consistent with the one that was cosigned last.
    #[error("not proved consistent with what was cosigned last: {0}")]
    Inconsistent(ConsistencyError),
    /// A checkpoint of size 0 whose root is not that of the empty tree.
    #[error("a checkpoint of size 0 whose root is not the empty tree's")]
    EmptyRoot,
    /// This machine's clock stands well before the time of an earlier cosignature.
    #[error("the clock stands at {now} s, but a cosignature was made at {last} s")]
    Clock {
        /// This machine's clock, in Unix seconds.
        now: u64,
        /// The time of the last cosignature, in Unix seconds.
        last: u64,
    },
    /// The state could not be written, so that nothing was cosigned.
    #[error("the state could not be written: {0}")]
    Storage(String),
    /// Writing the state failed earlier in a way that leaves what is on disk in doubt.
    #[error("an earlier write of the state failed; restart the witness")]
    InDoubt,
}

impl Refusal {
    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::OldSize { .. } => 400,
            Self::Signature(_) => 403,
            Self::UnknownLog(_) => 404,
            Self::Conflict { .. } | Self::Forked { .. } => 409,
            Self::Inconsistent(_) | Self::EmptyRoot => 422,
            Self::Storage(_) => 500,
            Self::Clock { .. } | Self::InDoubt => 503,
        }
    }

    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "request_malformed",
            Self::OldSize { .. } => "old_size_exceeds_size",
            Self::Signature(_) => "log_signature_invalid",
            Self::UnknownLog(_) => "log_unknown",
            Self::Conflict { .. } => "old_size_conflict",
            Self::Forked { .. } => "forked",
            Self::Inconsistent(_) => "inconsistent",
            Self::EmptyRoot => "empty_root_mismatch",
            Self::Storage(_) => "storage_failed",
            Self::Clock { .. } => "clock_went_back",
            Self::InDoubt => "storage_in_doubt",
        }
    }
}
