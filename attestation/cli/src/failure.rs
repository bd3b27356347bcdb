//! Why a command gave no verdict, and the exit status for it.

use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command gave no verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A file that was named can't be read.
    #[error("can't read {path}: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is longer than any of its kind.
    #[error("{path} is longer than {max} bytes", path = path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        max: usize,
    },
    /// The policy is not one.
    #[error("{path}: {error}", path = path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// Why.
        error: vouchsafe_bundle::Error,
    },
    /// The policy is not to be used any more.
    #[error("{path}: {why} (policy_expired)", path = path.display())]
    PolicyExpired {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A list of revocations is not one, or nobody signed it whose word counts.
    #[error("{path}: {why}", path = path.display())]
    Revocations {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A released image is not one, or comes without a proof.
    #[error("{path}: {why}", path = path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A key for signing is not one.
    #[error("{path}: {why}", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No program of that name.
    #[error("no subcommand {name:?}, and no program vouchsafe-{name} beside this one or in PATH")]
    NoSuchCommand {
        /// What was asked for.
        name: String,
    },
    /// A log could not be read, or does not hold what was looked for.
    #[error("{0}")]
    Log(String),
    /// The bundle is not one, or its boot names no log.
    #[error("{path}: {why}", path = path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The enclave keeps no receipt under the token, or none that a bundle can be made of.
    #[error("{0}")]
    Token(String),
    /// No enclave could be reached, or what was reached is none that could be judged.
    #[error("{0} ({code})", code = .0.code())]
    Enclave(#[from] vouchsafe_client::Error),
    /// Something on our side.
    #[error("{0}")]
    Own(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Unreadable { .. }
            | Self::TooLong { .. }
            | Self::Policy { .. }
            | Self::PolicyExpired { .. }
            | Self::Revocations { .. }
            | Self::Image { .. }
            | Self::Key { .. }
            | Self::Token(_) => 30,
            Self::Bundle { .. } => 10,
            Self::Log(_) => 20,
            Self::NoSuchCommand { .. } => 2,
            Self::Enclave(error) if error.is_refusal() => 10,
            Self::Enclave(_) | Self::Own(_) => 1,
        })
    }
}
