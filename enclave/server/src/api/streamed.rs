//! Writing a streamed answer: chunks, the proof of them in comment lines, and the receipt at the end.
//!
//! Every `data:` payload is chained before it is sent, a head is signed when one is due, and whatever
//! ends the stream, the receipt covers exactly the events that were chained. A client that asked for a
//! settled answer gets the start record and the token at once, and everything else in one piece when
//! the log has proved that it holds the receipt.

use tokio::time::{Instant, sleep_until};
use vouchsafe_receipt::Envelope;
use vouchsafe_receipt::stream::{
    HEAD_COMMENT, OPENING_NAME, PROOF_NAME, RECEIPT_NAME, START_COMMENT, TOKEN_NAME,
};
use vouchsafe_verifier::encoding::to_base64url;

use super::answer::{Work, deadline_error};
use super::error::ApiError;
use super::generate::{Running, Step};
use super::sampling::Streaming;
use super::sse;
use super::words::Words;
use crate::http::BodySender;
use crate::issue::{IssueError, Pending, Proof, opening_text};

/// As the response header and the response commitment state it.
pub(super) const CONTENT_TYPE: &str = "text/event-stream";

/// Why a stream stops before its answer is complete.
enum Stop {
    /// The client left or takes nothing.
    Gone,
    /// This answer must not go on; the client is told.
    Error(ApiError),
    /// Nothing can be signed any more, so nothing more is said.
    Unsigned,
}

impl From<crate::http::Gone> for Stop {
    fn from(_: crate::http::Gone) -> Self {
        Self::Gone
    }
}

impl From<IssueError> for Stop {
    fn from(_: IssueError) -> Self {
        Self::Unsigned
    }
}

/// Writes the whole stream and sees to its receipt.
pub(super) async fn write(work: Work, how: Streaming, sender: BodySender) {
    let Work { pending, mut running, words, deadline, places } = work;
    let held = pending.is_to_settle().then(Vec::new);
    let mut writer = Writer { pending, words, how, sender, held };
    let stop = writer.answer(&mut running, deadline).await.err();
    if stop.is_some() {
        running.cancel().await;
    }
    let record = writer.pending.record_mut();
    record.usage = Some(running.usage());
    record.finish_reasons = running.reasons();
    drop((running, places));
    match stop {
        None => writer.finish(None, deadline).await,
        Some(Stop::Error(error)) => writer.finish(Some(error), deadline).await,
        Some(Stop::Gone) => {
            writer.pending.record_mut().error = Some("client_closed_request".into());
            // The receipt goes to the host and waits under its token; nobody is here to read it.
            let _ = writer.pending.finish_stream();
        }
        // Dropping the pending answer tries once more to sign what there is.
        Some(Stop::Unsigned) => writer.pending.record_mut().error = Some("receipt_failed".into()),
    }
}

struct Writer {
    pending: Pending,
    words: Words,
    how: Streaming,
    sender: BodySender,
    /// What waits for the receipt to be public; `None` where nothing waits.
    held: Option<Vec<u8>>,
}

impl Writer {
    /// Writes everything up to the end of the last choice.
    async fn answer(&mut self, running: &mut Running, deadline: Instant) -> Result<(), Stop> {
        self.start().await?;
        let opening = self.words.opening(running.choices().len(), self.how);
        self.events(opening).await?;
        loop {
            let head_due = self.pending.head_due();
            let output = tokio::select! {
                biased;
                () = self.sender.gone() => return Err(Stop::Gone),
                () = sleep_until(deadline) => return Err(Stop::Error(deadline_error())),
                // Falls due between events; without an uncovered event there is nothing to wait for.
                () = sleep_until(head_due.unwrap_or(deadline)), if head_due.is_some() => None,
                output = running.next() => match output {
                    Some(output) => Some(output),
                    None => break,
                },
            };
            match output {
                None => self.head().await?,
                Some((index, Step::More(more))) => {
                    let events = self.words.more(index, &more, self.how);
                    self.events(events).await?;
                }
                Some((index, Step::End)) => self.end_choice(running, index).await?,
            }
        }
        let last = self.words.close(running.choices(), running.usage(), self.how);
        self.events(last).await
    }

    async fn end_choice(&mut self, running: &Running, index: usize) -> Result<(), Stop> {
        if running.failed() {
            return Err(Stop::Error(ApiError::internal("generation_failed")));
        }
        let Some(choice) = running.choices().get(index) else { return Ok(()) };
        let events = self.words.end(index, choice, self.how);
        self.events(events).await
    }

    async fn events(&mut self, events: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Stop> {
        for event in events {
            self.event(&event).await?;
        }
        Ok(())
    }

    /// The start record, the token, and the opening of the request.
    async fn start(&mut self) -> Result<(), Stop> {
        let start = self.pending.start_stream()?;
        let mut text = Vec::new();
        sse::comment(&mut text, START_COMMENT, &envelope_text(&start));
        sse::comment(&mut text, TOKEN_NAME, &self.pending.token());
        sse::comment(&mut text, OPENING_NAME, &opening_text(&self.pending.request_opening()));
        sse::end_comments(&mut text);
        Ok(self.sender.send(text).await?)
    }

    /// Chains and sends one event.
    async fn event(&mut self, data: &[u8]) -> Result<(), Stop> {
        self.pending.event(data);
        self.send(sse::event(data)).await?;
        if self.pending.head_due().is_some_and(|due| due <= Instant::now()) {
            self.head().await?;
        }
        Ok(())
    }

    /// Signs and sends a head over all events so far.
    async fn head(&mut self) -> Result<(), Stop> {
        let head = self.pending.sign_head()?;
        let mut text = Vec::new();
        sse::comment(&mut text, HEAD_COMMENT, &envelope_text(&head));
        sse::end_comments(&mut text);
        self.send(text).await
    }

    /// Sends, or holds back.
    async fn send(&mut self, text: Vec<u8>) -> Result<(), Stop> {
        match &mut self.held {
            Some(held) => held.extend_from_slice(&text),
            None => self.sender.send(text).await?,
        }
        Ok(())
    }

    /// The last event, the receipt and its opening, in one piece: a client that reads the end of the
    /// answer has the receipt in hand.
    async fn finish(mut self, error: Option<ApiError>, deadline: Instant) {
        let last = match &error {
            None => sse::DONE.to_vec(),
            Some(error) => {
                self.pending.record_mut().error = Some(error.code.to_owned());
                error.to_json()
            }
        };
        self.pending.event(&last);
        let mut text = self.held.take().unwrap_or_default();
        text.extend(sse::event(&last));
        // Dropping the sender without an end shows the client that the answer is not complete.
        let Ok(mut issued) = self.pending.finish_stream() else { return };
        let proof = tokio::select! {
            proof = issued.proof(Some(deadline)) => proof,
            () = self.sender.gone() => return,
        };
        sse::comment(&mut text, RECEIPT_NAME, &issued.receipt_text());
        sse::comment(&mut text, OPENING_NAME, &issued.opening_text());
        match proof {
            Proof::NotAsked => {}
            Proof::Proved(proof) => sse::comment(&mut text, PROOF_NAME, &to_base64url(proof.as_bytes())),
            // A stream that is cut: its client has the token, and nothing of the answer.
            Proof::Late => return,
        }
        sse::end_comments(&mut text);
        // Whoever left in this very moment retrieves the receipt by token.
        if self.sender.send(text).await.is_ok() {
            let _ = self.sender.end().await;
        }
    }
}

fn envelope_text(envelope: &Envelope) -> String {
    to_base64url(&envelope.to_json())
}
