//! Why there is no answer, or none to be believed.

use std::path::PathBuf;
use std::sync::Arc;

use vouchsafe_bundle::Verdict;

/// Why a connection, an attestation or an answer failed. [`Error::code`] is stable.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answers at the address, or the connection broke.
    #[error("cannot reach {address}: {problem}")]
    Unreachable {
        /// The address.
        address: String,
        /// What the system says.
        problem: Arc<std::io::Error>,
    },
    /// The TLS handshake failed.
    #[error("TLS handshake with {address} failed: {problem}")]
    Handshake {
        /// The address.
        address: String,
        /// What the TLS library says.
        problem: Arc<std::io::Error>,
    },
    /// The certificate holds no key that an enclave could have stated.
    #[error("the certificate of {address} holds no P-256 key")]
    Certificate {
        /// The address.
        address: String,
    },
    /// The enclave's evidence was not accepted.
    #[error("the enclave was not accepted: {}", describe(.0))]
    NotAccepted(Box<Verdict>),
    /// The evidence is good, but of another machine than the one at the other end.
    #[error("the session's TLS key is not the one in the attested boot statement")]
    TlsKey,
    /// The attestation document is not one.
    #[error("the attestation document is unusable: {0}")]
    Document(String),
    /// The connection broke or its HTTP was malformed.
    #[error("the connection failed: {}", innermost(.0.as_ref()))]
    Http(Arc<hyper::Error>),
    /// The request cannot be sent.
    #[error("the request cannot be sent: {0}")]
    Request(String),
    /// An answer is longer than this client takes.
    #[error("the answer exceeds {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// It took longer than it may.
    #[error("{what} took longer than {seconds} s")]
    Timeout {
        /// What took so long.
        what: &'static str,
        /// The limit, in seconds.
        seconds: u64,
    },
    /// A receipt, opening or signed record in an answer is malformed.
    #[error("malformed {what} in the answer: {problem}")]
    Malformed {
        /// What is malformed.
        what: &'static str,
        /// How.
        problem: String,
    },
    /// An event of a stream came before anything was signed.
    #[error("an event came before the stream's signed start")]
    StartMissing,
    /// A signed head of a stream contradicts the events that were received.
    #[error("signed head over {events} events contradicts what was received")]
    HeadMismatch {
        /// Events that the head covers.
        events: u64,
    },
    /// The receipt's opening fits its commitments, but names something else than was sent or received.
    #[error("the receipt is for {field} {opened:?}, which was {actual:?} here")]
    OtherExchange {
        /// Which field of the opening.
        field: &'static str,
        /// What was sent, or received.
        actual: String,
        /// What the opening says.
        opened: String,
    },
    /// The answer has a content encoding, over which no commitment is defined.
    #[error("the answer has the content encoding {0:?}; none is accepted")]
    ContentEncoding(String),
    /// The answer is of a later epoch than its enclave was attested in, and that enclave is no longer
    /// to be found to attest again.
    #[error("the enclave that answered in a new epoch can no longer be reached to attest for it")]
    EnclaveGone,
    /// The enclave keeps no receipt under a token: it is still being made, or was dropped for newer ones.
    #[error("the enclave keeps no receipt under the answer's token (status {status})")]
    NotKept {
        /// The status that it answered with.
        status: u16,
    },
    /// The newest list of revocations is not to be had, or is not to be believed.
    #[error("no list of revocations: {path}: {problem}", path = path.display())]
    Revocations {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// This machine's clock stands before 1970.
    #[error("this machine's clock stands before 1970")]
    Clock,
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
}

fn describe(verdict: &Verdict) -> String {
    format!("{} ({})", verdict.code().unwrap_or("incomplete"), verdict.detail().unwrap_or_default())
}

/// What lies at the bottom of a library's error, whose own text says little.
fn innermost<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

impl Error {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "enclave_unreachable",
            Self::Handshake { .. } => "tls_handshake_failed",
            Self::Certificate { .. } => "tls_certificate_unusable",
            Self::NotAccepted(verdict) => verdict.code().unwrap_or("enclave_not_accepted"),
            Self::TlsKey => "tls_key_mismatch",
            Self::Document(_) => "attestation_document_malformed",
            Self::Http(_) => "connection_failed",
            Self::Request(_) => "request_unusable",
            Self::TooLong { .. } => "answer_too_long",
            Self::Timeout { .. } => "timeout",
            Self::Malformed { .. } => "receipt_malformed",
            Self::StartMissing => "stream_start_missing",
            Self::HeadMismatch { .. } => "stream_head_mismatch",
            Self::OtherExchange { .. } => "opening_mismatch",
            Self::ContentEncoding(_) => "content_encoding_unsupported",
            Self::EnclaveGone => "enclave_gone",
            Self::NotKept { .. } => "receipt_not_kept",
            Self::Revocations { .. } => "revocations_unusable",
            Self::Clock => "clock_unusable",
            Self::Random => "randomness_unavailable",
        }
    }

    /// Whether the enclave itself was judged and refused, as opposed to being out of reach.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::NotAccepted(_) | Self::TlsKey | Self::Document(_) | Self::Certificate { .. })
    }
}

impl From<hyper::Error> for Error {
    fn from(error: hyper::Error) -> Self {
        Self::Http(Arc::new(error))
    }
}
