//! Running a request's sequences in the engine and gathering what they give.
//!
//! The engine calls back on its own thread and must not be held up, so what it gives goes into a
//! channel without a bound of its own: a sequence gives at most as many pieces as it may generate
//! tokens. A slow reader therefore never occupies the engine, only its own answer's memory.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use vouchsafe_engine::{
    Constraint, FinishReason, GenerateRequest, SubmitError, TextDelta, TokenInfo, ToolPiece, ToolReader,
    Usage,
};
use vouchsafe_receipt::Usage as ReceiptUsage;

use super::sampling::Generation;
use crate::models::{Cancel, Output, TextModel};

/// How long a cancelled sequence gets to say how far it came. The engine promises one token.
const CANCEL_WAIT_MAX: Duration = Duration::from_secs(10);

/// The sequences of one request. Dropping this cancels them.
pub(super) struct Running {
    outputs: mpsc::UnboundedReceiver<(usize, Output)>,
    cancels: Vec<Cancel>,
    choices: Vec<Choice>,
    /// Prompts that are still to be repeated.
    echoes: VecDeque<(usize, String)>,
    /// An end that waits until what was held back is given.
    waiting: Option<usize>,
    per_prompt: usize,
    open: usize,
}

/// What a request's sequences begin with.
pub(super) struct Prepared {
    pub(super) prompts: Vec<Vec<u32>>,
    /// The texts that the answers to the prompts begin with, where they do.
    pub(super) echoes: Vec<String>,
    /// The form that every answer must have.
    pub(super) constraint: Option<Constraint>,
    /// Whether tools may be called.
    pub(super) calls: bool,
}

/// One sequence and what came of it so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Choice {
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
    pub(super) tokens: Vec<TokenInfo>,
    pub(super) end: Option<End>,
    /// Reads calls out of the text, where tools may be called.
    pub(super) reader: Option<ToolReader>,
}

/// A call of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    /// JSON text; cut off where the answer was.
    pub(super) arguments: String,
}

/// What comes of a sequence next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    More(More),
    End,
}

/// More of a choice.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct More {
    pub(super) text: String,
    pub(super) tokens: Vec<TokenInfo>,
    pub(super) calls: Vec<CallPart>,
}

/// A part of the choice's call number `at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallPart {
    pub(super) at: usize,
    /// The name, where the call begins.
    pub(super) name: Option<String>,
    pub(super) arguments: String,
}

impl Choice {
    /// Takes text as it comes, and gives what can be given of it.
    fn take(&mut self, delta: TextDelta) -> More {
        let pieces = match &mut self.reader {
            Some(reader) => reader.push(&delta.text),
            None => vec![ToolPiece::Text(delta.text)],
        };
        self.tokens.extend(delta.tokens.iter().filter(|token| token.logprob.is_some()).cloned());
        More { tokens: delta.tokens, ..self.keep(pieces) }
    }

    /// What was held back, when the sequence has ended.
    fn rest(&mut self) -> More {
        let pieces = self.reader.as_mut().map(ToolReader::finish).unwrap_or_default();
        self.keep(pieces)
    }

    fn keep(&mut self, pieces: Vec<ToolPiece>) -> More {
        let mut more = More::default();
        for piece in pieces {
            match piece {
                ToolPiece::Text(text) => {
                    self.text.push_str(&text);
                    more.text.push_str(&text);
                }
                ToolPiece::Call { name } => {
                    let part =
                        CallPart { at: self.calls.len(), name: Some(name.clone()), arguments: String::new() };
                    more.calls.push(part);
                    self.calls.push(Call { name, arguments: String::new() });
                }
                ToolPiece::Arguments(text) => {
                    let at = self.calls.len().saturating_sub(1);
                    if let Some(call) = self.calls.last_mut() {
                        call.arguments.push_str(&text);
                    }
                    more.calls.push(CallPart { at, name: None, arguments: text });
                }
            }
        }
        more
    }
}

/// How a sequence ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) reason: Reason,
    usage: Usage,
}

/// Why a sequence ended, in the words of execution records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Stop,
    ToolCalls,
    Length,
    Cancelled,
    Failed,
}

impl Reason {
    /// The word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::ToolCalls => "tool_calls",
            Self::Length => "length",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    fn of(reason: &FinishReason, has_calls: bool) -> Self {
        match reason {
            FinishReason::Stop if has_calls => Self::ToolCalls,
            FinishReason::Stop | FinishReason::StopString(_) => Self::Stop,
            FinishReason::Length => Self::Length,
            FinishReason::Cancelled => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

impl Running {
    /// Starts `n` sequences of each prompt. Sequence `i` of all has the seed plus `i`.
    pub(super) fn start(
        model: &dyn TextModel,
        what: Prepared,
        generation: &Generation,
        seed: u64,
    ) -> Result<Self, SubmitError> {
        let (sender, outputs) = mpsc::unbounded_channel();
        let mut running = Self {
            outputs,
            cancels: Vec::new(),
            choices: Vec::new(),
            echoes: VecDeque::new(),
            waiting: None,
            per_prompt: generation.n,
            open: 0,
        };
        let mut sequence_seed = seed;
        let mut echoes = what.echoes.into_iter();
        for prompt in what.prompts {
            let echo = echoes.next().unwrap_or_default();
            for _ in 0..generation.n {
                let mut request = GenerateRequest::new(prompt.clone(), sequence_seed);
                request.sampling = generation.sampling.clone();
                request.stop = generation.stop.clone();
                request.max_tokens = generation.max_tokens;
                request.logprobs = generation.logprobs;
                request.constraint.clone_from(&what.constraint);
                let (index, sender) = (running.choices.len(), sender.clone());
                // An error drops `running`, which cancels the sequences before.
                let cancel = model.submit(
                    request,
                    Box::new(move |output| match sender.send((index, output)) {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(_) => ControlFlow::Break(()),
                    }),
                )?;
                running.cancels.push(cancel);
                let reader = what.calls.then(ToolReader::new);
                running.choices.push(Choice { reader, ..Choice::default() });
                if !echo.is_empty() {
                    running.echoes.push_back((index, echo.clone()));
                }
                running.open = running.open.saturating_add(1);
                sequence_seed = sequence_seed.wrapping_add(1);
            }
        }
        Ok(running)
    }

    /// The next output, gathered and given; `None` when every sequence has ended. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<(usize, Step)> {
        if let Some(index) = self.waiting.take() {
            return Some((index, Step::End));
        }
        if let Some((index, text)) = self.echoes.pop_front() {
            if let Some(choice) = self.choices.get_mut(index) {
                choice.text.push_str(&text);
            }
            return Some((index, Step::More(More { text, ..More::default() })));
        }
        while self.open > 0 {
            let Some((index, output)) = self.outputs.recv().await else {
                // The engine dropped its side without an end: it is gone.
                self.fail_open();
                break;
            };
            let Some(choice) = self.choices.get_mut(index).filter(|choice| choice.end.is_none()) else {
                continue;
            };
            match output {
                Output::Text(delta) => return Some((index, Step::More(choice.take(delta)))),
                Output::Finished { reason, usage } => {
                    let rest = choice.rest();
                    let reason = Reason::of(&reason, !choice.calls.is_empty());
                    choice.end = Some(End { reason, usage });
                    self.open = self.open.saturating_sub(1);
                    if rest == More::default() {
                        return Some((index, Step::End));
                    }
                    self.waiting = Some(index);
                    return Some((index, Step::More(rest)));
                }
            }
        }
        None
    }

    /// Cancels what still runs and waits until the engine has let go of it.
    pub(super) async fn cancel(&mut self) {
        self.cancels.iter().for_each(|cancel| cancel());
        let rest = async { while self.next().await.is_some() {} };
        if timeout(CANCEL_WAIT_MAX, rest).await.is_err() {
            self.fail_open();
        }
    }

    /// The sequences, prompt by prompt.
    pub(super) fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// Why each sequence ended; one that has not is on its way to being cancelled.
    pub(super) fn reasons(&self) -> Vec<String> {
        let reason = |choice: &Choice| choice.end.as_ref().map_or(Reason::Cancelled, |end| end.reason);
        self.choices.iter().map(|choice| reason(choice).as_str().to_owned()).collect()
    }

    /// Whether a sequence failed.
    pub(super) fn failed(&self) -> bool {
        self.choices.iter().any(|choice| choice.end.as_ref().is_some_and(|end| end.reason == Reason::Failed))
    }

    /// Tokens read, each prompt once, and generated.
    pub(super) fn usage(&self) -> ReceiptUsage {
        let ends = || {
            self.choices.iter().enumerate().filter_map(|(index, choice)| Some((index, choice.end.as_ref()?)))
        };
        let is_first = |index: usize| index.checked_rem(self.per_prompt) == Some(0);
        ReceiptUsage {
            prompt_tokens: ends()
                .filter(|(index, _)| is_first(*index))
                .map(|(_, end)| u64::from(end.usage.prompt_tokens))
                .sum(),
            completion_tokens: ends().map(|(_, end)| u64::from(end.usage.completion_tokens)).sum(),
        }
    }

    fn fail_open(&mut self) {
        self.open = 0;
        for choice in &mut self.choices {
            choice.end.get_or_insert(End { reason: Reason::Failed, usage: Usage::default() });
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.open > 0 {
            self.cancels.iter().for_each(|cancel| cancel());
        }
    }
}
