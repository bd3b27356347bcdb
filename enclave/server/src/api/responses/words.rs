//! Answers in the words of the Responses interface: one object, or the events that build it up.
//!
//! Items come in the order in which they are generated: the text, then the calls. A stream ends with
//! `[DONE]` here as everywhere, so that one rule says what a stream's last event is.

use serde::Serialize;
use serde_json::{Value, json};
use vouchsafe_receipt::Usage;

use super::super::generate::{Choice, More, Reason};
use super::super::sampling::Streaming;
use super::super::sse;
use super::ResponsesRequest;

/// What all parts of one answer have in common, and how far its stream has come.
#[derive(Debug)]
pub(in super::super) struct ResponseWords {
    id: String,
    object: Object,
    /// The next event's number.
    sequence: u64,
    /// Items that the stream has begun; the last one may be open.
    items: usize,
    open: Option<Open>,
}

/// The item that a stream is in, as far as it has come.
#[derive(Debug, Clone, PartialEq)]
enum Open {
    Message { text: String },
    Call { at: usize, name: String, arguments: String },
}

/// The answer's own fields. What was not asked for has the value that is in force.
#[derive(Debug, Clone, Serialize)]
struct Object {
    id: String,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    background: bool,
    error: Option<Value>,
    incomplete_details: Option<Value>,
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    metadata: Value,
    model: String,
    output: Vec<Value>,
    parallel_tool_calls: bool,
    previous_response_id: Option<String>,
    store: bool,
    temperature: Value,
    text: Value,
    tool_choice: Value,
    tools: Value,
    top_p: Value,
    truncation: &'static str,
    usage: Option<Value>,
}

impl ResponseWords {
    pub(in super::super) fn new(request: &ResponsesRequest) -> Self {
        let parameters = request.chat.parameters();
        let stated = |name: &str| parameters.get(name).cloned().unwrap_or_default();
        let tools =
            stated("tools").as_array().map(|tools| tools.iter().map(|tool| flat(tool, "function")).collect());
        let object = Object {
            id: String::new(),
            object: "response",
            created_at: 0,
            status: "in_progress",
            background: false,
            error: None,
            incomplete_details: None,
            instructions: request.instructions.clone(),
            max_output_tokens: request.chat.generation.max_tokens.map(u32::from),
            metadata: json!({}),
            model: request.chat.model.clone(),
            output: Vec::new(),
            parallel_tool_calls: stated("parallel_tool_calls").as_bool().unwrap_or(true),
            previous_response_id: None,
            store: false,
            temperature: stated("temperature"),
            text: json!({"format": flat(&stated("response_format"), "json_schema")}),
            tool_choice: match stated("tool_choice") {
                Value::Null => json!("auto"),
                choice => flat(&choice, "function"),
            },
            tools: tools.unwrap_or_default(),
            top_p: stated("top_p"),
            truncation: "disabled",
            usage: None,
        };
        Self { id: String::new(), object, sequence: 0, items: 0, open: None }
    }

    /// Gives the answer its name and its time.
    pub(in super::super) fn named(mut self: Box<Self>, id: &str, created: u64) -> Box<Self> {
        id.clone_into(&mut self.id);
        self.object.id = format!("resp_{id}");
        self.object.created_at = created;
        self
    }

    /// The whole answer.
    pub(in super::super) fn whole(&mut self, choices: &[Choice], usage: Usage) -> Vec<u8> {
        self.complete(choices, usage);
        serde_json::to_vec(&self.object).unwrap_or_default()
    }

    /// The events before anything is generated.
    pub(in super::super) fn opening(&mut self, how: Streaming) -> Vec<Vec<u8>> {
        let object = json!(self.object);
        ["response.created", "response.in_progress"]
            .map(|kind| self.event(kind, &json!({"response": object}), how))
            .into()
    }

    /// More of the answer.
    pub(in super::super) fn more(&mut self, more: &More, how: Streaming) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        if !more.text.is_empty() {
            if !matches!(self.open, Some(Open::Message { .. })) {
                self.begin(Open::Message { text: String::new() }, how, &mut events);
            }
            if let Some(Open::Message { text }) = &mut self.open {
                text.push_str(&more.text);
            }
            let of = self.place(Some(0), json!({"delta": more.text, "logprobs": []}));
            events.push(self.event("response.output_text.delta", &of, how));
        }
        for part in &more.calls {
            if let Some(name) = &part.name {
                let call = Open::Call { at: part.at, name: name.clone(), arguments: String::new() };
                self.begin(call, how, &mut events);
            }
            if part.arguments.is_empty() {
                continue;
            }
            if let Some(Open::Call { arguments, .. }) = &mut self.open {
                arguments.push_str(&part.arguments);
            }
            let of = self.place(None, json!({"delta": part.arguments}));
            events.push(self.event("response.function_call_arguments.delta", &of, how));
        }
        events
    }

    /// The end of the answer.
    pub(in super::super) fn end(&mut self, choice: &Choice, how: Streaming) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        if self.items == 0 {
            self.begin(Open::Message { text: String::new() }, how, &mut events);
        }
        self.finish(status(choice), how, &mut events);
        events
    }

    /// The whole answer, as the last event.
    pub(in super::super) fn close(&mut self, choices: &[Choice], usage: Usage, how: Streaming) -> Vec<u8> {
        self.complete(choices, usage);
        let kind = match self.object.status {
            "incomplete" => "response.incomplete",
            _ => "response.completed",
        };
        let object = json!({"response": self.object});
        self.event(kind, &object, how)
    }

    fn complete(&mut self, choices: &[Choice], usage: Usage) {
        let Some(choice) = choices.first() else { return };
        self.object.status = status(choice);
        if self.object.status == "incomplete" {
            self.object.incomplete_details = Some(json!({"reason": "max_output_tokens"}));
        }
        let mut items = Vec::new();
        if !choice.text.is_empty() || choice.calls.is_empty() {
            items.push(Open::Message { text: choice.text.clone() });
        }
        items.extend(choice.calls.iter().enumerate().map(|(at, call)| Open::Call {
            at,
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        }));
        let last = items.len();
        self.object.output = (1..=last)
            .zip(&items)
            // What was cut off is the last of them.
            .map(|(number, item)| {
                self.item(item, if number == last { self.object.status } else { "completed" })
            })
            .collect();
        self.object.usage = Some(json!({
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.prompt_tokens.saturating_add(usage.completion_tokens),
        }));
    }

    /// Ends the open item and begins another.
    fn begin(&mut self, item: Open, how: Streaming, events: &mut Vec<Vec<u8>>) {
        self.finish("completed", how, events);
        let is_message = matches!(item, Open::Message { .. });
        let mut added = self.item(&item, "in_progress");
        if is_message && let Some(content) = added.get_mut("content") {
            *content = json!([]);
        }
        (self.open, self.items) = (Some(item), self.items.saturating_add(1));
        let of = json!({"output_index": self.index(), "item": added});
        events.push(self.event("response.output_item.added", &of, how));
        if is_message {
            let of = self.place(Some(0), json!({"part": part("")}));
            events.push(self.event("response.content_part.added", &of, how));
        }
    }

    fn finish(&mut self, status: &'static str, how: Streaming, events: &mut Vec<Vec<u8>>) {
        let Some(item) = self.open.clone() else { return };
        match &item {
            Open::Message { text } => {
                let of = self.place(Some(0), json!({"text": text, "logprobs": []}));
                events.push(self.event("response.output_text.done", &of, how));
                let of = self.place(Some(0), json!({"part": part(text)}));
                events.push(self.event("response.content_part.done", &of, how));
            }
            Open::Call { arguments, name, .. } => {
                let of = self.place(None, json!({"name": name, "arguments": arguments}));
                events.push(self.event("response.function_call_arguments.done", &of, how));
            }
        }
        let of = json!({"output_index": self.index(), "item": self.item(&item, status)});
        events.push(self.event("response.output_item.done", &of, how));
        self.open = None;
    }

    fn item(&self, item: &Open, status: &str) -> Value {
        match item {
            Open::Message { text } => json!({
                "id": self.item_id(item), "type": "message", "status": status, "role": "assistant",
                "content": [part(text)],
            }),
            Open::Call { at, name, arguments } => json!({
                "id": self.item_id(item), "type": "function_call", "status": status,
                "call_id": format!("call_{}_{at}", self.id), "name": name, "arguments": arguments,
            }),
        }
    }

    fn item_id(&self, item: &Open) -> String {
        match item {
            Open::Message { .. } => format!("msg_{}", self.id),
            Open::Call { at, .. } => format!("fc_{}_{at}", self.id),
        }
    }

    /// The open item's position in the output.
    fn index(&self) -> usize {
        self.items.saturating_sub(1)
    }

    /// Fields of an event, with where in the answer it belongs.
    fn place(&self, content: Option<usize>, mut fields: Value) -> Value {
        if let Some(object) = fields.as_object_mut() {
            object.insert("item_id".to_owned(), json!(self.open.as_ref().map(|item| self.item_id(item))));
            object.insert("output_index".to_owned(), json!(self.index()));
            object.extend(content.map(|index| ("content_index".to_owned(), json!(index))));
        }
        fields
    }

    /// An event, filled up so that its length shows a size class and nothing finer.
    fn event(&mut self, kind: &str, fields: &Value, how: Streaming) -> Vec<u8> {
        #[derive(Serialize)]
        struct Event<'a> {
            r#type: &'a str,
            sequence_number: u64,
            #[serde(flatten)]
            fields: &'a Value,
            #[serde(skip_serializing_if = "Option::is_none")]
            obfuscation: Option<&'static str>,
        }
        let obfuscation = how.obfuscation.then_some("");
        let event = Event { r#type: kind, sequence_number: self.sequence, fields, obfuscation };
        self.sequence = self.sequence.saturating_add(1);
        // Strings, numbers and JSON values: serialisation has no failing case.
        let event = serde_json::to_vec(&event).unwrap_or_default();
        if how.obfuscation { sse::pad(event, 0) } else { event }
    }
}

fn status(choice: &Choice) -> &'static str {
    match choice.end.as_ref().map(|end| end.reason) {
        Some(Reason::Length) => "incomplete",
        _ => "completed",
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// `{"type":KIND,KIND:{…}}` as this interface writes it: `{"type":KIND,…}`.
fn flat(stated: &Value, kind: &str) -> Value {
    let Some(inner) = stated.get(kind).and_then(Value::as_object) else { return stated.clone() };
    let mut all = serde_json::Map::from_iter([("type".to_owned(), json!(kind))]);
    all.extend(inner.clone());
    Value::Object(all)
}
