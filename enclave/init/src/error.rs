//! Why a guest is not fit to serve.

use nix::errno::Errno;

/// Why a guest is not fit to serve. [`InitError::code`] is stable; the text is for the operator, who
/// reads it in the serial log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The operating system refused a step.
    #[error("cannot {action} {object}: {message}")]
    System {
        /// What was attempted.
        action: &'static str,
        /// On what.
        object: String,
        /// The operating system's text.
        message: String,
    },
    /// The kernel's command line lacks what opens the disk, or says it wrongly.
    #[error("command line: {0}")]
    CommandLine(String),
    /// The guest has something that it must not have.
    #[error("{0}")]
    Forbidden(String),
    /// A device did not appear.
    #[error("{device} did not appear within {seconds} s")]
    DeviceMissing {
        /// The device.
        device: String,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl InitError {
    /// A stable word for this failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::System { .. } => "init_system",
            Self::CommandLine(_) => "init_command_line",
            Self::Forbidden(_) => "init_forbidden",
            Self::DeviceMissing { .. } => "init_device_missing",
        }
    }

    pub(crate) fn io(action: &'static str, object: impl Into<String>, error: &std::io::Error) -> Self {
        Self::System { action, object: object.into(), message: error.to_string() }
    }

    pub(crate) fn errno(action: &'static str, object: impl Into<String>, errno: Errno) -> Self {
        Self::System { action, object: object.into(), message: errno.desc().to_owned() }
    }
}
