//! A model: its figures, its weights, and the computation.

mod cache;
mod config;
mod forward;
mod load;
mod matrix;
mod rope;
mod weights;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

pub use self::cache::KvPrecision;
pub(crate) use self::cache::{KvCache, KvStore};
pub(crate) use self::forward::{Slot, Transformer, Want, Workspace};
use crate::kernels::{Level, Matrix, Pool};
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

/// How quantised weights are multiplied. Both give the same bits everywhere, but not each other's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arithmetic {
    /// Weights stay as they are in the file; activations are quantised to 8 bits for each product.
    #[default]
    Integer,
    /// Weights are expanded to f32 when they are loaded: four to eight times the memory.
    Float,
}

/// A model, ready to run.
pub struct Model {
    pub(crate) identity: ModelIdentity,
    pub(crate) transformer: Transformer,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) chat_template: Option<Arc<ChatTemplate>>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Model").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Model {
    /// Reads a GGUF file, or a folder of safetensors as it was published, into private memory: the bytes
    /// that are digested are the bytes that run. The files may change or vanish afterwards. `progress` is
    /// called every few megabytes and at the end.
    ///
    /// # Errors
    /// [`LoadError`], naming what is wrong.
    pub fn load(
        path: impl AsRef<Path>,
        options: &LoadOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, LoadError> {
        let path = path.as_ref();
        if path.is_dir() {
            return load::read_folder(path, options, progress);
        }
        let cannot_open = |source| LoadError::Open { path: path.display().to_string(), source };
        let mut file = File::open(path).map_err(cannot_open)?;
        let bytes_total = file.metadata().map_err(cannot_open)?.len();
        let name = path.file_name().map_or_else(|| UNNAMED.into(), |name| name.to_string_lossy());
        load::read(&mut file, bytes_total, name.into_owned(), options, progress)
    }

    /// The same from a GGUF file's bytes in memory. The identity knows them as `model.gguf`.
    ///
    /// # Errors
    /// [`LoadError`], naming what is wrong.
    pub fn from_bytes(mut bytes: &[u8], options: &LoadOptions) -> Result<Self, LoadError> {
        let bytes_total = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        load::read(&mut bytes, bytes_total, UNNAMED.to_owned(), options, &mut |_| {})
    }

    /// The logits at every position of a sequence: one row of the vocabulary's size for each token, with
    /// keys and values in single precision. For comparison with other implementations; an
    /// [`Engine`](crate::Engine) is what generates.
    ///
    /// # Errors
    /// There are no tokens, one is beyond the vocabulary, or memory is short.
    pub fn logits(&self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, ComputeError> {
        let store = KvStore::new(&self.transformer.config, tokens.len(), 1, KvPrecision::Single);
        let (mut cache, mut space) = (KvCache::new(&Arc::new(store)), Workspace::default());
        let slot = Slot { tokens, cache: &mut cache, want: Want::All };
        self.transformer.forward(&Pool::single(Level::detect()), &mut space, &mut [slot])?;
        let logits = space.logits();
        Ok((0..logits.count()).map(|row| logits.row(row).to_vec()).collect())
    }

    /// Bytes of memory that the packed matrices take.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        self.transformer.weights.matrices().map(Matrix::bytes).fold(0, usize::saturating_add)
    }

    /// Which model this is.
    #[must_use]
    pub fn identity(&self) -> &ModelIdentity {
        &self.identity
    }
}

/// The name of bytes without a file.
const UNNAMED: &str = "model.gguf";

#[cfg(test)]
pub(crate) mod tests;
