//! An architecture's figures, read from the metadata and checked.

use crate::LoadError;
use crate::gguf::Metadata;

/// The model families, all of them decoder-only transformers with rotary positions, RMS norms and a
/// gated feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Llama,
    Qwen2,
    Qwen3,
    /// Qwen3 with a mixture of experts.
    Qwen3Moe,
    Gemma3,
    /// Phi-3 and Phi-4.
    Phi3,
}

const SUPPORTED: &str = "llama (Mistral and SmolLM too), qwen2, qwen3, qwen3moe, gemma3, phi3";

impl Family {
    fn from_name(name: &str) -> Result<Self, LoadError> {
        match name {
            "llama" => Ok(Self::Llama),
            "qwen2" => Ok(Self::Qwen2),
            "qwen3" => Ok(Self::Qwen3),
            "qwen3moe" => Ok(Self::Qwen3Moe),
            "gemma3" => Ok(Self::Gemma3),
            "phi3" => Ok(Self::Phi3),
            _ => Err(LoadError::UnsupportedArchitecture { name: name.to_owned(), supported: SUPPORTED }),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Qwen3Moe => "qwen3moe",
            Self::Gemma3 => "gemma3",
            Self::Phi3 => "phi3",
        }
    }

    /// Whether rotary pairs are neighbours, as GGUF stores Llama's projections, or lie half a head apart.
    pub(crate) fn interleaved_rope(self) -> bool {
        self == Self::Llama
    }

    /// Whether queries and keys are normalised per head.
    pub(crate) fn has_query_key_norms(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Qwen3Moe | Self::Gemma3)
    }

    /// Whether queries, keys and values are one matrix in the file, and gate and up another.
    pub(crate) fn has_joint_matrices(self) -> bool {
        self == Self::Phi3
    }

    /// Whether attention and feed-forward outputs are normalised before they are added.
    pub(crate) fn has_post_norms(self) -> bool {
        self == Self::Gemma3
    }
}

/// The figures that the computation needs. Everything is at least 1 and bounded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub(crate) family: Family,
    pub(crate) context_length: u32,
    /// The context before it was extended, in models with two sets of rotary factors.
    pub(crate) context_trained: Option<usize>,
    pub(crate) layers: usize,
    pub(crate) width: usize,
    /// The feed-forward part's width, each expert's where there are experts.
    pub(crate) feed_forward: usize,
    /// The experts that take the feed-forward part's place.
    pub(crate) experts: Option<Experts>,
    pub(crate) heads: usize,
    pub(crate) heads_kv: usize,
    pub(crate) head_width: usize,
    /// How much of each head is turned by its position.
    pub(crate) rotary_width: usize,
    /// What turned values are multiplied with.
    pub(crate) rotary_scale: f32,
    pub(crate) norm_epsilon: f32,
    pub(crate) rope: Rope,
    /// The layers that see only the last few positions.
    pub(crate) local: Option<Local>,
    /// What scores are multiplied with.
    pub(crate) attention_scale: f32,
    /// What embeddings are multiplied with.
    pub(crate) embedding_scale: f32,
    /// How an embedding is made of the states, by llama.cpp's numbers; `None` in models that make none.
    pub(crate) pooling: Option<u32>,
}

/// A mixture of experts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Experts {
    pub(crate) count: usize,
    /// How many of them each token uses.
    pub(crate) used: usize,
}

/// Rotary positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rope {
    pub(crate) base: f32,
    /// Positions are divided by this.
    pub(crate) divisor: f32,
}

/// Layers with a sliding window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Local {
    /// A position sees this many positions, itself included.
    pub(crate) window: usize,
    /// Every so many layers one is global.
    pub(crate) period: usize,
    pub(crate) rope: Rope,
}

impl Config {
    pub(crate) fn read(metadata: &Metadata) -> Result<Self, LoadError> {
        let family = Family::from_name(metadata.string("general.architecture")?)?;
        let keys = Keys { metadata, prefix: family.name() };
        keys.refuse_unsupported(family)?;

        let width = keys.required("embedding_length", WIDTH_MAX)?;
        let heads = keys.required("attention.head_count", HEADS_MAX)?;
        let heads_kv = keys.optional("attention.head_count_kv", HEADS_MAX)?.unwrap_or(heads);
        if !heads.is_multiple_of(heads_kv) {
            return Err(keys.refuse("attention.head_count_kv", heads_kv, "does not divide the head count"));
        }
        let head_width = match keys.optional("attention.key_length", HEAD_WIDTH_MAX)? {
            Some(length) => length,
            None if width.is_multiple_of(heads) => width.checked_div(heads).unwrap_or(width),
            None => return Err(keys.refuse("attention.head_count", heads, "does not divide the width")),
        };
        if !head_width.is_multiple_of(2) {
            return Err(keys.refuse("attention.key_length", head_width, "is odd"));
        }
        if let Some(length) = keys.optional("attention.value_length", HEAD_WIDTH_MAX)?
            && length != head_width
        {
            return Err(keys.refuse("attention.value_length", length, "differs from the key length"));
        }
        let rotary_width = keys.optional("rope.dimension_count", HEAD_WIDTH_MAX)?.unwrap_or(head_width);
        if rotary_width > head_width || !rotary_width.is_multiple_of(2) {
            return Err(keys.refuse(
                "rope.dimension_count",
                rotary_width,
                "is odd, or beyond the head width",
            ));
        }
        let layers = keys.required("block_count", LAYERS_MAX)?;
        let mut context_length = keys.required("context_length", CONTEXT_MAX)?;
        if family == Family::Phi3
            && let Some(window) = keys.optional("attention.sliding_window", CONTEXT_MAX)?
        {
            // Within its window, a model with a sliding one is as any other.
            context_length = context_length.min(window);
        }
        let rope = keys.rope(family)?;
        let experts = if family == Family::Qwen3Moe { Some(keys.experts()?) } else { None };
        Ok(Self {
            family,
            context_length: u32::try_from(context_length).unwrap_or(u32::MAX),
            context_trained: keys.optional("rope.scaling.original_context_length", CONTEXT_MAX)?,
            layers,
            width,
            feed_forward: keys.feed_forward(experts)?,
            experts,
            heads,
            heads_kv,
            head_width,
            rotary_width,
            rotary_scale: keys.rotary_scale(family)?,
            norm_epsilon: keys.positive("attention.layer_norm_rms_epsilon", 1.0)?,
            rope,
            local: if family == Family::Gemma3 { keys.local()? } else { None },
            attention_scale: attention_scale(family, layers, width, heads, head_width),
            embedding_scale: if family == Family::Gemma3 { to_f32(width).sqrt() } else { 1.0 },
            pooling: metadata.optional_u32(&keys.key("pooling_type"))?,
        })
    }

    /// Whether the layer sees only the last few positions.
    pub(crate) fn local_at(&self, layer: usize) -> Option<Local> {
        self.local.filter(|local| !layer.saturating_add(1).is_multiple_of(local.period))
    }

    pub(crate) fn query_width(&self) -> usize {
        self.heads.saturating_mul(self.head_width)
    }

    pub(crate) fn key_width(&self) -> usize {
        self.heads_kv.saturating_mul(self.head_width)
    }
}

/// Gemma 3 27B alone scales by the width per head, not by the head's width; like llama.cpp we know it
/// by its number of layers.
fn attention_scale(family: Family, layers: usize, width: usize, heads: usize, head_width: usize) -> f32 {
    if family == Family::Gemma3 && layers == 62 {
        return (to_f32(width) / to_f32(heads)).sqrt().recip();
    }
    to_f32(head_width).sqrt().recip()
}

struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'static str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn optional(&self, name: &str, max: u32) -> Result<Option<usize>, LoadError> {
        let Some(value) = self.metadata.optional_u32(&self.key(name))? else { return Ok(None) };
        if value == 0 {
            return Err(self.refuse(name, 0, "must not be 0"));
        }
        if value > max {
            return Err(LoadError::TooLarge { what: self.key(name), value: value.into(), max: max.into() });
        }
        Ok(Some(usize::try_from(value).unwrap_or(usize::MAX)))
    }

    fn required(&self, name: &str, max: u32) -> Result<usize, LoadError> {
        self.optional(name, max)?.ok_or_else(|| LoadError::MetadataMissing { key: self.key(name) })
    }

    fn optional_positive(&self, name: &str, max: f32) -> Result<Option<f32>, LoadError> {
        match self.metadata.optional_f32(&self.key(name))? {
            Some(value) if !(value > 0.0 && value <= max) => Err(LoadError::MetadataValue {
                key: self.key(name),
                value: value.to_string(),
                problem: "out of range",
            }),
            other => Ok(other),
        }
    }

    fn positive(&self, name: &str, max: f32) -> Result<f32, LoadError> {
        self.optional_positive(name, max)?.ok_or_else(|| LoadError::MetadataMissing { key: self.key(name) })
    }

    fn refuse(&self, name: &str, value: usize, problem: &'static str) -> LoadError {
        LoadError::MetadataValue { key: self.key(name), value: value.to_string(), problem }
    }

    /// Phi-3's rotary scaling multiplies cosines and sines too.
    fn rotary_scale(&self, family: Family) -> Result<f32, LoadError> {
        if family != Family::Phi3 {
            return Ok(1.0);
        }
        Ok(self.optional_positive("rope.scaling.attn_factor", ROPE_FACTOR_MAX)?.unwrap_or(1.0))
    }

    fn rope(&self, family: Family) -> Result<Rope, LoadError> {
        let base = self.optional_positive("rope.freq_base", ROPE_BASE_MAX)?.unwrap_or(ROPE_BASE_DEFAULT);
        let kind = self.metadata.optional_string(&self.key("rope.scaling.type"))?.unwrap_or("none");
        let divisor = match kind {
            "none" => 1.0,
            // The factors stand in tensors of their own.
            "longrope" if family == Family::Phi3 => 1.0,
            "linear" => self.positive("rope.scaling.factor", ROPE_FACTOR_MAX)?,
            other => {
                return Err(LoadError::UnsupportedFeature { feature: format!("rope scaling {other:?}") });
            }
        };
        // The older key for the same.
        let divisor = match self.optional_positive("rope.scale_linear", ROPE_FACTOR_MAX)? {
            Some(older) if kind == "none" => older,
            _ => divisor,
        };
        Ok(Rope { base, divisor })
    }

    fn local(&self) -> Result<Option<Local>, LoadError> {
        let Some(window) = self.optional("attention.sliding_window", CONTEXT_MAX)? else { return Ok(None) };
        let base = self.optional_positive("rope.freq_base_swa", ROPE_BASE_MAX)?.unwrap_or(ROPE_BASE_DEFAULT);
        // Gemma 3's pattern is fixed: five local layers, then a global one. Local layers are not scaled.
        Ok(Some(Local { window, period: 6, rope: Rope { base, divisor: 1.0 } }))
    }

    fn experts(&self) -> Result<Experts, LoadError> {
        let count = self.required("expert_count", EXPERTS_MAX)?;
        let used = self.required("expert_used_count", EXPERTS_MAX)?;
        if used > count {
            return Err(self.refuse("expert_used_count", used, "is more than there are"));
        }
        Ok(Experts { count, used })
    }

    /// Older files have the width that a token's experts have together.
    fn feed_forward(&self, experts: Option<Experts>) -> Result<usize, LoadError> {
        let Some(experts) = experts else { return self.required("feed_forward_length", WIDTH_MAX) };
        match self.optional("expert_feed_forward_length", WIDTH_MAX)? {
            Some(width) => Ok(width),
            None => {
                let together = self.required("feed_forward_length", WIDTH_MAX)?;
                Ok(together.checked_div(experts.used).unwrap_or(together).max(1))
            }
        }
    }

    fn refuse_unsupported(&self, family: Family) -> Result<(), LoadError> {
        let experts = self.metadata.optional_u32(&self.key("expert_count"))?.unwrap_or(0);
        if experts > 0 && family != Family::Qwen3Moe {
            return Err(LoadError::UnsupportedFeature { feature: "a mixture of experts".to_owned() });
        }
        for name in UNSUPPORTED {
            if self.metadata.contains(&self.key(name)) {
                return Err(LoadError::UnsupportedFeature { feature: name.to_owned() });
            }
        }
        if self.metadata.optional_bool(&self.key("attention.causal"))? == Some(false) {
            return Err(LoadError::UnsupportedFeature { feature: "attention that is not causal".to_owned() });
        }
        Ok(())
    }
}

#[allow(clippy::as_conversions, reason = "exact: the operands are below 2^24")]
fn to_f32(value: usize) -> f32 {
    value as f32
}

/// Keys that change the computation in ways that it does not know.
const UNSUPPORTED: [&str; 5] = [
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "expert_shared_feed_forward_length",
    "expert_gating_func",
    "expert_weights_scale",
];

// Bounds: several times the largest open models.
const LAYERS_MAX: u32 = 512;
const WIDTH_MAX: u32 = 262_144;
const HEADS_MAX: u32 = 1024;
const HEAD_WIDTH_MAX: u32 = 4096;
const EXPERTS_MAX: u32 = 4096;
const CONTEXT_MAX: u32 = 16 * 1024 * 1024;
const ROPE_BASE_MAX: f32 = 1e12;
const ROPE_FACTOR_MAX: f32 = 1e6;

/// What llama.cpp takes where the file says nothing.
const ROPE_BASE_DEFAULT: f32 = 10_000.0;
