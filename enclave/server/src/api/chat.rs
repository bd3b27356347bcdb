//! `POST /v1/chat/completions`: from the body to a checked request.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use vouchsafe_engine::ChatMessage;

use super::bounded::BoundedJson;
use super::error::ApiError;
use super::form::{self, Form};
use super::json::{self, AtMost, Given, OneOrMany, TokenBiases};
use super::messages::{Message, messages};
use super::sampling::{Generation, Stated, StreamOptions};

/// Most messages of one conversation.
const MESSAGES_MAX: usize = 4096;
/// Most log probabilities per token.
const TOP_LOGPROBS_MAX: u8 = 20;

/// A checked chat request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChatRequest {
    pub(crate) model: String,
    pub(crate) messages: Vec<ChatMessage>,
    /// What the answer must look like, and the tools that it may call.
    pub(crate) form: Form,
    pub(crate) generation: Generation,
}

/// The body's fields. What is only here to be refused is a [`Given`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    model: String,
    messages: AtMost<Message, MESSAGES_MAX>,
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
    logprobs: Option<bool>,
    #[serde(default)]
    top_logprobs: Option<u8>,
    #[serde(default)]
    stop: OneOrMany<String, 4>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    n: Option<u32>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    response_format: BoundedJson,
    #[serde(default)]
    tools: BoundedJson,
    #[serde(default)]
    tool_choice: BoundedJson,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    modalities: OneOrMany<String, 4>,
    // Without effect here as at OpenAI: they name who asks, or where a cache may look.
    #[serde(default, rename = "user")]
    _user: Option<String>,
    #[serde(default, rename = "safety_identifier")]
    _safety_identifier: Option<String>,
    #[serde(default, rename = "prompt_cache_key")]
    _prompt_cache_key: Option<String>,
    // Refused unless they ask for what happens anyway.
    #[serde(default)]
    functions: Given,
    #[serde(default)]
    function_call: Given,
    #[serde(default)]
    audio: Given,
    #[serde(default)]
    prediction: Given,
    #[serde(default)]
    reasoning_effort: Given,
    #[serde(default)]
    verbosity: Given,
    #[serde(default)]
    web_search_options: Given,
    #[serde(default)]
    store: Given,
    #[serde(default)]
    metadata: Given,
    #[serde(default)]
    service_tier: Given,
}

impl ChatRequest {
    /// Reads and checks a request body.
    pub(crate) fn parse(body: &[u8], choices_max: usize) -> Result<Self, ApiError> {
        let body: Body = json::parse(body)?;
        body.refuse_what_is_not_done()?;
        let max_tokens = max_tokens(body.max_tokens, body.max_completion_tokens)?;
        let logprobs = logprobs(body.logprobs, body.top_logprobs)?;
        let messages = messages(body.messages.0)?;
        let form = form::Stated {
            tools: body.tools.0,
            tool_choice: body.tool_choice.0,
            parallel_tool_calls: body.parallel_tool_calls,
            response_format: body.response_format.0,
        }
        .check()?;
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
            max_tokens,
            stream: body.stream,
            stream_options: body.stream_options,
        }
        .check(choices_max, None, logprobs)?;
        Ok(Self { model: body.model, messages, form, generation })
    }

    /// Every parameter in force.
    pub(crate) fn parameters(&self) -> BTreeMap<String, Value> {
        let mut all = self.generation.parameters();
        all.extend(self.form.parameters());
        all
    }
}

impl Body {
    fn refuse_what_is_not_done(&self) -> Result<(), ApiError> {
        let word = Given::word;
        self.functions.only("functions", &[Given::EmptyArray])?;
        self.function_call.only("function_call", &[word("none"), word("auto")])?;
        self.audio.only("audio", &[])?;
        self.prediction.only("prediction", &[])?;
        self.reasoning_effort.only("reasoning_effort", &[])?;
        self.verbosity.only("verbosity", &[])?;
        self.web_search_options.only("web_search_options", &[])?;
        self.store.only("store", &[Given::Bool(false)])?;
        self.metadata.only("metadata", &[Given::EmptyObject])?;
        self.service_tier.only("service_tier", &[word("auto"), word("default")])?;
        if self.modalities.0.iter().any(|modality| modality != "text") {
            return Err(ApiError::unsupported("modalities"));
        }
        Ok(())
    }
}

/// The newer and the older name of one parameter.
fn max_tokens(old: Option<u32>, new: Option<u32>) -> Result<Option<u32>, ApiError> {
    match (old, new) {
        (Some(old), Some(new)) if old != new => Err(ApiError::parameter(
            "max_completion_tokens",
            "invalid_value",
            "'max_tokens' and 'max_completion_tokens' contradict each other.",
        )),
        (old, new) => Ok(new.or(old)),
    }
}

fn logprobs(wanted: Option<bool>, top: Option<u8>) -> Result<Option<u8>, ApiError> {
    match (wanted.unwrap_or(false), top) {
        (false, Some(1..)) => Err(ApiError::parameter(
            "top_logprobs",
            "invalid_value",
            "'top_logprobs' is only allowed when 'logprobs' is true.",
        )),
        (false, _) => Ok(None),
        (true, top) => match top.unwrap_or(0) {
            count if count <= TOP_LOGPROBS_MAX => Ok(Some(count)),
            count => {
                let message = format!("'top_logprobs' must be at most {TOP_LOGPROBS_MAX}, not {count}.");
                Err(ApiError::parameter("top_logprobs", "invalid_value", message))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use vouchsafe_engine::ToolCall;

    use super::*;

    fn parse(text: &str) -> Result<ChatRequest, ApiError> {
        ChatRequest::parse(text.as_bytes(), 8)
    }

    fn with(fields: &str) -> String {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],{fields}}}"#)
    }

    #[test]
    fn strings_and_text_parts_are_messages() {
        let request = parse(
            r#"{"model":"m","messages":[
                {"role":"system","content":"Be brief."},
                {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"eve"},
                {"role":"assistant","content":"c","refusal":null,"annotations":[],"tool_calls":null}]}"#,
        )
        .unwrap();
        assert_eq!(request.messages[1].content.as_deref(), Some("ab"));
        assert_eq!(request.messages[1].name.as_deref(), Some("eve"));
        assert_eq!(request.messages[2].role.as_str(), "assistant");
    }

    #[test]
    fn what_is_not_carried_out_is_refused_by_name() {
        for (fields, param) in [
            (r#""functions":[{}]"#, "functions"),
            (r#""modalities":["text","audio"]"#, "modalities"),
            (r#""audio":{"voice":"x"}"#, "audio"),
            (r#""reasoning_effort":"low""#, "reasoning_effort"),
            (r#""store":true"#, "store"),
            (r#""service_tier":"flex""#, "service_tier"),
            (r#""prediction":{"type":"content"}"#, "prediction"),
        ] {
            let error = parse(&with(fields)).unwrap_err();
            assert_eq!((error.code, error.param.as_deref()), ("unsupported_parameter", Some(param)));
        }
    }

    #[test]
    fn what_asks_for_nothing_is_accepted() {
        parse(&with(
            r#""tools":[],"tool_choice":"none","response_format":{"type":"text"},"modalities":["text"],
               "store":false,"metadata":{},"service_tier":"auto","user":"u","safety_identifier":"s",
               "audio":null,"n":1,"logprobs":false,"top_logprobs":null"#,
        ))
        .unwrap();
    }

    #[test]
    fn wrong_messages_are_refused_by_position() {
        for (messages, param) in [
            ("[]", "messages"),
            (r#"[{"role":"robot","content":"x"}]"#, "messages[0].role"),
            (r#"[{"role":"tool","content":"x"}]"#, "messages[0].tool_call_id"),
            (r#"[{"role":"user","content":"x","tool_call_id":"1"}]"#, "messages[0].tool_call_id"),
            (
                r#"[{"role":"user","content":"x","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}]"#,
                "messages[0].tool_calls",
            ),
            (
                r#"[{"role":"assistant","tool_calls":[{"id":"1","type":"custom","function":{"name":"f","arguments":"{}"}}]}]"#,
                "messages[0].tool_calls",
            ),
            (r#"[{"role":"user"}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":null}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":3}]"#, "messages[0].content"),
            (
                r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]"#,
                "messages[0].content",
            ),
            (r#"[{"role":"assistant","content":"x","tool_calls":[{}]}]"#, "messages[0].tool_calls"),
        ] {
            let error = parse(&format!(r#"{{"model":"m","messages":{messages}}}"#)).unwrap_err();
            assert_eq!(error.status, 400);
            let found = error.param.clone().unwrap_or_default();
            assert!(found.starts_with(param), "{messages}: {error:?}");
        }
    }

    #[test]
    fn calls_and_their_results_are_messages() {
        let request = parse(
            r#"{"model":"m","messages":[{"role":"user","content":"a"},
                {"role":"assistant","content":null,"tool_calls":[
                    {"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
                    {"id":"2","type":"function","function":{"name":"g","arguments":"broken"},"index":1}]},
                {"role":"tool","tool_call_id":"1","content":"42"}]}"#,
        )
        .unwrap();
        let calls = &request.messages[1].tool_calls;
        assert_eq!(calls[0], ToolCall::new("1", "f", r#"{"x":1}"#));
        assert_eq!(calls[1].arguments, vouchsafe_engine::Json::from("broken"));
        assert_eq!(request.messages[2].tool_call_id.as_deref(), Some("1"));
    }

    #[test]
    fn log_probabilities_and_lengths_are_consistent_or_refused() {
        assert_eq!(parse(&with(r#""logprobs":true,"top_logprobs":3"#)).unwrap().generation.logprobs, Some(3));
        assert_eq!(parse(&with(r#""logprobs":true"#)).unwrap().generation.logprobs, Some(0));
        assert_eq!(parse(&with(r#""top_logprobs":3"#)).unwrap_err().param.as_deref(), Some("top_logprobs"));
        assert!(parse(&with(r#""logprobs":true,"top_logprobs":21"#)).is_err());
        let both = parse(&with(r#""max_tokens":5,"max_completion_tokens":5"#)).unwrap();
        assert_eq!(both.generation.max_tokens.map(u32::from), Some(5));
        assert!(parse(&with(r#""max_tokens":5,"max_completion_tokens":6"#)).is_err());
    }
}
