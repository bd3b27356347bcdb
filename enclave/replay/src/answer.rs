//! The answers of a response, and where they differ from what was computed.

use std::collections::BTreeMap;

use serde::Deserialize;
use vouchsafe_engine::{ToolPiece, ToolReader};
use vouchsafe_receipt::stream::data_payloads;

use crate::claim::malformed;
use crate::failure::Failure;
use crate::responses;

/// One answer of a response.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Given {
    pub(crate) text: String,
    /// Name and arguments of each call.
    pub(crate) calls: Vec<(String, String)>,
    pub(crate) reason: Option<String>,
}

/// One answer as computed here.
#[derive(Debug)]
pub(crate) struct Computed {
    pub(crate) text: String,
    pub(crate) calls: Vec<(String, String)>,
    pub(crate) reason: &'static str,
    pub(crate) tokens: u32,
}

#[derive(Deserialize)]
struct Object {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    index: usize,
    #[serde(default)]
    text: Option<String>,
    #[serde(default, alias = "delta")]
    message: Option<Message>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    tool_calls: Vec<Call>,
}

/// A call, or a part of one. Its id is drawn at random, so that it is not compared.
#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    index: Option<usize>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: String,
}

impl Computed {
    /// Splits what was generated as the server does, where tools may be called.
    pub(crate) fn read(text: String, reason: &'static str, tokens: u32, may_call: bool) -> Self {
        if !may_call {
            return Self { text, calls: Vec::new(), reason, tokens };
        }
        let mut reader = ToolReader::new();
        let mut pieces = reader.push(&text);
        pieces.extend(reader.finish());
        let mut read = Self { text: String::new(), calls: Vec::new(), reason, tokens };
        for piece in pieces {
            match piece {
                ToolPiece::Text(text) => read.text.push_str(&text),
                ToolPiece::Call { name } => read.calls.push((name, String::new())),
                ToolPiece::Arguments(text) => {
                    if let Some((_, arguments)) = read.calls.last_mut() {
                        arguments.push_str(&text);
                    }
                }
            }
        }
        if reason == "stop" && !read.calls.is_empty() {
            read.reason = "tool_calls";
        }
        read
    }
}

/// The answers of a body or a stream to an operation, in the order of their numbers.
pub(crate) fn given(response: &[u8], is_stream: bool, operation: &str) -> Result<Vec<Given>, Failure> {
    match (operation, is_stream) {
        ("responses", false) => Ok(vec![responses::of_body(response)?]),
        ("responses", true) => Ok(vec![responses::of_events(events(response))?]),
        _ => choices(response, is_stream),
    }
}

fn events(response: &[u8]) -> impl Iterator<Item = &[u8]> {
    data_payloads(response).filter(|data| *data != b"[DONE]")
}

fn choices(response: &[u8], is_stream: bool) -> Result<Vec<Given>, Failure> {
    let mut all = BTreeMap::<usize, Given>::new();
    if is_stream {
        for data in events(response) {
            gather(data, &mut all)?;
        }
    } else {
        gather(response, &mut all)?;
    }
    if !all.keys().copied().eq(0..all.len()) || all.is_empty() {
        return Err(malformed("response", "its answers are not numbered from 0"));
    }
    Ok(all.into_values().collect())
}

fn gather(json: &[u8], all: &mut BTreeMap<usize, Given>) -> Result<(), Failure> {
    let object: Object = serde_json::from_slice(json).map_err(|error| malformed("response", error))?;
    for choice in object.choices {
        let given = all.entry(choice.index).or_default();
        let (content, calls) =
            choice.message.map_or((None, Vec::new()), |message| (message.content, message.tool_calls));
        for (position, call) in calls.into_iter().enumerate() {
            let at = call.index.unwrap_or(position);
            if at == given.calls.len() {
                given.calls.push(Default::default());
            }
            let Some((name, arguments)) = given.calls.get_mut(at) else {
                return Err(malformed("response", "its calls are not numbered from 0"));
            };
            name.push_str(&call.function.name.unwrap_or_default());
            arguments.push_str(&call.function.arguments);
        }
        given.text.push_str(&choice.text.or(content).unwrap_or_default());
        given.reason = choice.finish_reason.or(given.reason.take());
    }
    Ok(())
}

/// Whether the answers are the same. One that was cancelled is the beginning of what was computed.
pub(crate) fn compare(given: &[Given], computed: &[Computed]) -> Result<(), Failure> {
    for (choice, (given, computed)) in given.iter().zip(computed).enumerate() {
        let cancelled = given.reason.as_deref().is_none_or(|reason| reason == "cancelled");
        let same = given.text.bytes().zip(computed.text.bytes()).take_while(|(a, b)| a == b).count();
        let complete =
            if cancelled { computed.text.len().min(given.text.len()) } else { computed.text.len() };
        if same < given.text.len() || same < complete {
            return Err(Failure::Differs {
                choice,
                at: same,
                given: excerpt(&given.text, same),
                computed: excerpt(&computed.text, same),
            });
        }
        compare_calls(choice, given, computed, cancelled)?;
        if !cancelled && given.reason.as_deref() != Some(computed.reason) {
            return Err(Failure::EndsOtherwise {
                choice,
                given: given.reason.clone().unwrap_or_default(),
                computed: computed.reason,
            });
        }
    }
    Ok(())
}

/// Calls are compared as text: name and arguments of each, one after the other.
fn compare_calls(choice: usize, given: &Given, computed: &Computed, cancelled: bool) -> Result<(), Failure> {
    let text = |calls: &[(String, String)]| -> String {
        calls.iter().map(|(name, arguments)| format!("{name}({arguments})\n")).collect()
    };
    let (mut ours, mut theirs) = (text(&computed.calls), text(&given.calls));
    if cancelled {
        // The last one may be cut off.
        theirs.truncate(theirs.trim_end_matches(")\n").len());
        ours.truncate(ours.floor_char_boundary(theirs.len()));
    }
    if ours == theirs {
        return Ok(());
    }
    let at = theirs.bytes().zip(ours.bytes()).take_while(|(a, b)| a == b).count();
    Err(Failure::Differs { choice, at, given: excerpt(&theirs, at), computed: excerpt(&ours, at) })
}

/// The few characters from a byte on.
fn excerpt(text: &str, at: usize) -> String {
    let start = text.floor_char_boundary(at);
    text.get(start..).unwrap_or_default().chars().take(EXCERPT_CHARS).collect()
}

const EXCERPT_CHARS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str, reason: &str) -> Given {
        Given { text: text.into(), calls: Vec::new(), reason: Some(reason.into()) }
    }

    fn computed(text: &str, reason: &'static str) -> Computed {
        Computed { text: text.into(), calls: Vec::new(), reason, tokens: 1 }
    }

    fn code(given: Given, computed: Computed) -> Option<&'static str> {
        compare(&[given], &[computed]).err().map(|failure| failure.code())
    }

    #[test]
    fn answers_are_compared_to_the_byte() {
        assert_eq!(code(given("abc", "stop"), computed("abc", "stop")), None);
        assert_eq!(code(given("abc", "stop"), computed("abd", "stop")), Some("differs"));
        assert_eq!(code(given("abc", "stop"), computed("abcd", "stop")), Some("differs"));
        assert_eq!(code(given("abcd", "stop"), computed("abc", "stop")), Some("differs"));
        assert_eq!(code(given("abc", "stop"), computed("abc", "length")), Some("ends-otherwise"));
        assert_eq!(code(given("ab", "cancelled"), computed("abc", "length")), None);
        assert_eq!(code(given("ax", "cancelled"), computed("abc", "length")), Some("differs"));
        assert_eq!(code(given("abcd", "cancelled"), computed("abc", "length")), Some("differs"));
        let failure = compare(&[given("naïve", "stop")], &[computed("naive", "stop")]).unwrap_err();
        assert!(failure.to_string().contains("from byte 2 on"), "{failure}");
    }

    #[test]
    fn bodies_and_streams_are_read_alike() {
        let body = br#"{"choices":[{"index":1,"message":{"content":"b"},"finish_reason":"stop"},
            {"index":0,"message":{"content":"a"},"finish_reason":"length"}]}"#;
        let expected = [given("a", "length"), given("b", "stop")];
        assert_eq!(choices(body, false).unwrap(), expected);
        let stream = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"}}]}\n\n: a comment\n\n\
            data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"},\"finish_reason\":null}]}\n\n\
            data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n\
            data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n\
            data: {\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
            data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n";
        assert_eq!(choices(stream, true).unwrap(), expected);
        let texts = br#"{"choices":[{"index":0,"text":"a","finish_reason":"length"}]}"#;
        assert_eq!(choices(texts, false).unwrap(), expected[..1]);
        assert!(choices(br#"{"choices":[]}"#, false).is_err());
        assert!(choices(br#"{"choices":[{"index":1,"text":"a"}]}"#, false).is_err());
    }

    #[test]
    fn calls_are_compared_to_the_byte() {
        let generated = "Look.<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>";
        let read = || Computed::read(generated.into(), "stop", 9, true);
        let call = |arguments: &str| Given {
            calls: vec![("f".into(), arguments.into())],
            ..given("Look.", "tool_calls")
        };
        assert_eq!(code(call("{\"x\": 1}"), read()), None);
        assert_eq!(code(call("{\"x\": 2}"), read()), Some("differs"));
        assert_eq!(code(given("Look.", "tool_calls"), read()), Some("differs"));
        let cut = Given { reason: Some("cancelled".into()), ..call("{\"x\"") };
        assert_eq!(code(cut, read()), None);
        assert_eq!(code(given(generated, "stop"), Computed::read(generated.into(), "stop", 9, false)), None);
    }

    #[test]
    fn calls_are_read_from_bodies_and_streams() {
        let body = br#"{"choices":[{"index":0,"message":{"content":null,"tool_calls":[
            {"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},
            {"id":"b","type":"function","function":{"name":"g","arguments":"{\"x\": 1}"}}]},"finish_reason":"tool_calls"}]}"#;
        let pair = |name: &str, arguments: &str| (name.to_owned(), arguments.to_owned());
        let expected = [pair("f", "{}"), pair("g", "{\"x\": 1}")];
        assert_eq!(choices(body, false).unwrap()[0].calls, expected);
        let event = |calls: &str| {
            format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{calls}]}}}}]}}\n\n")
        };
        let stream = [
            event(r#"{"index":0,"id":"a","function":{"name":"f","arguments":""}},{"index":0,"function":{"arguments":"{}"}}"#),
            event(r#"{"index":1,"id":"b","function":{"name":"g","arguments":""}}"#),
            event(r#"{"index":1,"function":{"arguments":"{\"x\": 1}"}}"#),
        ]
        .concat();
        assert_eq!(choices(stream.as_bytes(), true).unwrap()[0].calls, expected);
        assert!(choices(event(r#"{"index":5,"function":{"arguments":"x"}}"#).as_bytes(), true).is_err());
    }
}
