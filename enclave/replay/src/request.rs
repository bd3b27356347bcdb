//! The prompts of a request. What else it asks for stands in the execution record, defaults included.

use serde::Deserialize;
use vouchsafe_engine::{ChatMessage, ChatOptions, Engine, Role};
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
            let options = ChatOptions { now, ..ChatOptions::default() };
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
    Ok(rendered)
}

/// As the server reads bodies.
const LIMITS: Limits = Limits { bytes_max: 256 << 20, depth_max: 32 };
