//! Why the host ended.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use vouchsafe_link::control::BootId;

/// Why the host could not start or go on. [`Error::code`] is stable; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {message}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's text.
        message: String,
    },
    /// The state folder or a file in it could not be used.
    #[error("{}: {message}", path.display())]
    State {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's text.
        message: String,
    },
    /// Another host uses the state folder.
    #[error("{} is in use by another host", path.display())]
    StateLocked {
        /// The lock file.
        path: PathBuf,
    },
    /// A stored receipt is damaged in a way that a crash does not explain.
    #[error("{}: damaged at byte {offset}: {why}", path.display())]
    OutboxDamaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged record begins.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The enclave program could not be started.
    #[error("cannot start {}: {message}", program.display())]
    EnclaveStart {
        /// The program.
        program: PathBuf,
        /// The operating system's text.
        message: String,
    },
    /// The enclave program ended without having been asked to.
    #[error("the enclave ended with {status}{}", after(last_words))]
    EnclaveEnded {
        /// How it ended.
        status: String,
        /// Why, by its own account, or else the last line it wrote to standard error.
        last_words: Option<String>,
    },
    /// The enclave speaks another version of the control protocol, or not at all.
    #[error("control connection: {0}")]
    Control(vouchsafe_link::Error),
    /// The enclave sent a receipt that no enclave sends.
    #[error("receipt {seq} of boot {boot} has {length} bytes, more than {max}")]
    ReceiptTooLong {
        /// The boot it names.
        boot: BootId,
        /// The position it names.
        seq: u64,
        /// Its length, in bytes.
        length: usize,
        /// The longest that is stored.
        max: usize,
    },
}

fn after(last_words: &Option<String>) -> String {
    last_words.as_ref().map(|words| format!(": {words}")).unwrap_or_default()
}

impl Error {
    /// A stable word for this failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "listen_failed",
            Self::State { .. } => "state_unusable",
            Self::StateLocked { .. } => "state_locked",
            Self::OutboxDamaged { .. } => "outbox_damaged",
            Self::EnclaveStart { .. } => "enclave_not_started",
            Self::EnclaveEnded { .. } => "enclave_ended",
            Self::Control(error) => error.code(),
            Self::ReceiptTooLong { .. } => "receipt_too_long",
        }
    }

    /// The program's exit status: 3 where the enclave is at fault, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::EnclaveStart { .. }
            | Self::EnclaveEnded { .. }
            | Self::Control(_)
            | Self::ReceiptTooLong { .. } => 3,
            _ => 1,
        }
    }

    pub(crate) fn state(path: &Path, error: &io::Error) -> Self {
        Self::State { path: path.to_path_buf(), message: error.to_string() }
    }
}
