//! The prompts of a request. What else it asks for stands in the execution record, defaults included.

use serde::Deserialize;
use serde_json::Value;
use vouchsafe_engine::{ChatMessage, ChatOptions, Engine, Json, Role, ToolCall};
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::claim::{Claim, malformed};
use crate::failure::Failure;
use crate::responses;

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

/// A prompt's tokens, and the text that its answers begin with.
pub(crate) struct Prepared {
    pub(crate) tokens: Vec<u32>,
    pub(crate) echo: String,
}

/// The prompts.
pub(crate) fn prompts(engine: &Engine, claim: &Claim, body: &[u8]) -> Result<Vec<Prepared>, Failure> {
    let now = i64::try_from(claim.unattested_time).ok();
    let options = || ChatOptions { now, tools: tools(claim), ..ChatOptions::default() };
    match claim.record.operation.as_str() {
        "chat.completions" => {
            let chat: Chat = parse(body)?;
            let messages = chat.messages.into_iter().map(message).collect::<Result<Vec<_>, _>>()?;
            let tokens = engine.render_chat(&messages, &options())?;
            Ok(vec![Prepared { tokens, echo: String::new() }])
        }
        "responses" => {
            let tokens = engine.render_chat(&responses::messages(body)?, &options())?;
            Ok(vec![Prepared { tokens, echo: String::new() }])
        }
        "completions" => {
            let completion: Completion = parse(body)?;
            let echo = claim.record.parameters.get("echo") == Some(&Value::Bool(true));
            let echoed = |text: String| if echo { text } else { String::new() };
            let of_text = |text: String| Prepared { tokens: engine.tokenize(&text), echo: echoed(text) };
            let of_tokens = |tokens: Vec<u32>| Prepared { echo: echoed(engine.detokenize(&tokens)), tokens };
            Ok(match completion.prompt {
                Prompt::Text(text) => vec![of_text(text)],
                Prompt::Texts(texts) => texts.into_iter().map(of_text).collect(),
                Prompt::Tokens(tokens) => vec![of_tokens(tokens)],
                Prompt::Several(prompts) => prompts.into_iter().map(of_tokens).collect(),
            })
        }
        _ => Err(Failure::Undecided("only chats, responses and completions can be replayed")),
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

pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
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
