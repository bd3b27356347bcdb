//! One admitted request on its way to its receipt.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use vouchsafe_receipt::stream::{HEAD_EVENTS_MAX, Head, StreamHead, StreamStart};
use vouchsafe_receipt::{
    Assurance, Envelope, ExecutionOpening, ExecutionRecord, Opening, PayloadType, ReceiptDocument,
    ReceiptPayload, RequestOpening, ResponseOpening,
};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Hex, to_base64url};

use super::{IssueError, Issuer, Signed};
use crate::clock;
use crate::settle::{Place, Settlement, Unsettled};

const OPENING_VERSION: u64 = 1;
const STREAM_TYPE: &str = "text/event-stream";
/// What the receipt of an answer that nobody waited for states, as nginx logs it.
pub(crate) const CLIENT_CLOSED_REQUEST: u16 = 499;

/// A request as received: what the request commitment covers.
#[derive(Debug, Clone)]
pub(crate) struct RequestFacts {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) nonce: String,
    pub(crate) assurance: String,
    pub(crate) body: Bytes,
}

/// What is known of a request when it is admitted.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// Digest of the model's manifest; `None` where the named model is not served.
    pub(crate) model: Option<[u8; 32]>,
    /// The assurance level asked for.
    pub(crate) assurance: Assurance,
    /// The execution record so far: operation, model name, parameters, seed.
    pub(crate) record: ExecutionRecord,
}

/// An admitted request without its receipt. Dropping it unfinished signs a receipt that says so.
pub(crate) struct Pending {
    issuer: Arc<Issuer>,
    request: RequestOpening,
    request_commitment: [u8; 32],
    admission: Admission,
    token: [u8; 32],
    stream: Option<StreamState>,
    finished: bool,
    /// Its place among the receipts that may be unproven, until there is a receipt.
    place: Option<Place>,
}

/// A stream's running proof.
struct StreamState {
    id: [u8; 32],
    head: Head,
    /// Events that the newest signed head does not cover.
    uncovered: u64,
    /// When the first of them was added.
    uncovered_since: Instant,
}

/// A signed receipt and what opens it.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) envelope: Envelope,
    pub(crate) opening: Opening,
    /// Where the client asked for it: the proof that will come, and until when it is waited for.
    awaited: Option<(oneshot::Receiver<Arc<str>>, Instant)>,
}

/// Whether the log proved that it holds a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nobody asked.
    NotAsked,
    /// The text of the proof.
    Proved(Arc<str>),
    /// Not in time.
    Late,
}

/// Why a request was not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// What was signed before must settle first.
    Unsettled(Unsettled),
    /// Nothing can be signed.
    Issue(IssueError),
}

impl From<IssueError> for NotAdmitted {
    fn from(error: IssueError) -> Self {
        Self::Issue(error)
    }
}

impl Issuer {
    /// Takes a parsed and admitted request. From here on there will be a receipt.
    pub(crate) fn admit(
        self: &Arc<Self>,
        request: RequestFacts,
        admission: Admission,
    ) -> Result<Pending, NotAdmitted> {
        let admit = |settlement: &Arc<Settlement>| settlement.admit().map_err(NotAdmitted::Unsettled);
        let place = self.settlement.as_ref().map(admit).transpose()?;
        let RequestFacts { method, path, content_type, nonce, assurance, body } = request;
        let salt = Hex(self.signer.random()?);
        let request = RequestOpening { salt, method, path, content_type, nonce, assurance };
        let token = self.signer.random()?;
        self.store.open(&token);
        Ok(Pending {
            issuer: Arc::clone(self),
            request_commitment: request.commit(&body, &Ring),
            request,
            admission,
            token,
            stream: None,
            finished: false,
            place,
        })
    }
}

impl Pending {
    /// The token for later retrieval, base64url.
    pub(crate) fn token(&self) -> String {
        to_base64url(&self.token)
    }

    /// Whether the client wants nothing of the answer before its receipt is public.
    pub(crate) fn is_to_settle(&self) -> bool {
        self.admission.assurance == Assurance::Settled
    }

    /// The opening of the request alone: all there is to open while the answer is being made.
    pub(crate) fn request_opening(&self) -> Opening {
        Opening {
            version: OPENING_VERSION,
            request: Some(self.request.clone()),
            response: None,
            execution: None,
        }
    }

    /// The execution record, to be completed as the answer is made.
    pub(crate) fn record_mut(&mut self) -> &mut ExecutionRecord {
        &mut self.admission.record
    }

    /// Signs the start record. Must come before the first event, and comes once.
    pub(crate) fn start_stream(&mut self) -> Result<Envelope, IssueError> {
        let id = self.issuer.signer.random()?;
        let start = StreamStart {
            version: 1,
            boot: Hex(self.issuer.boot),
            epoch: self.issuer.epochs.current().number,
            stream: Hex(id),
            // A stream begins only once its model is running.
            model: Hex(self.admission.model.unwrap_or_default()),
            engine: Hex(self.issuer.engine),
            request: Hex(self.request_commitment),
            assurance: self.admission.assurance,
            checkpoint: self.issuer.trusted_time()?.map(|(checkpoint, _)| checkpoint),
            unattested_time: clock::unix_seconds(),
        };
        let envelope = self.issuer.signer.sign(PayloadType::StreamStart, start.to_bytes())?;
        let head = Head::begin(&envelope, &Ring);
        self.stream = Some(StreamState { id, head, uncovered: 0, uncovered_since: Instant::now() });
        Ok(envelope)
    }

    /// Chains the exact bytes of an event's `data:` payload, before they are sent.
    pub(crate) fn event(&mut self, data: &[u8]) {
        let Some(stream) = &mut self.stream else { return };
        if stream.uncovered == 0 {
            stream.uncovered_since = Instant::now();
        }
        stream.head = stream.head.extend(data, &Ring);
        stream.uncovered = stream.uncovered.saturating_add(1);
    }

    /// When the next head must be signed at the latest; `None` while every event is covered.
    pub(crate) fn head_due(&self) -> Option<Instant> {
        let stream = self.stream.as_ref().filter(|stream| stream.uncovered > 0)?;
        let wait = match stream.uncovered >= HEAD_EVENTS_MAX {
            true => Duration::ZERO,
            false => self.issuer.head_interval_max,
        };
        stream.uncovered_since.checked_add(wait)
    }

    /// Signs a head over all events so far.
    pub(crate) fn sign_head(&mut self) -> Result<Envelope, IssueError> {
        let stream = self.stream.as_mut().ok_or_else(|| IssueError::Key("no stream was started".into()))?;
        let head = StreamHead {
            version: 1,
            boot: Hex(self.issuer.boot),
            stream: Hex(stream.id),
            events: stream.head.events,
            head: Hex(stream.head.value),
        };
        let envelope = self.issuer.signer.sign(PayloadType::StreamHead, head.to_bytes())?;
        stream.uncovered = 0;
        Ok(envelope)
    }

    /// Signs the receipt of an answer that was one body.
    pub(crate) fn finish(
        mut self,
        status: u16,
        content_type: &str,
        body: &[u8],
    ) -> Result<Issued, IssueError> {
        self.issue(status, content_type, body)
    }

    /// Signs the receipt of a streamed answer over the events so far.
    pub(crate) fn finish_stream(mut self) -> Result<Issued, IssueError> {
        let committed = self.stream.as_ref().map(|stream| stream.head.committed()).unwrap_or_default();
        self.issue(200, STREAM_TYPE, &committed)
    }

    fn issue(&mut self, status: u16, content_type: &str, body: &[u8]) -> Result<Issued, IssueError> {
        let issuer = &self.issuer;
        let response = ResponseOpening {
            salt: Hex(issuer.signer.random()?),
            status,
            content_type: content_type.to_owned(),
        };
        let record = serde_json::to_string(&self.admission.record)
            .map_err(|error| IssueError::Key(error.to_string()))?;
        let execution = ExecutionOpening { salt: Hex(issuer.signer.random()?), record };
        let draft = ReceiptPayload {
            version: 1,
            boot: Hex(issuer.boot),
            epoch: 0,
            seq: 0,
            previous: None,
            model: self.admission.model.map(Hex),
            engine: Hex(issuer.engine),
            request: Hex(self.request_commitment),
            response: Hex(response.commit(body, &Ring)),
            execution: Hex(execution.commit(&Ring)),
            assurance: self.admission.assurance,
            checkpoint: None,
            settle_by: None,
            unattested_time: clock::unix_seconds(),
        };
        let opening =
            Opening { response: Some(response), execution: Some(execution), ..self.request_opening() };
        let Signed { envelope, proof } = issuer.sign_receipt(draft, |envelope, leaf| {
            let document = ReceiptDocument::new(envelope.clone(), opening.clone());
            issuer.store.fill(&self.token, document.to_json().into(), leaf);
        })?;
        let patience = issuer.settlement.as_ref().map(|settlement| settlement.patience());
        let until = patience.and_then(|patience| Instant::now().checked_add(patience));
        let awaited = proof.zip(until);
        self.finished = true;
        self.place = None;
        Ok(Issued { envelope, opening, awaited })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // The code that served this request panicked, or was ended because its client left.
        let (error, reason, status) = match std::thread::panicking() {
            true => ("internal_error", "failed", 500),
            false => ("client_closed_request", "cancelled", CLIENT_CLOSED_REQUEST),
        };
        let record = &mut self.admission.record;
        record.error.get_or_insert_with(|| error.to_owned());
        record.finish_reasons = vec![reason.to_owned()];
        let committed = self.stream.as_ref().map(|stream| stream.head.committed());
        let issued = match committed {
            Some(committed) => self.issue(200, STREAM_TYPE, &committed),
            None => self.issue(status, "", &[]),
        };
        if issued.is_err() {
            self.issuer.store.abandon(&self.token);
        }
    }
}

impl Issued {
    /// Waits for the proof where the client asked for it, as long as promised, and until `deadline` at
    /// the latest.
    pub(crate) async fn proof(&mut self, deadline: Option<Instant>) -> Proof {
        let Some((proof, until)) = self.awaited.take() else { return Proof::NotAsked };
        match timeout_at(deadline.map_or(until, |deadline| deadline.min(until)), proof).await {
            Ok(Ok(text)) => Proof::Proved(text),
            // What gave the waiting up is the end of the program.
            Ok(Err(_)) | Err(_) => Proof::Late,
        }
    }

    /// The receipt for a header or comment line.
    pub(crate) fn receipt_text(&self) -> String {
        to_base64url(&self.envelope.to_json())
    }

    /// The opening for a header or comment line.
    pub(crate) fn opening_text(&self) -> String {
        opening_text(&self.opening)
    }
}

/// An opening for a header or comment line.
pub(crate) fn opening_text(opening: &Opening) -> String {
    to_base64url(&serde_json::to_vec(opening).unwrap_or_default())
}
