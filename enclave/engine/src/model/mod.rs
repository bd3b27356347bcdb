//! A model loaded from a GGUF file.

use std::path::Path;

use crate::{LoadError, ModelIdentity};

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
}

/// A model, ready to run.
pub struct Model {
    identity: ModelIdentity,
}

impl Model {
    /// Reads a GGUF file into private memory: the bytes that are digested are the bytes that run.
    ///
    /// # Errors
    /// [`LoadError`], naming what is wrong.
    pub fn load(
        _path: impl AsRef<Path>,
        _options: &LoadOptions,
        _progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, LoadError> {
        Err(LoadError::NotGguf)
    }

    /// The same from bytes in memory.
    ///
    /// # Errors
    /// [`LoadError`], naming what is wrong.
    pub fn from_bytes(_bytes: &[u8], _options: &LoadOptions) -> Result<Self, LoadError> {
        Err(LoadError::NotGguf)
    }

    /// Which model this is.
    #[must_use]
    pub fn identity(&self) -> &ModelIdentity {
        &self.identity
    }
}
