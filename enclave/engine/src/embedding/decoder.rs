//! Embeddings by a decoder: Qwen3 Embedding and its like, from one GGUF file.
//!
//! The file's `pooling_type` says what the vector is: the last token's state, or the mean of all, each
//! behind the last norm, scaled to length 1. A text gets the tokens around it that the file asks for
//! (Qwen3's ends with `<|endoftext|>`), also where it is cut to the context's length. Computed with the
//! engine's own kernels, so the bits are the same everywhere; one thread for each text, and a
//! bounded memory for its keys and values.
//!
//! Numbers of poolings: `llama_pooling_type` in llama.cpp's `llama.h`.

use std::path::Path;
use std::sync::Arc;

use super::EmbeddingIdentity;
use crate::kernels::{Level, POSITIONS_PER_BLOCK, Pool};
use crate::model::{KvCache, KvPrecision, KvStore, Slot, Want, Workspace};
use crate::{EmbedError, LoadError, LoadOptions, Model};

/// A model whose states become embeddings.
pub(super) struct Decoder {
    model: Model,
    pooling: Pooling,
    tokens_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pooling {
    Mean,
    Last,
}

impl Decoder {
    pub(super) fn load(path: &Path) -> Result<Self, LoadError> {
        let model = Model::load(path, &LoadOptions::default(), &mut |_| {})?;
        let pooling = match model.transformer.config.pooling {
            Some(1) => Pooling::Mean,
            Some(3) => Pooling::Last,
            other => {
                let feature = match other {
                    None => "embeddings from a file without pooling_type".to_owned(),
                    Some(number) => format!("embeddings with the pooling type {number}"),
                };
                return Err(LoadError::UnsupportedFeature { feature });
            }
        };
        let tokens_max = tokens_max(&model, KV_BYTES_MAX);
        Ok(Self { model, pooling, tokens_max })
    }

    pub(super) fn identity(&self, name: &str) -> EmbeddingIdentity {
        let identity = self.model.identity();
        EmbeddingIdentity {
            name: name.to_owned(),
            dimensions: self.model.transformer.config.width,
            tokens_max: self.tokens_max,
            parameters: identity.parameters(),
            files: identity.files().to_vec(),
        }
    }

    /// How many tokens were read, and the vector.
    pub(super) fn embed(&self, text: &str) -> Result<(usize, Vec<f32>), EmbedError> {
        self.compute(self.model.tokenizer.encode_sequence(text))
    }

    /// The same of a text that is given as tokens, without those that go around every text.
    pub(super) fn embed_tokens(&self, tokens: &[u32]) -> Result<(usize, Vec<f32>), EmbedError> {
        self.compute(self.model.tokenizer.leading_bos().iter().chain(tokens).copied().collect())
    }

    /// How many tokens there are.
    pub(super) fn vocabulary(&self) -> usize {
        usize::try_from(self.model.identity().vocabulary()).unwrap_or(usize::MAX)
    }

    #[cfg(test)]
    pub(super) fn tokens_of(&self, text: &str) -> Vec<u32> {
        self.model.tokenizer.encode_text(text)
    }

    fn compute(&self, mut tokens: Vec<u32>) -> Result<(usize, Vec<f32>), EmbedError> {
        let failed = |problem: &str| EmbedError::Computation(problem.to_owned());
        let end = self.model.tokenizer.trailing_eos();
        tokens.truncate(self.tokens_max.saturating_sub(end.iter().count()));
        tokens.extend(end);
        if tokens.is_empty() {
            return Err(failed("the text has no tokens"));
        }
        let transformer = &self.model.transformer;
        let store = KvStore::new(&transformer.config, tokens.len(), 1, KvPrecision::default());
        let (mut cache, mut space) = (KvCache::new(&Arc::new(store)), Workspace::default());
        let pool = Pool::single(Level::detect());
        let mut sums = vec![0.0_f64; transformer.config.width];
        let mut pieces = tokens.chunks(PIECE_TOKENS).peekable();
        while let Some(tokens) = pieces.next() {
            let want = match self.pooling {
                Pooling::Mean => Want::All,
                Pooling::Last if pieces.peek().is_none() => Want::Last,
                Pooling::Last => Want::Nothing,
            };
            let mut slot = Slot { tokens, cache: &mut cache, want };
            let states = transformer
                .states(&pool, &mut space, &mut slot)
                .map_err(|error| failed(&error.to_string()))?;
            for row in 0..states.count() {
                for (sum, value) in sums.iter_mut().zip(states.row(row)) {
                    *sum += f64::from(*value);
                }
            }
        }
        // The mean differs from the sum by a factor, and the length takes factors away.
        let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
        #[allow(clippy::as_conversions, reason = "rounds to single precision, as vectors are given")]
        let vector = sums.iter().map(|sum| (sum / length) as f32).collect();
        Ok((tokens.len(), vector))
    }
}

/// How many tokens the context has, and keys and values of so many bytes.
fn tokens_max(model: &Model, kv_bytes_max: usize) -> usize {
    let context = usize::try_from(model.identity().context_length()).unwrap_or(usize::MAX);
    let block = KvStore::new(&model.transformer.config, 0, 1, KvPrecision::default()).bytes_max();
    let blocks = kv_bytes_max.checked_div(block).unwrap_or(0).max(1);
    context.min(blocks.saturating_mul(POSITIONS_PER_BLOCK))
}

/// What a text's keys and values may take. Longer texts are cut, as those beyond the context are.
const KV_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Tokens of a text that are computed together: they bound what the states take.
const PIECE_TOKENS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_bounds_the_tokens() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
        let decoder = Decoder::load(&folder.join("qwen3-embedding-f32.gguf")).unwrap();
        // Two layers, two heads, keys and values of sixteen halves each.
        let block = 2 * 2 * 2 * 16 * 2 * POSITIONS_PER_BLOCK;
        assert_eq!(tokens_max(&decoder.model, 3 * block + 1), 3 * POSITIONS_PER_BLOCK);
        assert_eq!(tokens_max(&decoder.model, 1), POSITIONS_PER_BLOCK);
        assert_eq!(decoder.tokens_max, 512);
    }
}
