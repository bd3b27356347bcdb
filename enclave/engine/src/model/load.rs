//! From bytes to a model: everything that can be refused is refused here.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use super::cache::{KvCache, KvPrecision, KvStore};
use super::config::Config;
use super::forward::{Slot, Transformer, Want, Workspace};
use super::weights::{Weights, check_directory};
use super::{Arithmetic, LoadOptions, Model, Progress};
use crate::gguf::{DigestingReader, Header, Metadata, TensorInfo, TensorReader};
use crate::kernels::{Level, Pool};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::{LoadError, ModelIdentity};

pub(super) fn read(
    source: &mut dyn Read,
    bytes_total: u64,
    options: &LoadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Model, LoadError> {
    let mut reader = DigestingReader::new(source, bytes_total, progress);
    let header = Header::read(&mut reader)?;
    // The figures, the tokenizer, the template and the directory are judged before the long read.
    let mut config = Config::read(&header.metadata)?;
    if let Some(max) = options.context_length_max {
        config.context_length = config.context_length.min(max.max(1));
    }
    let tokenizer = Tokenizer::read(&header.metadata)?;
    let chat_template = match header.metadata.optional_string("tokenizer.chat_template")? {
        Some(source) => Some(Arc::new(ChatTemplate::compile(source, &tokenizer)?)),
        None => None,
    };
    let vocabulary = usize::try_from(tokenizer.size()).unwrap_or(usize::MAX);
    check_directory(&config, vocabulary, &header.tensors)?;

    let mut identity = ModelIdentity {
        name: name(&header.metadata, options)?,
        architecture: config.family.name().to_owned(),
        quantization: main_storage(&header.tensors),
        parameters: header.tensors.iter().map(|tensor| tensor.elements).fold(0, u64::saturating_add),
        context_length: config.context_length,
        vocabulary: tokenizer.size(),
        file_bytes: bytes_total,
        file_sha256: [0; 32],
        tokenizer_sha256: header.tokenizer_sha256,
        chat_template_sha256: header.chat_template_sha256,
    };
    let tensors = TensorReader::new(&mut reader, header.tensors, header.data_offset)?;
    let expand = options.arithmetic == Arithmetic::Float;
    // Packing takes longer than reading and digesting: every processor helps.
    let level = Level::detect();
    let pool = Pool::new(0, level).unwrap_or_else(|_| Pool::single(level));
    let weights = Weights::read(&pool, &config, vocabulary, tensors, expand)?;
    identity.file_sha256 = reader.finish()?;
    let transformer = Transformer::new(config, weights);
    try_out(&transformer)?;
    Ok(Model { identity, transformer, tokenizer: Arc::new(tokenizer), chat_template })
}

/// Reads a few tokens before anybody waits for it: weights full of garbage show.
fn try_out(transformer: &Transformer) -> Result<(), LoadError> {
    let store = Arc::new(KvStore::new(&transformer.config, 2, 1, KvPrecision::Half));
    let (mut cache, mut space) = (KvCache::new(&store), Workspace::default());
    let slot = Slot { tokens: &[0, 0], cache: &mut cache, want: Want::Last };
    transformer
        .forward(&Pool::single(Level::detect()), &mut space, &mut [slot])
        .map_err(|error| LoadError::Weights { problem: error.to_string() })?;
    match space.logits().values().iter().find(|logit| !logit.is_finite()) {
        Some(logit) => Err(LoadError::Weights { problem: format!("a trial gives the logit {logit}") }),
        None => Ok(()),
    }
}

fn name(metadata: &Metadata, options: &LoadOptions) -> Result<String, LoadError> {
    if let Some(name) = &options.name {
        return Ok(name.clone());
    }
    let name = metadata.optional_string("general.name")?.unwrap_or("unnamed");
    // It ends up in logs, headers and receipts.
    Ok(name.chars().filter(|character| !character.is_control()).take(NAME_CHARS_MAX).collect())
}

/// The storage type that holds most elements.
fn main_storage(tensors: &[TensorInfo]) -> String {
    let mut elements: BTreeMap<&str, u64> = BTreeMap::new();
    for tensor in tensors {
        let sum = elements.entry(tensor.storage.name).or_default();
        *sum = sum.saturating_add(tensor.elements);
    }
    elements.into_iter().max_by_key(|(_, elements)| *elements).map_or("none", |(name, _)| name).to_owned()
}

/// Longer names are cut.
const NAME_CHARS_MAX: usize = 128;
