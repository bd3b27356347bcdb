//! The API: OpenAI's endpoints, receipts by token, attestation, health.
//!
//! A request goes through three steps that cannot be swapped: its head and body are read and checked
//! (nothing of this is receipted), it is admitted (from here on there is a receipt whatever happens),
//! it is executed. What is public about the enclave needs neither admission nor receipt.

mod answer;
mod bounded;
mod chat;
mod completions;
mod embeddings;
mod error;
mod execute;
mod facts;
mod form;
mod generate;
mod json;
mod messages;
mod prompts;
mod public;
mod responses;
mod sampling;
mod sse;
mod streamed;
mod wording;
mod words;

use std::sync::Arc;

use http::header::{ALLOW, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use error::ApiError;

use crate::Config;
use crate::attestation::Challenger;
use crate::boot::{Boot, Epochs};
use crate::gauges::Gauges;
use crate::http::{Body, Received, bodies_budget, receive};
use crate::issue::Issuer;
use crate::models::Models;
use crate::stapled::Stapled;

/// What every request may use.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) models: Models,
    pub(crate) boot: Boot,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) challenger: Challenger,
    pub(crate) stapled: Stapled,
    pub(crate) gauges: Gauges,
    pub(crate) draining: watch::Receiver<bool>,
    /// Sessions and answers in progress.
    pub(crate) tasks: TaskTracker,
    pub(crate) budgets: Budgets,
}

/// What is shared out among all requests.
pub(crate) struct Budgets {
    bodies: Arc<Semaphore>,
    /// Sequences in progress, waiting ones included.
    sequences: Arc<Semaphore>,
    embeddings: Arc<Semaphore>,
    /// Requests whose text is being parsed or tokenised.
    preparing: Arc<Semaphore>,
}

/// Requests that are parsed or tokenised at the same time; others wait their turn.
const PREPARING_MAX: usize = 4;

impl Budgets {
    pub(crate) fn new(config: &Config) -> Self {
        let sequences = config.engine.sequences_max.saturating_add(config.engine.queue_max);
        let semaphore = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            bodies: bodies_budget(&config.limits),
            sequences: semaphore(sequences),
            embeddings: semaphore(config.limits.embedding_requests_max),
            preparing: semaphore(PREPARING_MAX),
        }
    }
}

/// Turns a request away whose head is over its bound, before anything of it is looked at.
pub(crate) fn head_too_large() -> Response<Body> {
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    ApiError::new(
        status,
        "invalid_request_error",
        "headers_too_large",
        "The request's headers are too large.",
    )
    .response()
}

/// Answers one request. A panic while it is served ends this request and nothing else.
pub(crate) async fn handle(context: Arc<Context>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    // Dropped with the connection, which ends whatever was not spawned for good.
    let served = AbortOnDropHandle::new(tokio::spawn(route(context, parts, body)));
    match served.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.response(),
        Err(_) => ApiError::internal("internal_error").response(),
    }
}

async fn route(context: Arc<Context>, parts: Parts, body: Incoming) -> Result<Response<Body>, ApiError> {
    let path = parts.uri.path();
    let operation = match path {
        "/v1/chat/completions" => Operation::Chat,
        "/v1/completions" => Operation::Completion,
        "/v1/responses" => Operation::Responses,
        "/v1/embeddings" => Operation::Embeddings,
        _ => return public::route(&context, &parts).await,
    };
    if parts.method != Method::POST {
        return Ok(method_not_allowed("POST"));
    }
    if *context.draining.borrow() {
        return Err(ApiError::draining());
    }
    let head = facts::Head::read(&parts, context.issuer.settlement().is_some())?;
    let Received { body, share } =
        receive(&parts, body, &context.config.limits, &context.budgets.bodies).await?;
    let facts = head.with_body(body);
    let response = match operation {
        Operation::Chat => execute::chat(&context, facts).await,
        Operation::Completion => execute::completion(&context, facts).await,
        Operation::Responses => execute::responses(&context, facts).await,
        Operation::Embeddings => execute::embeddings(&context, facts).await,
    };
    drop(share);
    response
}

enum Operation {
    Chat,
    Completion,
    Responses,
    Embeddings,
}

fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let message = format!("This address takes {allowed} requests only.");
    let error =
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "method_not_allowed", message);
    let mut response = error.response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
