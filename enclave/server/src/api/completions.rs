//! `POST /v1/completions`: from the body to a checked request.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::error::ApiError;
use super::json::{self, Given, OneOrMany, TokenBiases};
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
    pub(crate) generation: Generation,
}

/// One prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    model: String,
    prompt: Prompts,
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
    echo: Given,
    #[serde(default)]
    suffix: Given,
}

/// A string, token ids, or an array of either.
#[derive(Debug)]
struct Prompts(Vec<Prompt>);

/// An element of the outer array: what it is decides what the array is.
enum Element {
    Text(String),
    Tokens(Vec<u32>),
    Token(u32),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Element;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a token id or an array of token ids")
            }
            fn visit_str<E>(self, text: &str) -> Result<Element, E> {
                Ok(Element::Text(text.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, token: u64) -> Result<Element, E> {
                u32::try_from(token)
                    .map(Element::Token)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(token), &self))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Element, A::Error> {
                let mut tokens = Vec::new();
                while let Some(token) = seq.next_element::<u32>()? {
                    tokens.push(token);
                }
                Ok(Element::Tokens(tokens))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Prompts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an array of strings, token ids, or an array of arrays of token ids")
            }
            fn visit_str<E>(self, text: &str) -> Result<Prompts, E> {
                Ok(Prompts(vec![Prompt::Text(text.to_owned())]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Prompts, A::Error> {
                let mut prompts = Vec::new();
                let mut tokens = Vec::new();
                while let Some(element) = seq.next_element()? {
                    match element {
                        Element::Text(text) => prompts.push(Prompt::Text(text)),
                        Element::Tokens(tokens) => prompts.push(Prompt::Tokens(tokens)),
                        Element::Token(token) => tokens.push(token),
                    }
                    if prompts.len() > PROMPTS_READ_MAX {
                        return Err(de::Error::custom("there are too many prompts"));
                    }
                    if !tokens.is_empty() && !prompts.is_empty() {
                        return Err(de::Error::custom("token ids and prompts are mixed in one array"));
                    }
                }
                if !tokens.is_empty() {
                    prompts.push(Prompt::Tokens(tokens));
                }
                Ok(Prompts(prompts))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

impl CompletionRequest {
    /// Reads and checks a request body.
    pub(crate) fn parse(body: &[u8], choices_max: usize) -> Result<Self, ApiError> {
        let body: Body = json::parse(body)?;
        body.echo.only("echo", &[Given::Bool(false)])?;
        body.suffix.only("suffix", &[])?;
        if body.best_of.is_some_and(|best_of| Some(best_of) != body.n.or(Some(1))) {
            return Err(ApiError::unsupported("best_of"));
        }
        if body.logprobs.is_some_and(|count| count > LOGPROBS_MAX) {
            let message = format!("'logprobs' must be at most {LOGPROBS_MAX}.");
            return Err(ApiError::parameter("logprobs", "invalid_value", message));
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
        Ok(Self { model: body.model, prompts, generation })
    }

    /// Every parameter in force.
    pub(crate) fn parameters(&self) -> BTreeMap<String, Value> {
        let mut all = self.generation.parameters();
        all.insert("echo".into(), json!(false));
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
    fn every_form_of_prompt_is_read() {
        let text = |text: &str| Prompt::Text(text.into());
        for (stated, expected) in [
            (r#""a""#, vec![text("a")]),
            (r#"["a","b"]"#, vec![text("a"), text("b")]),
            ("[1,2]", vec![Prompt::Tokens(vec![1, 2])]),
            ("[[1],[2,3]]", vec![Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3])]),
        ] {
            assert_eq!(parse(&format!(r#""prompt":{stated}"#)).unwrap().prompts, expected);
        }
        let request = parse(r#""prompt":"a""#).unwrap();
        assert_eq!(request.generation.max_tokens.map(u32::from), Some(16));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (fields, param) in [
            (r#""prompt":[]"#, "prompt"),
            (r#""prompt":[1,"a"]"#, "prompt"),
            (r#""prompt":[-1]"#, "prompt[0]"),
            (r#""prompt":null"#, "prompt"),
            (r#""prompt":["a","b","c"],"n":3"#, "prompt"),
            (r#""prompt":"a","echo":true"#, "echo"),
            (r#""prompt":"a","suffix":"s""#, "suffix"),
            (r#""prompt":"a","best_of":2"#, "best_of"),
            (r#""prompt":"a","logprobs":6"#, "logprobs"),
        ] {
            let error = parse(fields).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{fields}: {error:?}");
        }
    }
}
