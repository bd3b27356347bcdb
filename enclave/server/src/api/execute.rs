//! The three operations: parse, admit, execute.

use std::sync::Arc;

use http::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use vouchsafe_engine::{ChatMessage, ChatOptions};
use vouchsafe_receipt::Usage;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::to_hex;

use super::Context;
use super::answer::{self, Work, admission, generate_stream, generate_whole, refuse};
use super::chat::ChatRequest;
use super::completions::CompletionRequest;
use super::embeddings::EmbeddingsRequest;
use super::error::ApiError;
use super::facts::Incoming;
use super::form::Form;
use super::generate::{Prepared, Running};
use super::prompts::Prompt;
use super::responses::{ResponseWords, ResponsesRequest};
use super::sampling::Generation;
use super::wording::{self, Wording};
use super::words::Words;
use crate::config::milliseconds;
use crate::http::Body;
use crate::issue::{Admission, Pending};
use crate::models::{EmbedModel, Kind, Served, TextModel};
use crate::{clock, random};

type Answer = Result<Response<Body>, ApiError>;

/// `POST /v1/chat/completions`.
pub(super) async fn chat(context: &Arc<Context>, incoming: Incoming) -> Answer {
    let choices_max = context.config.limits.choices_max;
    let body = incoming.facts.body.clone();
    let request = context.prepare(move || ChatRequest::parse(&body, choices_max)).await??;
    converse(context, incoming, "chat.completions", request, Shape::Chat).await
}

/// `POST /v1/responses`.
pub(super) async fn responses(context: &Arc<Context>, incoming: Incoming) -> Answer {
    let body = incoming.facts.body.clone();
    let request = context.prepare(move || ResponsesRequest::parse(&body)).await??;
    let shape = Shape::Response(Box::new(ResponseWords::new(&request)));
    converse(context, incoming, "responses", request.chat, shape).await
}

async fn converse(
    context: &Arc<Context>,
    incoming: Incoming,
    operation: &'static str,
    request: ChatRequest,
    shape: Shape,
) -> Answer {
    let places = take(&context.budgets.sequences, request.generation.n)?;
    let seed = seed(&request.generation)?;
    let served = context.models.by_name(&request.model).cloned();
    let stated = Stated { operation, model: &request.model, seed: Some(seed) };
    let pending = admit(context, incoming, &stated, served.as_ref(), request.parameters())?;
    let model = match text_model(served.as_ref(), &request.model) {
        Ok(model) => model,
        Err(error) => return Ok(refuse(pending, &error).await),
    };
    let ChatRequest { model: name, messages, form, generation } = request;
    let prepared = context
        .prepare({
            let model = Arc::clone(&model);
            move || prepare_chat(model.as_ref(), &messages, form)
        })
        .await
        .flatten();
    let plan = Plan { shape, name, served, model, generation, seed, places };
    generate(context, pending, plan, prepared).await
}

/// The prompt and the compiled form of a chat.
fn prepare_chat(model: &dyn TextModel, messages: &[ChatMessage], form: Form) -> Result<Prepared, ApiError> {
    let calls = form.calls();
    if calls && model.tool_style().is_none() {
        return Err(ApiError::unsupported("tools"));
    }
    let constraint = model.constrain(&form.answer)?;
    let tools = if calls { form.tools } else { Vec::new() };
    let now = i64::try_from(clock::unix_seconds()).ok();
    let prompt = model.render_chat(messages, &ChatOptions { now, tools, ..ChatOptions::default() })?;
    Ok(Prepared { prompts: vec![prompt], echoes: Vec::new(), constraint, calls })
}

/// `POST /v1/completions`.
pub(super) async fn completion(context: &Arc<Context>, incoming: Incoming) -> Answer {
    let choices_max = context.config.limits.choices_max;
    let body = incoming.facts.body.clone();
    let request = context.prepare(move || CompletionRequest::parse(&body, choices_max)).await??;
    let places =
        take(&context.budgets.sequences, request.generation.n.saturating_mul(request.prompts.len()))?;
    let seed = seed(&request.generation)?;
    let served = context.models.by_name(&request.model).cloned();
    let stated = Stated { operation: "completions", model: &request.model, seed: Some(seed) };
    let pending = admit(context, incoming, &stated, served.as_ref(), request.parameters())?;
    let model = match text_model(served.as_ref(), &request.model) {
        Ok(model) => model,
        Err(error) => return Ok(refuse(pending, &error).await),
    };
    let CompletionRequest { model: name, prompts, echo, generation } = request;
    let prepared = context
        .prepare({
            let model = Arc::clone(&model);
            move || prepare_completion(model.as_ref(), prompts, echo)
        })
        .await;
    let plan = Plan { shape: Shape::Completion, name, served, model, generation, seed, places };
    generate(context, pending, plan, prepared).await
}

/// The prompts of a completion, and the texts that the answers begin with.
fn prepare_completion(model: &dyn TextModel, prompts: Vec<Prompt>, echo: bool) -> Prepared {
    let mut what = Prepared { prompts: Vec::new(), echoes: Vec::new(), constraint: None, calls: false };
    for prompt in prompts {
        let (tokens, text) = match prompt {
            Prompt::Text(text) => (model.tokenize(&text), text),
            Prompt::Tokens(tokens) if echo => {
                let text = model.detokenize(&tokens);
                (tokens, text)
            }
            Prompt::Tokens(tokens) => (tokens, String::new()),
        };
        what.prompts.push(tokens);
        if echo {
            what.echoes.push(text);
        }
    }
    what
}

/// `POST /v1/embeddings`.
pub(super) async fn embeddings(context: &Arc<Context>, incoming: Incoming) -> Answer {
    let inputs_max = context.config.limits.embedding_inputs_max;
    let body = incoming.facts.body.clone();
    let request = context.prepare(move || EmbeddingsRequest::parse(&body, inputs_max)).await??;
    let place = take(&context.budgets.embeddings, 1)?;
    let served = context.models.by_name(&request.model).cloned();
    let stated = Stated { operation: "embeddings", model: &request.model, seed: None };
    let mut pending = admit(context, incoming, &stated, served.as_ref(), request.parameters())?;
    let model = match embed_model(served.as_ref(), &request.model)
        .and_then(|model| request.check_dimensions(model.dimensions()).map(|()| model))
    {
        Ok(model) => model,
        Err(error) => return Ok(refuse(pending, &error).await),
    };
    let wanted = Arc::new(());
    let awaited = Arc::downgrade(&wanted);
    let deadline = Instant::now().checked_add(milliseconds(context.config.limits.request_ms_max));
    let computed = tokio::task::spawn_blocking(move || {
        // Held until the computation is over: at the latest one text after the client left.
        let _place = place;
        let mut embeddings = Vec::new();
        for input in &request.input {
            if awaited.strong_count() == 0 || deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return Err(answer::deadline_error());
            }
            match input {
                Prompt::Text(text) => embeddings.extend(model.embed(&[text.as_str()])?),
                Prompt::Tokens(tokens) => embeddings.push(model.embed_tokens(tokens)?),
            }
        }
        Ok(request.answer(&embeddings))
    })
    .await
    .unwrap_or_else(|_| Err(ApiError::internal("embedding_failed")));
    Ok(match computed {
        Ok((body, tokens)) => {
            pending.record_mut().usage = Some(Usage { prompt_tokens: tokens, completion_tokens: 0 });
            answer::whole(pending, body, deadline).await
        }
        Err(error) => refuse(pending, &error).await,
    })
}

/// Which words an answer has.
enum Shape {
    Chat,
    Completion,
    Response(Box<ResponseWords>),
}

/// What a generation needs besides its prompts.
struct Plan {
    shape: Shape,
    name: String,
    served: Option<Served>,
    model: Arc<dyn TextModel>,
    generation: Generation,
    seed: u64,
    places: OwnedSemaphorePermit,
}

async fn generate(
    context: &Arc<Context>,
    pending: Pending,
    plan: Plan,
    prepared: Result<Prepared, ApiError>,
) -> Answer {
    let Plan { shape, name, served, model, generation, seed, places } = plan;
    let limits = &context.config.limits;
    let deadline = Instant::now().checked_add(milliseconds(limits.request_ms_max));
    let started = prepared.and_then(|what| Ok(Running::start(model.as_ref(), what, &generation, seed)?));
    let (running, deadline, id) = match (started, deadline, random::bytes::<16>()) {
        (Ok(running), Some(deadline), Some(id)) => (running, deadline, id),
        (Err(error), _, _) => return Ok(refuse(pending, &error).await),
        (Ok(_), _, _) => return Ok(refuse(pending, &ApiError::internal("internal_error")).await),
    };
    let (id, created) = (to_hex(&id), clock::unix_seconds());
    let of_choices = |shape| {
        let fingerprint = fingerprint(context, served.as_ref());
        Words::Choices(Wording::new(shape, &id, created, name, fingerprint, generation.logprobs.is_some()))
    };
    let words = match shape {
        Shape::Chat => of_choices(wording::Shape::Chat),
        Shape::Completion => of_choices(wording::Shape::Completion),
        Shape::Response(words) => Words::Response(words.named(&id, created)),
    };
    let work = Work { pending, running, words, deadline, places };
    if let Some(how) = generation.streaming {
        let body = Body::stream(milliseconds(limits.write_stall_ms_max));
        return Ok(generate_stream(&context.tasks, work, how, body));
    }
    let (reply, answer) = oneshot::channel();
    context.tasks.spawn(generate_whole(work, reply));
    // The task is gone without an answer only if it panicked, which its receipt says.
    answer.await.map_err(|_| ApiError::internal("internal_error"))
}

/// What a request says of itself, for its record.
struct Stated<'a> {
    operation: &'a str,
    model: &'a str,
    seed: Option<u64>,
}

fn admit(
    context: &Arc<Context>,
    incoming: Incoming,
    stated: &Stated<'_>,
    served: Option<&Served>,
    parameters: std::collections::BTreeMap<String, serde_json::Value>,
) -> Result<Pending, ApiError> {
    let digest = served.map(|served| served.digest);
    let admission: Admission =
        admission(stated.operation, stated.model, digest, incoming.assurance, parameters, stated.seed);
    Ok(context.issuer.admit(incoming.facts, admission)?)
}

fn text_model(served: Option<&Served>, name: &str) -> Result<Arc<dyn TextModel>, ApiError> {
    match served.map(|served| &served.kind) {
        None => Err(ApiError::model_not_found(name)),
        Some(Kind::Text(model)) => Ok(Arc::clone(model)),
        Some(Kind::Embed(_)) => Err(wrong_kind("This model makes embeddings and writes no text.")),
    }
}

fn embed_model(served: Option<&Served>, name: &str) -> Result<Arc<dyn EmbedModel>, ApiError> {
    match served.map(|served| &served.kind) {
        None => Err(ApiError::model_not_found(name)),
        Some(Kind::Embed(model)) => Ok(Arc::clone(model)),
        Some(Kind::Text(_)) => Err(wrong_kind("This model makes no embeddings.")),
    }
}

fn wrong_kind(message: &str) -> ApiError {
    ApiError::parameter("model", "model_operation", message)
}

/// Which engine and weights answer, in OpenAI's place for it. The receipt says it in full.
fn fingerprint(context: &Context, served: Option<&Served>) -> String {
    let model = served.map(|served| served.digest).unwrap_or_default();
    let digest = Ring.sha256(&[context.boot.engine_digest, model].concat());
    let mut text = to_hex(&digest);
    text.truncate(10);
    format!("fp_{text}")
}

fn seed(generation: &Generation) -> Result<u64, ApiError> {
    let drawn = || random::bytes().map(u64::from_be_bytes);
    generation.seed.or_else(drawn).ok_or_else(|| ApiError::internal("internal_error"))
}

/// Places for this many sequences, or the news that there are none.
fn take(budget: &Arc<Semaphore>, count: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let full = || ApiError::busy("queue_full", "As many requests are in progress as this server takes on.");
    let count = u32::try_from(count).map_err(|_| full())?;
    Arc::clone(budget).try_acquire_many_owned(count).map_err(|_| full())
}

impl Context {
    /// Runs work whose length the client decides away from the threads that serve everybody.
    async fn prepare<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let failed = || ApiError::internal("internal_error");
        let turn = Arc::clone(&self.budgets.preparing).acquire_owned().await.map_err(|_| failed())?;
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
        .map_err(|_| failed())
    }
}
