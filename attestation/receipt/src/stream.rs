//! Proof for a streamed answer that can stop at any byte.
//!
//! Before the first token the enclave signs a [`StreamStart`]. Each server-sent event's `data:`
//! payload (`[DONE]` included, comments not) is chained into a running hash whose first value binds
//! the start record; at least every 16 events or one second the enclave signs a [`StreamHead`]. The
//! final receipt's response commitment covers the last head.

use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::json_record;

use crate::payload::check_integers;
use crate::signed::{self, Signed};
use crate::{Assurance, CheckpointRef, Envelope, Error, PayloadType, ReceiptKey};

/// Most events between two signed heads.
pub const HEAD_EVENTS_MAX: u64 = 16;

/// SSE comment that carries the signed start record, base64url of the envelope's JSON.
pub const START_COMMENT: &str = "vouchsafe-stream-start";
/// SSE comment that carries a signed head.
pub const HEAD_COMMENT: &str = "vouchsafe-stream-head";
/// SSE comment and response header that carry the receipt.
pub const RECEIPT_NAME: &str = "vouchsafe-receipt";
/// SSE comment and response header that carry the opening.
pub const OPENING_NAME: &str = "vouchsafe-opening";
/// SSE comment and response header that carry the token for later retrieval.
pub const TOKEN_NAME: &str = "vouchsafe-token";
/// SSE comment and response header that carry the log's proof of the receipt, base64url of the
/// tlog-proof text.
pub const PROOF_NAME: &str = "vouchsafe-proof";
/// Request header that names the assurance level.
pub const ASSURANCE_NAME: &str = "vouchsafe-assurance";
/// Request header with the client's own nonce, which the request commitment covers.
pub const NONCE_NAME: &str = "vouchsafe-nonce";

/// Signed before the first token: who answers, with what, to which request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamStart {
    /// Version of this format: 1.
    pub version: u64,
    /// The boot whose key signs.
    pub boot: Hex<32>,
    /// The epoch in which the stream began.
    pub epoch: u64,
    /// Random id of the stream.
    pub stream: Hex<32>,
    /// Digest of the model's manifest.
    pub model: Hex<32>,
    /// Digest of the engine's identity.
    pub engine: Hex<32>,
    /// Commitment to the request, the same as in the final receipt.
    pub request: Hex<32>,
    /// The assurance level asked for.
    pub assurance: Assurance,
    /// The checkpoint that gives the trusted time; null where receipts do not settle.
    pub checkpoint: Option<CheckpointRef>,
    /// Whole Unix seconds by the enclave's own clock, which its host can influence.
    pub unattested_time: u64,
}

json_record!(StreamStart {
    version,
    boot,
    epoch,
    stream,
    model,
    engine,
    request,
    assurance,
    checkpoint,
    unattested_time,
});

/// Signed while the answer streams: all events up to here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamHead {
    /// Version of this format: 1.
    pub version: u64,
    /// The boot whose key signs.
    pub boot: Hex<32>,
    /// Id of the stream.
    pub stream: Hex<32>,
    /// Number of `data:` events covered.
    pub events: u64,
    /// The chain's value after them.
    pub head: Hex<32>,
}

json_record!(StreamHead { version, boot, stream, events, head });

/// The running hash over a stream's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of events covered.
    pub events: u64,
    /// The chain's value.
    pub value: [u8; 32],
}

impl Head {
    /// The chain before its first event, bound to the start record's exact signed bytes.
    pub fn begin(start: &Envelope, crypto: &dyn Crypto) -> Self {
        let start = crypto.sha256(&start.pae());
        Self { events: 0, value: crypto.sha256(&[b"vouchsafe/stream/v1\0".as_slice(), &start].concat()) }
    }

    /// The chain after one more event, given the exact bytes after `data: `.
    #[must_use]
    pub fn extend(self, data: &[u8], crypto: &dyn Crypto) -> Self {
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX).to_be_bytes();
        Self {
            events: self.events.saturating_add(1),
            value: crypto.sha256(&[&[0x01], self.value.as_slice(), &length, data].concat()),
        }
    }

    /// What a response commitment covers in place of a body: 8-byte big-endian count, then the value.
    pub fn committed(&self) -> Vec<u8> {
        [self.events.to_be_bytes().as_slice(), &self.value].concat()
    }
}

/// The `data:` payloads of a server-sent event stream as received, comments and other fields left out.
///
/// Accepts LF and CRLF line ends. Multi-line events do not occur in our streams; each `data:` line is
/// one payload. A single space after the colon is removed, as the standard says.
pub fn data_payloads(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines(stream).filter_map(|line| {
        let value = line.strip_prefix(b"data:")?;
        Some(value.strip_prefix(b" ").unwrap_or(value))
    })
}

/// Whether a text is framed as our streams are: every event is exactly one `data:` line and a blank
/// one, and besides there are only comments and blank lines. The last event may lack its blank line.
///
/// Only then do [`data_payloads`] say what every reader of server-sent events sees: the standard joins
/// consecutive `data:` lines to one event and gives other fields (`event`, `id`, `retry`) a meaning,
/// none of which the chain covers.
pub fn is_plain(stream: &[u8]) -> bool {
    let mut is_event_open = false;
    // A lone carriage return is a line end to readers that follow the standard.
    let has_lone_return = lines(stream).any(|line| line.contains(&b'\r'));
    !has_lone_return
        && lines(stream).all(|line| match line {
            [] => {
                is_event_open = false;
                true
            }
            [b':', ..] => true,
            line => line.starts_with(b"data:") && !core::mem::replace(&mut is_event_open, true),
        })
}

/// The values of the comment lines `: NAME VALUE` of a server-sent event stream.
pub fn comments<'a>(stream: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    lines(stream)
        .filter_map(move |line| line.strip_prefix(b": ")?.strip_prefix(name.as_bytes())?.strip_prefix(b" "))
}

fn lines(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    stream.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

impl Signed for StreamStart {
    const WHAT: &'static str = "stream start";
    const TYPE: PayloadType = PayloadType::StreamStart;
    fn version(&self) -> u64 {
        self.version
    }
    fn boot(&self) -> [u8; 32] {
        self.boot.0
    }
    fn check(&self) -> Result<(), Error> {
        CheckpointRef::check(Self::WHAT, self.checkpoint.as_ref())?;
        check_integers(Self::WHAT, [("epoch", self.epoch), ("unattested_time", self.unattested_time)])
    }
}

impl Signed for StreamHead {
    const WHAT: &'static str = "stream head";
    const TYPE: PayloadType = PayloadType::StreamHead;
    fn version(&self) -> u64 {
        self.version
    }
    fn boot(&self) -> [u8; 32] {
        self.boot.0
    }
    fn check(&self) -> Result<(), Error> {
        check_integers(Self::WHAT, [("events", self.events)])
    }
}

impl StreamStart {
    /// The canonical bytes to sign.
    pub fn to_bytes(&self) -> Vec<u8> {
        signed::to_bytes(self)
    }

    /// Verifies an envelope as a start record of the boot whose receipt key is `key`.
    ///
    /// # Errors
    /// As [`crate::VerifiedReceipt::verify`].
    pub fn verify(envelope: &Envelope, key: &ReceiptKey, crypto: &dyn Crypto) -> Result<Self, Error> {
        signed::verify(envelope, key, crypto)
    }
}

impl StreamHead {
    /// The canonical bytes to sign.
    pub fn to_bytes(&self) -> Vec<u8> {
        signed::to_bytes(self)
    }

    /// Verifies an envelope as a head signed by the boot whose receipt key is `key`.
    ///
    /// # Errors
    /// As [`crate::VerifiedReceipt::verify`].
    pub fn verify(envelope: &Envelope, key: &ReceiptKey, crypto: &dyn Crypto) -> Result<Self, Error> {
        signed::verify(envelope, key, crypto)
    }
}
