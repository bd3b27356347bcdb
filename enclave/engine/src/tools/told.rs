//! Tools for a template that knows none: as text, in messages that every template can print.

use crate::{ChatMessage, Json, Role, ToolCall};

/// The same conversation without tools, calls and results, which are in its text instead.
pub(crate) fn told(messages: &[ChatMessage], tools: &[Json]) -> Vec<ChatMessage> {
    let mut all: Vec<ChatMessage> = messages.iter().map(plain).collect();
    if !tools.is_empty() {
        let words = instructions(tools);
        match all.first_mut().filter(|first| matches!(first.role, Role::System | Role::Developer)) {
            Some(first) => {
                let own = first.content.take().unwrap_or_default();
                first.content = Some(format!("{own}\n\n{words}"));
            }
            None => all.insert(0, ChatMessage::new(Role::System, words)),
        }
    }
    all
}

fn instructions(tools: &[Json]) -> String {
    let lines: Vec<String> = tools.iter().map(json).collect();
    format!(
        "You may call these functions:\n<tools>\n{}\n</tools>\nTo call one, write:\n<tool_call>\n{{\"name\": \
         <name>, \"arguments\": <object>}}\n</tool_call>",
        lines.join("\n")
    )
}

fn plain(message: &ChatMessage) -> ChatMessage {
    let text = message.content.clone().unwrap_or_default();
    let calls = message.tool_calls.iter().map(call);
    let mut plain = match message.role {
        Role::Tool => ChatMessage::new(Role::User, format!("<tool_response>\n{text}\n</tool_response>")),
        role => {
            let parts: Vec<String> =
                std::iter::once(text).filter(|text| !text.is_empty()).chain(calls).collect();
            ChatMessage::new(role, parts.join("\n"))
        }
    };
    plain.name.clone_from(&message.name);
    plain.reasoning.clone_from(&message.reasoning);
    plain
}

fn call(call: &ToolCall) -> String {
    let arguments = match &call.arguments {
        Json::String(text) => text.clone(),
        arguments => json(arguments),
    };
    format!("{}{}{arguments}{}", super::BEGIN, super::before_arguments(&call.name), super::AFTER_ARGUMENTS)
}

/// Numbers, strings and names: serialisation has no failing case.
fn json(value: &Json) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_calls_and_results_become_text() {
        let tool: Json = serde_json::from_str(r#"{"type":"function","function":{"name":"f"}}"#).unwrap();
        let mut assistant = ChatMessage::new(Role::Assistant, "");
        assistant.content = None;
        let arguments = serde_json::from_str(r#"{"a":1}"#).unwrap();
        assistant.tool_calls = vec![ToolCall { id: "1".into(), name: "f".into(), arguments }];
        let result = ChatMessage { tool_call_id: Some("1".into()), ..ChatMessage::new(Role::Tool, "42") };
        let messages = [ChatMessage::new(Role::User, "Hi"), assistant, result];
        let told = told(&messages, &[tool]);
        let roles: Vec<Role> = told.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
        let text = |at: usize| told[at].content.as_deref().unwrap();
        assert!(text(0).contains(r#"{"type":"function","function":{"name":"f"}}"#));
        assert_eq!(text(2), "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":1}}\n</tool_call>");
        assert_eq!(text(3), "<tool_response>\n42\n</tool_response>");
        assert!(told.iter().all(|message| message.tool_calls.is_empty()));
    }

    #[test]
    fn a_system_message_keeps_its_own_words() {
        let messages = [ChatMessage::new(Role::System, "Be brief."), ChatMessage::new(Role::User, "Hi")];
        let told = told(&messages, &[Json::Object(Vec::new())]);
        assert_eq!(told.len(), 2);
        assert!(told[0].content.as_deref().unwrap().starts_with("Be brief.\n\nYou may call"));
        assert_eq!(super::told(&messages, &[]), messages);
    }
}
