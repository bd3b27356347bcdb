//! From bytes to a model: everything that can be refused is refused here.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::cache::{KvCache, KvPrecision, KvStore};
use super::config::Config;
use super::forward::{Slot, Transformer, Want, Workspace};
use super::weights::{Loading, Weights, check_directory};
use super::{Arithmetic, LoadOptions, Model, Progress};
use crate::checkpoint::Checkpoint;
use crate::gguf::{DigestingReader, Header, Metadata, TensorInfo, TensorReader};
use crate::kernels::{Level, Pool};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::{FileDigest, LoadError, ModelIdentity};

/// Reads a GGUF file, which the identity is to know as `file`.
pub(super) fn read(
    source: &mut dyn Read,
    bytes_total: u64,
    file: String,
    options: &LoadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Model, LoadError> {
    let mut reader = DigestingReader::new(source, bytes_total, progress);
    let header = Header::read(&mut reader)?;
    let judged = Judged::new(&header.metadata, &header.tensors, options)?;
    let identity = ModelIdentity {
        tokenizer_sha256: Some(header.tokenizer_sha256),
        chat_template_sha256: header.chat_template_sha256,
        ..judged.identity(&header.metadata, &header.tensors, bytes_total, options)?
    };
    let mut tensors = TensorReader::new(&mut reader, header.tensors, header.data_offset)?;
    let weights = judged.weights(options, |put| {
        while let Some((info, bytes)) = tensors.next_tensor()? {
            put(info, bytes)?;
        }
        Ok(())
    })?;
    let files = vec![FileDigest { file, sha256: reader.finish()? }];
    judged.model(ModelIdentity { files, ..identity }, weights)
}

/// Reads a folder of safetensors.
pub(super) fn read_folder(
    path: &Path,
    options: &LoadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Model, LoadError> {
    let Checkpoint { metadata, shards, arrangement } = Checkpoint::open(path)?;
    let directory = arrangement.directory(&shards.tensors(&arrangement)?)?;
    let judged = Judged::new(&metadata, &directory, options)?;
    let identity = judged.identity(&metadata, &directory, shards.bytes_total(), options)?;
    let mut files = Vec::new();
    let weights = judged.weights(options, |put| {
        files = shards.read(&arrangement, progress, put)?;
        Ok(())
    })?;
    judged.model(ModelIdentity { files, ..identity }, weights)
}

/// Takes a tensor and its bytes.
type Put<'p> = dyn FnMut(TensorInfo, Vec<u8>) -> Result<(), LoadError> + 'p;

/// What is known of a model, and judged, before the long read.
struct Judged {
    config: Config,
    tokenizer: Tokenizer,
    chat_template: Option<Arc<ChatTemplate>>,
    vocabulary: usize,
}

impl Judged {
    fn new(metadata: &Metadata, tensors: &[TensorInfo], options: &LoadOptions) -> Result<Self, LoadError> {
        let mut config = Config::read(metadata)?;
        if let Some(max) = options.context_length_max {
            config.context_length = config.context_length.min(max.max(1));
        }
        let tokenizer = Tokenizer::read(metadata)?;
        let chat_template = match metadata.optional_string("tokenizer.chat_template")? {
            Some(source) => Some(Arc::new(ChatTemplate::compile(source, &tokenizer)?)),
            None => None,
        };
        let vocabulary = usize::try_from(tokenizer.size()).unwrap_or(usize::MAX);
        check_directory(&config, vocabulary, tensors)?;
        Ok(Self { config, tokenizer, chat_template, vocabulary })
    }

    /// The identity, digests excepted.
    fn identity(
        &self,
        metadata: &Metadata,
        tensors: &[TensorInfo],
        file_bytes: u64,
        options: &LoadOptions,
    ) -> Result<ModelIdentity, LoadError> {
        Ok(ModelIdentity {
            name: name(metadata, options)?,
            architecture: self.config.family.name().to_owned(),
            quantization: main_storage(tensors),
            parameters: tensors.iter().map(|tensor| tensor.elements).fold(0, u64::saturating_add),
            context_length: self.config.context_length,
            vocabulary: self.tokenizer.size(),
            file_bytes,
            files: Vec::new(),
            tokenizer_sha256: None,
            chat_template_sha256: None,
        })
    }

    /// The weights that `read` puts there.
    fn weights(
        &self,
        options: &LoadOptions,
        read: impl FnOnce(&mut Put<'_>) -> Result<(), LoadError>,
    ) -> Result<Weights, LoadError> {
        // Packing takes longer than reading and digesting: every processor helps.
        let level = Level::detect();
        let pool = Pool::new(0, level).unwrap_or_else(|_| Pool::single(level));
        let expand = options.arithmetic == Arithmetic::Float;
        let mut loading = Loading::new(&pool, &self.config, self.vocabulary, expand);
        read(&mut |info, bytes| loading.put(info, &bytes))?;
        loading.finish()
    }

    fn model(self, identity: ModelIdentity, weights: Weights) -> Result<Model, LoadError> {
        let transformer = Transformer::new(self.config, weights);
        try_out(&transformer)?;
        let (tokenizer, chat_template) = (Arc::new(self.tokenizer), self.chat_template);
        Ok(Model { identity, transformer, tokenizer, chat_template })
    }
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
