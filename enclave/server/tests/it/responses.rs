//! The Responses interface: its objects, its events, its receipts.

use serde_json::{Value, json};
use vouchsafe_receipt::stream::data_payloads;

use crate::client::Enclave;

const PATH: &str = "/v1/responses";

const TOOLS: &str = r#""tools":[{"type":"function","name":"f","parameters":{"type":"object"}}]"#;

fn body(command: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"model":"script","input":{}{comma}{fields}}}"#, json!(command))
}

fn call() -> String {
    "write Look:<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>".to_owned()
}

#[tokio::test]
async fn an_answer_has_its_receipt_and_the_receipt_its_parameters() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let asked = body("say one two", r#""temperature":0.7,"max_output_tokens":9,"instructions":"Be brief.""#);
    let reply = client.post(PATH, &asked).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!((&answer["object"], &answer["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(answer["output"][0]["content"][0]["text"], "one two ");
    assert_eq!((&answer["instructions"], &answer["max_output_tokens"]), (&json!("Be brief."), &json!(9)));
    assert_eq!(
        (&answer["usage"]["input_tokens"], &answer["usage"]["output_tokens"]),
        (&json!(11), &json!(2))
    );
    let record = reply.receipt(PATH, &asked, &key).record;
    assert_eq!((record.operation.as_str(), record.finish_reasons), ("responses", vec!["stop".to_owned()]));
    assert_eq!(
        (&record.parameters["temperature"], &record.parameters["max_tokens"]),
        (&json!(0.7), &json!(9))
    );
}

#[tokio::test]
async fn calls_are_items_and_the_tools_in_the_receipt() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let asked = body(&call(), &format!(r#"{TOOLS},"tool_choice":"required""#));
    let reply = client.post(PATH, &asked).await;
    let answer = reply.json();
    assert_eq!(answer["output"][0]["content"][0]["text"], "Look:");
    let item = &answer["output"][1];
    assert_eq!(
        (&item["type"], &item["name"], &item["arguments"]),
        (&json!("function_call"), &json!("f"), &json!("{\"x\": 1}"))
    );
    assert_eq!(answer["tools"], json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]));
    let record = reply.receipt(PATH, &asked, &key).record;
    assert_eq!(
        (record.finish_reasons, &record.parameters["tool_choice"]),
        (vec!["tool_calls".to_owned()], &json!("required"))
    );
    assert_eq!(record.parameters["tools"][0]["function"]["name"], "f");
}

#[tokio::test]
async fn events_build_up_what_the_last_one_says() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    for (command, fields) in [("say one two", ""), (&call(), TOOLS), ("say", "")] {
        let comma = if fields.is_empty() { "" } else { "," };
        let reply = client.post(PATH, &body(command, &format!(r#""stream":true{comma}{fields}"#))).await;
        let text = reply.text();
        let events: Vec<Value> = data_payloads(text.as_bytes())
            .filter(|data| *data != b"[DONE]")
            .map(|data| serde_json::from_slice(data).unwrap())
            .collect();
        let (mut items, mut built): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], json!(number));
            let at = event["output_index"].as_u64().and_then(|at| usize::try_from(at).ok());
            match event["type"].as_str().unwrap() {
                "response.output_item.added" => {
                    assert_eq!(at, Some(built.len()));
                    built.push(String::new());
                }
                "response.output_text.delta" | "response.function_call_arguments.delta" => {
                    built[at.unwrap()].push_str(event["delta"].as_str().unwrap());
                }
                "response.output_item.done" => items.push(event["item"].clone()),
                _ => {}
            }
        }
        assert_eq!(events[0]["type"], "response.created");
        let last = events.last().unwrap();
        assert_eq!(
            (&last["type"], &last["response"]["output"]),
            (&json!("response.completed"), &json!(items))
        );
        let said = |item: &Value| {
            item["arguments"].as_str().or(item["content"][0]["text"].as_str()).map(str::to_owned)
        };
        assert_eq!(items.iter().filter_map(said).collect::<Vec<_>>(), built, "{command}");
    }
}

#[tokio::test]
async fn events_of_short_texts_have_one_length() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let reply = client.post(PATH, &body("say a bcdefgh", r#""stream":true"#)).await;
    let text = reply.text();
    let lengths: Vec<usize> = data_payloads(text.as_bytes())
        .filter(|data| String::from_utf8_lossy(data).contains("output_text.delta"))
        .map(<[u8]>::len)
        .collect();
    assert_eq!((lengths.len(), lengths[0].is_power_of_two()), (2, true));
    assert_eq!(lengths[0], lengths[1]);
}

#[tokio::test]
async fn what_is_not_done_is_refused_by_name() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    for (fields, param) in
        [(r#""store":true"#, "store"), (r#""previous_response_id":"resp_1""#, "previous_response_id")]
    {
        let reply = client.post(PATH, &body("say a", fields)).await;
        let error = &reply.json()["error"];
        assert_eq!((reply.status.as_u16(), &error["code"]), (400, &json!("unsupported_parameter")));
        assert_eq!(error["param"], param);
    }
}
