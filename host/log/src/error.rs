//! What can go wrong in a log, each with a stable word.

use vouchsafe_verifier::encoding::to_hex;

/// An error of the log program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("{path}: {message}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system said.
        message: String,
    },
    /// There is no room left for what has to be written.
    #[error("{path}: no room left: {message}")]
    Full {
        /// The file or folder.
        path: String,
        /// What the system said.
        message: String,
    },
    /// Another program works on this folder.
    #[error("{path} is in use by another program")]
    InUse {
        /// The lock file.
        path: String,
    },
    /// The folder holds no log.
    #[error("{path} holds no log: make one with `vouchsafe-log init`")]
    NoLog {
        /// The folder.
        path: String,
    },
    /// The folder holds a log already.
    #[error("{path} holds a log already")]
    LogExists {
        /// The folder.
        path: String,
    },
    /// The log's key cannot be used.
    #[error("the log's key: {0}")]
    Key(String),
    /// A setting contradicts another or cannot be read.
    #[error("{name}: {why}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The database refused.
    #[error("database {path}: {message}")]
    Database {
        /// The database file.
        path: String,
        /// What it said.
        message: String,
    },
    /// The database is damaged.
    #[error(
        "database {path} is damaged ({message}): restore what can be restored with `vouchsafe-log repair`"
    )]
    DatabaseDamaged {
        /// The database file.
        path: String,
        /// What was found.
        message: String,
    },
    /// The checkpoint in the database is not the one this program put there.
    #[error("the checkpoint was changed by another program: expected size {expected}, found {found}")]
    CheckpointMoved {
        /// The size expected.
        expected: u64,
        /// The size found.
        found: u64,
    },
    /// A checkpoint of this size was signed before with another root.
    #[error(
        "size {size} was signed before with root {signed}, and now leads to {found} ({record}): signing it again would fork the log",
        signed = to_hex(signed), found = to_hex(found)
    )]
    SignedDifferently {
        /// The tree size.
        size: u64,
        /// The root that was signed.
        signed: [u8; 32],
        /// The root that the folder leads to.
        found: [u8; 32],
        /// Which record says so.
        record: &'static str,
    },
    /// The folder is older than what this log has signed: restored from a backup.
    #[error(
        "this folder holds {held} entries, and {record} shows that {signed} were signed: it is an old copy, and continuing it would fork the log"
    )]
    Behind {
        /// The size held.
        held: u64,
        /// The size signed.
        signed: u64,
        /// Which record says so.
        record: String,
    },
    /// The high-water record is not where it should be.
    #[error(
        "this folder holds {held} entries, and the high-water record is missing: if its disk is not mounted, mount it; if the record is lost and this folder is certainly no old copy, start once with --create-high-water"
    )]
    HighWaterMissing {
        /// The size held.
        held: u64,
    },
    /// A file of the tree is missing.
    #[error("{path} is missing: try `vouchsafe-log repair`")]
    Missing {
        /// The file, relative to the public folder.
        path: String,
    },
    /// A file of the tree is damaged.
    #[error("{path} is damaged ({why}): try `vouchsafe-log repair`")]
    Damaged {
        /// The file, relative to the public folder.
        path: String,
        /// What was found.
        why: String,
    },
    /// The tiles do not lead to the root that was signed.
    #[error(
        "the tiles lead to root {found} at size {size}, where {signed} was signed: `vouchsafe-log check` names the damage",
        signed = to_hex(signed), found = to_hex(found)
    )]
    Root {
        /// The tree size.
        size: u64,
        /// The root that was signed.
        signed: [u8; 32],
        /// The root found.
        found: [u8; 32],
    },
    /// Not even the entries lead to the signed root: what was lost has to come from a mirror.
    #[error("cannot repair: {0}")]
    Irreparable(String),
    /// The log was retired: its key is gone, and nothing is ever added to it.
    #[error("the log {key} was retired ({path}): serve its public folder as static files")]
    Retired {
        /// The record of it.
        path: String,
        /// The verifier key it had.
        key: String,
    },
    /// What the log signed last is not what its published checkpoint says.
    #[error(
        "{held} entries are signed, and the published checkpoint has {published}: serve until they are published"
    )]
    NotPublished {
        /// The size held.
        held: u64,
        /// The size published.
        published: u64,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {message}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        message: String,
    },
    /// The admission policy cannot be used.
    #[error("admission policy {path}: {message}")]
    Policy {
        /// The policy file.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The log stopped: its sequencer ended.
    #[error("the log is stopping")]
    Stopping,
}

impl Error {
    /// The stable word for this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Full { .. } => "storage_full",
            Self::InUse { .. } => "in_use",
            Self::NoLog { .. } => "no_log",
            Self::LogExists { .. } => "log_exists",
            Self::Key(_) => "key",
            Self::Setting { .. } => "setting",
            Self::Database { .. } => "database",
            Self::DatabaseDamaged { .. } => "database_damaged",
            Self::CheckpointMoved { .. } => "checkpoint_moved",
            Self::SignedDifferently { .. } => "signed_differently",
            Self::Behind { .. } => "behind",
            Self::HighWaterMissing { .. } => "high_water_missing",
            Self::Missing { .. } => "missing",
            Self::Damaged { .. } => "damaged",
            Self::Root { .. } => "root",
            Self::Irreparable(_) => "irreparable",
            Self::Retired { .. } => "retired",
            Self::NotPublished { .. } => "not_published",
            Self::Listen { .. } => "listen",
            Self::Policy { .. } => "policy",
            Self::Stopping => "stopping",
        }
    }

    /// Whether trying again later can help, with nothing about this log being wrong.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Full { .. } | Self::Database { .. } | Self::Stopping)
    }

    /// An error of the file system on `path`.
    pub(crate) fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        let (path, message) = (path.display().to_string(), error.to_string());
        match error.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge => Self::Full { path, message },
            _ => Self::Io { path, message },
        }
    }
}
