//! The model's chat template: Jinja as `transformers` understands it.
//!
//! The template comes with the model and is compiled when the model is loaded. What it may do is
//! bounded: instructions by fuel, output by size. It has no clock; `strftime_now` formats the date that
//! the caller passed in. Users' strings are guarded, so that none of their text becomes a control
//! token (see [`crate::tokenizer`]).
//!
//! Behaviour follows `apply_chat_template` of `transformers`: trimmed blocks, Python's string methods,
//! `raise_exception`, `strftime_now`, `tojson` as `json.dumps(ensure_ascii=False)`, loop controls.

mod functions;
mod strftime;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use minijinja::{Environment, Error, Value};

use self::functions::Refusal;
use crate::tokenizer::{Guard, Tokenizer};
use crate::{ChatMessage, ChatOptions, Json, LoadError, TemplateError, ToolStyle};

/// A compiled template.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    guard: Guard,
    /// How it takes tools; `None` where that is not supported.
    tool_style: Option<ToolStyle>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    pub(crate) fn compile(source: &str, tokenizer: &Tokenizer) -> Result<Self, LoadError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(LoadError::TooLarge {
                what: "the length of tokenizer.chat_template".to_owned(),
                value: u64::try_from(source.len()).unwrap_or(u64::MAX),
                max: u64::try_from(SOURCE_BYTES_MAX).unwrap_or(u64::MAX),
            });
        }
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_debug(false);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        functions::install(&mut environment);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| LoadError::ChatTemplate { problem: error.to_string() })?;
        Ok(Self {
            environment,
            guard: tokenizer.guard(source),
            tool_style: ToolStyle::of(source),
            bos: tokenizer.bos_text().to_owned(),
            eos: tokenizer.eos_text().to_owned(),
        })
    }

    /// How it takes tools; `None` where it wants calls in a form that is not supported.
    pub(crate) fn tool_style(&self) -> Option<ToolStyle> {
        self.tool_style
    }

    /// Renders a conversation. The result carries the guard's marks.
    pub(crate) fn render(
        &self,
        messages: &[ChatMessage],
        options: &ChatOptions,
    ) -> Result<String, TemplateError> {
        if self.tool_style == Some(ToolStyle::Told)
            && !(options.tools.is_empty() && messages.iter().all(|message| message.is_plain()))
        {
            let told = crate::tools::told(messages, &options.tools);
            return self.render(&told, &ChatOptions { tools: Vec::new(), ..options.clone() });
        }
        let bytes = messages.iter().map(message_bytes).fold(0, usize::saturating_add);
        if bytes > INPUT_BYTES_MAX {
            return Err(TemplateError::TooLarge { what: "the text of all messages", max: INPUT_BYTES_MAX });
        }
        let context = self.context(messages, options);
        let template = self.environment.get_template(NAME).map_err(|error| failed(&error))?;
        let mut output = Bounded { bytes: Vec::new(), overflow: false };
        let result = template.render_captured_to(context, &mut output);
        if output.overflow {
            return Err(TemplateError::TooLarge { what: "the rendered prompt", max: OUTPUT_BYTES_MAX });
        }
        result.map_err(|error| failed(&error))?;
        String::from_utf8(output.bytes)
            .map_err(|_| TemplateError::Failed("its output is not UTF-8".to_owned()))
    }

    fn context(&self, messages: &[ChatMessage], options: &ChatOptions) -> Value {
        let mut context: BTreeMap<String, Value> =
            options.variables.iter().map(|(name, value)| (name.clone(), self.json(value))).collect();
        let messages: Vec<Value> = messages.iter().map(|message| self.message(message)).collect();
        let tools = if options.tools.is_empty() {
            Value::from(())
        } else {
            Value::from(options.tools.iter().map(|tool| self.json(tool)).collect::<Vec<_>>())
        };
        // Ours come last: a variable cannot replace them.
        for (name, value) in [
            ("messages", Value::from(messages)),
            ("tools", tools),
            ("documents", Value::from(())),
            ("add_generation_prompt", options.add_generation_prompt.into()),
            ("bos_token", self.bos.as_str().into()),
            ("eos_token", self.eos.as_str().into()),
            (functions::NOW, options.now.map_or_else(|| Value::from(()), Value::from)),
        ] {
            context.insert(name.to_owned(), value);
        }
        context.into_iter().collect()
    }

    fn message(&self, message: &ChatMessage) -> Value {
        let mut members: Vec<(&str, Value)> = vec![
            ("role", message.role.as_str().into()),
            ("content", message.content.as_deref().map_or_else(|| Value::from(()), |text| self.text(text))),
        ];
        for (name, text) in [
            ("name", &message.name),
            ("reasoning_content", &message.reasoning),
            ("tool_call_id", &message.tool_call_id),
        ] {
            if let Some(text) = text {
                members.push((name, self.text(text)));
            }
        }
        if !message.tool_calls.is_empty() {
            let calls: Vec<Value> = message
                .tool_calls
                .iter()
                .map(|call| {
                    let function =
                        map([("name", self.text(&call.name)), ("arguments", self.json(&call.arguments))]);
                    map([("id", self.text(&call.id)), ("type", "function".into()), ("function", function)])
                })
                .collect();
            members.push(("tool_calls", calls.into()));
        }
        map(members)
    }

    fn text(&self, text: &str) -> Value {
        Value::from(self.guard.mark(text))
    }

    fn json(&self, json: &Json) -> Value {
        match json {
            Json::Null => Value::from(()),
            Json::Bool(value) => Value::from(*value),
            Json::Number(number) => Value::from_serialize(number),
            Json::String(text) => self.text(text),
            Json::Array(items) => items.iter().map(|item| self.json(item)).collect::<Vec<_>>().into(),
            Json::Object(members) => {
                members.iter().map(|(name, value)| (self.guard.mark(name), self.json(value))).collect()
            }
        }
    }
}

fn map<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    members.into_iter().map(|(name, value)| (Arc::<str>::from(name), value)).collect()
}

fn message_bytes(message: &ChatMessage) -> usize {
    [&message.content, &message.name, &message.reasoning, &message.tool_call_id]
        .into_iter()
        .flatten()
        .map(String::len)
        .fold(0, usize::saturating_add)
}

/// The template engine's error in its own words; for a refusal, the template's.
fn failed(error: &Error) -> TemplateError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(Refusal(message)) = current.downcast_ref() {
            return TemplateError::Refused(message.clone());
        }
        cause = current.source();
    }
    if error.kind() == minijinja::ErrorKind::OutOfFuel {
        return TemplateError::TooLarge {
            what: "the template's work",
            max: usize::try_from(FUEL).unwrap_or(0),
        };
    }
    TemplateError::Failed(error.to_string())
}

/// Takes output up to a bound.
struct Bounded {
    bytes: Vec<u8>,
    overflow: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > OUTPUT_BYTES_MAX {
            self.overflow = true;
            return Err(io::Error::other("the output is too large"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const NAME: &str = "chat_template";

/// The largest templates in use have about 20 kB.
const SOURCE_BYTES_MAX: usize = 1024 * 1024;

/// Instructions of the template engine; a long conversation with many tools needs some tens of thousands.
const FUEL: u64 = 10_000_000;

/// More text than any context holds.
const INPUT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Twice that, as templates add little.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests;
