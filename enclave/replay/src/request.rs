//! The prompts of a request. What else it asks for stands in the execution record, defaults included.

use serde::Deserialize;
use serde_json::Value;
use vouchsafe_engine::{ChatMessage, ChatOptions, Engine, Json, Role, ToolCall};
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::claim::{Claim, malformed};
use crate::failure::Failure;

#[derive(Deserialize)]
struct Chat {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    id: String,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: String,
}

#[derive(Deserialize)]
struct Completion {
    prompt: Prompt,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    Several(Vec<Vec<u32>>),
}

/// The prompts' tokens.
pub(crate) fn prompts(engine: &Engine, claim: &Claim, body: &[u8]) -> Result<Vec<Vec<u32>>, Failure> {
    match claim.record.operation.as_str() {
        "chat.completions" => {
            let chat: Chat = parse(body)?;
            let messages = chat.messages.into_iter().map(message).collect::<Result<Vec<_>, _>>()?;
            let now = i64::try_from(claim.unattested_time).ok();
            let options = ChatOptions { now, tools: tools(claim), ..ChatOptions::default() };
            Ok(vec![engine.render_chat(&messages, &options)?])
        }
        "completions" => {
            let completion: Completion = parse(body)?;
            Ok(match completion.prompt {
                Prompt::Text(text) => vec![engine.tokenize(&text)],
                Prompt::Texts(texts) => texts.iter().map(|text| engine.tokenize(text)).collect(),
                Prompt::Tokens(tokens) => vec![tokens],
                Prompt::Several(prompts) => prompts,
            })
        }
        _ => Err(Failure::Undecided("only chats and completions can be replayed")),
    }
}

/// The tools that the template printed: all, or none where none might be called.
fn tools(claim: &Claim) -> Vec<Json> {
    let parameters = &claim.record.parameters;
    match (parameters.get("tools"), parameters.get("tool_choice").and_then(Value::as_str)) {
        (Some(Value::Array(tools)), choice) if choice != Some("none") => {
            tools.iter().cloned().map(Json::from).collect()
        }
        _ => Vec::new(),
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    strict_json::parse(body, LIMITS).map_err(|error| malformed("request", error))
}

fn message(message: Message) -> Result<ChatMessage, Failure> {
    let role = Role::from_word(&message.role).ok_or_else(|| malformed("request", "an unknown role"))?;
    let content = message.content.map(|content| match content {
        Content::Text(text) => text,
        Content::Parts(parts) => parts.into_iter().map(|part| part.text).collect(),
    });
    let mut rendered = ChatMessage::new(role, "");
    (rendered.content, rendered.name) = (content, message.name);
    rendered.tool_call_id = message.tool_call_id;
    let call = |call: Call| ToolCall::new(call.id, call.function.name, &call.function.arguments);
    rendered.tool_calls = message.tool_calls.unwrap_or_default().into_iter().map(call).collect();
    Ok(rendered)
}

/// As the server reads bodies.
const LIMITS: Limits = Limits { bytes_max: 256 << 20, depth_max: 32 };
