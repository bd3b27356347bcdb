//! `config.json`: an architecture's figures, under the names that they have in a GGUF file.

use std::collections::BTreeMap;

use super::{Figures, rope, unsupported};
use crate::LoadError;
use crate::gguf::Value;

/// Metadata under construction.
pub(super) struct Entries {
    /// The architecture's name, which its keys begin with.
    architecture: &'static str,
    entries: BTreeMap<String, Value>,
}

impl Entries {
    /// Sets an entry of the architecture's.
    pub(super) fn figure(&mut self, name: &str, value: Value) {
        self.set(&format!("{}.{name}", self.architecture), value);
    }

    pub(super) fn set(&mut self, key: &str, value: Value) {
        self.entries.insert(key.to_owned(), value);
    }

    /// Whether an entry is this number.
    pub(super) fn is_integer(&self, key: &str, number: u32) -> bool {
        self.entries.get(key) == Some(&Value::Integer(number.into()))
    }

    pub(super) fn architecture(&self) -> &'static str {
        self.architecture
    }

    pub(super) fn into_map(self) -> BTreeMap<String, Value> {
        self.entries
    }
}

/// What the configuration says of the computation.
pub(super) fn entries(config: &Figures<'_>, name: &str) -> Result<Entries, LoadError> {
    let kind = config.optional_string("model_type")?.unwrap_or("absent");
    let architecture = match kind {
        "llama" | "mistral" => "llama",
        "qwen2" => "qwen2",
        "qwen3" => "qwen3",
        "qwen3_moe" => "qwen3moe",
        "gemma3_text" => "gemma3",
        "phi3" => "phi3",
        other => {
            return Err(LoadError::UnsupportedArchitecture { name: other.to_owned(), supported: SUPPORTED });
        }
    };
    refuse_unsupported(config, architecture)?;
    let mut entries = Entries { architecture, entries: BTreeMap::new() };
    entries.set("general.architecture", Value::String(architecture.to_owned()));
    entries.set("general.name", Value::String(name.to_owned()));
    for (theirs, ours) in [
        ("hidden_size", "embedding_length"),
        ("num_hidden_layers", "block_count"),
        ("num_attention_heads", "attention.head_count"),
        ("intermediate_size", "feed_forward_length"),
    ] {
        entries.figure(ours, Value::Integer(config.integer(theirs)?.into()));
    }
    if let Some(heads) = config.optional_integer("num_key_value_heads")? {
        entries.figure("attention.head_count_kv", Value::Integer(heads.into()));
    }
    if let Some(width) = config.optional_integer("head_dim")? {
        entries.figure("attention.key_length", Value::Integer(width.into()));
        entries.figure("attention.value_length", Value::Integer(width.into()));
    }
    entries.figure("attention.layer_norm_rms_epsilon", Value::Float(config.float("rms_norm_eps")?));
    context(config, &mut entries)?;
    rope::add(config, &mut entries)?;
    if architecture == "qwen3moe" {
        experts(config, &mut entries)?;
    }
    Ok(entries)
}

/// How long a sequence may be. Where attention slides, what lies within its window is as in any other
/// model; Gemma's layers take turns.
fn context(config: &Figures<'_>, entries: &mut Entries) -> Result<(), LoadError> {
    let mut context = config.integer("max_position_embeddings")?;
    match (entries.architecture(), config.optional_integer("sliding_window")?) {
        ("gemma3", Some(window)) => {
            entries.figure("attention.sliding_window", Value::Integer(window.into()));
        }
        ("llama" | "phi3", Some(window)) => context = context.min(window),
        _ => {}
    }
    entries.figure("context_length", Value::Integer(context.into()));
    Ok(())
}

fn experts(config: &Figures<'_>, entries: &mut Entries) -> Result<(), LoadError> {
    // Its name since `transformers` 5, and the one before.
    let count = match config.optional_integer("num_local_experts")? {
        Some(count) => count,
        None => config.integer("num_experts")?,
    };
    entries.figure("expert_count", Value::Integer(count.into()));
    for (theirs, ours) in [
        ("num_experts_per_tok", "expert_used_count"),
        ("moe_intermediate_size", "expert_feed_forward_length"),
    ] {
        entries.figure(ours, Value::Integer(config.integer(theirs)?.into()));
    }
    if config.optional_bool("norm_topk_prob")? != Some(true) {
        return Err(unsupported("norm_topk_prob: false"));
    }
    if config.optional_integer("decoder_sparse_step")?.unwrap_or(1) != 1
        || !config.optional_array("mlp_only_layers")?.unwrap_or_default().is_empty()
    {
        return Err(unsupported("layers without experts among those with them"));
    }
    Ok(())
}

fn refuse_unsupported(config: &Figures<'_>, architecture: &str) -> Result<(), LoadError> {
    for name in ["quantization_config", "attn_logit_softcapping", "final_logit_softcapping"] {
        if config.get(name).is_some() {
            return Err(unsupported(name));
        }
    }
    for name in ["use_sliding_window", "use_bidirectional_attention", "is_encoder_decoder"] {
        if config.optional_bool(name)? == Some(true) {
            return Err(unsupported(name));
        }
    }
    let gemma = architecture == "gemma3";
    let activation = match gemma {
        true => config.optional_string("hidden_activation")?.unwrap_or("gelu_pytorch_tanh"),
        false => config.optional_string("hidden_act")?.unwrap_or("silu"),
    };
    if activation != if gemma { "gelu_pytorch_tanh" } else { "silu" } {
        return Err(unsupported(format!("the activation {activation:?}")));
    }
    let layers = config.optional_array("layer_types")?.unwrap_or_default();
    for (number, kind) in (1_usize..).zip(layers) {
        let expected = if gemma && !number.is_multiple_of(LOCAL_PERIOD) { "sliding" } else { "full" };
        if kind.as_str() != Some(&format!("{expected}_attention")) {
            return Err(unsupported(format!("a layer {number} of the type {kind}")));
        }
    }
    if gemma {
        for name in ["sliding_window_pattern", "_sliding_window_pattern"] {
            let period = config.optional_integer(name)?;
            if period.is_some_and(|period| usize::try_from(period) != Ok(LOCAL_PERIOD)) {
                return Err(unsupported("sliding_window_pattern other than 6"));
            }
        }
        // Scores are scaled by the head's width, and in the model of 62 layers by the width per head.
        let (width, heads) = (config.integer("hidden_size")?, config.integer("num_attention_heads")?);
        let scale = match config.integer("num_hidden_layers")? {
            62 => width.checked_div(heads),
            _ => Some(config.integer("head_dim")?),
        };
        if config.optional_integer("query_pre_attn_scalar")? != scale {
            return Err(unsupported("query_pre_attn_scalar other than the head's width"));
        }
    }
    Ok(())
}

const SUPPORTED: &str = "llama, mistral, qwen2, qwen3, qwen3_moe, gemma3_text, phi3";

/// Of so many layers of Gemma 3 the last sees every position.
const LOCAL_PERIOD: usize = 6;
