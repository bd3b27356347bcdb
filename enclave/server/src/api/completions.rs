//! `POST /v1/completions`: from the body to a checked request.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::json::{self, Given, OneOrMany, TokenBiases};
use super::prompts::{Prompt, Prompts};
use super::sampling::{Generation, Stated, StreamOptions};

/// OpenAI's own default for this endpoint.
const MAX_TOKENS_DEFAULT: u32 = 16;
/// Most log probabilities per token, as OpenAI allows here.
const LOGPROBS_MAX: u8 = 5;
/// Most prompts that are kept while an array is read; how many are answered is configured.
const PROMPTS_READ_MAX: usize = 1024;

/// A checked completion request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CompletionRequest {
    pub(crate) model: String,
    pub(crate) prompts: Vec<Prompt>,
    /// Whether each answer begins with its prompt.
    pub(crate) echo: bool,
    pub(crate) generation: Generation,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    model: String,
    prompt: Prompts<PROMPTS_READ_MAX>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    top_k: Option<i64>,
    #[serde(default)]
    min_p: Option<f32>,
    #[serde(default)]
    repetition_penalty: Option<f32>,
    #[serde(default)]
    presence_penalty: Option<f32>,
    #[serde(default)]
    frequency_penalty: Option<f32>,
    #[serde(default)]
    logit_bias: TokenBiases<1024>,
    #[serde(default)]
    logprobs: Option<u8>,
    #[serde(default)]
    stop: OneOrMany<String, 4>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    n: Option<u32>,
    #[serde(default)]
    best_of: Option<u32>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default, rename = "user")]
    _user: Option<String>,
    #[serde(default)]
    echo: Option<bool>,
    #[serde(default)]
    suffix: Given,
}

impl CompletionRequest {
    /// Reads and checks a request body.
    pub(crate) fn parse(body: &[u8], choices_max: usize) -> Result<Self, ApiError> {
        let body: Body = json::parse(body)?;
        body.suffix.only("suffix", &[])?;
        if body.best_of.is_some_and(|best_of| Some(best_of) != body.n.or(Some(1))) {
            return Err(ApiError::unsupported("best_of"));
        }
        if body.logprobs.is_some_and(|count| count > LOGPROBS_MAX) {
            let message = format!("'logprobs' must be at most {LOGPROBS_MAX}.");
            return Err(ApiError::parameter("logprobs", "invalid_value", message));
        }
        let echo = body.echo.unwrap_or(false);
        if echo && body.logprobs.is_some() {
            let message = "'logprobs' of an echoed prompt are not supported by this server.";
            return Err(ApiError::parameter("logprobs", "unsupported_parameter", message));
        }
        let prompts = body.prompt.0;
        let generation = Stated {
            temperature: body.temperature,
            top_p: body.top_p,
            top_k: body.top_k,
            min_p: body.min_p,
            repetition_penalty: body.repetition_penalty,
            presence_penalty: body.presence_penalty,
            frequency_penalty: body.frequency_penalty,
            logit_bias: body.logit_bias,
            stop: body.stop,
            seed: body.seed,
            n: body.n,
            max_tokens: body.max_tokens,
            stream: body.stream,
            stream_options: body.stream_options,
        }
        .check(choices_max, Some(MAX_TOKENS_DEFAULT), body.logprobs)?;
        if prompts.is_empty() || prompts.len().saturating_mul(generation.n) > choices_max {
            let message = format!("'prompt' times 'n' must be 1 to {choices_max}.");
            return Err(ApiError::parameter("prompt", "invalid_value", message));
        }
        Ok(Self { model: body.model, prompts, echo, generation })
    }

    /// Every parameter in force.
    pub(crate) fn parameters(&self) -> BTreeMap<String, Value> {
        let mut all = self.generation.parameters();
        all.insert("echo".into(), json!(self.echo));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(fields: &str) -> Result<CompletionRequest, ApiError> {
        CompletionRequest::parse(format!(r#"{{"model":"m",{fields}}}"#).as_bytes(), 8)
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let request = parse(r#""prompt":"a""#).unwrap();
        assert_eq!((request.generation.max_tokens.map(u32::from), request.echo), (Some(16), false));
        assert!(parse(r#""prompt":"a","echo":true"#).unwrap().echo);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (fields, param) in [
            (r#""prompt":[]"#, "prompt"),
            (r#""prompt":["a","b","c"],"n":3"#, "prompt"),
            (r#""prompt":"a","echo":1"#, "echo"),
            (r#""prompt":"a","echo":true,"logprobs":0"#, "logprobs"),
            (r#""prompt":"a","suffix":"s""#, "suffix"),
            (r#""prompt":"a","best_of":2"#, "best_of"),
            (r#""prompt":"a","logprobs":6"#, "logprobs"),
        ] {
            let error = parse(fields).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{fields}: {error:?}");
        }
    }
}
