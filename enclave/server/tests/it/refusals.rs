//! Requests that are turned away: the right status and code, and a receipt exactly from admission on.

use http::Request;
use http_body_util::Full;
use vouchsafe_enclave::Config;
use vouchsafe_receipt::stream::RECEIPT_NAME;

use crate::client::{Enclave, Reply, chat, post};
use crate::model::CONTEXT;

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn what_does_not_parse_is_refused_without_a_receipt() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let nested = format!(r#"{{"model":{}"#, "[".repeat(100_000));
    for (body, status, code) in [
        ("", 400, "malformed_json"),
        ("{", 400, "malformed_json"),
        (r#"{"model":"script","model":"script","messages":[]}"#, 400, "malformed_json"),
        (nested.as_str(), 400, "malformed_json"),
        ("[]", 400, "invalid_type"),
        (r#"{"messages":[]}"#, 400, "missing_required_parameter"),
        (r#"{"model":"script","messages":"hello"}"#, 400, "invalid_type"),
        (r#"{"model":"script","messages":[]}"#, 400, "invalid_value"),
        (&chat("say x", r#""temperature":"warm""#), 400, "invalid_type"),
        (&chat("say x", r#""temperature":1e9"#), 400, "invalid_value"),
        (&chat("say x", r#""temperature":1e999"#), 400, "malformed_json"),
        (&chat("say x", r#""max_tokens":-5"#), 400, "invalid_type"),
        (&chat("say x", r#""max_tokens":99999999999"#), 400, "invalid_type"),
        (&chat("say x", r#""n":1000"#), 400, "invalid_value"),
        (&chat("say x", r#""top_logprobs":3"#), 400, "invalid_value"),
        (&chat("say x", r#""tools":[{"type":"web_search"}]"#), 400, "unsupported_parameter"),
        (&chat("say x", r#""tools":[{"type":"function"}]"#), 400, "missing_required_parameter"),
        (&chat("say x", r#""frobnicate":1"#), 400, "unknown_parameter"),
    ] {
        let reply = client.post(CHAT, body).await;
        assert_eq!((reply.status.as_u16(), reply.error_code().as_str()), (status, code), "{body:.80}");
        assert_eq!(reply.header(RECEIPT_NAME), None);
        assert_eq!(reply.body.len(), 1024, "errors have one size");
        assert!(reply.json()["error"]["type"].is_string());
    }
    // Nothing of all that took a place in the sequence.
    let key = client.key().await;
    let reply = client.post(CHAT, &chat("say x", "")).await;
    assert_eq!(reply.receipt(CHAT, &chat("say x", ""), &key).payload.seq, 0);
}

#[tokio::test]
async fn what_is_refused_after_admission_has_a_receipt() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let long = format!("say {}", "x".repeat(CONTEXT));
    let other = chat("say x", "").replace("script", "gpt-99");
    let embedding = chat("say x", "").replace("script", "figures");
    for (body, status, code) in [
        (other.as_str(), 404, "model_not_found"),
        (&embedding, 400, "model_operation"),
        (&chat(&long, ""), 400, "context_length_exceeded"),
        (&chat("say x", r#""max_tokens":5000"#), 400, "context_length_exceeded"),
        (&chat("refuse", ""), 400, "messages_refused"),
        (&chat("full", ""), 429, "queue_full"),
    ] {
        let reply = client.post(CHAT, body).await;
        assert_eq!((reply.status.as_u16(), reply.error_code().as_str()), (status, code), "{body:.80}");
        let checked = reply.receipt(CHAT, body, &key);
        assert_eq!(checked.record.error.as_deref(), Some(code));
        assert_eq!(checked.payload.model.is_none(), code == "model_not_found");
        assert_eq!(reply.header("retry-after").is_some(), status == 429);
    }
    let body = format!(r#"{{"model":"figures","input":"{}"}}"#, "x".repeat(200));
    let reply = client.post("/v1/embeddings", &body).await;
    assert_eq!((reply.status.as_u16(), reply.error_code().as_str()), (400, "context_length_exceeded"));
    reply.receipt("/v1/embeddings", &body, &key);
    let body = r#"{"model":"figures","input":"x","dimensions":7}"#;
    let reply = client.post("/v1/embeddings", body).await;
    assert_eq!(reply.json()["error"]["param"], "dimensions");
    reply.receipt("/v1/embeddings", body, &key);
}

#[tokio::test]
async fn a_panic_ends_its_own_request_only() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let reply = client.post(CHAT, &chat("panic", "")).await;
    assert_eq!((reply.status.as_u16(), reply.error_code().as_str()), (500, "internal_error"));
    reply.receipt(CHAT, &chat("panic", ""), &key);
    let reply = client.post(CHAT, &chat("say still here", "")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.receipt(CHAT, &chat("say still here", ""), &key).payload.seq, 1);
}

#[tokio::test]
async fn addresses_and_methods_are_checked() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    for (path, status, code) in [
        ("/", 404, "unknown_url"),
        ("/v1/chat", 404, "unknown_url"),
        ("/v1/audio/speech", 404, "unknown_url"),
        ("/v1/chat/completions", 405, "method_not_allowed"),
    ] {
        let reply = client.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.error_code().as_str()), (status, code), "{path}");
    }
    let reply = client.post("/v1/models", "{}").await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, Some("GET")));
}

#[tokio::test]
async fn headers_that_change_the_meaning_are_refused() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    for (name, value, status, code) in [
        ("content-encoding", "gzip", 415, "content_encoding"),
        ("vouchsafe-assurance", "settled", 400, "assurance_unavailable"),
        ("content-type", "text/plain", 400, "invalid_header"),
    ] {
        let mut request = post(CHAT, &chat("say x", ""));
        request.headers_mut().append(name, value.parse().unwrap());
        let reply = Reply::read(client.send(request).await.unwrap()).await;
        assert_eq!((reply.status.as_u16(), reply.error_code().as_str()), (status, code), "{name}");
        if reply.header("connection") == Some("close") {
            client = enclave.client().await;
        }
    }
    let request = Request::post(CHAT).header("host", "x").body(Full::from(chat("say x", ""))).unwrap();
    let reply = Reply::read(client.send(request).await.unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.error_code().as_str()), (415, "unsupported_media_type"));
}

#[tokio::test]
async fn beyond_the_places_requests_are_turned_away_with_a_hint_when_to_return() {
    let config = Config::parse(br#"{"engine":{"sequences_max":1,"queue_max":1}}"#).unwrap();
    let enclave = Enclave::with(config).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = enclave.client().await;
        held.push((client.open(&chat("hang", r#""stream":true"#)).await, client));
    }
    let mut client = enclave.client().await;
    let reply = client.post(CHAT, &chat("say x", "")).await;
    assert_eq!((reply.status.as_u16(), reply.error_code().as_str()), (429, "queue_full"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.header(RECEIPT_NAME), None, "what was not admitted cannot fill the log");
    drop(held);
    enclave.idle().await;
    // The places come back with the answers' ends.
    while client.post(CHAT, &chat("say x", "")).await.status != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(enclave.script.most(), 2);
}

#[tokio::test(start_paused = true)]
async fn draining_refuses_new_requests_and_finishes_old_ones() {
    let enclave = Enclave::start().await;
    let mut busy = enclave.client().await;
    let key = busy.key().await;
    let mut idle = enclave.client().await;
    idle.get("/healthz").await;
    let body = chat("slow 3 1000", "");
    let asked = tokio::spawn(async move {
        let reply = busy.post(CHAT, &body).await;
        (body, reply)
    });
    while enclave.script.running() == 0 {
        tokio::task::yield_now().await;
    }
    enclave.server.drain();
    // An idle connection ends; a request that was already on its way learns why.
    if let Ok(response) = idle.send(post(CHAT, &chat("say x", ""))).await {
        let reply = Reply::read(response).await;
        assert_eq!((reply.status.as_u16(), reply.error_code().as_str()), (503, "draining"));
    }
    enclave.server.stop().await;
    let (body, reply) = asked.await.unwrap();
    assert_eq!(reply.receipt(CHAT, &body, &key).record.finish_reasons, ["stop"]);
}

#[tokio::test(start_paused = true)]
async fn stopping_cuts_what_does_not_end_in_time() {
    let config = Config::parse(br#"{"limits":{"drain_ms_max":1000}}"#).unwrap();
    let enclave = Enclave::with(config).await;
    let mut client = enclave.client().await;
    let response = client.open(&chat("hang", r#""stream":true"#)).await;
    assert_eq!(response.status(), 200);
    enclave.server.stop().await;
    assert_eq!(enclave.script.running(), 0);
}
