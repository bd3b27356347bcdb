//! A model that does what its prompt says, so that every way an answer can go is on demand.
//!
//! The last message's text is a command: `say a b c` answers with those words, `slow N MS` with N
//! words one every MS milliseconds, `write TEXT` with exactly that text in small pieces, `fail` breaks down after a word, `hang` says nothing until it is
//! cancelled, `panic` panics while the prompt is rendered.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use vouchsafe_enclave::{Cancel, EmbedModel, Output, OutputSink, TextModel};
use vouchsafe_engine::{
    AnswerForm, ChatMessage, ChatOptions, Constraint, ConstraintError, EmbedError, Embedding, FinishReason,
    GenerateRequest, SubmitError, TemplateError, TextDelta, TokenInfo, ToolStyle, TopToken, Usage,
};

/// Tokens of context.
pub(crate) const CONTEXT: usize = 200;

#[derive(Default)]
pub(crate) struct Script {
    running: Arc<AtomicUsize>,
    most: AtomicUsize,
}

impl Script {
    /// Sequences that have been neither finished nor cancelled.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// The most that ran at once.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl TextModel for Script {
    fn render_chat(&self, messages: &[ChatMessage], _: &ChatOptions) -> Result<Vec<u32>, TemplateError> {
        let text = messages.last().and_then(|message| message.content.clone()).unwrap_or_default();
        assert!(!text.starts_with("panic"), "on purpose");
        if text.starts_with("refuse") {
            return Err(TemplateError::Refused("roles must alternate".into()));
        }
        Ok(self.tokenize(&text))
    }

    fn tokenize(&self, text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    fn detokenize(&self, tokens: &[u32]) -> String {
        tokens.iter().filter_map(|token| char::from_u32(*token)).collect()
    }

    /// Enforces nothing: what the script says is what is said.
    fn constrain(&self, _: &AnswerForm) -> Result<Option<Constraint>, ConstraintError> {
        Ok(None)
    }

    fn tool_style(&self) -> Option<ToolStyle> {
        Some(ToolStyle::Template)
    }

    fn context_length(&self) -> u32 {
        u32::try_from(CONTEXT).unwrap()
    }

    fn submit(&self, request: GenerateRequest, sink: OutputSink) -> Result<Cancel, SubmitError> {
        let prompt = request.prompt.len();
        let max_tokens = request.max_tokens.map_or(1, |max| max.get() as usize);
        if prompt + max_tokens > CONTEXT {
            return Err(SubmitError::PromptTooLong { prompt, max_tokens, context: CONTEXT });
        }
        let text: String =
            request.prompt.iter().map(|token| char::from(u8::try_from(*token).unwrap())).collect();
        if text.starts_with("full") {
            return Err(SubmitError::QueueFull { waiting: 3 });
        }
        let running = Arc::clone(&self.running);
        self.most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let cancelled = Arc::new(Notify::new());
        let play = Play { text, request, sink, said: 0 };
        let told = Arc::clone(&cancelled);
        tokio::spawn(async move {
            play.run(&told).await;
            running.fetch_sub(1, Ordering::SeqCst);
        });
        Ok(Box::new(move || cancelled.notify_one()))
    }

    fn load(&self) -> (usize, usize) {
        (0, self.running())
    }
}

struct Play {
    text: String,
    request: GenerateRequest,
    sink: OutputSink,
    said: u32,
}

impl Play {
    async fn run(mut self, cancelled: &Notify) {
        let reason = tokio::select! {
            biased;
            () = cancelled.notified() => FinishReason::Cancelled,
            reason = self.script() => reason,
        };
        let prompt_tokens = u32::try_from(self.request.prompt.len()).unwrap();
        let usage = Usage { prompt_tokens, completion_tokens: self.said };
        let _ = (self.sink)(Output::Finished { reason, usage });
    }

    async fn script(&mut self) -> FinishReason {
        let text = self.text.clone();
        let mut words = text.split(' ');
        match words.next() {
            Some("say") => {
                for word in words {
                    if let Some(reason) = self.say(word) {
                        return reason;
                    }
                    tokio::task::yield_now().await;
                }
                FinishReason::Stop
            }
            Some("write") => {
                let text: Vec<char> = text.chars().skip("write ".len()).collect();
                for piece in text.chunks(5) {
                    if let Some(reason) = self.give(piece.iter().collect()) {
                        return reason;
                    }
                }
                FinishReason::Stop
            }
            Some("seed") => {
                let seed = self.request.seed.to_string();
                self.say(&seed).unwrap_or(FinishReason::Stop)
            }
            Some("slow") => {
                let count: usize = words.next().unwrap().parse().unwrap();
                let pause = Duration::from_millis(words.next().unwrap().parse().unwrap());
                for _ in 0..count {
                    sleep(pause).await;
                    if let Some(reason) = self.say("word") {
                        return reason;
                    }
                }
                FinishReason::Stop
            }
            Some("fail") => {
                self.say("partial");
                sleep(Duration::from_millis(10)).await;
                FinishReason::Failed("on purpose")
            }
            _ => std::future::pending().await,
        }
    }

    /// Says a word with a space, one token; the reason to stop, if there is one.
    fn say(&mut self, word: &str) -> Option<FinishReason> {
        self.give(format!("{word} "))
    }

    fn give(&mut self, text: String) -> Option<FinishReason> {
        self.said += 1;
        let top = |count: u8| {
            (0..count).map(|_| TopToken { id: 7, bytes: text.clone().into(), logprob: -0.25 }).collect()
        };
        let token = TokenInfo {
            id: 7,
            bytes: text.clone().into(),
            logprob: self.request.logprobs.map(|_| -0.25),
            top: self.request.logprobs.map(top).unwrap_or_default(),
        };
        match (self.sink)(Output::Text(TextDelta { text, tokens: vec![token] })) {
            ControlFlow::Break(()) => Some(FinishReason::Cancelled),
            ControlFlow::Continue(()) => {
                let is_last = self.request.max_tokens.is_some_and(|max| self.said >= max.get());
                is_last.then_some(FinishReason::Length)
            }
        }
    }
}

/// Vectors of three figures about the text; for the text `slow` after a while.
pub(crate) struct Figures;

/// How often `slow` was computed.
pub(crate) static SLOW_COMPUTED: AtomicUsize = AtomicUsize::new(0);

impl EmbedModel for Figures {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        texts
            .iter()
            .inspect(|text| {
                if **text == "slow" {
                    std::thread::sleep(Duration::from_millis(5));
                    SLOW_COMPUTED.fetch_add(1, Ordering::SeqCst);
                }
            })
            .map(|text| match text.len() {
                length if length > 100 => Err(EmbedError::TextTooLong { bytes: length, max: 100 }),
                length => Ok(Embedding { vector: vec![length as f32, 1.0, -1.0], token_count: 2 }),
            })
            .collect()
    }

    fn embed_tokens(&self, tokens: &[u32]) -> Result<Embedding, EmbedError> {
        match tokens.iter().copied().find(|token| *token > 999) {
            Some(token) => Err(EmbedError::TokenOutOfRange { token, vocabulary: 1000 }),
            None => Ok(Embedding { vector: vec![tokens.len() as f32, 0.0, 0.0], token_count: 4 }),
        }
    }

    fn dimensions(&self) -> usize {
        3
    }
}
