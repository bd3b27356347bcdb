//! `input`: a text, or the items of a conversation.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use vouchsafe_engine::{ChatMessage, Role, ToolCall};

use super::super::error::ApiError;
use super::super::json::Given;

/// Most items of one conversation.
const ITEMS_MAX: usize = 4096;

#[derive(Debug)]
pub(super) enum Input {
    Text(String),
    Items(Vec<Item>),
}

/// A message, a call that an answer made, or a call's result: which, `type` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default)]
    output: Option<Content>,
    // What clients send back of an answer.
    #[serde(default, rename = "id")]
    _id: Given,
    #[serde(default, rename = "status")]
    _status: Given,
}

/// A text, from one string or from text parts put one after the other.
#[derive(Debug)]
struct Content(String);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    annotations: Given,
    #[serde(default)]
    logprobs: Given,
    // Parts of other kinds carry these; they are refused by their type.
    #[serde(default, rename = "detail")]
    _detail: Given,
    #[serde(default, rename = "image_url")]
    _image_url: Given,
    #[serde(default, rename = "file_id")]
    _file_id: Given,
    #[serde(default, rename = "file_data")]
    _file_data: Given,
    #[serde(default, rename = "filename")]
    _filename: Given,
    #[serde(default, rename = "refusal")]
    _refusal: Given,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of text parts")
            }
            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut all = String::new();
                while let Some(part) = seq.next_element::<Part>()? {
                    all.push_str(&part.text()?);
                }
                Ok(Content(all))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

impl Part {
    fn text<E: de::Error>(self) -> Result<String, E> {
        let is_inert = |given: &Given| matches!(given, Given::Nothing | Given::EmptyArray);
        if !matches!(self.r#type.as_str(), "input_text" | "output_text") {
            let kind: String = self.r#type.chars().take(40).collect();
            return Err(E::custom(format_args!("parts of type '{kind}' are not supported by this server")));
        }
        if !is_inert(&self.annotations) || !is_inert(&self.logprobs) {
            return Err(E::custom("annotations and log probabilities are not supported by this server"));
        }
        self.text.ok_or_else(|| E::missing_field("text"))
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Input;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a string or an array of at most {ITEMS_MAX} items")
            }
            fn visit_str<E>(self, text: &str) -> Result<Input, E> {
                Ok(Input::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Input, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() >= ITEMS_MAX {
                        return Err(de::Error::invalid_length(items.len().saturating_add(1), &self));
                    }
                    items.push(item);
                }
                Ok(Input::Items(items))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

impl Input {
    /// The conversation that it comes to.
    pub(super) fn messages(self) -> Result<Vec<ChatMessage>, ApiError> {
        let items = match self {
            Self::Text(text) => return Ok(vec![ChatMessage::new(Role::User, text)]),
            Self::Items(items) if items.is_empty() => {
                return Err(ApiError::parameter("input", "invalid_value", "'input' must not be empty."));
            }
            Self::Items(items) => items,
        };
        let mut all: Vec<ChatMessage> = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            let item = item.check(at)?;
            // One answer is one message: its text, then its calls.
            match all.last_mut().filter(|last| last.role == Role::Assistant) {
                Some(last) if !item.tool_calls.is_empty() => last.tool_calls.extend(item.tool_calls),
                _ => all.push(item),
            }
        }
        Ok(all)
    }
}

impl Item {
    fn check(self, at: usize) -> Result<ChatMessage, ApiError> {
        let param = |field: &str| format!("input[{at}].{field}");
        let missing = |field: &str| {
            let param = param(field);
            let message = format!("Missing required parameter: '{param}'.");
            ApiError::parameter(param, "missing_required_parameter", message)
        };
        let kind = self.r#type.as_deref().unwrap_or("message");
        let has = [
            ("role", self.role.is_some()),
            ("content", self.content.is_some()),
            ("call_id", self.call_id.is_some()),
            ("name", self.name.is_some()),
            ("arguments", self.arguments.is_some()),
            ("output", self.output.is_some()),
        ];
        let wanted: &[&str] = match kind {
            "message" => &["role", "content"],
            "function_call" => &["call_id", "name", "arguments"],
            "function_call_output" => &["call_id", "output"],
            _ => return Err(ApiError::unsupported(&param("type"))),
        };
        if let Some((field, _)) = has.iter().find(|(field, is)| *is && !wanted.contains(field)) {
            return Err(ApiError::unsupported(&param(field)));
        }
        if kind == "function_call" {
            let (id, name) = (self.call_id.ok_or_else(|| missing("call_id"))?, self.name);
            let arguments = self.arguments.ok_or_else(|| missing("arguments"))?;
            let call = ToolCall::new(id, name.ok_or_else(|| missing("name"))?, &arguments);
            let empty = ChatMessage::new(Role::Assistant, "");
            return Ok(ChatMessage { content: None, tool_calls: vec![call], ..empty });
        }
        if kind == "function_call_output" {
            let id = self.call_id.ok_or_else(|| missing("call_id"))?;
            let output = self.output.ok_or_else(|| missing("output"))?;
            return Ok(ChatMessage { tool_call_id: Some(id), ..ChatMessage::new(Role::Tool, output.0) });
        }
        let role = self.role.ok_or_else(|| missing("role"))?;
        let role = Role::from_word(&role).filter(|role| *role != Role::Tool).ok_or_else(|| {
            let message = "A role is 'system', 'developer', 'user' or 'assistant'.";
            ApiError::parameter(param("role"), "invalid_value", message)
        })?;
        Ok(ChatMessage::new(role, self.content.ok_or_else(|| missing("content"))?.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(json: &str) -> Result<Vec<ChatMessage>, ApiError> {
        serde_json::from_str::<Input>(json).unwrap().messages()
    }

    #[test]
    fn items_are_a_conversation() {
        let found = messages(
            r#"[{"role":"developer","content":"Be brief."},
                {"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},
                {"type":"message","id":"msg_1","status":"completed","role":"assistant",
                 "content":[{"type":"output_text","text":"Look.","annotations":[],"logprobs":[]}]},
                {"type":"function_call","id":"fc_1","call_id":"1","name":"f","arguments":"{\"x\":1}","status":"completed"},
                {"type":"function_call","call_id":"2","name":"g","arguments":"{}"},
                {"type":"function_call_output","call_id":"1","output":"42"}]"#,
        )
        .unwrap();
        let assistant = ChatMessage {
            tool_calls: vec![ToolCall::new("1", "f", r#"{"x":1}"#), ToolCall::new("2", "g", "{}")],
            ..ChatMessage::new(Role::Assistant, "Look.")
        };
        let result = ChatMessage { tool_call_id: Some("1".into()), ..ChatMessage::new(Role::Tool, "42") };
        let user = ChatMessage::new(Role::User, "ab");
        assert_eq!(found, [ChatMessage::new(Role::Developer, "Be brief."), user, assistant, result]);
    }

    #[test]
    fn wrong_items_are_refused_by_position() {
        for (json, param) in [
            ("[]", "input"),
            (r#"[{"type":"reasoning"}]"#, "input[0].type"),
            (r#"[{"role":"user"}]"#, "input[0].content"),
            (r#"[{"content":"a"}]"#, "input[0].role"),
            (r#"[{"role":"tool","content":"a"}]"#, "input[0].role"),
            (r#"[{"role":"user","content":"a","output":"b"}]"#, "input[0].output"),
            (r#"[{"type":"function_call","call_id":"1","name":"f"}]"#, "input[0].arguments"),
            (r#"[{"type":"function_call_output","output":"a"}]"#, "input[0].call_id"),
        ] {
            assert_eq!(messages(json).unwrap_err().param.as_deref(), Some(param), "{json}");
        }
        for json in [
            r#"[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]"#,
            r#"[{"role":"user","content":[{"type":"input_text"}]}]"#,
            r#"[{"role":"user","content":[{"type":"output_text","text":"x","annotations":[1]}]}]"#,
            r#"[{"role":"user","content":"a","surprise":1}]"#,
            "3",
        ] {
            assert!(serde_json::from_str::<Input>(json).is_err(), "{json}");
        }
    }
}
