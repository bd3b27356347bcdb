//! The answers of a response, and where they differ from what was computed.

use std::collections::BTreeMap;

use serde::Deserialize;
use vouchsafe_receipt::stream::data_payloads;

use crate::claim::malformed;
use crate::failure::Failure;

/// One answer of a response.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) reason: Option<String>,
}

/// One answer as computed here.
#[derive(Debug)]
pub(crate) struct Computed {
    pub(crate) text: String,
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
}

/// The answers of a body or a stream, in the order of their numbers.
pub(crate) fn choices(response: &[u8], is_stream: bool) -> Result<Vec<Given>, Failure> {
    let mut all = BTreeMap::<usize, Given>::new();
    if is_stream {
        for data in data_payloads(response).filter(|data| *data != b"[DONE]") {
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
        let content = choice.message.and_then(|message| message.content);
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
        Given { text: text.into(), reason: Some(reason.into()) }
    }

    fn computed(text: &str, reason: &'static str) -> Computed {
        Computed { text: text.into(), reason, tokens: 1 }
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
}
