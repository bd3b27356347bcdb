//! Sentence embeddings by models of the BERT family.

use std::path::Path;

use crate::{EmbedError, LoadError};

/// One text's embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// The vector, of Euclidean length 1.
    pub vector: Vec<f32>,
    /// Tokens read, special tokens included, after truncation.
    pub token_count: u32,
}

/// A sentence-embedding model.
pub struct EmbeddingModel {}

impl EmbeddingModel {
    /// Loads a folder in the layout of `sentence-transformers`.
    ///
    /// # Errors
    /// [`LoadError`], naming the file at fault.
    pub fn load(_folder: impl AsRef<Path>) -> Result<Self, LoadError> {
        Err(LoadError::NotGguf)
    }

    /// Embeds each text.
    ///
    /// # Errors
    /// [`EmbedError`] where the computation fails.
    pub fn embed(&self, _texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        Err(EmbedError::Computation(String::new()))
    }

    /// The length of the vectors.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        0
    }
}
