//! The generation parameters that chat and text completions share: read, checked, and recorded.
//!
//! Every parameter that is accepted takes effect or is one of those that ask for nothing; everything
//! else is refused by name. What is in force, defaults included, goes into the execution record.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Deserialize;
use serde_json::{Value, json};
use vouchsafe_engine::{SamplingOptions, SamplingParams, StopStrings};

use super::error::ApiError;
use super::json::{OneOrMany, TokenBiases};

/// Most stop strings, as OpenAI allows.
const STOP_MAX: usize = 4;

/// The shared parameters as a client states them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Stated {
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) top_k: Option<i64>,
    pub(super) min_p: Option<f32>,
    pub(super) repetition_penalty: Option<f32>,
    pub(super) presence_penalty: Option<f32>,
    pub(super) frequency_penalty: Option<f32>,
    pub(super) logit_bias: TokenBiases<{ SamplingParams::LOGIT_BIAS_MAX }>,
    pub(super) stop: OneOrMany<String, STOP_MAX>,
    pub(super) seed: Option<i64>,
    pub(super) n: Option<u32>,
    pub(super) max_tokens: Option<u32>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
}

/// `stream_options`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
    #[serde(default)]
    include_obfuscation: Option<bool>,
}

impl StreamOptions {
    /// For streams whose token counts are no option.
    pub(super) fn obfuscated(include_obfuscation: Option<bool>) -> Self {
        Self { include_usage: None, include_obfuscation }
    }
}

/// How a stream is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Streaming {
    /// A last event with the token counts.
    pub(crate) usage: bool,
    /// Events filled up to size classes.
    pub(crate) obfuscation: bool,
}

/// Checked parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Generation {
    pub(crate) sampling: SamplingParams,
    pub(crate) stop: StopStrings,
    pub(crate) max_tokens: Option<NonZeroU32>,
    /// Log probabilities per token; `None` for none.
    pub(crate) logprobs: Option<u8>,
    /// As the client gave it; drawn at random otherwise.
    pub(crate) seed: Option<u64>,
    pub(crate) n: usize,
    pub(crate) streaming: Option<Streaming>,
}

impl Stated {
    /// Checks all ranges. `max_tokens_default` applies where the client gave none.
    pub(super) fn check(
        self,
        choices_max: usize,
        max_tokens_default: Option<u32>,
        logprobs: Option<u8>,
    ) -> Result<Generation, ApiError> {
        let default = SamplingOptions::default();
        let sampling = SamplingParams::new(SamplingOptions {
            temperature: self.temperature.unwrap_or(default.temperature),
            top_p: self.top_p.unwrap_or(default.top_p),
            top_k: top_k(self.top_k)?.unwrap_or(default.top_k),
            min_p: self.min_p.unwrap_or(default.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(default.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(default.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(default.frequency_penalty),
            logit_bias: self.logit_bias.0,
        })?;
        let n = usize::try_from(self.n.unwrap_or(1)).unwrap_or(usize::MAX);
        if n == 0 || n > choices_max {
            let message = format!("'n' must be between 1 and {choices_max}, not {n}.");
            return Err(ApiError::parameter("n", "invalid_value", message));
        }
        let max_tokens = match self.max_tokens.or(max_tokens_default) {
            None => None,
            Some(count) => Some(NonZeroU32::new(count).ok_or_else(|| {
                ApiError::parameter("max_tokens", "invalid_value", "'max_tokens' must be at least 1.")
            })?),
        };
        Ok(Generation {
            sampling,
            stop: StopStrings::new(self.stop.0)?,
            max_tokens,
            logprobs,
            // Two's complement: every integer that a client can write is a seed of its own.
            seed: self.seed.map(i64::cast_unsigned),
            n,
            streaming: streaming(self.stream, self.stream_options)?,
        })
    }
}

/// OpenAI-compatible servers write "all" as 0 or -1.
fn top_k(stated: Option<i64>) -> Result<Option<u32>, ApiError> {
    match stated {
        None => Ok(None),
        Some(-1) => Ok(Some(0)),
        Some(count) => u32::try_from(count).map(Some).map_err(|_| {
            ApiError::parameter("top_k", "invalid_value", "'top_k' must be -1, 0 or a positive number.")
        }),
    }
}

fn streaming(stream: Option<bool>, options: Option<StreamOptions>) -> Result<Option<Streaming>, ApiError> {
    if stream != Some(true) {
        return match options {
            None => Ok(None),
            Some(_) => Err(ApiError::parameter(
                "stream_options",
                "invalid_value",
                "'stream_options' is only allowed when 'stream' is true.",
            )),
        };
    }
    let options = options.unwrap_or_default();
    Ok(Some(Streaming {
        usage: options.include_usage.unwrap_or(false),
        obfuscation: options.include_obfuscation.unwrap_or(true),
    }))
}

impl Generation {
    /// Every parameter in force, by its name in the API.
    pub(crate) fn parameters(&self) -> BTreeMap<String, Value> {
        let options = self.sampling.options();
        let biases: serde_json::Map<_, _> =
            options.logit_bias.iter().map(|(token, bias)| (token.to_string(), decimal(*bias))).collect();
        let mut all = BTreeMap::from([
            ("temperature", decimal(options.temperature)),
            ("top_p", decimal(options.top_p)),
            ("top_k", json!(options.top_k)),
            ("min_p", decimal(options.min_p)),
            ("repetition_penalty", decimal(options.repetition_penalty)),
            ("presence_penalty", decimal(options.presence_penalty)),
            ("frequency_penalty", decimal(options.frequency_penalty)),
            ("logit_bias", Value::Object(biases)),
            ("stop", json!(self.stop.as_slice())),
            ("max_tokens", json!(self.max_tokens)),
            ("logprobs", json!(self.logprobs)),
            ("n", json!(self.n)),
            ("stream", json!(self.streaming.is_some())),
        ]);
        if let Some(Streaming { usage, obfuscation }) = self.streaming {
            all.insert("stream_options.include_usage", json!(usage));
            all.insert("stream_options.include_obfuscation", json!(obfuscation));
        }
        all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The shortest decimal that stands for this number: what the client wrote, not its nearest binary
/// neighbour spelled out.
fn decimal(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, |number| json!(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stated: Stated) -> Result<Generation, ApiError> {
        stated.check(8, None, None)
    }

    #[test]
    fn defaults_are_recorded() {
        let parameters = check(Stated::default()).unwrap().parameters();
        let text = serde_json::to_string(&parameters).unwrap();
        assert_eq!(
            text,
            r#"{"frequency_penalty":0.0,"logit_bias":{},"logprobs":null,"max_tokens":null,"min_p":0.0,"n":1,"presence_penalty":0.0,"repetition_penalty":1.0,"stop":[],"stream":false,"temperature":1.0,"top_k":0,"top_p":1.0}"#
        );
    }

    #[test]
    fn numbers_are_recorded_as_written() {
        let generation = check(Stated { temperature: Some(0.7), ..Stated::default() }).unwrap();
        assert_eq!(generation.parameters()["temperature"].to_string(), "0.7");
    }

    #[test]
    fn absurd_values_are_refused_by_name() {
        let table: [(&str, Stated); 9] = [
            ("temperature", Stated { temperature: Some(2.5), ..Stated::default() }),
            ("top_p", Stated { top_p: Some(-0.1), ..Stated::default() }),
            ("top_k", Stated { top_k: Some(-2), ..Stated::default() }),
            ("n", Stated { n: Some(0), ..Stated::default() }),
            ("n", Stated { n: Some(9), ..Stated::default() }),
            ("max_tokens", Stated { max_tokens: Some(0), ..Stated::default() }),
            ("stop", Stated { stop: OneOrMany(vec![String::new()]), ..Stated::default() }),
            ("logit_bias", Stated { logit_bias: TokenBiases(vec![(1, 101.0)]), ..Stated::default() }),
            (
                "stream_options",
                Stated { stream_options: Some(StreamOptions::default()), ..Stated::default() },
            ),
        ];
        for (name, stated) in table {
            let error = check(stated).unwrap_err();
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(name)));
        }
    }

    #[test]
    fn streams_are_padded_unless_the_client_declines() {
        let stated = Stated { stream: Some(true), ..Stated::default() };
        assert_eq!(
            check(stated.clone()).unwrap().streaming,
            Some(Streaming { usage: false, obfuscation: true })
        );
        let options = StreamOptions { include_usage: Some(true), include_obfuscation: Some(false) };
        let stated = Stated { stream_options: Some(options), ..stated };
        assert_eq!(check(stated).unwrap().streaming, Some(Streaming { usage: true, obfuscation: false }));
    }

    #[test]
    fn seeds_of_both_signs_are_kept_apart() {
        let seed = |seed| check(Stated { seed: Some(seed), ..Stated::default() }).unwrap().seed.unwrap();
        assert_eq!(seed(7), 7);
        assert_eq!(seed(-1), u64::MAX);
    }
}
