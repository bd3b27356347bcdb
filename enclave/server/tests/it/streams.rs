//! Streamed answers: events, proof in comments, and every way a stream can end.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use vouchsafe_enclave::Config;
use vouchsafe_receipt::stream::{
    HEAD_COMMENT, Head, OPENING_NAME, RECEIPT_NAME, START_COMMENT, StreamHead, StreamStart, TOKEN_NAME,
    comments, data_payloads, is_plain,
};
use vouchsafe_receipt::{Envelope, Opening, ReceiptKey};
use vouchsafe_verifier::crypto::Ring;

use crate::client::{Checked, Client, Enclave, chat, decode};

const CHAT: &str = "/v1/chat/completions";

/// A stream as far as it was received, checked record by record.
struct Stream {
    text: Vec<u8>,
    start: StreamStart,
    head: Head,
    /// Events that signed heads cover.
    covered: u64,
}

impl Stream {
    fn check(text: Vec<u8>, key: &ReceiptKey) -> Self {
        assert!(is_plain(&text));
        let [start] = values(&text, START_COMMENT).try_into().expect("one start record");
        let start_envelope = Envelope::from_json(&start).unwrap();
        let start = StreamStart::verify(&start_envelope, key, &Ring).unwrap();
        let mut head = Head::begin(&start_envelope, &Ring);
        let mut chain = vec![head.value];
        for data in data_payloads(&text) {
            head = head.extend(data, &Ring);
            chain.push(head.value);
        }
        let mut covered = 0;
        for envelope in values(&text, HEAD_COMMENT) {
            let stated = StreamHead::verify(&Envelope::from_json(&envelope).unwrap(), key, &Ring).unwrap();
            assert_eq!(stated.stream, start.stream);
            assert_eq!(stated.head.0, chain[usize::try_from(stated.events).unwrap()]);
            assert!(stated.events > covered && stated.events - covered <= 16);
            covered = stated.events;
        }
        Self { text, start, head, covered }
    }

    fn events(&self) -> Vec<Value> {
        let json = |data: &[u8]| serde_json::from_slice(data).ok();
        data_payloads(&self.text).filter_map(json).collect()
    }

    fn content(&self) -> String {
        let text = |event: &Value| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
        self.events().iter().filter_map(text).collect()
    }

    fn token(&self) -> String {
        let token = comments(&self.text, TOKEN_NAME).next().unwrap();
        String::from_utf8(token.to_vec()).unwrap()
    }

    /// The receipt at the end, checked against the request and the events.
    fn receipt(&self, body: &str, key: &ReceiptKey) -> Checked {
        let envelope = Envelope::from_json(&values(&self.text, RECEIPT_NAME)[0]).unwrap();
        let openings = values(&self.text, OPENING_NAME);
        assert_eq!(openings.len(), 2, "one at the start, one at the end");
        let first: Opening = serde_json::from_slice(&openings[0]).unwrap();
        assert!(first.response.is_none() && first.execution.is_none());
        let checked = Checked::new(&envelope, &openings[1], key);
        assert_eq!(first.request, checked.opening.request);
        self.assert_covered(&checked, body);
        checked
    }

    fn assert_covered(&self, checked: &Checked, body: &str) {
        checked.assert_request(CHAT, body);
        assert_eq!(checked.payload.request, self.start.request);
        let response = checked.opening.response.as_ref().unwrap();
        assert_eq!((response.status, response.content_type.as_str()), (200, "text/event-stream"));
        assert_eq!(response.commit(&self.head.committed(), &Ring), checked.payload.response.0);
    }
}

fn values(text: &[u8], name: &str) -> Vec<Vec<u8>> {
    comments(text, name).map(decode).collect()
}

async fn read_all(mut body: Incoming) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    text
}

/// Reads until so many events have come.
async fn read_events(body: &mut Incoming, count: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while data_payloads(&text).count() < count {
        text.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    text
}

async fn stream(client: &mut Client, body: &str) -> Vec<u8> {
    let response = client.open(body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    read_all(response.into_body()).await
}

#[tokio::test]
async fn a_complete_stream_proves_itself() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let words = (0..40).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
    let body = chat(&format!("say {words}"), r#""stream":true,"stream_options":{"include_usage":true}"#);
    let stream = Stream::check(stream(&mut client, &body).await, &key);
    assert_eq!(stream.content(), format!("{words} "));
    let events = stream.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let ends: Vec<_> = events.iter().filter(|e| e["choices"][0]["finish_reason"] != Value::Null).collect();
    assert_eq!((ends.len(), &ends[0]["choices"][0]["finish_reason"]), (1, &json!("stop")));
    assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], 40);
    assert_eq!(data_payloads(&stream.text).last(), Some(b"[DONE]".as_slice()));
    // 43 events and [DONE]: heads after 16 and 32, the rest under the receipt.
    assert_eq!((stream.head.events, stream.covered), (44, 32));
    let checked = stream.receipt(&body, &key);
    assert_eq!(checked.record.finish_reasons, ["stop"]);
    assert_eq!(checked.record.parameters["stream_options.include_usage"], json!(true));
    let (kept, opening) = client.retrieve(&stream.token()).await;
    assert_eq!(kept.to_json(), values(&stream.text, RECEIPT_NAME)[0]);
    assert_eq!(opening, checked.opening);
}

#[tokio::test]
async fn events_are_padded_unless_declined() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let padded =
        Stream::check(stream(&mut client, &chat("say a encyclopaedia", r#""stream":true"#)).await, &key);
    let lengths: Vec<_> =
        data_payloads(&padded.text).filter(|d| d.starts_with(b"{")).map(<[u8]>::len).collect();
    assert!(lengths.len() >= 4 && lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    let fields = r#""stream":true,"stream_options":{"include_obfuscation":false}"#;
    let bare = Stream::check(stream(&mut client, &chat("say a encyclopaedia", fields)).await, &key);
    assert!(bare.events().iter().all(|event| event.get("obfuscation").is_none()));
}

#[tokio::test]
async fn several_choices_share_a_stream() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let body = chat("seed", r#""stream":true,"n":2,"seed":1"#);
    let stream = Stream::check(stream(&mut client, &body).await, &key);
    let of = |index: u64| -> String {
        let events = stream.events();
        let own = events.iter().filter(|event| event["choices"][0]["index"] == json!(index));
        own.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!((of(0), of(1)), ("1 ".into(), "2 ".into()));
    assert_eq!(stream.receipt(&body, &key).record.finish_reasons, ["stop", "stop"]);
}

#[tokio::test(start_paused = true)]
async fn slow_streams_have_a_head_every_second() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let body = chat("slow 5 3000", r#""stream":true"#);
    let mut body_stream = client.open(&body).await.into_body();
    let mut text = read_events(&mut body_stream, 2).await;
    // The word has come and the next is three seconds away; its head comes within one.
    let waited = Instant::now();
    while Stream::check(text.clone(), &key).covered < 2 {
        text.extend_from_slice(&body_stream.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert!(waited.elapsed() <= Duration::from_millis(1100), "{:?}", waited.elapsed());
    text.extend(read_all(body_stream).await);
    let stream = Stream::check(text, &key);
    assert_eq!(stream.receipt(&body, &key).record.finish_reasons, ["stop"]);
}

#[tokio::test]
async fn a_client_that_leaves_midway_frees_the_slot_and_the_receipt_says_so() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let mut leaving = enclave.client().await;
    let body = chat("slow 100000 5", r#""stream":true"#);
    let mut response = leaving.open(&body).await.into_body();
    let text = read_events(&mut response, 4).await;
    let received = Stream::check(text, &key);
    assert_eq!(enclave.script.running(), 1);
    drop((response, leaving));
    timeout(Duration::from_secs(20), enclave.idle()).await.expect("the slot was not freed");
    let (envelope, opening) = client.retrieve(&received.token()).await;
    let checked = Checked::opened(&envelope, opening, &key);
    checked.assert_request(CHAT, &body);
    assert_eq!(checked.record.finish_reasons, ["cancelled"]);
    assert_eq!(checked.record.error.as_deref(), Some("client_closed_request"));
    assert!(checked.record.usage.unwrap().completion_tokens >= 3);
}

#[tokio::test]
async fn a_client_that_leaves_before_a_plain_answer_frees_the_slot_too() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let mut leaving = enclave.client().await;
    let body = chat("hang", "");
    let asked = tokio::spawn(async move { drop(leaving.open(&body).await) });
    while enclave.script.running() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    asked.abort();
    timeout(Duration::from_secs(20), enclave.idle()).await.expect("the slot was not freed");
    // The next receipt names a predecessor: the one of the abandoned answer.
    loop {
        let reply = client.post(CHAT, &chat("say x", "")).await;
        let checked = reply.receipt(CHAT, &chat("say x", ""), &key);
        if checked.payload.seq > 0 {
            break;
        }
    }
}

#[tokio::test]
async fn a_failure_midway_is_told_and_receipted() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let body = chat("fail", r#""stream":true"#);
    let stream = Stream::check(stream(&mut client, &body).await, &key);
    let events = stream.events();
    assert_eq!(events.last().unwrap()["error"]["code"], "generation_failed");
    assert!(!data_payloads(&stream.text).any(|data| data == b"[DONE]"));
    let record = stream.receipt(&body, &key).record;
    assert_eq!(
        (record.finish_reasons, record.error.as_deref()),
        (vec!["failed".into()], Some("generation_failed"))
    );

    let plain = client.post(CHAT, &chat("fail", "")).await;
    assert_eq!((plain.status.as_u16(), plain.error_code().as_str()), (500, "generation_failed"));
    let record = plain.receipt(CHAT, &chat("fail", ""), &key).record;
    assert_eq!(
        (record.finish_reasons, record.error.as_deref()),
        (vec!["failed".into()], Some("generation_failed"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_is_ended_with_a_receipt() {
    let config = Config::parse(br#"{"limits":{"request_ms_max":60000}}"#).unwrap();
    let enclave = Enclave::with(config).await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let plain = client.post(CHAT, &chat("hang", "")).await;
    assert_eq!((plain.status.as_u16(), plain.error_code().as_str()), (504, "deadline_exceeded"));
    assert_eq!(plain.receipt(CHAT, &chat("hang", ""), &key).record.finish_reasons, ["cancelled"]);
    let body = chat("slow 1000 7000", r#""stream":true"#);
    let stream = Stream::check(stream(&mut client, &body).await, &key);
    assert_eq!(stream.events().last().unwrap()["error"]["code"], "deadline_exceeded");
    assert_eq!(stream.receipt(&body, &key).record.finish_reasons, ["cancelled"]);
    enclave.idle().await;
}
