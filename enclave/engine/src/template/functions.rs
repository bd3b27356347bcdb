//! What templates can call beyond Jinja's own functions and filters.

use std::fmt;

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::strftime::strftime;

/// The variable that holds the caller's time.
pub(super) const NOW: &str = "__now";

/// What a template said with `raise_exception`.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) String);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        // The message may quote the user; the marks in it are ours.
        let message = message.replace('\u{fdd0}', "").chars().take(500).collect();
        Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Refusal(message)))
    });
    environment.add_function("strftime_now", |state: &State<'_, '_>, format: String| {
        let now = state.lookup(NOW).and_then(|value| i64::try_from(value).ok()).ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, "strftime_now: the caller gave no date")
        })?;
        strftime(&format, now).map_err(|directive| {
            Error::new(ErrorKind::InvalidOperation, format!("strftime_now: unknown directive {directive}"))
        })
    });
    environment.add_filter("tojson", to_json);
    environment.set_formatter(|output, state, value| {
        // As Python prints them.
        if value.is_none() {
            return output.write_str("None").map_err(Error::from);
        }
        match bool::try_from(value.clone()) {
            Ok(flag) if value.kind() == minijinja::value::ValueKind::Bool => {
                output.write_str(if flag { "True" } else { "False" }).map_err(Error::from)
            }
            _ => minijinja::escape_formatter(output, state, value),
        }
    });
}

/// `json.dumps(value, ensure_ascii=False, indent=indent)`. The filter of Jinja itself escapes for HTML,
/// and `transformers` replaces it as well.
fn to_json(value: &Value, indent: Option<usize>, arguments: Kwargs) -> Result<String, Error> {
    let indent = match indent {
        None => arguments.get::<Option<usize>>("indent")?,
        given => given,
    };
    let _ = arguments.get::<Option<bool>>("ensure_ascii")?;
    let _ = arguments.get::<Option<bool>>("sort_keys")?;
    arguments.assert_all_used()?;
    let mut bytes = Vec::new();
    let result = match indent {
        None => value.serialize(&mut Serializer::with_formatter(&mut bytes, PythonFormatter)),
        Some(width) => {
            let spaces = " ".repeat(width.min(16));
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
    };
    result.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Python's default separators: `", "` and `": "`.
struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
