//! The grammar of a form, in the library's variant of Lark.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};

use super::schema::checked;
use super::{AnswerForm, ConstraintError};
use crate::tools::{self, ToolChoice, ToolUse};

/// The grammar; `None` where any text will do.
pub(super) fn of(form: &AnswerForm) -> Result<Option<TopLevelGrammar>, ConstraintError> {
    let mut grammars = Vec::new();
    if let Some(schema) = &form.schema {
        grammars.push(named(ANSWER, checked(schema, "the schema")?));
    }
    let Some(used) = form.tools.as_ref().filter(|used| used.choice != ToolChoice::None) else {
        let alone =
            grammars.pop().map(|grammar| TopLevelGrammar { grammars: vec![grammar], max_tokens: None });
        return Ok(alone);
    };
    let offered = offered(used)?;
    for (at, tool) in offered.iter().enumerate() {
        grammars.push(named(&tool_grammar(at), checked(&tool.parameters, "a tool's schema")?));
    }
    let names: Vec<&str> = offered.iter().map(|tool| tool.name.as_str()).collect();
    let start = GrammarWithLexer {
        name: Some("start".to_owned()),
        lark_grammar: Some(lark(&names, used, form.schema.is_some())),
        json_schema: None,
    };
    grammars.insert(0, start);
    Ok(Some(TopLevelGrammar { grammars, max_tokens: None }))
}

/// The tools that may be called, checked.
fn offered(used: &ToolUse) -> Result<Vec<&tools::Tool>, ConstraintError> {
    if used.tools.len() > TOOLS_MAX {
        return Err(ConstraintError::TooLarge { what: "tools", max: TOOLS_MAX, unit: "entries" });
    }
    let mut names = BTreeSet::new();
    for tool in &used.tools {
        // Names go into the grammar's text as they are.
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=NAME_BYTES_MAX).contains(&tool.name.len()) || !tool.name.bytes().all(sound) {
            return Err(ConstraintError::Tools("a tool's name is 1 to 64 letters, digits, '_' or '-'"));
        }
        if !names.insert(tool.name.as_str()) {
            return Err(ConstraintError::Tools("two tools have the same name"));
        }
    }
    let offered: Vec<_> = match &used.choice {
        ToolChoice::Named(name) => used.tools.iter().filter(|tool| tool.name == *name).collect(),
        _ => used.tools.iter().collect(),
    };
    if offered.is_empty() {
        return Err(ConstraintError::Tools("the choice is none of the tools"));
    }
    Ok(offered)
}

/// Text, or text and calls, or calls alone.
fn lark(names: &[&str], used: &ToolUse, has_answer: bool) -> String {
    let calls_max = if used.parallel { CALLS_MAX } else { 1 };
    let mut text = match (&used.choice, has_answer) {
        // A lazy rule ends at the first mark, so that `TAIL` never holds one.
        (ToolChoice::Auto, false) => format!(
            "start: TAIL | lead calls\nlead[lazy]: /(.|\\n)*{mark}/\nTAIL: /(.|\\n)*/\n",
            mark = tools::BEGIN
        ),
        (ToolChoice::Auto, true) => format!("start: @{ANSWER} | \"{}\" calls\n", tools::BEGIN),
        _ => format!("start: \"{}\" calls\n", tools::BEGIN),
    };
    let more = calls_max.saturating_sub(1);
    let _ = match more {
        0 => writeln!(text, "calls: call"),
        more => writeln!(text, "calls: call (\"\\n{}\" call){{0,{more}}}", tools::BEGIN),
    };
    let calls: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let (before, after) = (quoted(&tools::before_arguments(name)), quoted(tools::AFTER_ARGUMENTS));
            format!("{before} @{} {after}", tool_grammar(at))
        })
        .collect();
    let _ = writeln!(text, "call: {}", calls.join("\n    | "));
    text
}

/// A string as Lark writes it, which is as JSON does.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn named(name: &str, schema: serde_json::Value) -> GrammarWithLexer {
    GrammarWithLexer { name: Some(name.to_owned()), json_schema: Some(schema), lark_grammar: None }
}

fn tool_grammar(at: usize) -> String {
    format!("tool_{at}")
}

const ANSWER: &str = "answer";

/// As OpenAI allows.
const TOOLS_MAX: usize = 128;
/// As OpenAI allows.
const NAME_BYTES_MAX: usize = 64;
/// Calls in one answer.
const CALLS_MAX: usize = 16;
