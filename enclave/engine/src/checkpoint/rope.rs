//! Rotary positions: `rope_theta` and `rope_scaling`, or `rope_parameters` since `transformers` 5.

use super::figures::Entries;
use super::{CONFIG, Figures, missing, unsupported, wrong};
use crate::LoadError;
use crate::gguf::Value;

/// Factors that frequencies are divided by, as a GGUF file has them: a tensor's name, and values.
pub(super) type Factors = (&'static str, Vec<f32>);

/// Adds what the metadata say of positions.
pub(super) fn add(config: &Figures<'_>, entries: &mut Entries) -> Result<(), LoadError> {
    let gemma = entries.architecture() == "gemma3";
    let rope = Rope::read(config, gemma)?;
    entries.figure("rope.freq_base", Value::Float(rope.base));
    if gemma {
        let base = match config.optional_object("rope_parameters")? {
            Some(kinds) => {
                let local = kinds
                    .optional_object("sliding_attention")?
                    .ok_or_else(|| missing("sliding_attention"))?;
                if !matches!(local.optional_string("rope_type")?, None | Some("default")) {
                    return Err(unsupported("scaled positions in local layers"));
                }
                local.float("rope_theta")?
            }
            None => config.float("rope_local_base_freq")?,
        };
        entries.figure("rope.freq_base_swa", Value::Float(base));
    }
    let turned = rotary_width(config)?;
    if let Some(width) = turned {
        entries.figure("rope.dimension_count", Value::Integer(width.into()));
    }
    match (rope.kind, rope.scaling) {
        ("default", _) => {}
        ("linear", Some(scaling)) => {
            entries.figure("rope.scaling.type", Value::String("linear".to_owned()));
            entries.figure("rope.scaling.factor", Value::Float(scaling.float("factor")?));
        }
        // Its factors are a tensor: see [`factors`].
        ("llama3", Some(_)) if entries.architecture() == "llama" => {}
        ("longrope", Some(scaling)) if entries.architecture() == "phi3" => {
            entries.figure("rope.scaling.type", Value::String("longrope".to_owned()));
            let (trained, factor) = extension(config, scaling)?;
            entries.figure("rope.scaling.original_context_length", Value::Integer(trained.into()));
            let trained = as_f64(trained);
            let by_formula =
                if factor <= 1.0 { 1.0 } else { libm::sqrt(1.0 + libm::log(factor) / libm::log(trained)) };
            let scale = scaling.optional_float("attention_factor")?.unwrap_or(by_formula);
            entries.figure("rope.scaling.attn_factor", Value::Float(scale));
        }
        (other, _) => return Err(unsupported(format!("rope scaling {other:?}"))),
    }
    Ok(())
}

/// The factors that the configuration gives or implies.
pub(super) fn factors(config: &Figures<'_>, architecture: &str) -> Result<Vec<Factors>, LoadError> {
    let rope = Rope::read(config, architecture == "gemma3")?;
    match (rope.kind, rope.scaling) {
        ("llama3", Some(scaling)) => Ok(vec![("rope_freqs.weight", llama3(config, &rope, scaling)?)]),
        ("longrope", Some(scaling)) => Ok(vec![
            ("rope_factors_long.weight", list(scaling, "long_factor")?),
            ("rope_factors_short.weight", list(scaling, "short_factor")?),
        ]),
        _ => Ok(Vec::new()),
    }
}

struct Rope<'a> {
    base: f64,
    kind: &'a str,
    scaling: Option<Figures<'a>>,
}

impl<'a> Rope<'a> {
    /// Of the layers that see everything.
    fn read(config: &Figures<'a>, gemma: bool) -> Result<Self, LoadError> {
        let parameters = match config.optional_object("rope_parameters")? {
            Some(kinds) if gemma => {
                Some(kinds.optional_object("full_attention")?.ok_or_else(|| missing("full_attention"))?)
            }
            other => other,
        };
        let scaling = match parameters {
            Some(parameters) => Some(parameters),
            None => config.optional_object("rope_scaling")?,
        };
        let base = match parameters {
            Some(parameters) => parameters.float("rope_theta")?,
            None => config.float("rope_theta")?,
        };
        let kind = match scaling {
            Some(scaling) => match scaling.optional_string("rope_type")? {
                Some(kind) => kind,
                None => scaling.optional_string("type")?.ok_or_else(|| missing("rope_type"))?,
            },
            None => "default",
        };
        // What Phi-3's first files call it.
        let kind = if kind == "su" { "longrope" } else { kind };
        Ok(Self { base, kind, scaling })
    }
}

/// How much of each head is turned, where that is not all.
fn rotary_width(config: &Figures<'_>) -> Result<Option<u64>, LoadError> {
    let own = config.optional_float("partial_rotary_factor")?;
    let part = match (own, config.optional_object("rope_parameters")?) {
        (None, Some(parameters)) => parameters.optional_float("partial_rotary_factor")?,
        (own, _) => own,
    };
    let Some(part) = part.filter(|part| *part < 1.0) else { return Ok(None) };
    let width = head_width(config)?;
    let turned = libm::floor(as_f64(width) * part);
    if turned < 2.0 {
        return Err(wrong(CONFIG, "partial_rotary_factor leaves nothing to turn"));
    }
    #[allow(clippy::as_conversions, reason = "whole, positive and no more than the head's width")]
    Ok(Some(turned as u64))
}

fn head_width(config: &Figures<'_>) -> Result<u64, LoadError> {
    match config.optional_integer("head_dim")? {
        Some(width) => Ok(width),
        None => {
            let width = config.integer("hidden_size")?;
            Ok(width.checked_div(config.integer("num_attention_heads")?).unwrap_or(0))
        }
    }
}

/// The context before it was extended, and by how much it was.
fn extension(config: &Figures<'_>, scaling: Figures<'_>) -> Result<(u64, f64), LoadError> {
    let name = "original_max_position_embeddings";
    let trained = match scaling.optional_integer(name)? {
        Some(trained) => trained,
        None => config.integer(name)?,
    };
    if trained < 2 {
        return Err(wrong(CONFIG, format!("{name} is {trained}")));
    }
    Ok((trained, as_f64(config.integer("max_position_embeddings")?) / as_f64(trained)))
}

/// Llama 3.1's: long waves are slowed by the factor, short ones not at all, and between is a ramp.
fn llama3(config: &Figures<'_>, rope: &Rope<'_>, scaling: Figures<'_>) -> Result<Vec<f32>, LoadError> {
    let factor = scaling.float("factor")?;
    let (low, high) = (scaling.float("low_freq_factor")?, scaling.float("high_freq_factor")?);
    let trained = as_f64(extension(config, scaling)?.0);
    let width = head_width(config)?;
    if !(factor > 0.0 && low > 0.0 && high > low) || width > HEAD_WIDTH_MAX {
        return Err(wrong(CONFIG, "rope_scaling is out of range"));
    }
    let of = |index: u64| {
        let wave = 2.0 * std::f64::consts::PI * libm::pow(rope.base, as_f64(index) * 2.0 / as_f64(width));
        let ramp = ((trained / wave - low) / (high - low)).clamp(0.0, 1.0);
        1.0 / ((1.0 - ramp) / factor + ramp)
    };
    #[allow(clippy::as_conversions, reason = "rounds to single precision, as a GGUF file has it")]
    Ok((0..width.div_euclid(2)).map(|index| of(index) as f32).collect())
}

fn list(scaling: Figures<'_>, name: &str) -> Result<Vec<f32>, LoadError> {
    let values = scaling.optional_array(name)?.ok_or_else(|| missing(name))?;
    #[allow(clippy::as_conversions, reason = "rounds to single precision, as a GGUF file has it")]
    let numbers = values.iter().map(|value| value.as_f64().map(|value| value as f32)).collect::<Option<_>>();
    numbers.ok_or_else(|| wrong(CONFIG, format!("{name} is not an array of numbers")))
}

#[allow(clippy::as_conversions, reason = "exact: figures beyond 2^53 are refused elsewhere")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

/// No head is that wide.
const HEAD_WIDTH_MAX: u64 = 4096;
