//! The transformer's computation, one sequence at a time.

use candle_core::{Device, Result, Tensor};
use candle_nn::ops::{rms_norm, softmax_last_dim};
use candle_nn::rotary_emb::{rope, rope_i};

use super::cache::KvCache;
use super::config::{Config, Local, Rope};
use super::weights::{Layer, Linear, Weights};

/// For which of the new positions logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Nothing,
    Last,
    All,
}

/// A model's configuration and weights.
pub(crate) struct Transformer {
    pub(crate) config: Config,
    pub(crate) weights: Weights,
}

/// What the layers share in one step: rotary tables and masks for the new positions.
struct Step {
    count: usize,
    global: View,
    local: Option<View>,
}

struct View {
    cos: Tensor,
    sin: Tensor,
    /// `[count, positions]`, 0 or -∞; `None` where every new position sees all.
    mask: Option<Tensor>,
}

impl Transformer {
    /// Reads `tokens` at the end of the cached sequence. Returns `[n, vocabulary]`, or nothing where
    /// nothing is wanted.
    pub(crate) fn forward(&self, tokens: &[u32], cache: &mut KvCache, want: Want) -> Result<Option<Tensor>> {
        let count = tokens.len();
        if count == 0 {
            candle_core::bail!("no tokens to read")
        }
        let step = self.step(cache.length(), count)?;
        let indices = Tensor::from_slice(tokens, count, &Device::Cpu)?;
        let mut hidden = self.weights.embedding.rows(&indices)?;
        if self.config.embedding_scale != 1.0 {
            hidden = hidden.affine(self.config.embedding_scale.into(), 0.0)?;
        }
        for (index, layer) in self.weights.layers.iter().enumerate() {
            let view = match (self.config.local_at(index), &step.local) {
                (Some(_), Some(local)) => local,
                _ => &step.global,
            };
            let attended = self.attention(index, layer, &hidden, view, step.count, cache)?;
            hidden = hidden.add(&attended)?;
            let fed = self.feed_forward(layer, &hidden)?;
            hidden = hidden.add(&fed)?;
        }
        cache.advance(count);
        let wanted = match want {
            Want::Nothing => return Ok(None),
            Want::Last => hidden.narrow(0, count.saturating_sub(1), 1)?,
            Want::All => hidden,
        };
        let normed = self.norm(&wanted, &self.weights.output_norm)?;
        Ok(Some(self.weights.output.apply(&normed)?))
    }

    fn attention(
        &self,
        index: usize,
        layer: &Layer,
        hidden: &Tensor,
        view: &View,
        count: usize,
        cache: &mut KvCache,
    ) -> Result<Tensor> {
        let config = &self.config;
        let (heads, heads_kv, width) = (config.heads, config.heads_kv, config.head_width);
        let normed = self.norm(hidden, &layer.attention_norm)?;
        let project = |linear: &Linear, heads: usize, norm: Option<&Tensor>, rotate: bool| {
            let projected = linear.apply(&normed)?.reshape((count, heads, width))?;
            let projected = match norm {
                Some(norm) => self.norm(&projected, norm)?,
                None => projected,
            };
            let by_head = projected.transpose(0, 1)?.contiguous()?;
            if !rotate {
                return Ok(by_head);
            }
            let rotate = if config.family.interleaved_rope() { rope_i } else { rope };
            rotate(&by_head.unsqueeze(0)?, &view.cos, &view.sin)?.squeeze(0)
        };
        let queries = project(&layer.query, heads, layer.query_norm.as_ref(), true)?;
        let keys = project(&layer.key, heads_kv, layer.key_norm.as_ref(), true)?;
        let values = project(&layer.value, heads_kv, None, false)?;
        let (keys, values) = cache.append(index, &keys, &values)?;

        // Query heads that share a key head stand next to each other, so the group of them is one
        // matrix against that head's keys, and nothing is repeated.
        let positions = keys.dim(1)?;
        let sharing = heads.div_euclid(heads_kv);
        let queries = queries.affine(config.attention_scale.into(), 0.0)?;
        let queries = queries.reshape((heads_kv, sharing.saturating_mul(count), width))?;
        let scores = queries.matmul(&keys.t()?)?;
        let scores = match &view.mask {
            Some(mask) => scores.reshape((heads, count, positions))?.broadcast_add(mask)?,
            None => scores,
        };
        let shares = softmax_last_dim(&scores)?;
        let shares = shares.reshape((heads_kv, sharing.saturating_mul(count), positions))?;
        let mixed = shares.matmul(&values)?.reshape((heads, count, width))?;
        let mixed = mixed.transpose(0, 1)?.reshape((count, config.query_width()))?;
        let output = layer.attention_output.apply(&mixed)?;
        match &layer.attention_post_norm {
            Some(norm) => self.norm(&output, norm),
            None => Ok(output),
        }
    }

    fn feed_forward(&self, layer: &Layer, hidden: &Tensor) -> Result<Tensor> {
        let normed = self.norm(hidden, &layer.feed_norm)?;
        let gate = layer.gate.apply(&normed)?;
        let gate = if self.config.family.has_post_norms() { gate.gelu()? } else { gate.silu()? };
        let output = layer.down.apply(&gate.mul(&layer.up.apply(&normed)?)?)?;
        match &layer.feed_post_norm {
            Some(norm) => self.norm(&output, norm),
            None => Ok(output),
        }
    }

    fn norm(&self, hidden: &Tensor, weight: &Tensor) -> Result<Tensor> {
        rms_norm(hidden, weight, self.config.norm_epsilon)
    }

    fn step(&self, start: usize, count: usize) -> Result<Step> {
        let factors = self.weights.rope_factors.as_deref();
        let global = self.view(start, count, self.config.rope, factors, None)?;
        let local = match self.config.local {
            Some(local) => Some(self.view(start, count, local.rope, None, Some(local))?),
            None => None,
        };
        Ok(Step { count, global, local })
    }

    fn view(
        &self,
        start: usize,
        count: usize,
        rope: Rope,
        factors: Option<&[f32]>,
        local: Option<Local>,
    ) -> Result<View> {
        let (cos, sin) = rotary_tables(start, count, self.config.head_width, rope, factors)?;
        Ok(View { cos, sin, mask: mask(start, count, local)? })
    }
}

impl Linear {
    fn apply(&self, input: &Tensor) -> Result<Tensor> {
        let output = self.weight.apply(input)?;
        match &self.bias {
            Some(bias) => output.broadcast_add(bias),
            None => Ok(output),
        }
    }
}

/// Cosines and sines of `count` positions from `start`: `[count, width / 2]` each. Angles are computed
/// in f64: in f32 they lose their fraction at long contexts.
#[allow(clippy::as_conversions, reason = "positions and widths are far below 2^53; results round to f32")]
fn rotary_tables(
    start: usize,
    count: usize,
    width: usize,
    rope: Rope,
    factors: Option<&[f32]>,
) -> Result<(Tensor, Tensor)> {
    let half = width.div_euclid(2);
    let frequencies: Vec<f64> = (0..half)
        .map(|index| {
            let exponent = -2.0 * index as f64 / width as f64;
            let factor = factors.and_then(|factors| factors.get(index)).copied().unwrap_or(1.0);
            libm::pow(rope.base.into(), exponent) / f64::from(factor) / f64::from(rope.divisor)
        })
        .collect();
    let size = count.saturating_mul(half);
    let (mut cos, mut sin) = (Vec::with_capacity(size), Vec::with_capacity(size));
    for position in start..start.saturating_add(count) {
        for frequency in &frequencies {
            let angle = position as f64 * frequency;
            cos.push(libm::cos(angle) as f32);
            sin.push(libm::sin(angle) as f32);
        }
    }
    let table = |values| Tensor::from_vec(values, (count, half), &Device::Cpu);
    Ok((table(cos)?, table(sin)?))
}

/// Hides later positions, and those before the window of a local layer.
fn mask(start: usize, count: usize, local: Option<Local>) -> Result<Option<Tensor>> {
    let total = start.saturating_add(count);
    let first_visible = |position: usize| match local {
        Some(local) => position.saturating_add(1).saturating_sub(local.window),
        None => 0,
    };
    if count == 1 && first_visible(start) == 0 {
        return Ok(None);
    }
    let mut values = Vec::with_capacity(count.saturating_mul(total));
    for position in start..total {
        let visible = first_visible(position)..=position;
        values.extend((0..total).map(|other| if visible.contains(&other) { 0.0 } else { f32::NEG_INFINITY }));
    }
    Ok(Some(Tensor::from_vec(values, (count, total), &Device::Cpu)?))
}
