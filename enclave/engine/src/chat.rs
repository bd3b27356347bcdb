//! What a caller hands to the chat template: messages, tools, the date.

use crate::Json;

/// Who a message is from. The words are trusted text in the template; everything else in a message is
/// not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions from the application.
    System,
    /// Instructions from the application, in the newer OpenAI vocabulary.
    Developer,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

impl Role {
    /// The word that templates compare with and print.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// The role that `word` names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            _ => return None,
        })
    }
}

/// A tool call that an assistant message made earlier in the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The call's id, as the client knows it.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// The arguments: the parsed object, or the string as the client sent it.
    pub arguments: Json,
}

impl ToolCall {
    /// A call with its arguments as clients send them: text. Templates get the object that it is, where it
    /// is one and not very long, and the text otherwise.
    #[must_use]
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: &str) -> Self {
        let object = Some(arguments)
            .filter(|text| text.len() <= ARGUMENTS_BYTES_MAX)
            .and_then(|text| serde_json::from_str::<Json>(text).ok())
            .filter(|json| matches!(json, Json::Object(_)));
        let arguments = object.unwrap_or_else(|| Json::from(arguments));
        Self { id: id.into(), name: name.into(), arguments }
    }
}

/// Longest text of arguments that is parsed for templates.
const ARGUMENTS_BYTES_MAX: usize = 64 * 1024;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// The text; `None` for an assistant message that only calls tools.
    pub content: Option<String>,
    /// The speaker's name, where the client gave one.
    pub name: Option<String>,
    /// The assistant's thoughts, for templates that print `reasoning_content`.
    pub reasoning: Option<String>,
    /// The calls that this assistant message made.
    pub tool_calls: Vec<ToolCall>,
    /// The call that this tool message answers.
    pub tool_call_id: Option<String>,
}

impl ChatMessage {
    /// A message that is only text.
    #[must_use]
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: Some(content.into()),
            name: None,
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    /// Whether it has nothing to do with tools.
    pub(crate) fn is_plain(&self) -> bool {
        self.role != Role::Tool && self.tool_calls.is_empty()
    }
}

/// What else the template may read.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatOptions {
    /// Whether the prompt ends with the opening of an assistant message. On by default.
    pub add_generation_prompt: bool,
    /// The tools' descriptions, as the client sent them.
    pub tools: Vec<Json>,
    /// Seconds since the Unix epoch, for templates that print the date with `strftime_now`, in UTC. A
    /// template that asks for the date when there is none fails.
    pub now: Option<i64>,
    /// Further variables for the template, such as `enable_thinking`. They cannot replace the ones that
    /// the engine sets.
    pub variables: Vec<(String, Json)>,
}

impl Default for ChatOptions {
    fn default() -> Self {
        Self { add_generation_prompt: true, tools: Vec::new(), now: None, variables: Vec::new() }
    }
}
