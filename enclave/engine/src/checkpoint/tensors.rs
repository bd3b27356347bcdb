//! Tensors as a GGUF file has them: their names, the order of Llama's rows, and Gemma's norms.

use std::borrow::Cow;

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use super::rope::{Factors, factors};
use super::{CONFIG, Figures, wrong};
use crate::LoadError;
use crate::gguf::{Metadata, StorageType, TensorInfo};

/// How a checkpoint's tensors become a GGUF file's.
pub(crate) struct Arrangement {
    llama: bool,
    gemma: bool,
    heads: usize,
    heads_kv: usize,
    /// Whether the output matrix is the embedding's: one of its own is then not used.
    tied: bool,
    factors: Vec<Factors>,
}

impl Arrangement {
    pub(super) fn of(config: &Figures<'_>, metadata: &Metadata) -> Result<Self, LoadError> {
        let architecture = metadata.string("general.architecture")?;
        let count = |name| {
            let heads = metadata.optional_u32(&format!("{architecture}.attention.{name}"))?;
            Ok::<_, LoadError>(heads.and_then(|heads| usize::try_from(heads).ok()))
        };
        let heads = count("head_count")?.unwrap_or(0);
        let gemma = architecture == "gemma3";
        Ok(Self {
            llama: architecture == "llama",
            gemma,
            heads,
            heads_kv: count("head_count_kv")?.unwrap_or(heads),
            tied: config.optional_bool("tie_word_embeddings")?.unwrap_or(gemma),
            factors: factors(config, architecture)?,
        })
    }

    /// The name in a GGUF file; `None` for what is not used. Experts are one tensor there, and get their
    /// number in place of `weight`.
    pub(crate) fn name(&self, theirs: &str) -> Result<Option<String>, LoadError> {
        let unexpected = || LoadError::TensorUnexpected { name: theirs.to_owned() };
        match theirs {
            "model.embed_tokens.weight" => return Ok(Some("token_embd.weight".to_owned())),
            "model.norm.weight" => return Ok(Some("output_norm.weight".to_owned())),
            "lm_head.weight" => return Ok((!self.tied).then(|| OUTPUT.to_owned())),
            _ => {}
        }
        let rest = theirs.strip_prefix("model.layers.").ok_or_else(unexpected)?;
        let (layer, rest) = rest.split_once('.').ok_or_else(unexpected)?;
        // Frequencies, which older files have beside the weights, follow from the configuration.
        if rest == "self_attn.rotary_emb.inv_freq" {
            return Ok(None);
        }
        let (part, kind) = rest.rsplit_once('.').ok_or_else(unexpected)?;
        let ours: Cow<'_, str> = match part {
            "input_layernorm" => "attn_norm".into(),
            "self_attn.q_proj" => "attn_q".into(),
            "self_attn.k_proj" => "attn_k".into(),
            "self_attn.v_proj" => "attn_v".into(),
            "self_attn.qkv_proj" => "attn_qkv".into(),
            "self_attn.o_proj" => "attn_output".into(),
            "self_attn.q_norm" => "attn_q_norm".into(),
            "self_attn.k_norm" => "attn_k_norm".into(),
            "post_attention_layernorm" if self.gemma => "post_attention_norm".into(),
            "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm".into(),
            "post_feedforward_layernorm" => "post_ffw_norm".into(),
            "mlp.gate_proj" => "ffn_gate".into(),
            "mlp.up_proj" | "mlp.gate_up_proj" => "ffn_up".into(),
            "mlp.down_proj" => "ffn_down".into(),
            "mlp.gate" => "ffn_gate_inp".into(),
            expert => {
                let (number, matrix) = expert
                    .strip_prefix("mlp.experts.")
                    .and_then(|expert| expert.split_once('.'))
                    .filter(|(number, _)| is_number(number) && kind == "weight")
                    .ok_or_else(unexpected)?;
                let matrix = matrix.strip_suffix("_proj").ok_or_else(unexpected)?;
                return Ok(Some(format!("blk.{layer}.ffn_{matrix}_exps.{number}")));
            }
        };
        if !is_number(layer) || !matches!(kind, "weight" | "bias") {
            return Err(unexpected());
        }
        Ok(Some(format!("blk.{layer}.{ours}.{kind}")))
    }

    /// A tensor's data, as the GGUF file has it under this name.
    pub(crate) fn arrange(&self, info: &mut TensorInfo, bytes: Vec<u8>) -> Result<Vec<u8>, LoadError> {
        let part = info.name.rsplit_once('.').map_or("", |(part, _)| part);
        if self.gemma && part.ends_with("_norm") {
            let values = floats(info.storage.dtype, &bytes).map(|value| 1.0 + value);
            let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            info.storage = StorageType::F32;
            return Ok(bytes);
        }
        let heads = match part.rsplit_once('.') {
            Some((_, "attn_q")) if self.llama => self.heads,
            Some((_, "attn_k")) if self.llama => self.heads_kv,
            _ => return Ok(bytes),
        };
        let rows = info.shape.first().copied().unwrap_or(0);
        let misfit = || LoadError::Tensor {
            name: info.name.clone(),
            problem: format!("its {rows} rows are not {heads} heads"),
        };
        interleave(&bytes, rows, heads).ok_or_else(misfit)
    }

    /// What a GGUF file has as tensors and a checkpoint does not.
    pub(crate) fn additions(&self) -> impl Iterator<Item = (TensorInfo, Vec<u8>)> {
        self.factors.iter().map(|(name, values)| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            (entry((*name).to_owned(), StorageType::F32, vec![values.len()], length), bytes)
        })
    }

    /// The directory of the GGUF file with these tensors: experts are one tensor together.
    pub(crate) fn directory(&self, tensors: &[TensorInfo]) -> Result<Vec<TensorInfo>, LoadError> {
        let mut directory: Vec<TensorInfo> = self.additions().map(|(info, _)| info).collect();
        let mut experts = std::collections::BTreeMap::<String, Vec<&TensorInfo>>::new();
        for tensor in tensors {
            match tensor.name.rsplit_once('.') {
                Some((together, number)) if is_number(number) => {
                    experts.entry(together.to_owned()).or_default().push(tensor);
                }
                _ => directory.push(tensor.clone()),
            }
        }
        for (together, tensors) in experts {
            let Some(first) = tensors.first() else { continue };
            if let Some(other) = tensors.iter().find(|tensor| tensor.shape != first.shape) {
                return Err(LoadError::TensorShape {
                    name: other.name.clone(),
                    expected: first.shape.clone(),
                    found: other.shape.clone(),
                });
            }
            let mut all = TensorInfo { name: format!("{together}.weight"), ..(*first).clone() };
            all.shape.insert(0, tensors.len());
            all.elements = tensors.iter().map(|tensor| tensor.elements).fold(0, u64::saturating_add);
            all.bytes = tensors.iter().map(|tensor| tensor.bytes).fold(0, u64::saturating_add);
            directory.push(all);
        }
        if !self.tied && !tensors.iter().any(|tensor| tensor.name == OUTPUT) {
            return Err(wrong(CONFIG, "it ties no embeddings, and there is no lm_head.weight"));
        }
        Ok(directory)
    }
}

/// A directory entry for data that stand in no GGUF file.
pub(super) fn entry(name: String, storage: StorageType, shape: Vec<usize>, bytes: u64) -> TensorInfo {
    let elements = bytes.checked_div(storage.block_bytes).unwrap_or(0);
    TensorInfo { name, shape, storage, offset: 0, bytes, elements }
}

/// Rotary pairs as neighbours: of each head's rows, the first of the upper half goes behind the first of
/// the lower, and so on. `None` where the rows are not so many heads of even width.
fn interleave(bytes: &[u8], rows: usize, heads: usize) -> Option<Vec<u8>> {
    let width = rows.checked_div(heads).filter(|width| *width > 0 && width.is_multiple_of(2))?;
    let row_bytes = bytes.len().checked_div(rows).filter(|bytes| *bytes > 0)?;
    if !rows.is_multiple_of(heads) || !bytes.len().is_multiple_of(rows) {
        return None;
    }
    let half_bytes = row_bytes.checked_mul(width.div_euclid(2))?;
    let mut interleaved = Vec::with_capacity(bytes.len());
    for head in bytes.chunks_exact(half_bytes.checked_mul(2)?) {
        let (lower, upper) = head.split_at_checked(half_bytes)?;
        for (first, second) in lower.chunks_exact(row_bytes).zip(upper.chunks_exact(row_bytes)) {
            interleaved.extend_from_slice(first);
            interleaved.extend_from_slice(second);
        }
    }
    Some(interleaved)
}

fn floats(storage: GgmlDType, bytes: &[u8]) -> Box<dyn Iterator<Item = f32> + '_> {
    let pairs = bytes.as_chunks().0.iter();
    match storage {
        GgmlDType::F16 => Box::new(pairs.map(|pair| f16::from_le_bytes(*pair).to_f32())),
        GgmlDType::BF16 => Box::new(pairs.map(|pair| bf16::from_le_bytes(*pair).to_f32())),
        _ => Box::new(bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four))),
    }
}

fn is_number(text: &str) -> bool {
    text.len() < 6 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

const OUTPUT: &str = "output.weight";
