//! Executing again, with the parameters of the record.

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::mpsc::channel;

use serde_json::Value;
use vouchsafe_engine::{
    AnswerForm, Constraint, Engine, EngineOptions, Event, FinishReason, GenerateRequest, Model,
    SamplingOptions, SamplingParams, StopStrings, Tool, ToolChoice, ToolUse,
};

use crate::answer::{Computed, Given};
use crate::claim::{Claim, malformed};
use crate::failure::Failure;
use crate::request;

/// Computes a claim's answers. Those that were `given` are where tokens are guessed from, several of which
/// are computed at a time: that changes how long it takes, not what comes out.
pub(crate) fn again(
    model: Model,
    claim: &Claim,
    body: &[u8],
    given: &[Given],
    threads: usize,
) -> Result<Vec<Computed>, Failure> {
    let count = given.len();
    let context = usize::try_from(model.identity().context_length()).unwrap_or(usize::MAX);
    // One after the other: what runs beside an answer changes nothing.
    let options =
        EngineOptions { max_sequences: 1, kv_tokens_max: context, threads, ..EngineOptions::default() };
    let engine = Engine::start(model, options)?;
    let prompts = request::prompts(&engine, claim, body)?;
    let parameters = Parameters(&claim.record.parameters);
    let per_prompt = usize::try_from(parameters.integer("n")?.unwrap_or(1)).unwrap_or(usize::MAX);
    if prompts.len().checked_mul(per_prompt) != Some(count) {
        return Err(Failure::Mismatch { what: "number of answers" });
    }
    let form = parameters.form()?;
    let may_call = form.tools.as_ref().is_some_and(|used| used.choice != ToolChoice::None);
    let constraint: Option<Constraint> = engine.constrain(&form)?;
    let seed = claim.record.seed.as_deref().and_then(|seed| seed.parse::<u64>().ok());
    let mut seed = seed.ok_or(Failure::Undecided("the record has no seed"))?;
    let mut computed = Vec::new();
    let prompts = prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, per_prompt));
    for (prompt, given) in prompts.zip(given) {
        let mut request = GenerateRequest::new(prompt.tokens.clone(), seed);
        request.expected = engine.tokenize(given.text.strip_prefix(&prompt.echo).unwrap_or(&given.text));
        request.sampling = parameters.sampling()?;
        request.stop = parameters.stop()?;
        request.constraint.clone_from(&constraint);
        request.max_tokens = match parameters.integer("max_tokens")? {
            Some(max) => u32::try_from(max).ok().and_then(NonZeroU32::new),
            // Then the server's own bounds decided, and the count says where.
            None => Some(counted(claim, count)?),
        };
        let mut answer = generate(&engine, request, may_call)?;
        answer.text.insert_str(0, &prompt.echo);
        computed.push(answer);
        // As the server numbers them.
        seed = seed.wrapping_add(1);
    }
    Ok(computed)
}

/// How many tokens the only answer has.
fn counted(claim: &Claim, count: usize) -> Result<NonZeroU32, Failure> {
    if count != 1 {
        return Err(Failure::Undecided("several answers, and no max_tokens to say where each ends"));
    }
    let usage = claim.record.usage.ok_or(Failure::Undecided("the record has no token counts"))?;
    u32::try_from(usage.completion_tokens)
        .ok()
        .and_then(NonZeroU32::new)
        .ok_or(Failure::Undecided("nothing was generated"))
}

fn generate(engine: &Engine, request: GenerateRequest, may_call: bool) -> Result<Computed, Failure> {
    let (sender, events) = channel();
    engine.submit(
        request,
        Box::new(move |event| match sender.send(event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }),
    )?;
    let mut text = String::new();
    for event in events {
        match event {
            Event::Text(delta) => text.push_str(&delta.text),
            Event::Finished(finish) => {
                let reason = match finish.reason {
                    FinishReason::Stop | FinishReason::StopString(_) => "stop",
                    FinishReason::Length => "length",
                    _ => return Err(Failure::NotRun(format!("it ended with {:?}", finish.reason))),
                };
                return Ok(Computed::read(text, reason, finish.usage.completion_tokens, may_call));
            }
            _ => {}
        }
    }
    Err(Failure::Undecided("the engine stopped"))
}

/// The record's parameters, by their names in the API.
struct Parameters<'a>(&'a std::collections::BTreeMap<String, Value>);

impl Parameters<'_> {
    fn value<T: serde::de::DeserializeOwned>(&self, name: &'static str) -> Result<T, Failure> {
        let value = self.0.get(name).cloned().ok_or(Failure::Undecided("the record lacks a parameter"))?;
        serde_json::from_value(value).map_err(|error| Failure::Malformed {
            what: "execution record",
            problem: format!("{name}: {error}"),
        })
    }

    fn integer(&self, name: &'static str) -> Result<Option<u64>, Failure> {
        self.value(name)
    }

    fn sampling(&self) -> Result<SamplingParams, Failure> {
        let biases: std::collections::BTreeMap<u32, f32> = self.value("logit_bias")?;
        Ok(SamplingParams::new(SamplingOptions {
            temperature: self.value("temperature")?,
            top_p: self.value("top_p")?,
            top_k: self.value("top_k")?,
            min_p: self.value("min_p")?,
            repetition_penalty: self.value("repetition_penalty")?,
            presence_penalty: self.value("presence_penalty")?,
            frequency_penalty: self.value("frequency_penalty")?,
            logit_bias: biases.into_iter().collect(),
        })?)
    }

    /// The form that the answers had to have, as the server reads it. Records of servers that enforced
    /// none say nothing of it, or that there were no tools and plain text was to be answered.
    fn form(&self) -> Result<AnswerForm, Failure> {
        let wrong = |problem: &str| malformed("execution record", problem);
        let format = self.0.get("response_format").unwrap_or(&Value::Null);
        let object = || serde_json::json!({"type": "object"});
        let schema = match format.get("type").and_then(Value::as_str) {
            None | Some("text") => None,
            Some("json_object") => Some(object()),
            Some("json_schema") => {
                Some(format.pointer("/json_schema/schema").cloned().unwrap_or_else(object))
            }
            Some(_) => {
                return Err(Failure::Undecided("the answer's form is of a kind that is not known here"));
            }
        };
        let tools: Vec<Value> = self.0.get("tools").map_or(Ok(Vec::new()), |_| self.value("tools"))?;
        if tools.is_empty() {
            return Ok(AnswerForm { schema, tools: None });
        }
        let choice = match self.0.get("tool_choice") {
            Some(Value::String(word)) if word == "none" => ToolChoice::None,
            Some(Value::String(word)) if word == "auto" => ToolChoice::Auto,
            Some(Value::String(word)) if word == "required" => ToolChoice::Required,
            Some(named) => {
                let name = named.pointer("/function/name").and_then(Value::as_str);
                ToolChoice::Named(name.ok_or_else(|| wrong("tool_choice"))?.to_owned())
            }
            None => return Err(Failure::Undecided("the record lacks a parameter")),
        };
        let tool = |tool: Value| -> Option<Tool> {
            let function = tool.get("function")?;
            let parameters = function.get("parameters").filter(|parameters| !parameters.is_null());
            let none =
                || serde_json::json!({"type": "object", "properties": {}, "additionalProperties": false});
            Some(Tool {
                name: function.get("name")?.as_str()?.to_owned(),
                parameters: parameters.cloned().unwrap_or_else(none),
            })
        };
        let tools: Option<Vec<Tool>> = tools.into_iter().map(tool).collect();
        let tools = tools.ok_or_else(|| wrong("a tool that is no function"))?;
        let parallel = self.value("parallel_tool_calls")?;
        Ok(AnswerForm { schema, tools: Some(ToolUse { tools, choice, parallel }) })
    }

    fn stop(&self) -> Result<StopStrings, Failure> {
        Ok(StopStrings::new(self.value("stop")?)?)
    }
}
