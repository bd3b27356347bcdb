//! The Responses interface, as far as a replay needs it: the conversation in a request, and what an answer
//! says.

use serde::Deserialize;
use vouchsafe_engine::{ChatMessage, Role, ToolCall};

use crate::answer::Given;
use crate::claim::malformed;
use crate::failure::Failure;
use crate::request::parse;

#[derive(Deserialize)]
struct Request {
    input: Input,
    #[serde(default)]
    instructions: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Item>),
}

#[derive(Deserialize)]
struct Item {
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

impl Content {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().map(|part| part.text).collect(),
        }
    }
}

/// The conversation that a request comes to.
pub(crate) fn messages(body: &[u8]) -> Result<Vec<ChatMessage>, Failure> {
    let request: Request = parse(body)?;
    let instructions = request.instructions.map(|text| ChatMessage::new(Role::System, text));
    let mut all: Vec<ChatMessage> = instructions.into_iter().collect();
    let items = match request.input {
        Input::Text(text) => {
            all.push(ChatMessage::new(Role::User, text));
            return Ok(all);
        }
        Input::Items(items) => items,
    };
    let first = all.len();
    for item in items {
        let item = message(item)?;
        // One answer is one message: its text, then its calls.
        let is_after = all.len() > first;
        match all.last_mut().filter(|last| is_after && last.role == Role::Assistant) {
            Some(last) if !item.tool_calls.is_empty() => last.tool_calls.extend(item.tool_calls),
            _ => all.push(item),
        }
    }
    Ok(all)
}

fn message(item: Item) -> Result<ChatMessage, Failure> {
    let missing = || malformed("request", "an item lacks a part");
    match item.r#type.as_deref().unwrap_or("message") {
        "function_call" => {
            let (id, name) = item.call_id.zip(item.name).ok_or_else(missing)?;
            let call = ToolCall::new(id, name, &item.arguments.ok_or_else(missing)?);
            let empty = ChatMessage::new(Role::Assistant, "");
            Ok(ChatMessage { content: None, tool_calls: vec![call], ..empty })
        }
        "function_call_output" => {
            let result = ChatMessage::new(Role::Tool, item.output.ok_or_else(missing)?.text());
            Ok(ChatMessage { tool_call_id: Some(item.call_id.ok_or_else(missing)?), ..result })
        }
        "message" => {
            let role = item.role.as_deref().and_then(Role::from_word);
            let role = role.ok_or_else(|| malformed("request", "an unknown role"))?;
            Ok(ChatMessage::new(role, item.content.ok_or_else(missing)?.text()))
        }
        _ => Err(malformed("request", "an item of an unknown type")),
    }
}

/// An answer, or an event of one: an event that says all of it so far has it in `response`.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    response: Option<Whole>,
    #[serde(default)]
    delta: Option<String>,
    #[serde(default)]
    item: Option<OutputItem>,
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    output: Vec<OutputItem>,
}

#[derive(Deserialize)]
struct OutputItem {
    #[serde(default)]
    content: Vec<Part>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

/// What an answer says, from its body.
pub(crate) fn of_body(body: &[u8]) -> Result<Given, Failure> {
    let whole: Whole = serde_json::from_slice(body).map_err(|error| malformed("response", error))?;
    Ok(whole.given())
}

/// What an answer says, from its events: the last one, or where the stream was cut off the pieces.
pub(crate) fn of_events<'a>(events: impl Iterator<Item = &'a [u8]>) -> Result<Given, Failure> {
    let mut given = Given::default();
    for data in events {
        let event: Answer = serde_json::from_slice(data).map_err(|error| malformed("response", error))?;
        let delta = event.delta.unwrap_or_default();
        match event.r#type.as_deref() {
            Some("response.output_text.delta") => given.text.push_str(&delta),
            Some("response.function_call_arguments.delta") => {
                let (_, arguments) =
                    given.calls.last_mut().ok_or_else(|| malformed("response", "no call"))?;
                arguments.push_str(&delta);
            }
            Some("response.output_item.added") => {
                let name = event.item.and_then(|item| item.name);
                given.calls.extend(name.map(|name| (name, String::new())));
            }
            Some("response.completed" | "response.incomplete") => {
                let whole =
                    event.response.ok_or_else(|| malformed("response", "an end without its answer"))?;
                return same(given, whole.given());
            }
            _ => {}
        }
    }
    Ok(given)
}

/// The pieces and the whole, which say the same.
fn same(pieces: Given, whole: Given) -> Result<Given, Failure> {
    match (&pieces.text, &pieces.calls) == (&whole.text, &whole.calls) {
        true => Ok(whole),
        false => Err(malformed("response", "its last event contradicts the others")),
    }
}

impl Whole {
    fn given(self) -> Given {
        let mut given = Given::default();
        for item in self.output {
            given.text.extend(item.content.into_iter().map(|part| part.text));
            given.calls.extend(item.name.zip(item.arguments));
        }
        let reason = match self.status.as_deref() {
            Some("completed") if given.calls.is_empty() => "stop",
            Some("completed") => "tool_calls",
            Some("incomplete") => "length",
            _ => return given,
        };
        given.reason = Some(reason.to_owned());
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_read_as_the_server_reads_it() {
        let found = messages(
            br#"{"instructions":"Be brief.","input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},
                {"type":"message","role":"assistant","content":[{"type":"output_text","text":"Look."}]},
                {"type":"function_call","call_id":"1","name":"f","arguments":"{}"},
                {"type":"function_call_output","call_id":"1","output":"42"}]}"#,
        )
        .unwrap();
        let assistant = ChatMessage {
            tool_calls: vec![ToolCall::new("1", "f", "{}")],
            ..ChatMessage::new(Role::Assistant, "Look.")
        };
        let result = ChatMessage { tool_call_id: Some("1".into()), ..ChatMessage::new(Role::Tool, "42") };
        let (system, user) = (ChatMessage::new(Role::System, "Be brief."), ChatMessage::new(Role::User, "a"));
        assert_eq!(found, [system, user, assistant, result]);
        assert!(messages(br#"{"input":[{"type":"reasoning"}]}"#).is_err());
    }

    #[test]
    fn bodies_and_events_say_the_same() {
        let output = r#"[{"type":"message","content":[{"type":"output_text","text":"Look."}]},
            {"type":"function_call","name":"f","arguments":"{}"}]"#;
        let body = format!(r#"{{"status":"completed","output":{output}}}"#);
        let expected = Given {
            text: "Look.".into(),
            calls: vec![("f".into(), "{}".into())],
            reason: Some("tool_calls".into()),
        };
        assert_eq!(of_body(body.as_bytes()).unwrap(), expected);
        let mut events = vec![
            r#"{"type":"response.created","response":{"status":"in_progress","output":[]}}"#.to_owned(),
            r#"{"type":"response.output_text.delta","delta":"Look."}"#.to_owned(),
            r#"{"type":"response.output_item.added","item":{"name":"f","arguments":""}}"#.to_owned(),
            r#"{"type":"response.function_call_arguments.delta","delta":"{}"}"#.to_owned(),
            format!(r#"{{"type":"response.completed","response":{body}}}"#),
        ];
        let read = |events: &[String]| of_events(events.iter().map(String::as_bytes));
        assert_eq!(read(&events).unwrap(), expected);
        // Cut off: the pieces, and no reason.
        assert_eq!(read(&events[..4]).unwrap(), Given { reason: None, ..expected });
        events.remove(1);
        assert!(read(&events).is_err());
    }
}
