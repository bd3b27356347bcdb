//! Language-model inference: weights, tokenizer, chat template, sampler, scheduler.
//!
//! A [`Model`] is loaded from one GGUF file, or from a folder of safetensors; an [`Engine`] owns it and a worker thread, admits
//! [`GenerateRequest`]s within fixed bounds and streams [`Event`]s to each request's sink. Sentence
//! embeddings are a separate, stateless [`EmbeddingModel`].
//!
//! The engine knows nothing of HTTP, TLS, attestation or asynchronous runtimes, and it takes nothing
//! from its surroundings: the date that a chat template may print, and the seed of a request, are
//! arguments. Everything read from a model file is treated as hostile.
//!
//! # Reproducibility
//! A request's tokens are determined to the bit by the weights, the prompt, the parameters, the seed, the
//! kernels' version ([`EngineVersion`]), [`Arithmetic`] and [`KvPrecision`]. The processor, the number
//! of threads, the pieces in which a prompt is read, and what else runs at the same time change nothing:
//! the header of the `kernels` module says how. The same holds for a decoder's embeddings; those of the
//! BERT family are computed by the tensor library, and may differ in their last bits between processors.
//!
//! # Example
//! ```no_run
//! use std::ops::ControlFlow;
//! use vouchsafe_engine::{
//!     ChatMessage, ChatOptions, Engine, EngineOptions, Event, GenerateRequest, LoadOptions, Model, Role,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::load("model.gguf", &LoadOptions::default(), &mut |_progress| {})?;
//! let engine = Engine::start(model, EngineOptions::default())?;
//! let prompt = engine.render_chat(&[ChatMessage::new(Role::User, "Hello")], &ChatOptions::default())?;
//! let (done, wait) = std::sync::mpsc::channel();
//! let request = GenerateRequest::new(prompt, 42);
//! engine.submit(
//!     request,
//!     Box::new(move |event| {
//!         match event {
//!             Event::Text(delta) => print!("{}", delta.text),
//!             Event::Finished(_) => drop(done.send(())),
//!             _ => {}
//!         }
//!         ControlFlow::Continue(())
//!     }),
//! )?;
//! wait.recv()?;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

mod chat;
mod checkpoint;
mod constraint;
mod embedding;
mod engine;
mod error;
mod folder;
mod gguf;
mod identity;
mod json;
mod kernels;
mod model;
mod request;
mod sampling;
mod template;
mod tokenizer;
mod tools;

pub use chat::{ChatMessage, ChatOptions, Role, ToolCall};
pub use constraint::{AnswerForm, Constraint, ConstraintError};
pub use embedding::{Embedding, EmbeddingIdentity, EmbeddingModel};
pub use engine::{Engine, EngineOptions, JobHandle, Load, ReuseKey, Savings, Sink};
pub use error::{ComputeError, EmbedError, LoadError, ParamError, StartError, SubmitError, TemplateError};
pub use folder::FileDigest;
pub use identity::{EngineVersion, ModelIdentity};
pub use json::Json;
pub use model::{Arithmetic, KvPrecision, LoadOptions, Model, Progress};
pub use request::{
    Event, Finish, FinishReason, GenerateRequest, StopStrings, TextDelta, Timing, TokenInfo, TopToken, Usage,
};
pub use sampling::{SamplingOptions, SamplingParams};
pub use tools::{Tool, ToolChoice, ToolPiece, ToolReader, ToolStyle, ToolUse};
