//! A conversation's messages: read and checked.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use vouchsafe_engine::{ChatMessage, Role, ToolCall};

use super::error::ApiError;
use super::json::{AtMost, Given};

/// Most calls of one message.
const CALLS_MAX: usize = 128;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    role: String,
    #[serde(default)]
    content: Content,
    #[serde(default)]
    name: Option<String>,
    // What clients send back of an answer.
    #[serde(default)]
    refusal: Given,
    #[serde(default)]
    annotations: Given,
    #[serde(default)]
    audio: Given,
    #[serde(default)]
    tool_calls: Option<AtMost<Call, CALLS_MAX>>,
    #[serde(default)]
    function_call: Given,
    #[serde(default)]
    tool_call_id: Option<String>,
}

/// A call that an answer made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    id: String,
    r#type: String,
    function: Called,
    // Clients send back the position that streams gave.
    #[serde(default, rename = "index")]
    _index: Given,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Called {
    name: String,
    arguments: String,
}

/// A message's text, from one string or from text parts put one after the other.
#[derive(Debug, Default)]
struct Content(Option<String>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    // Parts of other kinds carry these; they are refused by their type.
    #[serde(default, rename = "image_url")]
    _image_url: Given,
    #[serde(default, rename = "input_audio")]
    _input_audio: Given,
    #[serde(default, rename = "file")]
    _file: Given,
    #[serde(default, rename = "refusal")]
    _refusal: Given,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Option<String>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of text parts")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Some(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut all = String::new();
                while let Some(part) = seq.next_element::<Part>()? {
                    match (part.r#type.as_str(), part.text) {
                        ("text", Some(text)) => all.push_str(&text),
                        ("text", None) => return Err(de::Error::missing_field("text")),
                        (other, _) => {
                            let kind: String = other.chars().take(40).collect();
                            return Err(de::Error::custom(format_args!(
                                "content parts of type '{kind}' are not supported by this server"
                            )));
                        }
                    }
                }
                Ok(Some(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
                Err(de::Error::invalid_type(de::Unexpected::Map, &self))
            }
        }
        deserializer.deserialize_any(Text).map(Self)
    }
}

/// Checks a conversation.
pub(super) fn messages(stated: Vec<Message>) -> Result<Vec<ChatMessage>, ApiError> {
    if stated.is_empty() {
        return Err(ApiError::parameter("messages", "invalid_value", "'messages' must not be empty."));
    }
    stated.into_iter().enumerate().map(|(index, message)| message.check(index)).collect()
}

impl Message {
    fn check(self, index: usize) -> Result<ChatMessage, ApiError> {
        let at = |field: &str| format!("messages[{index}].{field}");
        let role = Role::from_word(&self.role).ok_or_else(|| {
            let message = "A role is 'system', 'developer', 'user', 'assistant' or 'tool'.";
            ApiError::parameter(at("role"), "invalid_value", message)
        })?;
        self.refusal.only(&at("refusal"), &[])?;
        self.annotations.only(&at("annotations"), &[Given::EmptyArray])?;
        self.audio.only(&at("audio"), &[])?;
        self.function_call.only(&at("function_call"), &[])?;
        let missing = |field: &str, message: &str| {
            Err(ApiError::parameter(at(field), "missing_required_parameter", message))
        };
        let calls = self.tool_calls.map(|calls| calls.0).unwrap_or_default();
        if role != Role::Assistant && !calls.is_empty() {
            return Err(ApiError::parameter(
                at("tool_calls"),
                "invalid_value",
                "Only the assistant calls tools.",
            ));
        }
        if (role == Role::Tool) != self.tool_call_id.is_some() {
            return missing(
                "tool_call_id",
                "A message of role 'tool', and no other, names the call that it answers.",
            );
        }
        if self.content.0.is_none() && calls.is_empty() {
            return missing("content", "A message needs content.");
        }
        if calls.iter().any(|call| call.r#type != "function") {
            return Err(ApiError::unsupported(&at("tool_calls")));
        }
        let call = |call: Call| ToolCall::new(call.id, call.function.name, &call.function.arguments);
        Ok(ChatMessage {
            content: self.content.0,
            name: self.name,
            tool_calls: calls.into_iter().map(call).collect(),
            tool_call_id: self.tool_call_id,
            ..ChatMessage::new(role, "")
        })
    }
}
