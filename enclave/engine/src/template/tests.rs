//! What templates may do, and what they may not.

use super::*;
use crate::gguf::{DigestingReader, Header};
use crate::tokenizer::tests::small_vocabulary;
use crate::{Role, ToolCall};

fn compile(source: &str) -> Result<ChatTemplate, LoadError> {
    let bytes = small_vocabulary().build();
    let mut slice = bytes.as_slice();
    let mut progress = |_| {};
    let mut reader = DigestingReader::new(&mut slice, bytes.len() as u64, &mut progress);
    let tokenizer = Tokenizer::read(&Header::read(&mut reader)?.metadata)?;
    ChatTemplate::compile(source, &tokenizer)
}

fn render_with(
    source: &str,
    messages: &[ChatMessage],
    options: &ChatOptions,
) -> Result<String, TemplateError> {
    compile(source).unwrap().render(messages, options)
}

fn render(source: &str) -> Result<String, TemplateError> {
    render_with(source, &[ChatMessage::new(Role::User, "hello")], &ChatOptions::default())
}

fn user(text: &str) -> ChatMessage {
    ChatMessage::new(Role::User, text)
}

#[test]
fn blocks_are_trimmed_as_in_transformers() {
    let source = "{% for m in messages %}\n    {% if m.role == 'user' %}\n[{{ m['content'] | trim }}]\n    {% endif %}\n{% endfor %}\n";
    assert_eq!(
        render_with(source, &[user(" x "), user("y")], &ChatOptions::default()).unwrap(),
        "[x]\n[y]\n"
    );
}

#[test]
fn python_methods_and_printing() {
    assert_eq!(render("{{ messages[0].content.upper() }} {{ 'x y'.split(' ')[-1] }}").unwrap(), "HELLO y");
    assert_eq!(render("{{ true }} {{ none }} {{ undefined_thing }}|{{ 1.5 }}").unwrap(), "True None |1.5");
    assert_eq!(render("{{ messages[::-1][0].role }}{{ eos_token }}").unwrap(), "user<|im_end|>");
    let source = "{% for i in [1,2,3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}";
    assert_eq!(render(source).unwrap(), "13");
    let source = "{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(3) }}";
    assert_eq!(render(source).unwrap(), "2<3>");
}

#[test]
fn a_template_can_refuse() {
    assert_eq!(
        render("{{ raise_exception('Only ' + messages[0].role) }}"),
        Err(TemplateError::Refused("Only user".into()))
    );
    assert!(matches!(render("{{ messages[0].nothing.more }}"), Err(TemplateError::Failed(_))));
}

#[test]
fn the_date_is_the_callers() {
    let source = "{{ strftime_now('%d %b %Y') }}";
    let options = ChatOptions { now: Some(951_782_400), ..ChatOptions::default() };
    assert_eq!(render_with(source, &[], &options).unwrap(), "29 Feb 2000");
    assert!(matches!(render(source), Err(TemplateError::Failed(_))));
    assert_eq!(render("{{ 'd' if strftime_now is defined else '' }}").unwrap(), "d");
}

#[test]
fn tools_keep_their_order_and_are_json_as_python_writes_it() {
    let tool: Json =
        serde_json::from_str(r#"{"type":"function","function":{"name":"f","z":[1,2.5],"a":"<ü'>"}}"#)
            .unwrap();
    let options = ChatOptions { tools: vec![tool], ..ChatOptions::default() };
    let text = render_with("{% if tools %}{{ tools[0] | tojson }}{% endif %}", &[], &options).unwrap();
    // The mark in front of the character with which control tokens begin is the guard's.
    assert_eq!(
        text.replace('\u{fdd0}', ""),
        r#"{"type": "function", "function": {"name": "f", "z": [1, 2.5], "a": "<ü'>"}}"#
    );
    let indented = render("{{ {'a': [1]} | tojson(indent=2) }}").unwrap();
    assert_eq!(indented, "{\n  \"a\": [\n    1\n  ]\n}");
    assert_eq!(render("{{ tools is none }}").unwrap(), "True");
}

#[test]
fn tool_calls_and_reasoning_reach_the_template() {
    let mut message = ChatMessage::new(Role::Assistant, "");
    message.content = None;
    message.reasoning = Some("because".into());
    message.tool_calls = vec![ToolCall {
        id: "1".into(),
        name: "f".into(),
        arguments: Json::Object(vec![("x".into(), Json::from("y"))]),
    }];
    let source = "{% for c in messages[0].tool_calls %}{{ c.id }} {{ c.function.name }} {{ c.function.arguments | tojson }}\
                  {% endfor %} {{ messages[0].reasoning_content }} {{ messages[0].content is none }}";
    let text = render_with(source, &[message], &ChatOptions::default()).unwrap();
    assert_eq!(text, "1 f {\"x\": \"y\"} because True");
}

#[test]
fn variables_cannot_replace_the_engines() {
    let options = ChatOptions {
        variables: vec![
            ("enable_thinking".into(), Json::from(true)),
            ("bos_token".into(), Json::from("<|im_start|>")),
            ("messages".into(), Json::Null),
        ],
        ..ChatOptions::default()
    };
    let source = "{{ enable_thinking }}{{ bos_token }}{{ messages | length }}";
    assert_eq!(render_with(source, &[user("a")], &options).unwrap(), "True1");
}

#[test]
fn work_and_output_are_bounded() {
    let endless = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    assert!(matches!(render(endless), Err(TemplateError::TooLarge { .. })));
    let long = "{% for a in range(1000) %}{{ 'x' * 1000000 }}{% endfor %}";
    assert!(matches!(render(long), Err(TemplateError::TooLarge { .. })));
    let recursive = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    assert!(render(recursive).is_err());
}

#[test]
fn a_syntax_error_is_found_at_load() {
    for source in ["{% if %}", "{{ 'a }}", "{% for x in y %}", "{{ x | nonesuch( }}"] {
        assert_eq!(compile(source).err().map(|error| error.code()), Some("chat-template"), "{source}");
    }
    let long = " ".repeat(2 * 1024 * 1024);
    assert_eq!(compile(&long).err().map(|error| error.code()), Some("too-large"));
}
