//! The two families of answers: choices, which chats and completions have, and responses.

use vouchsafe_receipt::Usage;

use super::generate::{Choice, More};
use super::responses::ResponseWords;
use super::sampling::Streaming;
use super::wording::Wording;

/// How an answer is worded.
#[derive(Debug)]
pub(super) enum Words {
    Choices(Wording),
    Response(Box<ResponseWords>),
}

impl Words {
    /// The whole answer.
    pub(super) fn whole(&mut self, choices: &[Choice], usage: Usage) -> Vec<u8> {
        match self {
            Self::Choices(words) => words.whole(choices, usage),
            Self::Response(words) => words.whole(choices, usage),
        }
    }

    /// A stream's events before anything is generated.
    pub(super) fn opening(&mut self, choices: usize, how: Streaming) -> Vec<Vec<u8>> {
        match self {
            Self::Choices(words) => (0..choices).filter_map(|index| words.opening(index, how)).collect(),
            Self::Response(words) => words.opening(how),
        }
    }

    /// The events of more of a choice.
    pub(super) fn more(&mut self, index: usize, more: &More, how: Streaming) -> Vec<Vec<u8>> {
        match self {
            Self::Choices(words) => {
                let says = !more.text.is_empty() || !more.calls.is_empty();
                let says = says || (words.logprobs && !more.tokens.is_empty());
                says.then(|| words.delta(index, more, how)).into_iter().collect()
            }
            Self::Response(words) => words.more(more, how),
        }
    }

    /// The events of a choice's end.
    pub(super) fn end(&mut self, index: usize, choice: &Choice, how: Streaming) -> Vec<Vec<u8>> {
        match self {
            Self::Choices(words) => {
                let reason = choice.end.as_ref().map(|end| end.reason.as_str());
                reason.map(|reason| words.end(index, reason, how)).into_iter().collect()
            }
            Self::Response(words) => words.end(choice, how),
        }
    }

    /// The event after the last choice, where there is one.
    pub(super) fn close(&mut self, choices: &[Choice], usage: Usage, how: Streaming) -> Option<Vec<u8>> {
        match self {
            Self::Choices(words) => how.usage.then(|| words.usage(usage, how)),
            Self::Response(words) => Some(words.close(choices, usage, how)),
        }
    }
}
