//! Answers in OpenAI's words: whole objects, and the chunks of a stream.

use serde::Serialize;
use serde_json::{Value, json};
use vouchsafe_engine::TokenInfo;
use vouchsafe_receipt::Usage;

use super::generate::{CallPart, Choice, More};
use super::sampling::Streaming;
use super::sse;

/// Which endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Chat,
    Completion,
}

/// What all parts of one answer have in common.
#[derive(Debug, Clone)]
pub(super) struct Wording {
    pub(super) shape: Shape,
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) fingerprint: String,
    pub(super) logprobs: bool,
    /// Byte position in each choice's text, for the completions' log probabilities.
    offsets: Vec<usize>,
}

#[derive(Serialize)]
struct Object<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'a str,
    choices: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    obfuscation: Option<&'static str>,
}

impl Wording {
    pub(super) fn new(
        shape: Shape,
        id: &str,
        created: u64,
        model: String,
        fingerprint: String,
        logprobs: bool,
    ) -> Self {
        let prefix = match shape {
            Shape::Chat => "chatcmpl",
            Shape::Completion => "cmpl",
        };
        Self {
            shape,
            id: format!("{prefix}-{id}"),
            created,
            model,
            fingerprint,
            logprobs,
            offsets: Vec::new(),
        }
    }

    /// The whole answer.
    pub(super) fn whole(&mut self, choices: &[Choice], usage: Usage) -> Vec<u8> {
        let choices = choices
            .iter()
            .enumerate()
            .map(|(index, choice)| {
                let logprobs = self.logprobs(index, &choice.tokens);
                let reason = choice.end.as_ref().map(|end| end.reason.as_str());
                match self.shape {
                    Shape::Chat => json!({
                        "index": index,
                        "message": self.message(index, choice),
                        "logprobs": logprobs,
                        "finish_reason": reason,
                    }),
                    Shape::Completion => json!({
                        "text": choice.text, "index": index, "logprobs": logprobs, "finish_reason": reason,
                    }),
                }
            })
            .collect();
        let object = match self.shape {
            Shape::Chat => "chat.completion",
            Shape::Completion => "text_completion",
        };
        self.serialize(object, choices, Some(usage_json(usage)), None)
    }

    fn message(&self, index: usize, choice: &Choice) -> Value {
        if choice.calls.is_empty() {
            return json!({"role": "assistant", "content": choice.text, "refusal": null});
        }
        let content = Some(&choice.text).filter(|text| !text.is_empty());
        let calls: Vec<_> = choice
            .calls
            .iter()
            .enumerate()
            .map(|(at, call)| {
                let function = json!({"name": call.name, "arguments": call.arguments});
                json!({"id": self.call_id(index, at), "type": "function", "function": function})
            })
            .collect();
        json!({"role": "assistant", "content": content, "refusal": null, "tool_calls": calls})
    }

    /// A call's name for the conversation that follows.
    fn call_id(&self, index: usize, at: usize) -> String {
        let id = self.id.rsplit('-').next().unwrap_or_default();
        format!("call_{id}_{index}_{at}")
    }

    fn call_part(&self, index: usize, part: &CallPart) -> Value {
        match &part.name {
            Some(name) => json!({
                "index": part.at, "id": self.call_id(index, part.at), "type": "function",
                "function": {"name": name, "arguments": part.arguments},
            }),
            None => json!({"index": part.at, "function": {"arguments": part.arguments}}),
        }
    }

    /// The event that opens a choice, where there is one.
    pub(super) fn opening(&self, index: usize, how: Streaming) -> Option<Vec<u8>> {
        match self.shape {
            Shape::Chat => {
                let delta = json!({"role": "assistant", "content": "", "refusal": null});
                Some(self.chunk(index, delta, None, None, how))
            }
            Shape::Completion => None,
        }
    }

    /// More of a choice.
    pub(super) fn delta(&mut self, index: usize, more: &More, how: Streaming) -> Vec<u8> {
        let logprobs = match self.logprobs {
            true => Some(self.logprobs(index, &more.tokens)),
            false => None,
        };
        let content = match (self.shape, more.calls.as_slice()) {
            (Shape::Completion, _) => json!(more.text),
            (Shape::Chat, []) => json!({"content": more.text}),
            (Shape::Chat, calls) => {
                let calls: Vec<_> = calls.iter().map(|part| self.call_part(index, part)).collect();
                match more.text.as_str() {
                    "" => json!({"tool_calls": calls}),
                    text => json!({"content": text, "tool_calls": calls}),
                }
            }
        };
        self.chunk(index, content, logprobs, None, how)
    }

    /// The end of a choice.
    pub(super) fn end(&self, index: usize, reason: &str, how: Streaming) -> Vec<u8> {
        let content = match self.shape {
            Shape::Chat => json!({}),
            Shape::Completion => json!(""),
        };
        self.chunk(index, content, None, Some(reason), how)
    }

    /// The token counts, as the last event.
    pub(super) fn usage(&self, usage: Usage, how: Streaming) -> Vec<u8> {
        self.padded(json!([]), Some(usage_json(usage)), how)
    }

    fn chunk(
        &self,
        index: usize,
        content: Value,
        logprobs: Option<Value>,
        reason: Option<&str>,
        how: Streaming,
    ) -> Vec<u8> {
        let logprobs = logprobs.unwrap_or_default();
        let choice = match self.shape {
            Shape::Chat => {
                json!({"index": index, "delta": content, "logprobs": logprobs, "finish_reason": reason})
            }
            Shape::Completion => {
                json!({"text": content, "index": index, "logprobs": logprobs, "finish_reason": reason})
            }
        };
        self.padded(json!([choice]), how.usage.then_some(Value::Null), how)
    }

    /// A chunk, filled up so that its length shows a size class of its content and nothing finer.
    fn padded(&self, choices: Value, usage: Option<Value>, how: Streaming) -> Vec<u8> {
        let object = match self.shape {
            Shape::Chat => "chat.completion.chunk",
            Shape::Completion => "text_completion",
        };
        if !how.obfuscation {
            return self.serialize(object, choices, usage, None);
        }
        let frame = self.serialize(object, json!([]), None, Some("")).len();
        let chunk = self.serialize(object, choices, usage, Some(""));
        sse::pad(chunk, frame)
    }

    fn serialize(
        &self,
        object: &'static str,
        choices: Value,
        usage: Option<Value>,
        obfuscation: Option<&'static str>,
    ) -> Vec<u8> {
        let object = Object {
            id: &self.id,
            object,
            created: self.created,
            model: &self.model,
            system_fingerprint: &self.fingerprint,
            choices,
            usage,
            obfuscation,
        };
        // Strings, numbers and JSON values: serialisation has no failing case.
        serde_json::to_vec(&object).unwrap_or_default()
    }

    fn logprobs(&mut self, index: usize, tokens: &[TokenInfo]) -> Value {
        if !self.logprobs {
            return Value::Null;
        }
        match self.shape {
            Shape::Chat => json!({
                "content": tokens.iter().map(chat_logprob).collect::<Vec<_>>(), "refusal": null,
            }),
            Shape::Completion => {
                if self.offsets.len() <= index {
                    self.offsets.resize(index.saturating_add(1), 0);
                }
                let offset = self.offsets.get_mut(index);
                completion_logprobs(tokens, offset.unwrap_or(&mut 0))
            }
        }
    }
}

fn usage_json(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens.saturating_add(usage.completion_tokens),
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn chat_logprob(token: &TokenInfo) -> Value {
    let top: Vec<_> = token
        .top
        .iter()
        .map(|top| json!({"token": text(&top.bytes), "logprob": top.logprob, "bytes": top.bytes}))
        .collect();
    json!({
        "token": text(&token.bytes), "logprob": token.logprob, "bytes": token.bytes, "top_logprobs": top,
    })
}

fn completion_logprobs(tokens: &[TokenInfo], offset: &mut usize) -> Value {
    let mut offsets = Vec::with_capacity(tokens.len());
    for token in tokens {
        offsets.push(*offset);
        *offset = offset.saturating_add(text(&token.bytes).chars().count());
    }
    let top = |token: &TokenInfo| {
        let likeliest = token.top.iter().map(|top| (text(&top.bytes), json!(top.logprob)));
        Value::Object(likeliest.collect())
    };
    json!({
        "tokens": tokens.iter().map(|token| text(&token.bytes)).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}

#[cfg(test)]
mod tests {
    use super::super::generate::Call;
    use super::*;

    const HOW: Streaming = Streaming { usage: true, obfuscation: true };

    fn wording(shape: Shape) -> Wording {
        Wording::new(shape, "id", 1, "m".into(), "fp".into(), false)
    }

    fn value(json: &[u8]) -> Value {
        serde_json::from_slice(json).unwrap()
    }

    #[test]
    fn short_events_of_a_stream_have_one_length_whatever_they_say() {
        for shape in [Shape::Chat, Shape::Completion] {
            let mut wording = wording(shape);
            let delta = |text: &str| More { text: text.into(), ..More::default() };
            let mut lengths: Vec<_> = ["a", "information", "\u{1f600}", "\n", " incomprehensibilities"]
                .iter()
                .map(|text| wording.delta(0, &delta(text), HOW).len())
                .collect();
            lengths.extend(["stop", "length", "failed"].map(|reason| wording.end(0, reason, HOW).len()));
            lengths.push(wording.usage(Usage { prompt_tokens: 12345, completion_tokens: 3 }, HOW).len());
            lengths.extend(wording.opening(0, HOW).map(|chunk| chunk.len()));
            assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
        }
    }

    #[test]
    fn chunks_have_openais_fields() {
        let mut chat = wording(Shape::Chat);
        let delta = More { text: "hello".into(), ..More::default() };
        let chunk = value(&chat.delta(2, &delta, HOW));
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["id"], "chatcmpl-id");
        assert_eq!(chunk["choices"][0]["index"], 2);
        assert_eq!(chunk["choices"][0]["delta"]["content"], "hello");
        assert_eq!(chunk["choices"][0]["finish_reason"], Value::Null);
        assert_eq!(chunk["usage"], Value::Null);
        let bare = Streaming { usage: false, obfuscation: false };
        let chunk = value(&chat.delta(0, &delta, bare));
        assert!(chunk.get("usage").is_none() && chunk.get("obfuscation").is_none());
        let usage = value(&chat.usage(Usage { prompt_tokens: 2, completion_tokens: 3 }, HOW));
        assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(5)));
    }

    #[test]
    fn log_probabilities_follow_each_endpoint() {
        let token = |text: &str| TokenInfo {
            id: 1,
            bytes: text.into(),
            logprob: Some(-0.5),
            top: vec![vouchsafe_engine::TopToken { id: 1, bytes: text.into(), logprob: -0.5 }],
        };
        let delta = More { text: "ab".into(), tokens: vec![token("a"), token("b")], ..More::default() };
        let mut chat = Wording { logprobs: true, ..wording(Shape::Chat) };
        let chunk = value(&chat.delta(0, &delta, HOW));
        assert_eq!(chunk["choices"][0]["logprobs"]["content"][1]["token"], "b");
        assert_eq!(chunk["choices"][0]["logprobs"]["content"][1]["top_logprobs"][0]["bytes"], json!([98]));
        let mut completion = Wording { logprobs: true, ..wording(Shape::Completion) };
        completion.delta(0, &delta, HOW);
        let chunk = value(&completion.delta(0, &delta, HOW));
        assert_eq!(chunk["choices"][0]["logprobs"]["text_offset"], json!([2, 3]));
        assert_eq!(chunk["choices"][0]["logprobs"]["top_logprobs"][0], json!({"a": -0.5}));
    }

    #[test]
    fn calls_have_openais_fields() {
        let call = Call { name: "f".into(), arguments: "{\"x\": 1}".into() };
        let choice = Choice { calls: vec![call], ..Choice::default() };
        let mut chat = wording(Shape::Chat);
        let answer = value(&chat.whole(&[choice], Usage { prompt_tokens: 1, completion_tokens: 1 }));
        let message = &answer["choices"][0]["message"];
        let id = "call_id_0_0";
        let function = json!({"name": "f", "arguments": "{\"x\": 1}"});
        assert_eq!(message["tool_calls"], json!([{"id": id, "type": "function", "function": function}]));
        assert_eq!(message["content"], Value::Null);
        let part = |name: Option<&str>, arguments: &str| CallPart {
            at: 0,
            name: name.map(str::to_owned),
            arguments: arguments.into(),
        };
        let more = More { calls: vec![part(Some("f"), ""), part(None, "{")], ..More::default() };
        let delta = &value(&chat.delta(0, &more, HOW))["choices"][0]["delta"];
        let begun =
            json!({"index": 0, "id": id, "type": "function", "function": {"name": "f", "arguments": ""}});
        assert_eq!(delta["tool_calls"], json!([begun, {"index": 0, "function": {"arguments": "{"}}]));
        assert!(delta.get("content").is_none());
    }
}
