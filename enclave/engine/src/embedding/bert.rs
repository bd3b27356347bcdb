//! BERT's encoder.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::{layer_norm, softmax_last_dim};
use safetensors::{Dtype, SafeTensors};

use super::settings::{Activation, Pooling, Settings, wrong};
use crate::LoadError;
use crate::folder::Folder;

pub(super) struct Bert {
    words: Tensor,
    /// Position embeddings, with the embedding of the only token type added.
    positions: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    pub(super) parameters: u64,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: Norm,
    intermediate: Linear,
    output: Linear,
    output_norm: Norm,
}

struct Linear {
    /// Transposed: `[inputs, outputs]`.
    weight: Tensor,
    bias: Tensor,
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Bert {
    pub(super) fn read(folder: &mut Folder, settings: &Settings) -> std::result::Result<Self, LoadError> {
        let bytes = folder.required(WEIGHTS, WEIGHTS_BYTES_MAX)?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(WEIGHTS, error.to_string()))?;
        // Some exports keep the name of the encoder within a larger model.
        let nested = file.names().iter().any(|name| name.starts_with("bert.embeddings."));
        let mut source = Source { file, prefix: if nested { "bert." } else { "" }, parameters: 0 };
        let width = settings.width;
        let words = source.tensor("embeddings.word_embeddings.weight", &[settings.vocabulary, width])?;
        let positions =
            source.tensor("embeddings.position_embeddings.weight", &[settings.positions, width])?;
        let types = source.tensor("embeddings.token_type_embeddings.weight", &[settings.types, width])?;
        let positions = types
            .narrow(0, 0, 1)
            .and_then(|first| positions.broadcast_add(&first))
            .map_err(|error| wrong(WEIGHTS, error.to_string()))?;
        let norm = source.norm("embeddings.LayerNorm", width)?;
        let layers = (0..settings.layers)
            .map(|index| source.layer(index, settings))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self { words, positions, norm, layers, parameters: source.parameters })
    }

    /// The sentence's vector, of length 1.
    pub(super) fn embed(&self, tokens: &[u32], settings: &Settings) -> Result<Vec<f32>> {
        let count = tokens.len();
        let indices = Tensor::from_slice(tokens, count, &Device::Cpu)?;
        let embedded = self.words.index_select(&indices, 0)?.add(&self.positions.narrow(0, 0, count)?)?;
        let mut hidden = self.norm.apply(&embedded, settings)?;
        for layer in &self.layers {
            hidden = layer.apply(&hidden, settings)?;
        }
        let pooled = match settings.pooling {
            Pooling::Mean => hidden.mean(0)?,
            Pooling::FirstToken => hidden.get(0)?,
        };
        let values = pooled.to_vec1::<f32>()?;
        let length = values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
        #[allow(clippy::as_conversions, reason = "rounds back to the f32 that the value came from")]
        Ok(values.into_iter().map(|value| (f64::from(value) / length.max(LENGTH_MIN)) as f32).collect())
    }
}

impl Layer {
    fn apply(&self, hidden: &Tensor, settings: &Settings) -> Result<Tensor> {
        let (count, _) = hidden.dims2()?;
        let (heads, head_width) = (settings.heads, settings.head_width);
        let by_head = |linear: &Linear| {
            linear.apply(hidden)?.reshape((count, heads, head_width))?.transpose(0, 1)?.contiguous()
        };
        let (query, key, value) = (by_head(&self.query)?, by_head(&self.key)?, by_head(&self.value)?);
        #[allow(clippy::as_conversions, reason = "exact: the width is small")]
        let scale = (head_width as f64).sqrt().recip();
        let scores = query.affine(scale, 0.0)?.matmul(&key.t()?)?;
        let mixed = softmax_last_dim(&scores)?.matmul(&value)?;
        let mixed = mixed.transpose(0, 1)?.reshape((count, settings.width))?;
        let attended = self.attention_output.apply(&mixed)?.add(hidden)?;
        let attended = self.attention_norm.apply(&attended, settings)?;

        let inner = self.intermediate.apply(&attended)?;
        let inner = match settings.activation {
            Activation::Gelu => inner.gelu_erf()?,
            Activation::GeluTanh => inner.gelu()?,
            Activation::Relu => inner.relu()?,
        };
        let output = self.output.apply(&inner)?.add(&attended)?;
        self.output_norm.apply(&output, settings)
    }
}

impl Linear {
    fn apply(&self, input: &Tensor) -> Result<Tensor> {
        input.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}

impl Norm {
    fn apply(&self, input: &Tensor, settings: &Settings) -> Result<Tensor> {
        layer_norm(input, &self.weight, &self.bias, settings.norm_epsilon)
    }
}

struct Source<'a> {
    file: SafeTensors<'a>,
    prefix: &'static str,
    parameters: u64,
}

impl Source<'_> {
    fn layer(&mut self, index: usize, settings: &Settings) -> std::result::Result<Layer, LoadError> {
        let (width, feed) = (settings.width, settings.feed_forward);
        let name = |name: &str| format!("encoder.layer.{index}.{name}");
        Ok(Layer {
            query: self.linear(&name("attention.self.query"), width, width)?,
            key: self.linear(&name("attention.self.key"), width, width)?,
            value: self.linear(&name("attention.self.value"), width, width)?,
            attention_output: self.linear(&name("attention.output.dense"), width, width)?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"), width)?,
            intermediate: self.linear(&name("intermediate.dense"), width, feed)?,
            output: self.linear(&name("output.dense"), feed, width)?,
            output_norm: self.norm(&name("output.LayerNorm"), width)?,
        })
    }

    fn linear(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> std::result::Result<Linear, LoadError> {
        let weight = self.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
        let weight = weight.t().and_then(|weight| weight.contiguous());
        let weight = weight.map_err(|error| wrong(WEIGHTS, error.to_string()))?;
        Ok(Linear { weight, bias: self.tensor(&format!("{name}.bias"), &[outputs])? })
    }

    fn norm(&mut self, name: &str, width: usize) -> std::result::Result<Norm, LoadError> {
        Ok(Norm {
            weight: self.tensor(&format!("{name}.weight"), &[width])?,
            bias: self.tensor(&format!("{name}.bias"), &[width])?,
        })
    }

    fn tensor(&mut self, name: &str, shape: &[usize]) -> std::result::Result<Tensor, LoadError> {
        let name = format!("{}{name}", self.prefix);
        let Ok(view) = self.file.tensor(&name) else { return Err(LoadError::TensorMissing { name }) };
        if view.shape() != shape {
            let found = view.shape().to_vec();
            return Err(LoadError::TensorShape { name, expected: shape.to_vec(), found });
        }
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => {
                return Err(LoadError::UnsupportedQuantization { tensor: name, found: format!("{other:?}") });
            }
        };
        let elements = shape.iter().copied().fold(1, usize::saturating_mul);
        self.parameters = self.parameters.saturating_add(u64::try_from(elements).unwrap_or(u64::MAX));
        Tensor::from_raw_buffer(view.data(), dtype, shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(DType::F32))
            .map_err(|error| LoadError::Tensor { name, problem: error.to_string() })
    }
}

const WEIGHTS: &str = "model.safetensors";

/// The largest of the family have 1.3 GB.
const WEIGHTS_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;

/// Keeps a zero vector from dividing by zero, as PyTorch's `normalize` does.
const LENGTH_MIN: f64 = 1e-12;
