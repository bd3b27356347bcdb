//! Sentence embeddings by decoders such as Qwen3 Embedding, from a GGUF file that says how its states
//! become one vector (see [`decoder`]), and by models of the BERT family, from a folder in the layout of
//! `sentence-transformers`: `config.json`, `model.safetensors`, `tokenizer.json` or `vocab.txt`, and,
//! where they are there, `tokenizer_config.json`, `sentence_bert_config.json`, `1_Pooling/config.json`.
//!
//! A BERT's embedding is the mean (or the first) of its tokens' last hidden states, scaled to length 1.
//! Each text is computed by itself, so its embedding does not depend on what else is in the request.

mod bert;
mod decoder;
mod settings;
mod wordpiece;

use std::path::Path;

use serde::Serialize;

use self::bert::Bert;
use self::decoder::Decoder;
use self::settings::Settings;
use self::wordpiece::WordPieceTokenizer;
use crate::folder::{FileDigest, Folder};
use crate::{EmbedError, LoadError};

/// One text's embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// The vector, of Euclidean length 1.
    pub vector: Vec<f32>,
    /// Tokens read, `[CLS]` and `[SEP]` included, after truncation.
    pub token_count: u32,
}

/// Which embedding model runs. Made by loading one, and only so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EmbeddingIdentity {
    name: String,
    dimensions: usize,
    tokens_max: usize,
    parameters: u64,
    files: Vec<FileDigest>,
}

impl EmbeddingIdentity {
    /// The name that the caller gave.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The length of the vectors.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Longer texts are cut to this many tokens.
    #[must_use]
    pub fn tokens_max(&self) -> usize {
        self.tokens_max
    }

    /// How many weights there are.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Every file that was read, in ascending order of path.
    #[must_use]
    pub fn files(&self) -> &[FileDigest] {
        &self.files
    }
}

/// A sentence-embedding model. It has no state: any number of threads may embed at the same time.
pub struct EmbeddingModel {
    identity: EmbeddingIdentity,
    kind: Kind,
}

enum Kind {
    Bert { settings: Settings, tokenizer: Box<WordPieceTokenizer>, bert: Bert },
    Decoder(Box<Decoder>),
}

impl std::fmt::Debug for EmbeddingModel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EmbeddingModel").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl EmbeddingModel {
    /// The longest text that is tokenised, in bytes.
    pub const TEXT_BYTES_MAX: usize = 1024 * 1024;

    /// Loads a folder or a GGUF file, to be served under `name`. The files are read once, into private memory.
    ///
    /// # Errors
    /// [`LoadError::EmbeddingFile`], naming the file at fault; or what is wrong with the weights.
    pub fn load(path: impl AsRef<Path>, name: &str) -> Result<Self, LoadError> {
        let path = path.as_ref();
        if path.is_file() {
            let decoder = Decoder::load(path)?;
            let identity = decoder.identity(name);
            return Ok(Self { identity, kind: Kind::Decoder(Box::new(decoder)) });
        }
        let mut folder = Folder::open(path);
        let settings = Settings::read(&mut folder)?;
        let tokenizer = WordPieceTokenizer::read(&mut folder, &settings)?;
        let bert = Bert::read(&mut folder, &settings)?;
        let identity = EmbeddingIdentity {
            name: name.to_owned(),
            dimensions: settings.width,
            tokens_max: settings.tokens_max,
            parameters: bert.parameters,
            files: folder.into_digests(),
        };
        Ok(Self { identity, kind: Kind::Bert { settings, tokenizer: Box::new(tokenizer), bert } })
    }

    /// Embeds each text.
    ///
    /// # Errors
    /// A text that is too long to tokenise, or a computation that failed.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        texts.iter().map(|text| self.embed_one(text)).collect()
    }

    fn embed_one(&self, text: &str) -> Result<Embedding, EmbedError> {
        if text.len() > Self::TEXT_BYTES_MAX {
            return Err(EmbedError::TextTooLong { bytes: text.len(), max: Self::TEXT_BYTES_MAX });
        }
        let (tokens, vector) = match &self.kind {
            Kind::Bert { settings, tokenizer, bert } => {
                compute(bert, settings, &tokenizer.encode(text, settings.tokens_max)?)?
            }
            Kind::Decoder(decoder) => decoder.embed(text)?,
        };
        finite(tokens, vector)
    }

    /// Embeds one text that is given as tokens, without those that go around every text.
    ///
    /// # Errors
    /// A token that the model does not have, or a computation that failed.
    pub fn embed_tokens(&self, tokens: &[u32]) -> Result<Embedding, EmbedError> {
        let vocabulary = match &self.kind {
            Kind::Bert { settings, .. } => settings.vocabulary,
            Kind::Decoder(decoder) => decoder.vocabulary(),
        };
        let is_beyond = |token: &u32| usize::try_from(*token).map_or(true, |token| token >= vocabulary);
        if let Some(token) = tokens.iter().copied().find(is_beyond) {
            return Err(EmbedError::TokenOutOfRange { token, vocabulary });
        }
        let (tokens, vector) = match &self.kind {
            Kind::Bert { settings, tokenizer, bert } => {
                let tokens = tokenizer.enclose(tokens.iter().copied(), settings.tokens_max);
                compute(bert, settings, &tokens)?
            }
            Kind::Decoder(decoder) => decoder.embed_tokens(tokens)?,
        };
        finite(tokens, vector)
    }

    /// Which model this is.
    #[must_use]
    pub fn identity(&self) -> &EmbeddingIdentity {
        &self.identity
    }
}

/// How many tokens were read, and the vector.
fn compute(bert: &Bert, settings: &Settings, tokens: &[u32]) -> Result<(usize, Vec<f32>), EmbedError> {
    let vector = bert.embed(tokens, settings).map_err(|error| EmbedError::Computation(error.to_string()))?;
    Ok((tokens.len(), vector))
}

fn finite(tokens: usize, vector: Vec<f32>) -> Result<Embedding, EmbedError> {
    if vector.iter().any(|value| !value.is_finite()) {
        return Err(EmbedError::Computation("the result is not finite".to_owned()));
    }
    Ok(Embedding { vector, token_count: u32::try_from(tokens).unwrap_or(u32::MAX) })
}

#[cfg(test)]
mod tests;
