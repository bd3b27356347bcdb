//! Tools: what is in the answer, in its stream and in its receipt. The form itself is the engine's to enforce.

use serde_json::{Value, json};

use vouchsafe_receipt::stream::data_payloads;

use crate::client::{Enclave, chat};

const CHAT: &str = "/v1/chat/completions";

const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"#;

/// Two calls behind some text, as a model writes them.
fn calls() -> String {
    let call = |name: &str| {
        format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {{\"x\": 1}}}}\n</tool_call>")
    };
    format!("write Look:\n{}\n{}", call("f"), call("g")).replace('\n', "\\n").replace('"', "\\\"")
}

#[tokio::test]
async fn calls_are_in_the_answer_and_the_tools_in_its_receipt() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let body = chat(&calls(), &format!(r#"{TOOLS},"tool_choice":"required","parallel_tool_calls":true"#));
    let reply = client.post(CHAT, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let choice = &reply.json()["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let message = &choice["message"];
    assert_eq!(message["content"], "Look:\n");
    for (at, name) in ["f", "g"].into_iter().enumerate() {
        let call = &message["tool_calls"][at];
        assert_eq!(call["function"], json!({"name": name, "arguments": "{\"x\": 1}"}));
        assert!(call["id"].as_str().unwrap().starts_with("call_"));
    }
    let record = reply.receipt(CHAT, &body, &key).record;
    assert_eq!(record.finish_reasons, ["tool_calls"]);
    let tools: Value = serde_json::from_str(&format!("{{{TOOLS}}}")).unwrap();
    assert_eq!(record.parameters["tools"], tools["tools"]);
    assert_eq!(record.parameters["tool_choice"], "required");
    assert_eq!(record.parameters["parallel_tool_calls"], true);
    assert_eq!(record.parameters["response_format"], json!({"type": "text"}));
}

#[tokio::test]
async fn streams_give_calls_in_pieces() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let body = chat(&calls(), &format!(r#"{TOOLS},"stream":true"#));
    let reply = client.post(CHAT, &body).await;
    let (mut content, mut found, mut reason) = (String::new(), Vec::<(String, String)>::new(), Value::Null);
    for data in data_payloads(reply.text().as_bytes()).filter(|data| *data != b"[DONE]") {
        let event: Value = serde_json::from_slice(data).unwrap();
        let choice = &event["choices"][0];
        content.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        for part in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let at = usize::try_from(part["index"].as_u64().unwrap()).unwrap();
            if let Some(name) = part["function"]["name"].as_str() {
                assert_eq!(at, found.len());
                assert!(part["id"].is_string() && part["type"] == "function");
                found.push((name.to_owned(), String::new()));
            }
            found[at].1.push_str(part["function"]["arguments"].as_str().unwrap_or_default());
        }
        if !choice["finish_reason"].is_null() {
            reason = choice["finish_reason"].clone();
        }
    }
    assert_eq!((content.as_str(), reason), ("Look:\n", json!("tool_calls")));
    let arguments = "{\"x\": 1}".to_owned();
    assert_eq!(found, [("f".to_owned(), arguments.clone()), ("g".to_owned(), arguments)]);
}

#[tokio::test]
async fn text_that_looks_like_a_call_is_text_where_no_tool_may_be_called() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    for fields in [String::new(), format!(r#"{TOOLS},"tool_choice":"none""#)] {
        let reply = client.post(CHAT, &chat(&calls(), &fields)).await;
        let choice = &reply.json()["choices"][0];
        assert_eq!(choice["finish_reason"], "stop");
        assert!(choice["message"]["content"].as_str().unwrap().contains("<tool_call>"));
        assert!(choice["message"].get("tool_calls").is_none());
    }
}
