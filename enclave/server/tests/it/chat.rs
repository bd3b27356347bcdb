//! Plain answers: content, usage, receipts, the sequence.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use vouchsafe_receipt::Envelope;
use vouchsafe_receipt::receipt_leaf_hash;
use vouchsafe_receipt::stream::{RECEIPT_NAME, data_payloads};
use vouchsafe_verifier::crypto::Ring;

use crate::client::{Enclave, chat, decode, manifest};
use crate::model::SLOW_COMPUTED;

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn an_answer_has_its_receipt_and_the_receipt_its_parameters() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let body = chat("say one two", r#""temperature":0.7,"seed":5,"stop":["x"],"logit_bias":{"3":-1}"#);
    let reply = client.post(CHAT, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "script");
    assert_eq!(answer["choices"][0]["message"]["content"], "one two ");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"], json!({"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}));

    let checked = reply.receipt(CHAT, &body, &key);
    assert_eq!((checked.payload.seq, checked.payload.previous), (0, None));
    assert_eq!(checked.payload.model.unwrap().0, manifest("script").digest(&Ring));
    let record = checked.record;
    assert_eq!((record.operation.as_str(), record.model.as_str()), ("chat.completions", "script"));
    assert_eq!(record.seed.as_deref(), Some("5"));
    assert_eq!(record.finish_reasons, ["stop"]);
    assert_eq!(record.usage.unwrap().completion_tokens, 2);
    assert_eq!(record.error, None);
    assert_eq!(record.parameters["temperature"], json!(0.7));
    assert_eq!(record.parameters["top_p"], json!(1.0));
    assert_eq!(record.parameters["stop"], json!(["x"]));
    assert_eq!(record.parameters["logit_bias"], json!({"3": -1.0}));
}

#[tokio::test]
async fn the_token_retrieves_the_same_receipt_later_and_elsewhere() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let reply = client.post(CHAT, &chat("say x", "")).await;
    let checked = reply.receipt(CHAT, &chat("say x", ""), &key);
    let mut other = enclave.client().await;
    let (envelope, opening) = other.retrieve(reply.token()).await;
    assert_eq!(envelope.to_json(), decode(reply.header(RECEIPT_NAME).unwrap().as_bytes()));
    assert_eq!(opening, checked.opening);
    let mut wrong = reply.token().to_owned();
    wrong.replace_range(0..1, if wrong.starts_with('A') { "B" } else { "A" });
    for token in [wrong.as_str(), "", "x", "%00"] {
        assert_eq!(other.get(&format!("/v1/receipts/{token}")).await.status, 404, "{token}");
    }
}

#[tokio::test]
async fn concurrent_answers_form_one_chain() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let mut client = enclave.client().await;
        tasks.spawn(async move {
            let mut all = Vec::new();
            for round in 0..3 {
                let body = chat(&format!("say {number} {round}"), "");
                all.push((body.clone(), client.post(CHAT, &body).await));
            }
            all
        });
    }
    let replies: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let mut chain: Vec<_> = replies
        .iter()
        .map(|(body, reply)| {
            let checked = reply.receipt(CHAT, body, &key);
            let envelope = decode(reply.header(RECEIPT_NAME).unwrap().as_bytes());
            let hash = receipt_leaf_hash(&Envelope::from_json(&envelope).unwrap(), &Ring);
            (checked.payload.seq, checked.payload.previous.map(|hash| hash.0), hash)
        })
        .collect();
    chain.sort_unstable();
    let mut previous = None;
    for (expected, (seq, stated, hash)) in (0_u64..).zip(chain) {
        assert_eq!((seq, stated), (expected, previous));
        previous = Some(hash);
    }
}

#[tokio::test]
async fn several_choices_have_seeds_of_their_own_and_one_prompt() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let body = chat("seed", r#""n":3,"seed":9"#);
    let reply = client.post(CHAT, &body).await;
    let answer = reply.json();
    let contents: Vec<_> = (0..3).map(|i| answer["choices"][i]["message"]["content"].clone()).collect();
    assert_eq!(contents, ["9 ", "10 ", "11 "]);
    assert_eq!(answer["usage"]["prompt_tokens"], 4);
    assert_eq!(answer["usage"]["completion_tokens"], 3);
    let record = reply.receipt(CHAT, &body, &key).record;
    assert_eq!(record.finish_reasons, ["stop", "stop", "stop"]);
    assert_eq!(record.parameters["n"], json!(3));
}

#[tokio::test]
async fn a_seed_that_was_not_given_is_drawn_and_stated() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let mut seeds = Vec::new();
    for _ in 0..2 {
        let reply = client.post(CHAT, &chat("seed", "")).await;
        let record = reply.receipt(CHAT, &chat("seed", ""), &key).record;
        let said = reply.json()["choices"][0]["message"]["content"].as_str().unwrap().trim().to_owned();
        assert_eq!(record.seed.as_deref(), Some(said.as_str()));
        seeds.push(said);
    }
    assert_ne!(seeds[0], seeds[1]);
}

#[tokio::test]
async fn completions_take_texts_and_tokens() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let tokens: Vec<u8> = b"say z".to_vec();
    let body = format!(
        r#"{{"model":"script","prompt":[{},{}],"max_tokens":2,"logprobs":1}}"#,
        serde_json::to_string(&tokens).unwrap(),
        r#"[115,97,121,32,97,32,98,32,99]"#
    );
    let reply = client.post("/v1/completions", &body).await;
    let answer = reply.json();
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["choices"][0]["text"], "z ");
    assert_eq!(answer["choices"][1]["text"], "a b ");
    assert_eq!(answer["choices"][1]["finish_reason"], "length");
    assert_eq!(answer["choices"][1]["logprobs"]["tokens"], json!(["a ", "b "]));
    assert_eq!(answer["usage"]["prompt_tokens"], 14);
    let record = reply.receipt("/v1/completions", &body, &key).record;
    assert_eq!(record.operation, "completions");
    assert_eq!(record.finish_reasons, ["stop", "length"]);
}

#[tokio::test]
async fn log_probabilities_come_with_chat_answers() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let reply = client.post(CHAT, &chat("say a", r#""logprobs":true,"top_logprobs":2"#)).await;
    let content = &reply.json()["choices"][0]["logprobs"]["content"];
    assert_eq!(content[0]["token"], "a ");
    assert_eq!(content[0]["top_logprobs"].as_array().map(Vec::len), Some(2));
    let without = client.post(CHAT, &chat("say a", "")).await;
    assert_eq!(without.json()["choices"][0]["logprobs"], Value::Null);
}

#[tokio::test]
async fn embeddings_have_receipts_too() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let body = r#"{"model":"figures","input":["a","bcd"]}"#;
    let reply = client.post("/v1/embeddings", body).await;
    let answer = reply.json();
    assert_eq!(answer["data"][1]["embedding"], json!([3.0, 1.0, -1.0]));
    assert_eq!(answer["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    let checked = reply.receipt("/v1/embeddings", body, &key);
    assert_eq!(checked.record.operation, "embeddings");
    assert_eq!((checked.record.seed, checked.record.usage.unwrap().prompt_tokens), (None, 4));
}

#[tokio::test]
async fn embeddings_of_token_ids_and_of_fewer_dimensions() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let body = r#"{"model":"figures","input":[[5,6,7],[8]],"dimensions":2}"#;
    let reply = client.post("/v1/embeddings", body).await;
    let answer = reply.json();
    assert_eq!(
        (&answer["data"][0]["embedding"], &answer["data"][1]["embedding"]),
        (&json!([1.0, 0.0]), &json!([1.0, 0.0]))
    );
    assert_eq!(answer["usage"]["prompt_tokens"], 8);
    assert_eq!(reply.receipt("/v1/embeddings", body, &key).record.parameters["dimensions"], 2);
    let reply = client.post("/v1/embeddings", r#"{"model":"figures","input":[5,1000]}"#).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["code"]), (400, &json!("token_out_of_range")));
}

#[tokio::test]
async fn an_echoed_prompt_stands_before_every_answer() {
    const PATH: &str = "/v1/completions";
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let body = r#"{"model":"script","prompt":["say a","say b"],"n":2,"echo":true}"#;
    let reply = client.post(PATH, body).await;
    let texts: Vec<_> =
        reply.json()["choices"].as_array().unwrap().iter().map(|c| c["text"].clone()).collect();
    assert_eq!(texts, ["say aa ", "say aa ", "say bb ", "say bb "]);
    assert_eq!(reply.receipt(PATH, body, &key).record.parameters["echo"], true);
    // Token ids are repeated as their text, and streams begin with it.
    let body = r#"{"model":"script","prompt":[115,97,121,32,99],"echo":true,"stream":true}"#;
    let reply = client.post(PATH, body).await;
    let text: String = data_payloads(reply.text().as_bytes())
        .filter(|data| *data != b"[DONE]")
        .map(|data| {
            serde_json::from_slice::<Value>(data).unwrap()["choices"][0]["text"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(text, "say cc ");
}

#[tokio::test]
async fn embeddings_end_when_their_client_leaves() {
    const INPUTS: usize = 1_000;
    let enclave = Enclave::start().await;
    let body = json!({"model": "figures", "input": vec!["slow"; INPUTS]}).to_string();
    let mut client = enclave.client().await;
    let asking = tokio::spawn(async move { client.post("/v1/embeddings", &body).await.status });
    while SLOW_COMPUTED.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    asking.abort();
    // Until nothing is computed any more, for whichever reason.
    let mut computed = 0;
    while computed != SLOW_COMPUTED.load(Ordering::SeqCst) {
        computed = SLOW_COMPUTED.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(computed < INPUTS, "all {computed} were computed for nobody");
}

#[tokio::test]
async fn models_are_listed_and_found() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let list = client.get("/v1/models").await.json();
    assert_eq!(list["data"][0]["id"], "script");
    assert_eq!(list["data"][1]["id"], "figures");
    assert_eq!(client.get("/v1/models/script").await.json()["object"], "model");
    assert_eq!(client.get("/v1/models/none").await.error_code(), "model_not_found");
    let health = client.get("/healthz").await;
    assert_eq!((health.status.as_u16(), &health.json()["status"]), (200, &json!("ok")));
}
