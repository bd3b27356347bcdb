//! `POST /v1/responses`: the text subset of OpenAI's newer interface, read into a chat.
//!
//! What it shares with chats is checked and carried out as there, so that its record has a chat's
//! parameters and a chat's tools. Nothing is stored here, and nothing can be referred to later.

mod input;
mod words;

use serde::Deserialize;
use vouchsafe_engine::{ChatMessage, Json, Role};

use self::input::Input;
pub(super) use self::words::ResponseWords;
use super::bounded::BoundedJson;
use super::chat::ChatRequest;
use super::error::ApiError;
use super::form;
use super::json::{self, Given};
use super::sampling::{Stated, StreamOptions};

/// A checked request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ResponsesRequest {
    /// The chat that it comes to.
    pub(crate) chat: ChatRequest,
    /// Repeated in the answer.
    pub(crate) instructions: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    model: String,
    input: Input,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default)]
    max_output_tokens: Option<u32>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<Options>,
    #[serde(default)]
    text: Option<Text>,
    #[serde(default)]
    tools: BoundedJson,
    #[serde(default)]
    tool_choice: BoundedJson,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    // Without effect here as at OpenAI: they name who asks, or where a cache may look.
    #[serde(default, rename = "user")]
    _user: Option<String>,
    #[serde(default, rename = "safety_identifier")]
    _safety_identifier: Option<String>,
    #[serde(default, rename = "prompt_cache_key")]
    _prompt_cache_key: Option<String>,
    // Refused unless they ask for what happens anyway.
    #[serde(default)]
    store: Given,
    #[serde(default)]
    background: Given,
    #[serde(default)]
    truncation: Given,
    #[serde(default)]
    include: Given,
    #[serde(default)]
    metadata: Given,
    #[serde(default)]
    service_tier: Given,
    #[serde(default)]
    previous_response_id: Given,
    #[serde(default)]
    conversation: Given,
    #[serde(default)]
    prompt: Given,
    #[serde(default)]
    reasoning: Given,
    #[serde(default)]
    max_tool_calls: Given,
    #[serde(default)]
    top_logprobs: Given,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    include_obfuscation: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    format: BoundedJson,
    #[serde(default)]
    verbosity: Given,
}

impl ResponsesRequest {
    /// Reads and checks a request body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let body: Body = json::parse(body)?;
        body.refuse_what_is_not_done()?;
        if body.max_output_tokens == Some(0) {
            let message = "'max_output_tokens' must be at least 1.";
            return Err(ApiError::parameter("max_output_tokens", "invalid_value", message));
        }
        let mut messages = body.input.messages()?;
        if let Some(instructions) = &body.instructions {
            messages.insert(0, ChatMessage::new(Role::System, instructions));
        }
        let form = form::Stated {
            tools: tools(body.tools.0),
            tool_choice: nested(body.tool_choice.0, "function"),
            parallel_tool_calls: body.parallel_tool_calls,
            response_format: nested(body.text.map(|text| text.format.0).unwrap_or(Json::Null), "json_schema"),
        }
        .check()?;
        let generation = Stated {
            temperature: body.temperature,
            top_p: body.top_p,
            max_tokens: body.max_output_tokens,
            stream: body.stream,
            stream_options: body
                .stream_options
                .map(|options| StreamOptions::obfuscated(options.include_obfuscation)),
            ..Stated::default()
        }
        .check(1, None, None)?;
        let chat = ChatRequest { model: body.model, messages, form, generation };
        Ok(Self { chat, instructions: body.instructions })
    }
}

impl Body {
    fn refuse_what_is_not_done(&self) -> Result<(), ApiError> {
        let word = Given::word;
        self.store.only("store", &[Given::Bool(false)])?;
        self.background.only("background", &[Given::Bool(false)])?;
        self.truncation.only("truncation", &[word("disabled")])?;
        self.include.only("include", &[Given::EmptyArray])?;
        self.metadata.only("metadata", &[Given::EmptyObject])?;
        self.service_tier.only("service_tier", &[word("auto"), word("default")])?;
        self.previous_response_id.only("previous_response_id", &[])?;
        self.conversation.only("conversation", &[])?;
        self.prompt.only("prompt", &[])?;
        self.reasoning.only("reasoning", &[Given::EmptyObject])?;
        self.max_tool_calls.only("max_tool_calls", &[])?;
        self.top_logprobs.only("top_logprobs", &[])?;
        match &self.text {
            Some(text) => text.verbosity.only("text.verbosity", &[]),
            None => Ok(()),
        }
    }
}

/// Tools as chats state them, which is how templates print them.
fn tools(stated: Json) -> Json {
    match stated {
        Json::Array(tools) => Json::Array(tools.into_iter().map(|tool| nested(tool, "function")).collect()),
        other => other,
    }
}

/// `{"type":KIND,…}` as chats write it: `{"type":KIND,KIND:{…}}`. What is of another type is left alone.
fn nested(stated: Json, kind: &str) -> Json {
    let name = "type".to_owned();
    match stated {
        Json::Object(members) if members.contains(&(name.clone(), kind.into())) => {
            let inner = members.into_iter().filter(|(member, _)| *member != name).collect();
            Json::Object(vec![(name, kind.into()), (kind.to_owned(), Json::Object(inner))])
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(fields: &str) -> Result<ResponsesRequest, ApiError> {
        ResponsesRequest::parse(format!(r#"{{"model":"m",{fields}}}"#).as_bytes())
    }

    #[test]
    fn it_comes_to_a_chat() {
        let request = parse(
            r#""input":"Hi","instructions":"Be brief.","max_output_tokens":7,"temperature":0.5,"store":false,
               "stream":true,"stream_options":{"include_obfuscation":false}"#,
        )
        .unwrap();
        let expected = [ChatMessage::new(Role::System, "Be brief."), ChatMessage::new(Role::User, "Hi")];
        assert_eq!(request.chat.messages, expected);
        let parameters = request.chat.parameters();
        assert_eq!((&parameters["max_tokens"], &parameters["temperature"]), (&json!(7), &json!(0.5)));
        assert_eq!(parameters["stream_options.include_obfuscation"], json!(false));
    }

    #[test]
    fn tools_and_formats_are_recorded_as_chats_state_them() {
        let request = parse(
            r#""input":"Hi","tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true}],
               "tool_choice":{"type":"function","name":"f"},
               "text":{"format":{"type":"json_schema","name":"s","schema":{"type":"null"}}}"#,
        )
        .unwrap();
        let parameters = request.chat.parameters();
        let function = json!({"name": "f", "parameters": {"type": "object"}, "strict": true});
        assert_eq!(parameters["tools"], json!([{"type": "function", "function": function}]));
        assert_eq!(parameters["tool_choice"], json!({"type": "function", "function": {"name": "f"}}));
        assert_eq!(request.chat.form.answer.schema, Some(json!({"type": "null"})));
        let format: Value =
            json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "null"}}});
        assert_eq!(parameters["response_format"], format);
    }

    #[test]
    fn what_is_not_carried_out_is_refused_by_name() {
        for (fields, param) in [
            (r#""store":true"#, "store"),
            (r#""previous_response_id":"resp_1""#, "previous_response_id"),
            (r#""conversation":"c""#, "conversation"),
            (r#""background":true"#, "background"),
            (r#""truncation":"auto""#, "truncation"),
            (r#""include":["message.output_text.logprobs"]"#, "include"),
            (r#""reasoning":{"effort":"low"}"#, "reasoning"),
            (r#""metadata":{"a":"b"}"#, "metadata"),
            (r#""text":{"verbosity":"low"}"#, "text.verbosity"),
            (r#""tools":[{"type":"web_search"}]"#, "tools[0].type"),
            (r#""max_output_tokens":0"#, "max_output_tokens"),
            (r#""seed":1"#, "seed"),
        ] {
            let error = parse(&format!(r#""input":"Hi",{fields}"#)).unwrap_err();
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(param)), "{error:?}");
        }
    }
}
