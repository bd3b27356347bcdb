//! The engine behind the seams.

use vouchsafe_engine::{
    AnswerForm, ChatMessage, ChatOptions, Constraint, ConstraintError, EmbedError, Embedding, EmbeddingModel,
    Engine, Event, GenerateRequest, SubmitError, TemplateError, ToolStyle,
};

use super::{Cancel, EmbedModel, Output, OutputSink, TextModel};

impl TextModel for Engine {
    fn render_chat(
        &self,
        messages: &[ChatMessage],
        options: &ChatOptions,
    ) -> Result<Vec<u32>, TemplateError> {
        Self::render_chat(self, messages, options)
    }

    fn tokenize(&self, text: &str) -> Vec<u32> {
        Self::tokenize(self, text)
    }

    fn detokenize(&self, tokens: &[u32]) -> String {
        Self::detokenize(self, tokens)
    }

    fn constrain(&self, form: &AnswerForm) -> Result<Option<Constraint>, ConstraintError> {
        Self::constrain(self, form)
    }

    fn tool_style(&self) -> Option<ToolStyle> {
        Self::tool_style(self)
    }

    fn context_length(&self) -> u32 {
        Self::context_length(self)
    }

    fn submit(&self, request: GenerateRequest, mut sink: OutputSink) -> Result<Cancel, SubmitError> {
        let handle = Self::submit(
            self,
            request,
            Box::new(move |event| match event {
                Event::Text(delta) => sink(Output::Text(delta)),
                Event::Finished(finish) => {
                    sink(Output::Finished { reason: finish.reason, usage: finish.usage })
                }
                _ => std::ops::ControlFlow::Continue(()),
            }),
        )?;
        Ok(Box::new(move || handle.cancel()))
    }

    fn load(&self) -> (usize, usize) {
        let load = Self::load(self);
        (load.queued, load.running)
    }
}

impl EmbedModel for EmbeddingModel {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        Self::embed(self, texts)
    }

    fn embed_tokens(&self, tokens: &[u32]) -> Result<Embedding, EmbedError> {
        Self::embed_tokens(self, tokens)
    }

    fn dimensions(&self) -> usize {
        self.identity().dimensions()
    }
}
