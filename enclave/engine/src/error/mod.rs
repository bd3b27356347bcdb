//! What can go wrong, by the moment at which it does.

mod load;

pub use load::LoadError;
use thiserror::Error;

/// A request parameter that is not acceptable.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ParamError {
    /// A number out of its range.
    #[error("{name} must be between {min} and {max}, not {value}")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: f32,
        /// The least acceptable value.
        min: f32,
        /// The greatest acceptable value.
        max: f32,
    },
    /// Too many entries.
    #[error("{name} has {count} entries, and at most {max} are allowed")]
    TooMany {
        /// The parameter.
        name: &'static str,
        /// How many were given.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A string that is too long.
    #[error("{name} has a string of {bytes} bytes, and at most {max} are allowed")]
    TooLong {
        /// The parameter.
        name: &'static str,
        /// The string's length.
        bytes: usize,
        /// The longest allowed.
        max: usize,
    },
    /// A string that is empty.
    #[error("{name} has an empty string")]
    Empty {
        /// The parameter.
        name: &'static str,
    },
    /// A token named twice.
    #[error("{name} names token {token} twice")]
    Duplicate {
        /// The parameter.
        name: &'static str,
        /// The token.
        token: u32,
    },
}

impl ParamError {
    /// The parameter's name in the API.
    #[must_use]
    pub fn parameter(&self) -> &'static str {
        match self {
            Self::OutOfRange { name, .. }
            | Self::TooMany { name, .. }
            | Self::TooLong { name, .. }
            | Self::Empty { name }
            | Self::Duplicate { name, .. } => name,
        }
    }
}

/// Why an engine did not start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StartError {
    /// An option that must not be zero.
    #[error("the engine option {name} must not be 0")]
    Zero {
        /// The option.
        name: &'static str,
    },
    /// The operating system refused a thread.
    #[error("cannot start the engine's threads: {0}")]
    Threads(String),
    /// A draft has other tokens than the model.
    #[error("the draft has other tokens than the model")]
    DraftTokens,
    /// A draft has less context than the model.
    #[error("the draft's context has {draft} tokens, the model's {model}")]
    DraftContext {
        /// The draft's, in tokens.
        draft: u32,
        /// The model's, in tokens.
        model: u32,
    },
}

/// Why a request was not admitted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// As many requests wait as may.
    #[error("{waiting} requests are waiting, which is the most this server queues")]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// There is nothing to continue.
    #[error("the prompt is empty")]
    PromptEmpty,
    /// Prompt and answer do not fit.
    #[error(
        "the prompt has {prompt} tokens and up to {max_tokens} are to be generated, but the context holds {context}"
    )]
    PromptTooLong {
        /// Tokens in the prompt.
        prompt: usize,
        /// Tokens to generate: what was asked for, or 1.
        max_tokens: usize,
        /// Tokens that fit: the model's context, or the engine's key-value budget where that is less.
        context: usize,
    },
    /// A token that the vocabulary lacks, in the prompt or in `logit_bias`.
    #[error("token {token} is not in the vocabulary of {vocabulary}")]
    TokenOutOfRange {
        /// The token.
        token: u32,
        /// The size of the vocabulary.
        vocabulary: u32,
    },
    /// More log probabilities than are reported.
    #[error("{requested} log probabilities per token are asked for, and at most {max} are reported")]
    TooManyLogprobs {
        /// How many were asked for.
        requested: u8,
        /// The most.
        max: u8,
    },
    /// The engine is shutting down.
    #[error("the engine has stopped")]
    Stopped,
}

/// Why a conversation could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The model's file has none.
    #[error("this model has no chat template")]
    Absent,
    /// The template refused the conversation with `raise_exception`. Its words may quote the
    /// conversation: they are for the client, not for logs.
    #[error("the model's chat template refuses this conversation: {0}")]
    Refused(String),
    /// The template failed. The words may quote the conversation, as above.
    #[error("the model's chat template failed: {0}")]
    Failed(String),
    /// The conversation, or what the template made of it, is too large.
    #[error("the conversation is too large: {what} exceeds {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The bound.
        max: usize,
    },
}

impl SubmitError {
    /// A stable word for logs and tests.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::QueueFull { .. } => "queue-full",
            Self::PromptEmpty => "prompt-empty",
            Self::PromptTooLong { .. } => "prompt-too-long",
            Self::TokenOutOfRange { .. } => "token-out-of-range",
            Self::TooManyLogprobs { .. } => "too-many-logprobs",
            Self::Stopped => "stopped",
        }
    }
}

impl TemplateError {
    /// A stable word for logs and tests.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Absent => "template-absent",
            Self::Refused(_) => "template-refused",
            Self::Failed(_) => "template-failed",
            Self::TooLarge { .. } => "template-too-large",
        }
    }
}

/// A computation that failed as a whole. The words carry nothing of what was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the computation failed: {problem}")]
pub struct ComputeError {
    /// What failed.
    problem: &'static str,
}

impl ComputeError {
    pub(crate) fn new(problem: &'static str) -> Self {
        Self { problem }
    }
}

/// Why texts could not be embedded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The computation failed.
    #[error("the embedding could not be computed: {0}")]
    Computation(String),
    /// A text is too large to tokenise.
    #[error("a text has {bytes} bytes, and at most {max} are embedded")]
    TextTooLong {
        /// The text's length.
        bytes: usize,
        /// The longest allowed.
        max: usize,
    },
    /// A token that the model does not have.
    #[error("token {token} is outside the vocabulary of {vocabulary}")]
    TokenOutOfRange {
        /// The token.
        token: u32,
        /// How many tokens there are.
        vocabulary: usize,
    },
}
