//! From an admitted request to its answer and receipt.
//!
//! Each answer is made by a task of its own, so that the request's connection may go away, or its
//! handler panic, without the answer losing its receipt. The task watches for three ends besides the
//! engine's own: the client leaves, the deadline passes, the client takes nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use vouchsafe_receipt::stream::{OPENING_NAME, PROOF_NAME, RECEIPT_NAME, TOKEN_NAME};
use vouchsafe_receipt::{Assurance, ExecutionRecord};
use vouchsafe_verifier::encoding::to_base64url;

use super::error::ApiError;
use super::generate::Running;
use super::sampling::Streaming;
use super::streamed;
use super::words::Words;
use crate::http::{Body, BodySender};
use crate::issue::{Admission, CLIENT_CLOSED_REQUEST, IssueError, Issued, Pending, Proof};

const JSON_TYPE: &str = "application/json";
/// An opening longer than this is left out of the headers, since clients bound those; the token
/// retrieves it.
const OPENING_TEXT_MAX: usize = 8 * 1024;

/// Everything an answer needs while it is made.
pub(super) struct Work {
    pub(super) pending: Pending,
    pub(super) running: Running,
    pub(super) words: Words,
    pub(super) deadline: Instant,
    /// Its places among the requests in progress.
    pub(super) places: OwnedSemaphorePermit,
}

/// The beginning of a request's record.
pub(super) fn admission(
    operation: &str,
    model: &str,
    digest: Option<[u8; 32]>,
    assurance: Assurance,
    parameters: BTreeMap<String, Value>,
    seed: Option<u64>,
) -> Admission {
    let record = ExecutionRecord {
        version: 1,
        operation: operation.into(),
        // A name that is not served is a stranger's text: bounded, so that the receipt's parts are.
        model: model.chars().take(256).collect(),
        parameters,
        seed: seed.map(|seed| seed.to_string()),
        usage: None,
        finish_reasons: Vec::new(),
        error: None,
    };
    Admission { model: digest, assurance, record }
}

/// Turns an admitted request away, with a receipt that says so.
pub(super) async fn refuse(mut pending: Pending, error: &ApiError) -> Response<Body> {
    pending.record_mut().error = Some(error.code.to_owned());
    let token = pending.token();
    let body = error.body();
    let issued = pending.finish(error.status.as_u16(), JSON_TYPE, &body);
    deliver(issued, error.response(), &token, None).await
}

/// Answers an admitted request with one body. The receipt is signed before the first wait.
pub(super) async fn whole(mut pending: Pending, body: Vec<u8>, deadline: Option<Instant>) -> Response<Body> {
    pending.record_mut().error = None;
    let token = pending.token();
    let issued = pending.finish(200, JSON_TYPE, &body);
    deliver(issued, json_response(StatusCode::OK, body.into()), &token, deadline).await
}

/// Gives a response with its receipt: at once, or when the log proved that it holds the receipt,
/// whichever was asked for.
async fn deliver(
    issued: Result<Issued, IssueError>,
    mut response: Response<Body>,
    token: &str,
    deadline: Option<Instant>,
) -> Response<Body> {
    // No answer without its receipt.
    let Ok(mut issued) = issued else { return ApiError::internal("receipt_failed").response() };
    match issued.proof(deadline).await {
        Proof::NotAsked => {}
        Proof::Proved(text) => set(&mut response, PROOF_NAME, to_base64url(text.as_bytes())),
        Proof::Late => {
            let mut response = ApiError::settlement_late().response();
            set(&mut response, TOKEN_NAME, token.to_owned());
            return response;
        }
    }
    attach(&mut response, &issued, token);
    response
}

/// A JSON response without a receipt.
pub(super) fn json_response(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::Full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON_TYPE));
    response
}

fn attach(response: &mut Response<Body>, issued: &Issued, token: &str) {
    let opening = issued.opening_text();
    set(response, RECEIPT_NAME, issued.receipt_text());
    if opening.len() <= OPENING_TEXT_MAX {
        set(response, OPENING_NAME, opening);
    }
    set(response, TOKEN_NAME, token.to_owned());
}

fn set(response: &mut Response<Body>, name: &'static str, base64url: String) {
    // Base64url is always a valid header value.
    if let Ok(value) = HeaderValue::try_from(base64url) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// Answers with one body once everything is generated. Runs to its receipt even if nobody waits.
pub(super) async fn generate_whole(work: Work, reply: oneshot::Sender<Response<Body>>) {
    let Work { mut pending, mut running, mut words, deadline, places } = work;
    let mut reply = reply;
    let ended = tokio::select! {
        biased;
        () = reply.closed() => Err(None),
        () = sleep_until(deadline) => Err(Some(deadline_error())),
        () = async { while running.next().await.is_some() {} } => Ok(()),
    };
    if ended.is_err() {
        running.cancel().await;
    }
    let usage = running.usage();
    let record = pending.record_mut();
    record.usage = Some(usage);
    record.finish_reasons = running.reasons();
    let error = match ended {
        Err(None) => {
            record.error = Some("client_closed_request".into());
            // Nobody is there to be told if this fails.
            let _ = pending.finish(CLIENT_CLOSED_REQUEST, "", &[]);
            return;
        }
        Err(Some(error)) => Some(error),
        Ok(()) => running.failed().then(|| ApiError::internal("generation_failed")),
    };
    let body = words.whole(running.choices(), usage);
    // What is computed is computed: waiting for the log takes nobody's place.
    drop((running, places));
    let answer = async {
        match error {
            Some(error) => refuse(pending, &error).await,
            None => whole(pending, body, Some(deadline)).await,
        }
    };
    let response = tokio::select! {
        biased;
        response = answer => response,
        () = reply.closed() => return,
    };
    // Who left in this very moment retrieves the receipt by token, or not at all.
    let _ = reply.send(response);
}

/// The response that carries a stream, and the task that writes it.
pub(super) fn generate_stream(
    tasks: &TaskTracker,
    work: Work,
    how: Streaming,
    body: (BodySender, Body),
) -> Response<Body> {
    let (sender, body) = body;
    tasks.spawn(streamed::write(work, how, sender));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(streamed::CONTENT_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What a client is told whose answer took too long.
pub(super) fn deadline_error() -> ApiError {
    ApiError::new(
        StatusCode::GATEWAY_TIMEOUT,
        "server_error",
        "deadline_exceeded",
        "The answer was not complete within the time this server gives to one request.",
    )
}
