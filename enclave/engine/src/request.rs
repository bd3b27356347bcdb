//! A request for text and the events that answer it.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::{Constraint, ParamError, ReuseKey, SamplingParams};

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GenerateRequest {
    /// The prompt's tokens, from [`Engine::render_chat`](crate::Engine::render_chat) or
    /// [`Engine::tokenize`](crate::Engine::tokenize).
    pub prompt: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Texts that end the answer and are not part of it.
    pub stop: StopStrings,
    /// The most tokens to generate; `None` means as many as the context and the engine's key-value
    /// budget hold.
    pub max_tokens: Option<NonZeroU32>,
    /// Report the log probability of each chosen token and of this many of the likeliest ones (0 to
    /// 20); `None` reports none.
    pub logprobs: Option<u8>,
    /// The form that the answer must have, from [`Engine::constrain`](crate::Engine::constrain).
    pub constraint: Option<Constraint>,
    /// The seed of this request's random numbers. The caller draws it where the client gave none: the
    /// engine has no source of randomness.
    pub seed: u64,
    /// Under which key to look for the prompt's beginning among what earlier requests computed, and to
    /// keep what this one computes; `None` shares nothing. It changes when the answer comes, not what it
    /// is: see [`ReuseKey`].
    pub reuse: Option<ReuseKey>,
    /// Whether to guess tokens from what is already there and compute several at a time. It changes no
    /// answer, but when its parts come: how well guesses do shows in the timing of a stream.
    pub speculate: bool,
    /// What the answer may well be, as when it is computed again: guessed first, whatever `speculate`
    /// says. It changes no answer; one that is as expected takes about as long as reading it.
    pub expected: Vec<u32>,
}

impl GenerateRequest {
    /// A request with default parameters.
    #[must_use]
    pub fn new(prompt: Vec<u32>, seed: u64) -> Self {
        Self {
            prompt,
            sampling: SamplingParams::default(),
            stop: StopStrings::default(),
            max_tokens: None,
            logprobs: None,
            constraint: None,
            seed,
            reuse: None,
            speculate: false,
            expected: Vec::new(),
        }
    }
}

/// Validated stop strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopStrings(Vec<String>);

impl StopStrings {
    /// The most strings in one request.
    pub const COUNT_MAX: usize = 16;
    /// The longest string, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// Accepts up to 16 strings of 1 to 512 bytes.
    ///
    /// # Errors
    /// Names the parameter `stop`.
    pub fn new(strings: Vec<String>) -> Result<Self, ParamError> {
        if strings.len() > Self::COUNT_MAX {
            return Err(ParamError::TooMany { name: "stop", count: strings.len(), max: Self::COUNT_MAX });
        }
        for text in &strings {
            if text.is_empty() {
                return Err(ParamError::Empty { name: "stop" });
            }
            if text.len() > Self::BYTES_MAX {
                return Err(ParamError::TooLong { name: "stop", bytes: text.len(), max: Self::BYTES_MAX });
            }
        }
        Ok(Self(strings))
    }

    /// The strings, in the caller's order.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// What a request's sink receives: `Started` once, `Text` any number of times, `Finished` once. A
/// request that is cancelled while it waits gets only `Finished`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The request left the queue and its prompt is being read.
    Started {
        /// Tokens in the prompt.
        prompt_tokens: u32,
        /// The seed in use.
        seed: u64,
    },
    /// More of the answer.
    Text(TextDelta),
    /// The end. Nothing follows.
    Finished(Finish),
}

/// A piece of the answer: whole characters, and the tokens that end in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextDelta {
    /// The text. Empty only where tokens without text (control tokens) are reported.
    pub text: String,
    /// The tokens whose bytes end in this piece, in order. A token that begins a stop string is left
    /// out, as the stop string is.
    pub tokens: Vec<TokenInfo>,
}

/// One chosen token.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenInfo {
    /// Its id.
    pub id: u32,
    /// The bytes it stands for; not necessarily whole characters.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its probability under the model's own distribution: softmax of the
    /// raw logits, before bias, penalties, temperature and truncation. `None` unless asked for.
    pub logprob: Option<f32>,
    /// The likeliest tokens at this position, in descending order, as many as were asked for.
    pub top: Vec<TopToken>,
}

/// One of the likeliest tokens at a position.
#[derive(Debug, Clone, PartialEq)]
pub struct TopToken {
    /// Its id.
    pub id: u32,
    /// The bytes it stands for.
    pub bytes: Vec<u8>,
    /// As in [`TokenInfo::logprob`].
    pub logprob: f32,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finish {
    /// Why it ended.
    pub reason: FinishReason,
    /// Tokens read and generated.
    pub usage: Usage,
    /// How long it took.
    pub timing: Timing,
}

/// Why a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model chose an end-of-generation token.
    Stop,
    /// A stop string appeared.
    StopString(String),
    /// `max_tokens`, or the end of the context.
    Length,
    /// The caller cancelled, the sink broke off, or the engine is shutting down.
    Cancelled,
    /// This request's computation failed; other requests are not affected. The words are for logs and
    /// carry nothing of the prompt or the answer.
    Failed(&'static str),
}

/// Tokens read and generated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens in the prompt.
    pub prompt_tokens: u32,
    /// Tokens chosen, the end-of-generation token and a stop string's tokens included.
    pub completion_tokens: u32,
}

/// Durations by the machine's monotonic clock: for display, never for a decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// From submission until the request left the queue.
    pub queued: Duration,
    /// From then until the first token was chosen.
    pub prefill: Duration,
    /// From then until the end.
    pub decode: Duration,
}
