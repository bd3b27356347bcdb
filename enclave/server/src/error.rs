//! Why the enclave could not start or go on.

use vouchsafe_engine::{LoadError, StartError};
use vouchsafe_platform::{AttestError, DetectError};

/// Why the enclave could not start or go on. [`ServeError::code`] is stable; the text is for the
/// operator and carries nothing of any request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration document was refused.
    #[error("configuration: {0}")]
    Config(String),
    /// A file named on the command line could not be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A model could not be loaded.
    #[error("model {model}: {source}")]
    Model {
        /// The file or folder, as given.
        model: String,
        /// What is wrong with it.
        source: LoadError,
    },
    /// The engine did not start.
    #[error("engine: {0}")]
    Engine(#[from] StartError),
    /// Two models would be served under one name.
    #[error("two models are named {name:?}")]
    ModelName {
        /// The name.
        name: String,
    },
    /// The guest is not fit to serve.
    #[error("guest: {0}")]
    Init(#[from] vouchsafe_init::InitError),
    /// The measured disk's document was refused.
    #[error("disk: {0}")]
    Disk(String),
    /// The machine has no trusted execution environment.
    #[error(transparent)]
    NoTee(#[from] DetectError),
    /// The machine did not attest.
    #[error("attestation: {0}")]
    Attest(#[from] AttestError),
    /// A key could not be made.
    #[error("cannot make the {role} key: {problem}")]
    Key {
        /// What the key is for.
        role: &'static str,
        /// What the cryptographic library said.
        problem: String,
    },
    /// The link to the host could not be opened.
    #[error("link: {0}")]
    Link(#[from] vouchsafe_link::Error),
    /// The operating system refused something else.
    #[error("{action}: {source}")]
    System {
        /// What was attempted.
        action: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A part of the program ended that must not end.
    #[error("{0} ended unexpectedly")]
    Stopped(&'static str),
}

impl ServeError {
    /// A stable word for this failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::File { .. } => "file",
            Self::Model { source, .. } => source.code(),
            Self::Engine(_) => "engine_start",
            Self::ModelName { .. } => "model_name_twice",
            Self::Init(error) => error.code(),
            Self::Disk(_) => "disk",
            Self::NoTee(error) => error.code(),
            Self::Attest(error) => error.code(),
            Self::Key { .. } => "key",
            Self::Link(error) => error.code(),
            Self::System { .. } => "system",
            Self::Stopped(_) => "stopped",
        }
    }
}
