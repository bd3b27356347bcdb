//! Why there is no agreement.

use std::path::PathBuf;

use thiserror::Error;
use vouchsafe_engine::{ConstraintError, LoadError, ParamError, StartError, SubmitError, TemplateError};

/// Why there is no agreement.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum Failure {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// A file is too long.
    #[error("{path} is longer than {max} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// The weights do not load.
    #[error(transparent)]
    Model(#[from] LoadError),
    /// The bundle is malformed.
    #[error(transparent)]
    Bundle(#[from] vouchsafe_bundle::Error),
    /// A signed part of the bundle is malformed, or its signature is wrong.
    #[error(transparent)]
    Receipt(#[from] vouchsafe_receipt::Error),
    /// A commitment is to something else.
    #[error("the receipt commits to another {what}")]
    Mismatch {
        /// What was given.
        what: &'static str,
    },
    /// The request or the response is not what the record says.
    #[error("the {what} is malformed: {problem}")]
    Malformed {
        /// Which.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The answers differ.
    #[error(
        "choice {choice} differs from byte {at} on: the response has {given:?}, these weights give {computed:?}"
    )]
    Differs {
        /// The choice, from 0.
        choice: usize,
        /// Bytes that are the same before.
        at: usize,
        /// What the response has there.
        given: String,
        /// What was computed.
        computed: String,
    },
    /// The texts are the same, and end for different reasons.
    #[error("choice {choice} ends for another reason: {given:?} in the response, {computed:?} here")]
    EndsOtherwise {
        /// The choice, from 0.
        choice: usize,
        /// The response's.
        given: String,
        /// Ours.
        computed: &'static str,
    },
    /// The receipt names other weights.
    #[error("the receipt names weights whose file has the digest {stated}, not {found}")]
    OtherWeights {
        /// SHA-256 in the boot statement.
        stated: String,
        /// SHA-256 of the file given.
        found: String,
    },
    /// The receipt names kernels that are not these.
    #[error("the answer was computed by {stated}, and this program computes by {ours}")]
    OtherKernels {
        /// In the boot statement.
        stated: String,
        /// Of this program.
        ours: &'static str,
    },
    /// Something that replaying needs is not there.
    #[error("cannot be replayed: {0}")]
    Undecided(&'static str),
    /// The request cannot run here.
    #[error("cannot be replayed: {0}")]
    NotRun(String),
}

impl Failure {
    /// A stable word for scripts.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::TooLong { .. } => "too-long",
            Self::Model(_) => "model",
            Self::Bundle(_) => "bundle",
            Self::Receipt(_) => "receipt",
            Self::Mismatch { .. } => "mismatch",
            Self::Malformed { .. } => "malformed",
            Self::Differs { .. } => "differs",
            Self::EndsOtherwise { .. } => "ends-otherwise",
            Self::OtherWeights { .. } => "other-weights",
            Self::OtherKernels { .. } => "other-kernels",
            Self::Undecided(_) | Self::NotRun(_) => "undecided",
        }
    }

    /// The program's exit status.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unreadable { .. } | Self::TooLong { .. } | Self::Model(_) => 30,
            Self::OtherWeights { .. } | Self::OtherKernels { .. } | Self::Undecided(_) | Self::NotRun(_) => {
                20
            }
            Self::Bundle(_)
            | Self::Receipt(_)
            | Self::Mismatch { .. }
            | Self::Malformed { .. }
            | Self::Differs { .. }
            | Self::EndsOtherwise { .. } => 10,
        }
    }
}

macro_rules! not_run {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::NotRun(error.to_string())
            }
        })*
    };
}

not_run!(ConstraintError, ParamError, StartError, SubmitError, TemplateError);
