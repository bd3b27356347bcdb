//! Tools: what a model may call, how calls are written, how they are read back.
//!
//! Calls have the form that Hermes and Qwen models are trained on and that their chat templates print:
//!
//! ```text
//! <tool_call>
//! {"name": "f", "arguments": {…}}
//! </tool_call>
//! ```
//!
//! A template that takes tools and has no such mark expects another form, which is not supported. A
//! template that takes no tools gets them as text, in the same form: see [`told`].

mod reader;
mod told;

use serde_json::Value;

pub use self::reader::{ToolPiece, ToolReader};
pub(crate) use self::told::told;

/// What stands in front of a call.
pub(crate) const BEGIN: &str = "<tool_call>";
/// What stands behind a call's arguments.
pub(crate) const AFTER_ARGUMENTS: &str = "}\n</tool_call>";

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// The JSON schema of its arguments.
    pub parameters: Value,
}

/// Whether tools are to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// None may be.
    None,
    /// The model decides.
    Auto,
    /// At least one must be.
    Required,
    /// This one must be.
    Named(String),
}

/// The tools of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolUse {
    /// The tools.
    pub tools: Vec<Tool>,
    /// Whether they are to be called.
    pub choice: ToolChoice,
    /// Whether there may be several calls in one answer.
    pub parallel: bool,
}

/// How a chat template takes tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolStyle {
    /// It prints them, and calls in the form above.
    Template,
    /// Not at all: they are put into the system message.
    Told,
}

impl ToolStyle {
    /// The style of a template's source; `None` where it expects a form of calls that is not supported.
    pub(crate) fn of(template: &str) -> Option<Self> {
        match (template.contains("tool"), template.contains(BEGIN)) {
            (false, _) => Some(Self::Told),
            (true, true) => Some(Self::Template),
            (true, false) => None,
        }
    }
}

/// What stands between a call's mark and its arguments.
pub(crate) fn before_arguments(name: &str) -> String {
    format!("{CALL_OPEN}{name}{CALL_MIDDLE}")
}

const CALL_OPEN: &str = "\n{\"name\": \"";
const CALL_MIDDLE: &str = "\", \"arguments\": ";
