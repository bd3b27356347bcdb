//! Why a receipt could not be issued.

/// Why a receipt could not be issued. None of these has to do with the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum IssueError {
    /// The operating system gave no randomness.
    #[error("no randomness to be had")]
    Randomness,
    /// The key could not be made or refused to sign.
    #[error("the signing key failed: {0}")]
    Key(String),
    /// The boot has said its last word, or knows nothing of the log that it must name.
    #[error("no receipt can be signed: {0}")]
    NotNow(&'static str),
    /// The receipt exceeds what the format allows.
    #[error("a receipt of {len} bytes exceeds the format's bound")]
    TooLong {
        /// Length of the envelope, in bytes.
        len: usize,
    },
}
