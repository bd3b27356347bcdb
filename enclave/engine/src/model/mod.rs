//! A model loaded from a GGUF file.

mod cache;
mod config;
mod forward;
mod load;
mod matrix;
mod weights;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

pub(crate) use self::cache::KvCache;
pub(crate) use self::forward::{Transformer, Want};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::{ComputeError, LoadError, ModelIdentity};

/// How far loading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read and digested.
    pub bytes_done: u64,
    /// Bytes in the file.
    pub bytes_total: u64,
}

/// How to load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The name to serve the model under, where not the file's own `general.name`.
    pub name: Option<String>,
    /// Use at most this many tokens of context, where that is less than the model's own.
    pub context_length_max: Option<u32>,
    /// How to multiply with quantised weights.
    pub arithmetic: Arithmetic,
}

/// How quantised weights are multiplied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arithmetic {
    /// In floats for models of up to [`Self::SMALL_PARAMETERS_MAX`] weights, in integers for larger
    /// ones. The integer kernels hand every product to several threads, which for a small model costs
    /// more than the product, and a hundred times more on a machine that is busy otherwise.
    #[default]
    Automatic,
    /// Weights stay as they are in the file; activations are quantised for each product.
    Integer,
    /// Weights are expanded to f32 when they are loaded.
    Float,
}

impl Arithmetic {
    /// The most weights that [`Self::Automatic`] takes for a small model: 64 MB in floats.
    pub const SMALL_PARAMETERS_MAX: u64 = 16 * 1024 * 1024;

    fn expands(self, parameters: u64) -> bool {
        match self {
            Self::Automatic => parameters <= Self::SMALL_PARAMETERS_MAX,
            Self::Integer => false,
            Self::Float => true,
        }
    }
}

/// A model, ready to run.
pub struct Model {
    pub(crate) identity: ModelIdentity,
    pub(crate) transformer: Transformer,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) chat_template: Option<Arc<ChatTemplate>>,
    /// Whether all weights are in f32: see [`Arithmetic`].
    pub(crate) expanded: bool,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Model").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Model {
    /// Reads a GGUF file into private memory: the bytes that are digested are the bytes that run. The
    /// file may change or vanish afterwards. `progress` is called every few megabytes and at the end.
    ///
    /// # Errors
    /// [`LoadError`], naming what is wrong.
    pub fn load(
        path: impl AsRef<Path>,
        options: &LoadOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let cannot_open = |source| LoadError::Open { path: path.display().to_string(), source };
        let mut file = File::open(path).map_err(cannot_open)?;
        let bytes_total = file.metadata().map_err(cannot_open)?.len();
        load::read(&mut file, bytes_total, options, progress)
    }

    /// The same from bytes in memory.
    ///
    /// # Errors
    /// [`LoadError`], naming what is wrong.
    pub fn from_bytes(mut bytes: &[u8], options: &LoadOptions) -> Result<Self, LoadError> {
        let bytes_total = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        load::read(&mut bytes, bytes_total, options, &mut |_| {})
    }

    /// The logits at every position of a sequence: one row of the vocabulary's size for each token.
    /// For comparison with other implementations; an [`Engine`](crate::Engine) is what generates.
    ///
    /// # Errors
    /// What the tensor library says.
    pub fn logits(&self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, ComputeError> {
        let rows = || {
            let mut cache = KvCache::new(&self.transformer.config, tokens.len())?;
            match self.transformer.forward(tokens, &mut cache, Want::All)? {
                Some(logits) => logits.to_vec2::<f32>(),
                None => Ok(Vec::new()),
            }
        };
        rows().map_err(|error: candle_core::Error| ComputeError { problem: error.to_string() })
    }

    /// Which model this is.
    #[must_use]
    pub fn identity(&self) -> &ModelIdentity {
        &self.identity
    }
}

#[cfg(test)]
pub(crate) mod tests;
