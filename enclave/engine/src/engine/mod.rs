//! The scheduler: requests in, events out.

use std::ops::ControlFlow;

use crate::{
    ChatMessage, ChatOptions, EngineVersion, Event, GenerateRequest, Model, ModelIdentity, StartError,
    SubmitError, TemplateError,
};

/// Where a request's events go. It runs on the engine's thread and must not block; `Break` cancels the
/// request.
pub type Sink = Box<dyn FnMut(Event) -> ControlFlow<()> + Send>;

/// The engine's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Sequences that run at the same time.
    pub max_sequences: usize,
    /// Requests that wait for a place.
    pub max_queue: usize,
    /// Tokens that the key-value caches of all running sequences may hold together. A sequence
    /// reserves its prompt and `max_tokens` when it starts.
    pub kv_tokens_max: usize,
    /// Prompt tokens that are read in one step.
    pub prefill_chunk: usize,
    /// Threads that compute; 0 means one per core.
    pub threads: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { max_sequences: 8, max_queue: 64, kv_tokens_max: 32_768, prefill_chunk: 128, threads: 0 }
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

/// A handle on a submitted request. Dropping it does not cancel the request.
#[derive(Debug)]
pub struct JobHandle {}

impl JobHandle {
    /// Asks the engine to stop this request. It ends with `Cancelled` within one token.
    pub fn cancel(&self) {}
}

/// A model and the thread that runs it. Dropping the engine cancels what runs and waits for the thread.
pub struct Engine {
    model: Model,
}

impl Engine {
    /// Starts the worker thread.
    ///
    /// # Errors
    /// An option that is zero where it must not be, or threads that could not be started.
    pub fn start(model: Model, _options: EngineOptions) -> Result<Self, StartError> {
        Ok(Self { model })
    }

    /// Admits a request or refuses it at once.
    ///
    /// # Errors
    /// [`SubmitError`]: the queue is full, or the request can never fit.
    pub fn submit(&self, _request: GenerateRequest, _sink: Sink) -> Result<JobHandle, SubmitError> {
        Err(SubmitError::Stopped)
    }

    /// Renders a conversation with the model's chat template and tokenises it. Text from messages,
    /// tools and variables never becomes a control token.
    ///
    /// # Errors
    /// The model has no template, the template refuses the messages, or a bound is exceeded.
    pub fn render_chat(
        &self,
        _messages: &[ChatMessage],
        _options: &ChatOptions,
    ) -> Result<Vec<u32>, TemplateError> {
        Err(TemplateError::Absent)
    }

    /// Whether [`Self::render_chat`] can work with this model.
    #[must_use]
    pub fn has_chat_template(&self) -> bool {
        false
    }

    /// Tokenises plain text, as a prompt for completion: with the beginning-of-sequence token where the
    /// model wants one; control tokens in the text are text.
    #[must_use]
    pub fn tokenize(&self, _text: &str) -> Vec<u32> {
        Vec::new()
    }

    /// The text of some tokens; bytes that are not UTF-8 become U+FFFD, control tokens nothing.
    #[must_use]
    pub fn detokenize(&self, _tokens: &[u32]) -> String {
        String::new()
    }

    /// Which model this is.
    #[must_use]
    pub fn identity(&self) -> &ModelIdentity {
        self.model.identity()
    }

    /// The longest sequence in tokens, prompt and answer together.
    #[must_use]
    pub fn context_length(&self) -> u32 {
        self.identity().context_length()
    }

    /// Which engine this is.
    #[must_use]
    pub fn version(&self) -> EngineVersion {
        EngineVersion::CURRENT
    }

    /// How busy the engine is at this moment.
    #[must_use]
    pub fn load(&self) -> Load {
        Load::default()
    }
}
