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
use vouchsafe_receipt::stream::{OPENING_NAME, RECEIPT_NAME, TOKEN_NAME};
use vouchsafe_receipt::{Assurance, ExecutionRecord};

use super::error::ApiError;
use super::generate::Running;
use super::sampling::Streaming;
use super::streamed;
use super::wording::Wording;
use crate::http::{Body, BodySender};
use crate::issue::{Admission, CLIENT_CLOSED_REQUEST, Issued, Pending};

const JSON_TYPE: &str = "application/json";
/// An opening longer than this is left out of the headers, since clients bound those; the token
/// retrieves it.
const OPENING_TEXT_MAX: usize = 8 * 1024;

/// Everything an answer needs while it is made.
pub(super) struct Work {
    pub(super) pending: Pending,
    pub(super) running: Running,
    pub(super) wording: Wording,
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
pub(super) fn refuse(mut pending: Pending, error: &ApiError) -> Response<Body> {
    pending.record_mut().error = Some(error.code.to_owned());
    let token = pending.token();
    let body = error.body();
    let mut response = error.response();
    match pending.finish(error.status.as_u16(), JSON_TYPE, &body) {
        Ok(issued) => attach(&mut response, &issued, &token),
        Err(_) => return ApiError::internal("receipt_failed").response(),
    }
    response
}

/// Answers an admitted request with one body.
pub(super) fn whole(mut pending: Pending, body: Vec<u8>) -> Response<Body> {
    pending.record_mut().error = None;
    let token = pending.token();
    match pending.finish(200, JSON_TYPE, &body) {
        Ok(issued) => {
            let mut response = json_response(StatusCode::OK, body.into());
            attach(&mut response, &issued, &token);
            response
        }
        // No answer without its receipt.
        Err(_) => ApiError::internal("receipt_failed").response(),
    }
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
    let parts = [
        (RECEIPT_NAME, Some(issued.receipt_text())),
        (OPENING_NAME, (opening.len() <= OPENING_TEXT_MAX).then_some(opening)),
        (TOKEN_NAME, Some(token.to_owned())),
    ];
    for (name, value) in parts {
        // Base64url is always a valid header value.
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

/// Answers with one body once everything is generated. Runs to its receipt even if nobody waits.
pub(super) async fn generate_whole(work: Work, reply: oneshot::Sender<Response<Body>>) {
    let Work { mut pending, mut running, mut wording, deadline, places } = work;
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
    let response = match ended {
        Err(None) => {
            record.error = Some("client_closed_request".into());
            // Nobody is there to be told if this fails.
            let _ = pending.finish(CLIENT_CLOSED_REQUEST, "", &[]);
            return;
        }
        Err(Some(error)) => refuse(pending, &error),
        Ok(()) if running.failed() => refuse(pending, &ApiError::internal("generation_failed")),
        Ok(()) => whole(pending, wording.whole(running.choices(), usage)),
    };
    drop((running, places));
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
