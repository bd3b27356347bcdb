//! Why the link failed.

use std::io;

use crate::{Endpoint, Port};

/// Why the link failed. [`Error::code`] is stable; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an endpoint's text form.
    #[error("{text:?} is no endpoint: unix:PATH, tcp:ADDR:PORT or vsock:CID is required")]
    Endpoint {
        /// What was given.
        text: String,
    },
    /// A transport this platform does not have.
    #[error("{endpoint} needs vsock, which this platform does not have")]
    VsockUnsupported {
        /// The endpoint asked for.
        endpoint: Endpoint,
    },
    /// The transport could not be connected or bound.
    #[error("{endpoint}: {message}")]
    Unreachable {
        /// The endpoint.
        endpoint: Endpoint,
        /// The operating system's kind of failure.
        kind: io::ErrorKind,
        /// The operating system's text.
        message: String,
    },
    /// The transport connected, but the other side closed it or answered with something else than
    /// `OK <n>`: nobody listens on that port (yet).
    #[error("{endpoint}: nobody answered on port {port}: {reply:?}")]
    NotListening {
        /// The endpoint.
        endpoint: Endpoint,
        /// The port that was asked for.
        port: Port,
        /// What came instead of the answer, at most one short line.
        reply: String,
    },
    /// Connecting took longer than allowed.
    #[error("{endpoint}: no connection to port {port} in time")]
    Timeout {
        /// The endpoint.
        endpoint: Endpoint,
        /// The port that was asked for.
        port: Port,
    },
    /// A frame header with a length that no sender writes.
    #[error("frame of {length} bytes, where at most {max} are allowed")]
    FrameLength {
        /// The length in the header.
        length: usize,
        /// The largest allowed.
        max: usize,
    },
    /// The transport ended before the stream's end frame.
    #[error("the stream ended without its end frame")]
    Truncated,
    /// The other side aborted the stream.
    #[error("the other side aborted the stream")]
    Aborted,
    /// A control message longer than allowed.
    #[error("control message of {length} bytes, where at most {max} are allowed")]
    MessageLength {
        /// Its length, in bytes.
        length: usize,
        /// The largest allowed.
        max: usize,
    },
    /// A control message that is not of the expected shape.
    #[error("malformed control message: {0}")]
    MessageMalformed(String),
    /// The other side speaks another version of the control protocol.
    #[error("control protocol version {found}, where version {known} is required")]
    Protocol {
        /// The version the other side named.
        found: u32,
        /// The version of this program.
        known: u32,
    },
    /// The transport failed underneath.
    #[error("transport: {message}")]
    Io {
        /// The operating system's kind of failure.
        kind: io::ErrorKind,
        /// The operating system's text.
        message: String,
    },
}

impl Error {
    /// A stable word for this failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } => "endpoint_malformed",
            Self::VsockUnsupported { .. } => "vsock_unsupported",
            Self::Unreachable { .. } => "endpoint_unreachable",
            Self::NotListening { .. } => "port_not_listening",
            Self::Timeout { .. } => "connect_timeout",
            Self::FrameLength { .. } => "frame_length",
            Self::Truncated => "stream_truncated",
            Self::Aborted => "stream_aborted",
            Self::MessageLength { .. } => "message_length",
            Self::MessageMalformed(_) => "message_malformed",
            Self::Protocol { .. } => "protocol_version",
            Self::Io { .. } => "transport_failed",
        }
    }

    /// Whether trying again later may help: the other side is not there yet.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NotListening { .. } | Self::Timeout { .. })
    }

    pub(crate) fn unreachable(endpoint: &Endpoint, error: &io::Error) -> Self {
        Self::Unreachable { endpoint: endpoint.clone(), kind: error.kind(), message: error.to_string() }
    }
}

impl From<io::Error> for Error {
    /// Gives back the link error that an `io::Error` of ours carries, else [`Error::Io`].
    fn from(error: io::Error) -> Self {
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return inner.clone();
        }
        Self::Io { kind: error.kind(), message: error.to_string() }
    }
}

impl From<Error> for io::Error {
    /// Wraps a link error for the `AsyncRead` and `AsyncWrite` traits.
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Truncated => io::ErrorKind::UnexpectedEof,
            Error::Aborted => io::ErrorKind::ConnectionAborted,
            Error::Timeout { .. } => io::ErrorKind::TimedOut,
            Error::Unreachable { kind, .. } | Error::Io { kind, .. } => *kind,
            Error::NotListening { .. } => io::ErrorKind::ConnectionRefused,
            Error::VsockUnsupported { .. } => io::ErrorKind::Unsupported,
            Error::Endpoint { .. } => io::ErrorKind::InvalidInput,
            Error::FrameLength { .. }
            | Error::MessageLength { .. }
            | Error::MessageMalformed(_)
            | Error::Protocol { .. } => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
