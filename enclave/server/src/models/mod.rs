//! The models that this boot serves: what the API needs of them, and what the boot statement says.
//!
//! Loading belongs to the engine; [`TextModel`] and [`EmbedModel`] are the seams through which the
//! API reaches it, so that the server can be tested against an engine that fails on purpose.

mod engine;
mod load;

use std::ops::ControlFlow;
use std::sync::Arc;

use vouchsafe_engine::{
    AnswerForm, ChatMessage, ChatOptions, Constraint, ConstraintError, EmbedError, Embedding, FinishReason,
    GenerateRequest, SubmitError, TemplateError, TextDelta, ToolStyle, Usage,
};
use vouchsafe_receipt::ModelManifest;
use vouchsafe_verifier::crypto::Ring;

pub use load::{ModelSource, Progress, load, manifests};

use crate::ServeError;

/// What a request's sink receives: any number of texts, then the end.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// More of the answer.
    Text(TextDelta),
    /// The end. Nothing follows.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// Tokens read and generated.
        usage: Usage,
    },
}

/// Where outputs go. Must not block; `Break` cancels the request.
pub type OutputSink = Box<dyn FnMut(Output) -> ControlFlow<()> + Send>;

/// Stops a running request. Calling it when the request has ended does nothing.
pub type Cancel = Box<dyn Fn() + Send + Sync>;

/// A model that writes text.
pub trait TextModel: Send + Sync {
    /// Renders a conversation and tokenises it. May take a while for a long one.
    ///
    /// # Errors
    /// The model has no template, the template refuses, or a bound is exceeded.
    fn render_chat(&self, messages: &[ChatMessage], options: &ChatOptions)
    -> Result<Vec<u32>, TemplateError>;
    /// Tokenises a prompt for completion.
    fn tokenize(&self, text: &str) -> Vec<u32>;
    /// The text of a prompt's tokens; of those that are none of the model's, nothing.
    fn detokenize(&self, tokens: &[u32]) -> String;
    /// Compiles the form that an answer must have. May take a while.
    ///
    /// # Errors
    /// The form cannot be enforced.
    fn constrain(&self, form: &AnswerForm) -> Result<Option<Constraint>, ConstraintError>;
    /// How its template takes tools; `None` where that is not supported.
    fn tool_style(&self) -> Option<ToolStyle>;
    /// The longest sequence in tokens, prompt and answer together.
    fn context_length(&self) -> u32;
    /// Admits a request or refuses it at once.
    ///
    /// # Errors
    /// The queue is full, or the request can never run.
    fn submit(&self, request: GenerateRequest, sink: OutputSink) -> Result<Cancel, SubmitError>;
    /// Sequences that wait and that run.
    fn load(&self) -> (usize, usize);
}

/// A model that turns texts into vectors. Its methods block while they compute.
pub trait EmbedModel: Send + Sync {
    /// Embeds each text.
    ///
    /// # Errors
    /// [`EmbedError`] where a text is too large or the computation fails.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError>;
    /// Embeds one text that is given as the model's own tokens, without those that go around each text.
    ///
    /// # Errors
    /// [`EmbedError`] where a token is none of the model's or the computation fails.
    fn embed_tokens(&self, tokens: &[u32]) -> Result<Embedding, EmbedError>;
    /// The length of the vectors.
    fn dimensions(&self) -> usize;
}

/// What a model can do.
#[derive(Clone)]
pub(crate) enum Kind {
    Text(Arc<dyn TextModel>),
    Embed(Arc<dyn EmbedModel>),
}

/// A model as served.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) manifest: Arc<ModelManifest>,
    /// The manifest's digest, as receipts name it.
    pub(crate) digest: [u8; 32],
    pub(crate) kind: Kind,
}

/// Every model of this boot, by name.
#[derive(Clone, Default)]
pub struct Models {
    served: Vec<Served>,
}

impl Models {
    /// No model yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a model that writes text.
    ///
    /// # Errors
    /// [`ServeError::ModelName`] when the name is taken.
    pub fn add_text(&mut self, manifest: ModelManifest, model: Arc<dyn TextModel>) -> Result<(), ServeError> {
        self.add(manifest, Kind::Text(model))
    }

    /// Adds a model that makes embeddings.
    ///
    /// # Errors
    /// [`ServeError::ModelName`] when the name is taken.
    pub fn add_embed(
        &mut self,
        manifest: ModelManifest,
        model: Arc<dyn EmbedModel>,
    ) -> Result<(), ServeError> {
        self.add(manifest, Kind::Embed(model))
    }

    fn add(&mut self, manifest: ModelManifest, kind: Kind) -> Result<(), ServeError> {
        if self.by_name(&manifest.name).is_some() {
            return Err(ServeError::ModelName { name: manifest.name });
        }
        let digest = manifest.digest(&Ring);
        self.served.push(Served { manifest: Arc::new(manifest), digest, kind });
        Ok(())
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Served> {
        self.served.iter().find(|model| model.manifest.name == name)
    }

    pub(crate) fn all(&self) -> &[Served] {
        &self.served
    }

    /// Sequences that wait and that run, over all models.
    pub(crate) fn load(&self) -> (usize, usize) {
        let loads = self.served.iter().filter_map(|model| match &model.kind {
            Kind::Text(model) => Some(model.load()),
            Kind::Embed(_) => None,
        });
        loads.fold((0, 0), |sum, load| (load.0.saturating_add(sum.0), load.1.saturating_add(sum.1)))
    }

    pub(crate) fn manifests(&self) -> Vec<ModelManifest> {
        self.served.iter().map(|model| ModelManifest::clone(&model.manifest)).collect()
    }
}
