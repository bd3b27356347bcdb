//! What forms allow, and what hostile ones cost.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::gguf::{DigestingReader, Header};
use crate::tokenizer::tests::small_vocabulary;
use crate::tools::{Tool, ToolChoice};

fn grammars() -> Grammars {
    let bytes = small_vocabulary().build();
    let mut slice = bytes.as_slice();
    let mut progress = |_| {};
    let mut reader = DigestingReader::new(&mut slice, bytes.len() as u64, &mut progress);
    let header = Header::read(&mut reader).unwrap();
    Grammars::new(Arc::new(Tokenizer::read(&header.metadata).unwrap()))
}

/// Takes a text byte by byte. The small vocabulary has a token for each byte.
fn take(grammars: &Grammars, constraint: &mut Constraint, text: &str) -> Result<(), usize> {
    for (at, byte) in text.bytes().enumerate() {
        let token = byte_token(grammars, byte);
        if !constraint.allowed().unwrap().is_allowed(token) {
            return Err(at);
        }
        constraint.take(token).unwrap();
    }
    Ok(())
}

fn byte_token(grammars: &Grammars, byte: u8) -> u32 {
    (0..grammars.tokenizer.size()).find(|id| grammars.tokenizer.bytes(*id) == [byte]).unwrap()
}

fn may_end(grammars: &Grammars, constraint: &mut Constraint) -> bool {
    let allowed = constraint.allowed().unwrap();
    grammars.tokenizer.ends().all(|end| allowed.is_allowed(end))
}

fn schema(schema: Value) -> AnswerForm {
    AnswerForm { schema: Some(schema), tools: None }
}

fn tools(choice: ToolChoice, parallel: bool) -> AnswerForm {
    let tool = |name: &str, kind: &str| Tool {
        name: name.into(),
        parameters: json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "required": ["x"],
            "additionalProperties": false, "$defs": {"x": {"type": kind}}}),
    };
    let tools = vec![tool("count", "integer"), tool("ask", "boolean")];
    AnswerForm { schema: None, tools: Some(ToolUse { tools, choice, parallel }) }
}

#[test]
fn a_schema_allows_what_it_describes_and_nothing_else() {
    let grammars = grammars();
    let form =
        schema(json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}},
        "required": ["a", "b"], "additionalProperties": false}));
    let constraint = grammars.compile(&form).unwrap().unwrap();
    let mut whole = constraint.clone();
    assert!(!may_end(&grammars, &mut whole));
    assert_eq!(take(&grammars, &mut whole, r#"{"a": -12, "b": "y"}"#), Ok(()));
    assert!(whole.is_complete() && may_end(&grammars, &mut whole));
    for (text, at) in [("[", 0), (r#"{"b""#, 2), (r#"{"a": "1""#, 6), ("{  ", 1), (r#"{"a": 1, "b": "z"#, 15)]
    {
        assert_eq!(take(&grammars, &mut constraint.clone(), text), Err(at), "{text}");
    }
}

#[test]
fn tools_are_called_as_the_choice_says() {
    let grammars = grammars();
    let call = "<tool_call>\n{\"name\": \"count\", \"arguments\": {\"x\": 3}}\n</tool_call>";
    let other = "<tool_call>\n{\"name\": \"ask\", \"arguments\": {\"x\": true}}\n</tool_call>";
    let two = format!("{call}\n{other}");
    let wrong = "<tool_call>\n{\"name\": \"count\", \"arguments\": {\"x\": true";
    let named = ToolChoice::Named("ask".into());
    for (choice, parallel, text, expected) in [
        (ToolChoice::Auto, true, "Just text <tool, no call.", true),
        (ToolChoice::Auto, true, &format!("Let me see.\n{call}"), true),
        (ToolChoice::Auto, true, &two, true),
        (ToolChoice::Auto, true, wrong, false),
        (ToolChoice::Auto, true, "a <tool_call> b", false),
        (ToolChoice::Auto, false, call, true),
        (ToolChoice::Auto, false, &two, false),
        (ToolChoice::Required, true, call, true),
        (ToolChoice::Required, true, "text", false),
        (named.clone(), true, other, true),
        (named, true, call, false),
    ] {
        let mut constraint = grammars.compile(&tools(choice.clone(), parallel)).unwrap().unwrap();
        let taken = take(&grammars, &mut constraint, text).is_ok();
        assert_eq!(taken, expected, "{choice:?}: {text}");
        assert!(!taken || may_end(&grammars, &mut constraint), "{choice:?}: {text}");
    }
    assert!(grammars.compile(&tools(ToolChoice::None, true)).unwrap().is_none());
    let mut both = AnswerForm { schema: Some(json!({"type": "null"})), ..tools(ToolChoice::Auto, true) };
    assert_eq!(take(&grammars, &mut grammars.compile(&both).unwrap().unwrap(), "null"), Ok(()));
    assert_eq!(take(&grammars, &mut grammars.compile(&both).unwrap().unwrap(), call), Ok(()));
    both.schema = Some(json!({"type": "object"}));
    assert_eq!(take(&grammars, &mut grammars.compile(&both).unwrap().unwrap(), "n"), Err(0));
}

#[test]
fn tools_that_cannot_be_called_are_refused() {
    let grammars = grammars();
    let with = |names: &[&str], choice: ToolChoice| {
        let tool = |name: &&str| Tool { name: (*name).to_owned(), parameters: json!({"type": "object"}) };
        let used = ToolUse { tools: names.iter().map(tool).collect(), choice, parallel: true };
        grammars.compile(&AnswerForm { schema: None, tools: Some(used) })
    };
    for names in [&["a b"][..], &[""], &["a", "a"], &["\" @x"], &[&"x".repeat(65)], &[]] {
        assert!(matches!(with(names, ToolChoice::Auto), Err(ConstraintError::Tools(_))), "{names:?}");
    }
    assert!(matches!(with(&["a"], ToolChoice::Named("b".into())), Err(ConstraintError::Tools(_))));
    let many: Vec<String> = (0..129).map(|at| format!("t{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(with(&many, ToolChoice::Auto), Err(ConstraintError::TooLarge { .. })));
}

/// Schemas made to cost time, memory or stack. That this test ends, and that none of them is compiled, is
/// all that can be said without a clock.
#[test]
fn schemas_that_ask_for_too_much_are_refused() {
    let grammars = grammars();
    let nested = |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({"items": inner}));
    let named = |count: usize, of: fn(usize) -> (String, Value)| -> Value {
        (0..count).map(of).collect::<serde_json::Map<_, _>>().into()
    };
    let patterns = named(17, |at| (format!("^p{at}[a-z]{{1,50}}x$"), json!({})));
    let many = named(6000, |at| (format!("p{at}"), json!(true)));
    let doubled = (0..40).fold(
        named(1, |_| ("d40".into(), json!({"type": "object", "properties": {"a": {"type": "string"}}}))),
        |mut all, at| {
            let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
            let other = json!({"type": "object", "properties": {format!("q{at}"): {"type": "string"}}});
            all[format!("d{at}")] = json!({"allOf": [{"anyOf": [next, other]}, next]});
            all
        },
    );
    for (name, hostile) in [
        ("deep", nested(30)),
        ("patterns", json!({"type": "object", "patternProperties": patterns})),
        ("values", json!({"type": "object", "properties": many})),
        ("text", json!({"type": "string", "pattern": "a".repeat(5000)})),
        ("doubling", json!({"$ref": "#/$defs/d0", "$defs": doubled})),
        ("itself", json!({"$ref": "#"})),
        (
            "each other",
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        ),
        (
            "within itself",
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}}),
        ),
        (
            "groups",
            json!({"type": "string", "pattern": format!("{}a{}", "(".repeat(1000), ")".repeat(1000))}),
        ),
        ("a file", json!({"$ref": "file:///etc/passwd"})),
        ("elsewhere", json!({"$ref": "https://example.com/schema"})),
        ("nothing", json!({"enum": []})),
        ("no schema", json!(true)),
        ("not supported", json!({"not": {"type": "string"}})),
    ] {
        let refused = grammars.compile(&schema(hostile)).err();
        assert!(refused.is_some(), "{name} was compiled");
        assert!(refused.unwrap().to_string().len() < 400, "{name}");
    }
}

#[test]
fn options_in_a_schema_have_no_effect() {
    let grammars = grammars();
    let form = schema(
        json!({"type": "array", "items": {"type": "integer"}, "x-guidance": {"whitespace_flexible": true}}),
    );
    let constraint = grammars.compile(&form).unwrap().unwrap();
    assert_eq!(take(&grammars, &mut constraint.clone(), "[1, 2]"), Ok(()));
    assert_eq!(take(&grammars, &mut constraint.clone(), "[ 1"), Err(1));
}

#[test]
fn a_costly_pattern_ends_in_an_error_and_not_in_a_long_wait() {
    let grammars = grammars();
    let pattern = "^(a|b)*a(a|b){60}(c|d)*c(c|d){60}$";
    let Ok(Some(mut constraint)) = grammars.compile(&schema(json!({"type": "string", "pattern": pattern})))
    else {
        return;
    };
    for byte in "\"".bytes().chain("ab".bytes().cycle().take(400)) {
        let Ok(allowed) = constraint.allowed() else { return };
        let token = byte_token(&grammars, byte);
        if !allowed.is_allowed(token) || constraint.take(token).is_err() {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_drawn_from_what_is_allowed_is_of_the_form(draws in proptest::collection::vec(any::<u32>(), 200)) {
        let grammars = grammars();
        let form = schema(json!({"type": "object", "properties": {
            "n": {"type": "integer", "minimum": 0, "maximum": 999}, "l": {"type": "array", "maxItems": 3, "items": {"type": "boolean"}}},
            "required": ["n", "l"], "additionalProperties": false}));
        let mut constraint = grammars.compile(&form).unwrap().unwrap();
        let mut text = Vec::new();
        for draw in draws {
            if constraint.is_complete() {
                break;
            }
            let allowed = constraint.allowed().unwrap().to_list();
            let token = allowed[draw as usize % allowed.len()];
            constraint.take(token).unwrap();
            text.extend(grammars.tokenizer.bytes(token));
        }
        prop_assert!(constraint.is_complete());
        let value: Value = serde_json::from_slice(&text).unwrap();
        prop_assert!(value["n"].as_u64().unwrap() < 1000 && value["l"].as_array().unwrap().len() < 4);
    }
}
