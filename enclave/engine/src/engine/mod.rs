//! The scheduler: requests in, events out.
//!
//! Sequences join and leave between steps; a step computes one token of each that generates, and a piece
//! of the prompts that are still read, all at once. Keys and values lie in blocks from a store whose
//! size is fixed at the start, and a request waits until what it may need is free. What else runs does
//! not change a sequence's tokens: see [`crate::kernels`].

mod draft;
mod kept;
mod lookup;
mod sequence;
mod worker;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use self::draft::Draft;
pub use self::kept::ReuseKey;
use self::worker::{Job, Shared};
use crate::constraint::Grammars;
use crate::kernels::Level;
use crate::model::{KvPrecision, KvStore};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::{
    AnswerForm, ChatMessage, ChatOptions, Constraint, ConstraintError, EngineVersion, Event, GenerateRequest,
    Model, ModelIdentity, StartError, SubmitError, TemplateError, ToolStyle,
};

/// Where a request's events go. It runs on the engine's thread and must not block; `Break` cancels the
/// request, which then gets `Finished` and nothing more.
pub type Sink = Box<dyn FnMut(Event) -> ControlFlow<()> + Send>;

/// The engine's bounds. None may be 0 but `threads`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Sequences that run at the same time.
    pub max_sequences: usize,
    /// Requests that wait for a place.
    pub max_queue: usize,
    /// Tokens that the key-value caches of all running sequences may hold together. A sequence
    /// reserves its prompt and `max_tokens` when it starts. Where a request leaves `max_tokens` out,
    /// the answer may have an equal share: `kv_tokens_max / max_sequences`, within the context.
    pub kv_tokens_max: usize,
    /// Prompt tokens that are read in one step, by all sequences together. Larger ones read long prompts
    /// somewhat faster, and let those who generate wait longer for each token.
    pub prefill_chunk: usize,
    /// Threads that compute; 0 means one for each processor, and one in all for models so small that
    /// sharing their work would cost more than it saves.
    pub threads: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { max_sequences: 8, max_queue: 64, kv_tokens_max: 32_768, prefill_chunk: 64, threads: 0 }
    }
}

/// How busy the engine is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests that wait.
    pub queued: usize,
    /// Sequences that run.
    pub running: usize,
    /// Key-value tokens that running sequences have reserved.
    pub kv_tokens: usize,
}

/// Work that was not done because its result was there, or was guessed. Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Savings {
    /// Prompt tokens that were not read, since a request with the same [`ReuseKey`] had read them.
    pub tokens_reused: u64,
    /// Tokens that were guessed.
    pub tokens_guessed: u64,
    /// Guesses that were right.
    pub guesses_right: u64,
}

/// A handle on a submitted request. Dropping it does not cancel the request.
#[derive(Debug, Clone)]
pub struct JobHandle {
    cancelled: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl JobHandle {
    /// Asks the engine to stop this request: it ends with `Cancelled` before its next token.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.shared.wake();
    }
}

/// A model and the thread that runs it. Dropping the engine cancels what runs and waits for the thread.
pub struct Engine {
    identity: ModelIdentity,
    tokenizer: Arc<Tokenizer>,
    /// A longer text has more tokens than the context: what is behind need not be looked at.
    text_bytes_max: usize,
    chat_template: Option<Arc<ChatTemplate>>,
    grammars: Grammars,
    options: EngineOptions,
    kv_bytes_max: usize,
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the worker thread.
    ///
    /// # Errors
    /// An option that is zero where it must not be, or threads that could not be started.
    pub fn start(model: Model, options: EngineOptions) -> Result<Self, StartError> {
        Self::start_with(model, None, options)
    }

    /// The same with a smaller model that guesses for requests that ask for speculation. It changes no
    /// answer. Its keys and values take room beside the model's.
    ///
    /// # Errors
    /// As [`Self::start`]; [`StartError::DraftTokens`] and [`StartError::DraftContext`] where it does not
    /// go with the model.
    pub fn start_with_draft(model: Model, draft: Model, options: EngineOptions) -> Result<Self, StartError> {
        Self::start_with(model, Some(draft), options)
    }

    fn start_with(model: Model, draft: Option<Model>, options: EngineOptions) -> Result<Self, StartError> {
        for (name, value) in [
            ("max_sequences", options.max_sequences),
            ("max_queue", options.max_queue),
            ("kv_tokens_max", options.kv_tokens_max),
            ("prefill_chunk", options.prefill_chunk),
        ] {
            if value == 0 {
                return Err(StartError::Zero { name });
            }
        }
        let identity = model.identity.clone();
        let tokenizer = Arc::clone(&model.tokenizer);
        let chat_template = model.chat_template.clone();
        let grammars = Grammars::new(Arc::clone(&tokenizer));
        let shared = Arc::new(Shared::default());
        let (config, precision) = (&model.transformer.config, KvPrecision::default());
        let store = KvStore::new(config, options.kv_tokens_max, options.max_sequences, precision);
        let draft = draft.map(|draft| Draft::new(draft, &model, &options)).transpose()?;
        let draft_bytes = draft.as_ref().map_or(0, Draft::kv_bytes_max);
        let kv_bytes_max = store.bytes_max().saturating_add(draft_bytes);
        let worker = worker::start(model, draft, store, options.clone(), Arc::clone(&shared))?;
        let tokens_max = index(identity.context_length()).saturating_add(1);
        let text_bytes_max = tokenizer.token_bytes_max().saturating_mul(tokens_max);
        Ok(Self {
            identity,
            tokenizer,
            text_bytes_max,
            chat_template,
            grammars,
            options,
            kv_bytes_max,
            shared,
            worker: Some(worker),
        })
    }

    /// Admits a request or refuses it at once. Events arrive at `sink` from then on.
    ///
    /// # Errors
    /// [`SubmitError`]: the queue is full, or the request can never fit.
    pub fn submit(&self, request: GenerateRequest, sink: Sink) -> Result<JobHandle, SubmitError> {
        let vocabulary = self.identity.vocabulary();
        let biased = request.sampling.options().logit_bias.iter().map(|(token, _)| *token);
        let tokens = request.prompt.iter().chain(&request.expected).copied();
        if let Some(token) = tokens.chain(biased).find(|token| *token >= vocabulary) {
            return Err(SubmitError::TokenOutOfRange { token, vocabulary });
        }
        if let Some(requested) = request.logprobs.filter(|count| *count > LOGPROBS_MAX) {
            return Err(SubmitError::TooManyLogprobs { requested, max: LOGPROBS_MAX });
        }
        let answer_max = self.answer_max(&request)?;
        let cancelled = Arc::new(AtomicBool::new(false));
        self.shared.enqueue(
            Job { request, sink, answer_max, cancelled: Arc::clone(&cancelled), submitted: Instant::now() },
            self.options.max_queue,
        )?;
        Ok(JobHandle { cancelled, shared: Arc::clone(&self.shared) })
    }

    /// The most tokens that the answer may have.
    fn answer_max(&self, request: &GenerateRequest) -> Result<usize, SubmitError> {
        let prompt = request.prompt.len();
        if prompt == 0 {
            return Err(SubmitError::PromptEmpty);
        }
        let context = index(self.identity.context_length()).min(self.options.kv_tokens_max);
        let room = context.saturating_sub(prompt);
        let asked = request.max_tokens.map(|count| index(count.get()));
        if room < asked.unwrap_or(1) {
            return Err(SubmitError::PromptTooLong { prompt, max_tokens: asked.unwrap_or(1), context });
        }
        let share = self.options.kv_tokens_max.checked_div(self.options.max_sequences).unwrap_or(1).max(1);
        Ok(asked.unwrap_or(room.min(share)))
    }

    /// Renders a conversation with the model's chat template and tokenises it. Text from messages,
    /// tools and variables never becomes a control token.
    ///
    /// # Errors
    /// The model has no template, the template refuses the messages, or a bound is exceeded.
    pub fn render_chat(
        &self,
        messages: &[ChatMessage],
        options: &ChatOptions,
    ) -> Result<Vec<u32>, TemplateError> {
        let template = self.chat_template.as_ref().ok_or(TemplateError::Absent)?;
        let rendered = template.render(messages, options)?;
        // The marks that guard a user's text are no part of any token, and three bytes long.
        let bytes_max = self.text_bytes_max.saturating_mul(4);
        Ok(self.tokenizer.encode_rendered(beginning(&rendered, bytes_max)))
    }

    /// Compiles the form that an answer must have; `None` where any text will do. Takes up to some hundred
    /// milliseconds, and more the first time.
    ///
    /// # Errors
    /// [`ConstraintError`]: a bound is exceeded, or the form cannot be enforced.
    pub fn constrain(&self, form: &AnswerForm) -> Result<Option<Constraint>, ConstraintError> {
        self.grammars.compile(form)
    }

    /// How the model's chat template takes tools; `None` where it has none, or one that wants calls in a
    /// form that is not supported.
    #[must_use]
    pub fn tool_style(&self) -> Option<ToolStyle> {
        self.chat_template.as_ref()?.tool_style()
    }

    /// Whether [`Self::render_chat`] can work with this model.
    #[must_use]
    pub fn has_chat_template(&self) -> bool {
        self.chat_template.is_some()
    }

    /// Tokenises plain text, as a prompt for completion: with the beginning-of-sequence token where the
    /// model wants one; control tokens in the text are text.
    #[must_use]
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode_sequence(beginning(text, self.text_bytes_max))
    }

    /// The text of some tokens; bytes that are not UTF-8 become U+FFFD, control tokens nothing.
    #[must_use]
    pub fn detokenize(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens)
    }

    /// Which model this is.
    #[must_use]
    pub fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    /// The longest sequence in tokens, prompt and answer together.
    #[must_use]
    pub fn context_length(&self) -> u32 {
        self.identity.context_length()
    }

    /// Bytes that the keys and values of all running sequences may take together: blocks are made as
    /// they are needed, up to so many, and kept.
    #[must_use]
    pub fn kv_bytes_max(&self) -> usize {
        self.kv_bytes_max
    }

    /// The instructions that products are computed with here: they change how fast, not what.
    #[must_use]
    pub fn instructions(&self) -> &'static str {
        Level::detect().name()
    }

    /// Which engine this is.
    #[must_use]
    pub fn version(&self) -> EngineVersion {
        EngineVersion::CURRENT
    }

    /// How busy the engine is at this moment.
    #[must_use]
    pub fn load(&self) -> Load {
        self.shared.load()
    }

    /// What reuse and speculation have saved so far.
    #[must_use]
    pub fn savings(&self) -> Savings {
        self.shared.savings()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(worker) = self.worker.take() {
            // A worker that panicked has said so; there is nothing to add while dropping.
            let _ = worker.join();
        }
    }
}

fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// As OpenAI's API has it.
const LOGPROBS_MAX: u8 = 20;

/// The text up to the last character that ends within so many bytes.
fn beginning(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[cfg(test)]
mod savings_tests;
#[cfg(test)]
mod tests;
