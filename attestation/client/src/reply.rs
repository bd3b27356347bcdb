//! A response as it arrives: chunks for whoever shows them, the chain of events checked meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use vouchsafe_bundle::{Answer as Shown, StreamRecords, Verdict, VerifiedBoot};
use vouchsafe_receipt::stream::{
    ASSURANCE_NAME, HEAD_COMMENT, Head, OPENING_NAME, PROOF_NAME, RECEIPT_NAME, START_COMMENT, StreamHead,
    StreamStart, TOKEN_NAME, data_payloads,
};
use vouchsafe_receipt::{Envelope, Opening};
use vouchsafe_translog::TlogProof;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::from_base64url;

use crate::answer::{Answer, Timings};
use crate::connection::Request;
use crate::kept::Kept;
use crate::{Error, now};

/// Longest answer that is kept.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The verdict's code where a receipt is of another epoch than its enclave was attested in.
pub(crate) const EPOCH_MISMATCH: &str = "epoch_mismatch";
/// Longest wait for the next piece of an answer. Streams carry a signed head at least every second.
const PIECE_TIMEOUT: Duration = Duration::from_secs(90);

/// A response that is being received over a judged connection.
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// The response's headers.
    pub headers: HeaderMap,
    pub(crate) boot: Arc<VerifiedBoot>,
    body: Incoming,
    request: Request,
    received: BytesMut,
    /// How much of `received` was looked through for lines.
    scanned: usize,
    events: Option<Events>,
    parts: Parts,
    sent: Instant,
    timings: Timings,
}

/// What an answer carries beside its content.
#[derive(Default)]
struct Parts {
    receipt: Option<Envelope>,
    opening: Option<Opening>,
    token: Option<String>,
    proof: Option<TlogProof>,
}

/// The chain over a stream's events, and the last signed head that agreed with it.
#[derive(Default)]
struct Events {
    start: Option<Envelope>,
    chain: Option<Head>,
    head: Option<Envelope>,
}

impl Reply {
    pub(crate) fn new(
        response: http::Response<Incoming>,
        boot: Arc<VerifiedBoot>,
        request: Request,
        sent: Instant,
    ) -> Result<Self, Error> {
        let (head, body) = response.into_parts();
        if let Some(encoding) = head.headers.get(CONTENT_ENCODING) {
            return Err(Error::ContentEncoding(String::from_utf8_lossy(encoding.as_bytes()).into_owned()));
        }
        let mut reply = Self {
            status: head.status,
            boot,
            body,
            request,
            received: BytesMut::new(),
            scanned: 0,
            events: None,
            parts: Parts::default(),
            sent,
            timings: Timings::default(),
            headers: head.headers,
        };
        for name in [RECEIPT_NAME, OPENING_NAME, TOKEN_NAME, PROOF_NAME] {
            if let Some(value) = reply.headers.get(name) {
                let value = value.as_bytes().to_vec();
                reply.parts.take(name, &value)?;
            }
        }
        if reply.is_stream() {
            reply.events = Some(Events::default());
        }
        Ok(reply)
    }

    /// The response's `content-type`.
    pub fn content_type(&self) -> &str {
        self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The enclave that answers.
    pub fn boot(&self) -> &Arc<VerifiedBoot> {
        &self.boot
    }

    /// Whether it is a stream of server-sent events.
    pub fn is_stream(&self) -> bool {
        self.content_type().split(';').next().is_some_and(|kind| kind.trim() == "text/event-stream")
    }

    /// The next piece of the body as it arrived; `None` at its end. A piece of a stream is given out
    /// after every signed head in it was found to agree with the events.
    ///
    /// # Errors
    /// When the connection breaks or stalls, the answer is too long, or a signed record is wrong.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let limit =
                Error::Timeout { what: "the next piece of the answer", seconds: PIECE_TIMEOUT.as_secs() };
            let frame = tokio::time::timeout(PIECE_TIMEOUT, self.body.frame()).await.map_err(|_| limit)?;
            let Some(frame) = frame else { return Ok(None) };
            let Ok(data) = frame?.into_data() else { continue };
            if self.received.len().saturating_add(data.len()) > ANSWER_BYTES_MAX {
                return Err(Error::TooLong { max: ANSWER_BYTES_MAX });
            }
            self.received.extend_from_slice(&data);
            self.scan()?;
            return Ok(Some(data));
        }
    }

    /// Looks through the lines that are complete now.
    fn scan(&mut self) -> Result<(), Error> {
        let Some(mut events) = self.events.take() else { return Ok(()) };
        let result = self.scan_lines(&mut events);
        // What was found good before a failure stays, and is what a stream that broke off proves.
        self.events = Some(events);
        result
    }

    fn scan_lines(&mut self, events: &mut Events) -> Result<(), Error> {
        while let Some(rest) = self.received.get(self.scanned..)
            && let Some(length) = rest.iter().position(|byte| *byte == b'\n')
        {
            let line = rest.get(..length).unwrap_or_default();
            self.scanned = self.scanned.saturating_add(length).saturating_add(1);
            if let Some(data) = data_payloads(line).next() {
                if data != b"[DONE]" {
                    let elapsed = self.sent.elapsed();
                    if self.timings.first_event == Duration::ZERO && has_content(data) {
                        self.timings.first_event = elapsed;
                    }
                    self.timings.last_event = elapsed;
                }
                let chain = events.chain.ok_or(Error::StartMissing)?;
                events.chain = Some(chain.extend(data, &Ring));
            } else if let Some((name, value)) = comment(line) {
                match name {
                    START_COMMENT => events.begin(value, &self.boot)?,
                    HEAD_COMMENT => events.check(value, &self.boot)?,
                    _ => self.parts.take(name, value)?,
                }
            }
        }
        Ok(())
    }

    /// Notes that nothing more is to come, or was waited for.
    pub(crate) fn end(&mut self) {
        self.timings.complete = self.sent.elapsed();
    }

    /// The token under which the enclave keeps the opening, where the receipt came without it: one too
    /// long for a header.
    pub(crate) fn token_of_opening(&self) -> Option<&str> {
        let is_due = self.parts.receipt.is_some() && self.parts.opening.is_none();
        self.parts.token.as_deref().filter(|_| is_due)
    }

    /// Takes the opening from what the enclave keeps of this answer.
    pub(crate) fn supply(&mut self, kept: Kept) -> Result<(), Error> {
        if self.parts.receipt.as_ref() != Some(&kept.receipt) {
            let problem = "not the one that came with the answer".into();
            return Err(Error::Malformed { what: "kept receipt", problem });
        }
        self.parts.opening = Some(kept.opening);
        Ok(())
    }

    /// Judges what has arrived, whether or not it is complete.
    ///
    /// # Errors
    /// [`Error::OtherExchange`] where the answer is accepted, but to something else than was sent; or
    /// [`Error::Clock`].
    pub(crate) fn judge(mut self) -> Result<Answer, Error> {
        if self.timings.first_event == Duration::ZERO {
            self.timings.first_event = self.timings.complete;
        }
        let stream = self.events.and_then(|events| {
            let head = events.head;
            events.start.map(|start| StreamRecords { start, head })
        });
        let response = self.received.freeze();
        let begun = Instant::now();
        let verdict = if self.parts.receipt.is_some() || stream.is_some() {
            let shown = Shown {
                receipt: self.parts.receipt.as_ref(),
                opening: self.parts.opening.as_ref(),
                stream: stream.as_ref(),
                request: shown_request(&self.parts.receipt, &self.parts.opening, &self.request.body),
                response: Some(&response),
                proof: self.parts.proof.as_ref(),
            };
            let verdict = self.boot.check_answer(&shown, now()?, &Ring);
            // A verdict on a later epoch is still to come; it judges the same opening.
            if (verdict.is_accepted() || is_of_another_epoch(&verdict))
                && let Some(opening) = &self.parts.opening
            {
                is_of_this_exchange(opening, &self.request, self.status, &self.headers)?;
            }
            Some(verdict)
        } else {
            None
        };
        self.timings.judging = begun.elapsed();
        let content_type = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        Ok(Answer {
            status: self.status,
            content_type,
            request: self.request.body,
            response,
            receipt: self.parts.receipt,
            opening: self.parts.opening,
            stream,
            token: self.parts.token,
            proof: self.parts.proof,
            verdict,
            timings: self.timings,
        })
    }
}

/// Whether the receipt is of an epoch that began after the enclave attested. The epoch that is known
/// may have ended meanwhile: that finding comes first, and a newer epoch settles both.
pub(crate) fn is_of_another_epoch(verdict: &Verdict) -> bool {
    verdict.findings().iter().any(|finding| finding.code == Some(EPOCH_MISMATCH))
}

/// The request, to be matched with what was signed. Of a stream that was cut off before its opening
/// came it cannot be matched, which is not held against what came.
pub(crate) fn shown_request<'a>(
    receipt: &Option<Envelope>,
    opening: &Option<Opening>,
    body: &'a [u8],
) -> Option<&'a [u8]> {
    let can_open = opening.as_ref().is_some_and(|opening| opening.request.is_some());
    (receipt.is_some() || can_open).then_some(body)
}

/// What an opening names beside the bodies must be what was sent and received here: it fits the
/// receipt, but a receipt says nothing of who asked.
fn is_of_this_exchange(
    opening: &Opening,
    request: &Request,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<(), Error> {
    let header = |headers: &HeaderMap, name: &str| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default()
    };
    let mut named = Vec::new();
    if let Some(opened) = &opening.request {
        let sent: HeaderMap = request.headers.iter().cloned().collect();
        named.extend([
            ("method", request.method.to_string(), opened.method.clone()),
            ("path", request.path.clone(), opened.path.clone()),
            ("content type of the request", request.content_type.clone(), opened.content_type.clone()),
            ("nonce", request.nonce.clone(), opened.nonce.clone()),
            ("assurance", header(&sent, ASSURANCE_NAME), opened.assurance.clone()),
        ]);
    }
    if let Some(opened) = &opening.response {
        named.extend([
            ("status", status.as_u16().to_string(), opened.status.to_string()),
            ("content type", header(headers, CONTENT_TYPE.as_str()), opened.content_type.clone()),
        ]);
    }
    match named.into_iter().find(|(_, actual, opened)| actual != opened) {
        None => Ok(()),
        Some((field, actual, opened)) => Err(Error::OtherExchange { field, actual, opened }),
    }
}

impl Parts {
    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        match name {
            RECEIPT_NAME => self.receipt = Some(envelope("receipt", value)?),
            OPENING_NAME => {
                let json = decode("opening", value)?;
                let malformed = |problem: vouchsafe_receipt::Error| Error::Malformed {
                    what: "opening",
                    problem: problem.to_string(),
                };
                self.opening = Some(Opening::from_json(&json).map_err(malformed)?);
            }
            PROOF_NAME => {
                let malformed = |problem: vouchsafe_translog::Error| Error::Malformed {
                    what: "proof",
                    problem: problem.to_string(),
                };
                self.proof = Some(TlogProof::parse(&decode("proof", value)?).map_err(malformed)?);
            }
            TOKEN_NAME => self.token = std::str::from_utf8(value).ok().map(str::to_owned),
            _ => {}
        }
        Ok(())
    }
}

impl Events {
    fn begin(&mut self, value: &[u8], boot: &VerifiedBoot) -> Result<(), Error> {
        const WHAT: &str = "stream start";
        let start = envelope(WHAT, value)?;
        let malformed =
            |problem: &dyn ToString| Error::Malformed { what: WHAT, problem: problem.to_string() };
        if self.start.is_some() {
            return Err(malformed(&"a second one"));
        }
        StreamStart::verify(&start, boot.receipt_key(), &Ring).map_err(|error| malformed(&error))?;
        self.chain = Some(Head::begin(&start, &Ring));
        self.start = Some(start);
        Ok(())
    }

    fn check(&mut self, value: &[u8], boot: &VerifiedBoot) -> Result<(), Error> {
        const WHAT: &str = "stream head";
        let envelope = envelope(WHAT, value)?;
        let head = StreamHead::verify(&envelope, boot.receipt_key(), &Ring)
            .map_err(|error| Error::Malformed { what: WHAT, problem: error.to_string() })?;
        let agrees =
            self.chain.is_some_and(|chain| chain.events == head.events && chain.value == head.head.0);
        if !agrees {
            return Err(Error::HeadMismatch { events: head.events });
        }
        self.head = Some(envelope);
        Ok(())
    }
}

fn decode(what: &'static str, value: &[u8]) -> Result<Vec<u8>, Error> {
    let text = std::str::from_utf8(value).ok().and_then(from_base64url);
    text.ok_or_else(|| Error::Malformed { what, problem: "not base64url".into() })
}

fn envelope(what: &'static str, value: &[u8]) -> Result<Envelope, Error> {
    Envelope::from_json(&decode(what, value)?)
        .map_err(|error| Error::Malformed { what, problem: error.to_string() })
}

/// A comment line `: NAME VALUE`.
fn comment(line: &[u8]) -> Option<(&str, &[u8])> {
    let rest = line.strip_prefix(b": ")?;
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let (name, value) = rest.split_at_checked(end)?;
    Some((std::str::from_utf8(name).ok()?, value.strip_prefix(b" ")?))
}

/// Whether an event carries text, as opposed to the role or the end.
fn has_content(data: &[u8]) -> bool {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(data) else { return false };
    let choice = &json["choices"][0];
    [&choice["delta"]["content"], &choice["text"]]
        .iter()
        .any(|text| text.as_str().is_some_and(|t| !t.is_empty()))
}
