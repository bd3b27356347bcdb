//! `response_format`, `tools` and `tool_choice`: the form that an answer must have.
//!
//! What is asked for is enforced while the answer is generated, whatever `strict` says, and all of it goes
//! into the execution record as the client wrote it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vouchsafe_engine::{AnswerForm, Json, Tool, ToolChoice, ToolUse};

use super::error::ApiError;

/// The parameters as a client states them; null where they are absent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stated {
    pub(super) tools: Json,
    pub(super) tool_choice: Json,
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) response_format: Json,
}

/// Checked parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Form {
    /// What is enforced.
    pub(crate) answer: AnswerForm,
    /// The tools for the chat template, as the client wrote them.
    pub(crate) tools: Vec<Json>,
    response_format: Value,
}

impl Stated {
    pub(super) fn check(self) -> Result<Form, ApiError> {
        let format = Value::from(self.response_format);
        let schema = schema(&format)?;
        let tools = match self.tools {
            Json::Null => Vec::new(),
            Json::Array(tools) => tools,
            _ => return Err(wrong("tools", "'tools' must be an array.")),
        };
        let named =
            tools.iter().enumerate().map(|(at, tool)| function(at, tool)).collect::<Result<Vec<_>, _>>()?;
        let choice = choice(&Value::from(self.tool_choice), !tools.is_empty())?;
        if tools.is_empty() && self.parallel_tool_calls.is_some() {
            let message = "'parallel_tool_calls' is only allowed when 'tools' are specified.";
            return Err(wrong("parallel_tool_calls", message));
        }
        let used = (!tools.is_empty()).then(|| ToolUse {
            tools: named,
            choice,
            parallel: self.parallel_tool_calls.unwrap_or(true),
        });
        let response_format = if format.is_null() { json!({"type": "text"}) } else { format };
        Ok(Form { answer: AnswerForm { schema, tools: used }, tools, response_format })
    }
}

impl Form {
    /// Whether tools may be called.
    pub(crate) fn calls(&self) -> bool {
        self.answer.tools.as_ref().is_some_and(|used| used.choice != ToolChoice::None)
    }

    /// Every parameter in force, by its name in the API.
    pub(crate) fn parameters(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::from([
            ("tools".to_owned(), self.tools.iter().cloned().map(Value::from).collect()),
            ("response_format".to_owned(), self.response_format.clone()),
        ]);
        if let Some(used) = &self.answer.tools {
            let choice = match &used.choice {
                ToolChoice::None => json!("none"),
                ToolChoice::Auto => json!("auto"),
                ToolChoice::Required => json!("required"),
                ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
            };
            all.insert("tool_choice".to_owned(), choice);
            all.insert("parallel_tool_calls".to_owned(), json!(used.parallel));
        }
        all
    }
}

/// The schema that the answer must satisfy.
fn schema(format: &Value) -> Result<Option<Value>, ApiError> {
    let kind = format.get("type").and_then(Value::as_str);
    match (format, kind) {
        (Value::Null, _) => Ok(None),
        (_, Some("text")) => only(format, "response_format", &["type"]).map(|()| None),
        (_, Some("json_object")) => {
            only(format, "response_format", &["type"]).map(|()| Some(json!({"type": "object"})))
        }
        (_, Some("json_schema")) => {
            only(format, "response_format", &["type", "json_schema"])?;
            let at = "response_format.json_schema";
            let inner = format.get("json_schema").filter(|inner| inner.is_object());
            let inner = inner.ok_or_else(|| missing(at))?;
            only(inner, at, &["name", "description", "schema", "strict"])?;
            if inner.get("name").and_then(Value::as_str).is_none() {
                return Err(missing("response_format.json_schema.name"));
            }
            Ok(Some(inner.get("schema").cloned().unwrap_or_else(|| json!({"type": "object"}))))
        }
        (_, Some(_)) => Err(ApiError::unsupported("response_format")),
        (_, None) => Err(missing("response_format.type")),
    }
}

/// What is enforced of a tool: `{"type":"function","function":{"name":…,"parameters":{…}}}`. All of it is
/// printed by the template.
fn function(at: usize, tool: &Json) -> Result<Tool, ApiError> {
    let name = |field: &str| format!("tools[{at}].{field}");
    let tool = Value::from(tool.clone());
    match tool.get("type").and_then(Value::as_str) {
        Some("function") => {}
        Some(_) => return Err(ApiError::unsupported(&name("type"))),
        None => return Err(missing(&name("type"))),
    }
    only(&tool, &format!("tools[{at}]"), &["type", "function"])?;
    let function = tool.get("function").ok_or_else(|| missing(&name("function")))?;
    only(function, &name("function"), &["name", "description", "parameters", "strict"])?;
    let called =
        function.get("name").and_then(Value::as_str).ok_or_else(|| missing(&name("function.name")))?;
    let parameters = match function.get("parameters") {
        None | Some(Value::Null) => {
            json!({"type": "object", "properties": {}, "additionalProperties": false})
        }
        Some(parameters) => parameters.clone(),
    };
    Ok(Tool { name: called.to_owned(), parameters })
}

fn choice(stated: &Value, has_tools: bool) -> Result<ToolChoice, ApiError> {
    let choice = match stated {
        Value::Null if has_tools => ToolChoice::Auto,
        Value::Null => return Ok(ToolChoice::None),
        Value::String(word) => match word.as_str() {
            "none" => return Ok(ToolChoice::None),
            "auto" => ToolChoice::Auto,
            "required" => ToolChoice::Required,
            _ => {
                return Err(wrong(
                    "tool_choice",
                    "'tool_choice' is 'none', 'auto', 'required' or a function.",
                ));
            }
        },
        stated => {
            if stated.get("type").and_then(Value::as_str) != Some("function") {
                return Err(ApiError::unsupported("tool_choice"));
            }
            only(stated, "tool_choice", &["type", "function"])?;
            let name = stated.pointer("/function/name").and_then(Value::as_str);
            ToolChoice::Named(name.ok_or_else(|| missing("tool_choice.function.name"))?.to_owned())
        }
    };
    // Agents say "auto" whether they have tools or not.
    match (has_tools, &choice) {
        (false, ToolChoice::Auto) => Ok(ToolChoice::None),
        (false, _) => Err(wrong("tool_choice", "'tool_choice' is only allowed when 'tools' are specified.")),
        (true, _) => Ok(choice),
    }
}

/// Refuses members that would have no effect.
fn only(object: &Value, at: &str, known: &[&str]) -> Result<(), ApiError> {
    let unknown =
        object.as_object().and_then(|members| members.keys().find(|name| !known.contains(&name.as_str())));
    match unknown {
        None => Ok(()),
        Some(name) => {
            let param: String = format!("{at}.{name}").chars().take(128).collect();
            let message = format!("Unrecognized request argument supplied: {param}");
            Err(ApiError::parameter(param, "unknown_parameter", message))
        }
    }
}

fn missing(param: &str) -> ApiError {
    let message = format!("Missing required parameter: '{param}'.");
    ApiError::parameter(param, "missing_required_parameter", message)
}

fn wrong(param: &str, message: &str) -> ApiError {
    ApiError::parameter(param, "invalid_value", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tools: &str, choice: &str, parallel: Option<bool>, format: &str) -> Result<Form, ApiError> {
        let json = |text: &str| serde_json::from_str::<Json>(text).unwrap();
        let (tools, tool_choice, response_format) = (json(tools), json(choice), json(format));
        Stated { tools, tool_choice, parallel_tool_calls: parallel, response_format }.check()
    }

    const TOOL: &str =
        r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object"},"strict":true}}]"#;

    #[test]
    fn what_is_asked_for_is_enforced_and_recorded() {
        let form = check("null", "null", None, "null").unwrap();
        assert_eq!(form.answer, AnswerForm::default());
        let record = serde_json::to_string(&form.parameters()).unwrap();
        assert_eq!(record, r#"{"response_format":{"type":"text"},"tools":[]}"#);

        let form = check(TOOL, r#""required""#, Some(false), r#"{"type":"json_object"}"#).unwrap();
        assert_eq!(form.answer.schema, Some(json!({"type": "object"})));
        let used = form.answer.tools.as_ref().unwrap();
        assert_eq!((&used.choice, used.parallel), (&ToolChoice::Required, false));
        assert_eq!(used.tools, [Tool { name: "f".into(), parameters: json!({"type": "object"}) }]);
        let parameters = form.parameters();
        assert_eq!(parameters["tools"], serde_json::from_str::<Value>(TOOL).unwrap());
        assert_eq!(
            (&parameters["tool_choice"], &parameters["parallel_tool_calls"]),
            (&json!("required"), &json!(false))
        );

        let schema =
            r#"{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"null"},"strict":false}}"#;
        assert_eq!(check("[]", "null", None, schema).unwrap().answer.schema, Some(json!({"type": "null"})));
        let named = r#"{"type":"function","function":{"name":"f"}}"#;
        let form = check(TOOL, named, None, "null").unwrap();
        assert_eq!(form.parameters()["tool_choice"], serde_json::from_str::<Value>(named).unwrap());
        assert!(form.calls());
        assert!(!check(TOOL, r#""none""#, None, "null").unwrap().calls());
        assert!(!check("[]", r#""auto""#, None, r#"{"type":"text"}"#).unwrap().calls());
    }

    #[test]
    fn what_cannot_be_enforced_is_refused_by_name() {
        for (tools, choice, parallel, format, param) in [
            ("{}", "null", None, "null", "tools"),
            (r#"[{"type":"web_search"}]"#, "null", None, "null", "tools[0].type"),
            (r#"[{"type":"function"}]"#, "null", None, "null", "tools[0].function"),
            (r#"[{"type":"function","function":{}}]"#, "null", None, "null", "tools[0].function.name"),
            (
                r#"[{"type":"function","function":{"name":"f","x":1}}]"#,
                "null",
                None,
                "null",
                "tools[0].function.x",
            ),
            ("[]", r#""required""#, None, "null", "tool_choice"),
            ("[]", "null", Some(true), "null", "parallel_tool_calls"),
            (TOOL, r#""sometimes""#, None, "null", "tool_choice"),
            (TOOL, r#"{"type":"allowed_tools"}"#, None, "null", "tool_choice"),
            (TOOL, r#"{"type":"function"}"#, None, "null", "tool_choice.function.name"),
            ("[]", "null", None, "{}", "response_format.type"),
            ("[]", "null", None, r#"{"type":"grammar"}"#, "response_format"),
            ("[]", "null", None, r#"{"type":"json_schema"}"#, "response_format.json_schema"),
            (
                "[]",
                "null",
                None,
                r#"{"type":"json_schema","json_schema":{}}"#,
                "response_format.json_schema.name",
            ),
            ("[]", "null", None, r#"{"type":"json_object","schema":{}}"#, "response_format.schema"),
        ] {
            let error = check(tools, choice, parallel, format).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{error:?}");
        }
    }
}
