//! The settings in a folder's files.

use serde::Deserialize;

use crate::LoadError;
use crate::folder::Folder;

pub(super) fn parse<T: for<'de> Deserialize<'de>>(file: &'static str, bytes: &[u8]) -> Result<T, LoadError> {
    serde_json::from_slice(bytes).map_err(|error| wrong(file, error.to_string()))
}

/// A JSON file that may be absent.
pub(super) fn optional_json<T: for<'de> Deserialize<'de>>(
    folder: &mut Folder,
    file: &'static str,
) -> Result<Option<T>, LoadError> {
    match folder.optional(file, JSON_BYTES_MAX)? {
        Some(bytes) => parse(file, &bytes).map(Some),
        None => Ok(None),
    }
}

pub(super) fn wrong(file: &'static str, problem: impl Into<String>) -> LoadError {
    LoadError::EmbeddingFile { file, problem: problem.into() }
}

/// What the computation needs, checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) layers: usize,
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) head_width: usize,
    pub(super) feed_forward: usize,
    pub(super) positions: usize,
    pub(super) types: usize,
    pub(super) vocabulary: usize,
    pub(super) norm_epsilon: f32,
    pub(super) activation: Activation,
    pub(super) pooling: Pooling,
    /// Tokens read of a text.
    pub(super) tokens_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    Gelu,
    GeluTanh,
    Relu,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    Mean,
    FirstToken,
}

#[derive(Deserialize)]
struct ConfigFile {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    vocab_size: usize,
    layer_norm_eps: f64,
    hidden_act: String,
    position_embedding_type: Option<String>,
}

#[derive(Deserialize)]
struct PoolingFile {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
}

#[derive(Deserialize)]
struct SentenceFile {
    max_seq_length: Option<usize>,
}

impl Settings {
    pub(super) fn read(folder: &mut Folder) -> Result<Self, LoadError> {
        let config: ConfigFile = parse(CONFIG, &folder.required(CONFIG, JSON_BYTES_MAX)?)?;
        if config.model_type != "bert" {
            return Err(LoadError::UnsupportedArchitecture { name: config.model_type, supported: "bert" });
        }
        if let Some(kind) = config.position_embedding_type.filter(|kind| kind != "absolute") {
            return Err(LoadError::UnsupportedFeature { feature: format!("position embeddings {kind:?}") });
        }
        for (name, value, max) in [
            ("hidden_size", config.hidden_size, 16_384),
            ("num_hidden_layers", config.num_hidden_layers, 256),
            ("num_attention_heads", config.num_attention_heads, 1024),
            ("intermediate_size", config.intermediate_size, 65_536),
            ("max_position_embeddings", config.max_position_embeddings, 65_536),
            ("type_vocab_size", config.type_vocab_size, 1024),
            ("vocab_size", config.vocab_size, 2_000_000),
        ] {
            if value == 0 || value > max {
                return Err(wrong(CONFIG, format!("{name} is {value}, not between 1 and {max}")));
            }
        }
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        if !width.is_multiple_of(heads) {
            return Err(wrong(CONFIG, format!("{heads} heads do not divide the width of {width}")));
        }
        if !(config.layer_norm_eps > 0.0 && config.layer_norm_eps < 1.0) {
            return Err(wrong(CONFIG, "layer_norm_eps is out of range"));
        }
        let activation = match config.hidden_act.as_str() {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            other => {
                return Err(LoadError::UnsupportedFeature { feature: format!("the activation {other:?}") });
            }
        };
        let sentence: Option<SentenceFile> = optional_json(folder, SENTENCE)?;
        let tokens_max = sentence.and_then(|file| file.max_seq_length).unwrap_or(usize::MAX);
        if tokens_max < 2 {
            return Err(wrong(SENTENCE, "max_seq_length leaves no room for [CLS] and [SEP]"));
        }
        #[allow(clippy::as_conversions, reason = "rounds, as a float parameter may")]
        let norm_epsilon = config.layer_norm_eps as f32;
        Ok(Self {
            layers: config.num_hidden_layers,
            width,
            heads,
            head_width: width.checked_div(heads).unwrap_or(width),
            feed_forward: config.intermediate_size,
            positions: config.max_position_embeddings,
            types: config.type_vocab_size,
            vocabulary: config.vocab_size,
            norm_epsilon,
            activation,
            pooling: pooling(folder)?,
            tokens_max: tokens_max.min(config.max_position_embeddings),
        })
    }
}

fn pooling(folder: &mut Folder) -> Result<Pooling, LoadError> {
    let Some(file) = optional_json::<PoolingFile>(folder, POOLING)? else { return Ok(Pooling::Mean) };
    if file.pooling_mode_max_tokens || file.pooling_mode_mean_sqrt_len_tokens {
        return Err(wrong(POOLING, "only mean and first-token pooling are supported"));
    }
    match (file.pooling_mode_mean_tokens, file.pooling_mode_cls_token) {
        (true, false) => Ok(Pooling::Mean),
        (false, true) => Ok(Pooling::FirstToken),
        _ => Err(wrong(POOLING, "it does not name exactly one pooling mode")),
    }
}

const CONFIG: &str = "config.json";
const SENTENCE: &str = "sentence_bert_config.json";
const POOLING: &str = "1_Pooling/config.json";

/// The largest is a tokenizer's, with a few megabytes.
pub(super) const JSON_BYTES_MAX: u64 = 64 * 1024 * 1024;
