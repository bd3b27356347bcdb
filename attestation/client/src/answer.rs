//! An answer with everything that proves it.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use vouchsafe_bundle::{Bundle, StreamRecords, Verdict, VerifiedBoot};
use vouchsafe_receipt::{Envelope, Opening};
use vouchsafe_translog::TlogProof;

/// A complete answer, or as much of it as arrived, and the verdict on it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// The response's `content-type`.
    pub content_type: String,
    /// The request's body as it was sent.
    pub request: Bytes,
    /// The response's body, or the raw text of the event stream.
    pub response: Bytes,
    /// The receipt; absent for what gets none, and where a stream was cut off.
    pub receipt: Option<Envelope>,
    /// What opens its commitments.
    pub opening: Option<Opening>,
    /// The signed records of a stream.
    pub stream: Option<StreamRecords>,
    /// Opens `GET /v1/receipts/{token}` later.
    pub token: Option<String>,
    /// The proof that the receipt is in its log, where the client asked to wait for it.
    pub proof: Option<TlogProof>,
    /// The verdict; absent where nothing was signed. Of a stream that was cut off it is on the events
    /// up to the last signed head.
    pub verdict: Option<Verdict>,
    /// How long each stage took.
    pub timings: Timings,
}

/// How long each stage took, seen from this side.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    /// From sending the request to the first event with content, or to the whole body.
    pub first_event: Duration,
    /// From sending the request to the last event before the end of the stream.
    pub last_event: Duration,
    /// From sending the request to the end of the response.
    pub complete: Duration,
    /// Judging the receipt.
    pub judging: Duration,
}

impl Answer {
    /// Whether a receipt came and was accepted. Of a stream that was cut off the verdict may accept a
    /// beginning, but that is no answer.
    pub fn is_accepted(&self) -> bool {
        self.receipt.is_some() && self.verdict.as_ref().is_some_and(Verdict::is_accepted)
    }

    /// A bundle for others, who need nothing else but their own policy.
    ///
    /// # Errors
    /// When nothing was signed, so that there is nothing to show.
    pub fn bundle(&self, boot: &VerifiedBoot) -> Result<Bundle, vouchsafe_bundle::Error> {
        let bundle = boot.bundle(self.receipt.clone(), self.opening.clone(), self.stream.clone())?;
        Ok(match &self.proof {
            Some(proof) => bundle.with_proof(proof.clone()),
            None => bundle,
        })
    }
}
