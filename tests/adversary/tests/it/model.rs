//! A model that says what it is told to, so that answers are quick and known.
//!
//! The last message's text is split at spaces, and each word is one token of the answer. The word
//! `gate` waits until the test opens the gate, once for each.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use vouchsafe_enclave::{Cancel, Output, OutputSink, TextModel};
use vouchsafe_engine::{
    AnswerForm, ChatMessage, ChatOptions, Constraint, ConstraintError, FinishReason, GenerateRequest,
    SubmitError, TemplateError, TextDelta, TokenInfo, ToolStyle, Usage,
};

#[derive(Default)]
pub(crate) struct Echo {
    /// Lets the next word `gate` pass.
    pub(crate) gate: Arc<Notify>,
    running: Arc<AtomicUsize>,
}

impl TextModel for Echo {
    fn render_chat(&self, messages: &[ChatMessage], _: &ChatOptions) -> Result<Vec<u32>, TemplateError> {
        let text = messages.last().and_then(|message| message.content.clone()).unwrap_or_default();
        Ok(self.tokenize(&text))
    }

    fn tokenize(&self, text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    fn detokenize(&self, tokens: &[u32]) -> String {
        tokens.iter().filter_map(|token| char::from_u32(*token)).collect()
    }

    /// Enforces nothing: it says what it is told to.
    fn constrain(&self, _: &AnswerForm) -> Result<Option<Constraint>, ConstraintError> {
        Ok(None)
    }

    fn tool_style(&self) -> Option<ToolStyle> {
        None
    }

    fn context_length(&self) -> u32 {
        4096
    }

    fn submit(&self, request: GenerateRequest, sink: OutputSink) -> Result<Cancel, SubmitError> {
        let (running, gate) = (Arc::clone(&self.running), Arc::clone(&self.gate));
        running.fetch_add(1, Ordering::SeqCst);
        let cancelled = Arc::new(Notify::new());
        let told = Arc::clone(&cancelled);
        tokio::spawn(async move {
            speak(request, sink, &gate, &told).await;
            running.fetch_sub(1, Ordering::SeqCst);
        });
        Ok(Box::new(move || cancelled.notify_one()))
    }

    fn load(&self) -> (usize, usize) {
        (0, self.running.load(Ordering::SeqCst))
    }
}

async fn speak(request: GenerateRequest, mut sink: OutputSink, gate: &Notify, cancelled: &Notify) {
    let bytes: Vec<u8> = request.prompt.iter().filter_map(|token| u8::try_from(*token).ok()).collect();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (mut said, mut reason) = (0, FinishReason::Stop);
    for word in text.split(' ') {
        if word == "gate" {
            tokio::select! {
                () = gate.notified() => {}
                () = cancelled.notified() => {
                    reason = FinishReason::Cancelled;
                    break;
                }
            }
        }
        said += 1;
        let text = format!("{word} ");
        let token = TokenInfo { id: 7, bytes: text.clone().into(), logprob: None, top: Vec::new() };
        if let ControlFlow::Break(()) = sink(Output::Text(TextDelta { text, tokens: vec![token] })) {
            reason = FinishReason::Cancelled;
            break;
        }
        tokio::task::yield_now().await;
    }
    let prompt_tokens = u32::try_from(request.prompt.len()).unwrap_or(u32::MAX);
    let usage = Usage { prompt_tokens, completion_tokens: said };
    let _ = sink(Output::Finished { reason, usage });
}
