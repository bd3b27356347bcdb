//! Clients that are too slow, too long, or too many.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};
use vouchsafe_enclave::Config;

use crate::client::{Client, Enclave, Reply, chat, connect, post};

const CHAT: &str = "/v1/chat/completions";
const MINUTE: Duration = Duration::from_secs(60);

/// Reads a raw HTTP response until the connection ends.
async fn response<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut text = Vec::new();
    // How the end looks does not matter here.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_handshake_of_a_byte_a_minute_is_ended() {
    let enclave = Enclave::start().await;
    let mut stream = enclave.stream(1024);
    stream.write_all(&[0x16]).await.unwrap();
    let begun = Instant::now();
    assert_eq!(response(&mut stream).await, "");
    assert!(begun.elapsed() < MINUTE);
}

#[tokio::test(start_paused = true)]
async fn headers_of_a_byte_a_minute_are_ended() {
    let enclave = Enclave::start().await;
    let mut tls = connect(enclave.stream(64 * 1024)).await;
    let begun = Instant::now();
    for byte in b"POST" {
        sleep(MINUTE / 6).await;
        if tls.write_all(&[*byte]).await.is_err() || tls.flush().await.is_err() {
            break;
        }
    }
    let text = response(&mut tls).await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    assert!(begun.elapsed() <= MINUTE, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_of_a_byte_a_minute_is_answered_408() {
    let enclave = Enclave::start().await;
    let mut tls = connect(enclave.stream(64 * 1024)).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{"
    );
    tls.write_all(head.as_bytes()).await.unwrap();
    tls.flush().await.unwrap();
    let begun = Instant::now();
    let text = timeout(2 * MINUTE, response(&mut tls)).await.expect("the connection stayed open");
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    assert!(text.contains("body_too_slow"), "{text}");
    assert!(begun.elapsed() <= MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_is_cut_and_its_slot_freed() {
    let config = Config::parse(br#"{"limits":{"write_stall_ms_max":5000}}"#).unwrap();
    let enclave = Enclave::with(config).await;
    // A transport that holds little, so that not reading is felt soon.
    let mut client = Client::over(connect(enclave.stream(2048)).await).await;
    let response = client.open(&chat("slow 100000 50", r#""stream":true"#)).await;
    assert_eq!(response.status(), 200);
    let begun = Instant::now();
    enclave.idle().await;
    // The places on the way fill up within the stream's first seconds.
    assert!(begun.elapsed() < 2 * MINUTE, "{:?}", begun.elapsed());
    drop(response);
}

#[tokio::test]
async fn bodies_over_the_limit_are_answered_413() {
    let config = Config::parse(br#"{"limits":{"body_bytes_max":2000}}"#).unwrap();
    let enclave = Enclave::with(config).await;
    let mut client = enclave.client().await;
    let reply = client.post(CHAT, &chat(&"x".repeat(3000), "")).await;
    assert_eq!((reply.status.as_u16(), reply.error_code().as_str()), (413, "body_too_long"));
    // Without a stated length it is counted.
    let mut tls = connect(enclave.stream(64 * 1024)).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    tls.write_all(head.as_bytes()).await.unwrap();
    tls.write_all(format!("bb8\r\n{}\r\n0\r\n\r\n", "x".repeat(3000)).as_bytes()).await.unwrap();
    let text = response(&mut tls).await;
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    // Exactly at the limit is within it.
    let exact = chat("say x", "");
    let config = format!(r#"{{"limits":{{"body_bytes_max":{}}}}}"#, exact.len());
    let enclave = Enclave::with(Config::parse(config.as_bytes()).unwrap()).await;
    let mut client = enclave.client().await;
    assert_eq!(client.post(CHAT, &exact).await.status, 200);
    assert_eq!(client.post(CHAT, &format!("{exact} ")).await.status, 413);
}

#[tokio::test]
async fn the_memory_of_all_bodies_together_is_bounded() {
    let config = br#"{"limits":{"body_bytes_max":65536,"bodies_bytes_max":65536}}"#;
    let enclave = Enclave::with(Config::parse(config).unwrap()).await;
    let mut holding = connect(enclave.stream(256 * 1024)).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 65000\r\n\r\n"
    );
    holding.write_all(head.as_bytes()).await.unwrap();
    holding.write_all(&vec![b' '; 64_000]).await.unwrap();
    holding.flush().await.unwrap();
    let mut client = enclave.client().await;
    let large = format!("{}{}", chat("say x", ""), " ".repeat(8000));
    loop {
        // Until the other body has been read.
        let reply = client.post(CHAT, &large).await;
        if reply.status == 429 {
            assert_eq!(reply.error_code(), "overloaded");
            break;
        }
        assert_eq!(reply.status, 200);
    }
    drop(holding);
    loop {
        let mut client = enclave.client().await;
        if client.post(CHAT, &large).await.status == 200 {
            break;
        }
    }
}

#[tokio::test]
async fn heads_over_the_limit_are_refused() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    let mut request = post(CHAT, &chat("say x", ""));
    request.headers_mut().insert("x-long", "x".repeat(40_000).parse().unwrap());
    let reply = client.send(request).await;
    if let Ok(reply) = reply {
        assert_eq!(reply.status(), 431);
    }
    let mut client = enclave.client().await;
    let mut request = Request::get("/healthz").header("host", "x").body(Full::default()).unwrap();
    for number in 0..100 {
        request.headers_mut().append("x-many", number.into());
    }
    let reply = client.send(request).await;
    assert!(reply.is_err() || reply.unwrap().status() == 431);
}

#[tokio::test]
async fn sessions_beyond_the_limit_are_closed_at_once() {
    let config = Config::parse(br#"{"limits":{"sessions_max":2}}"#).unwrap();
    let enclave = Enclave::with(config).await;
    let first = enclave.client().await;
    let mut second = enclave.client().await;
    let mut third = enclave.stream(1024);
    assert_eq!(response(&mut third).await, "");
    drop(first);
    loop {
        let stream = enclave.stream(64 * 1024);
        if let Ok(tls) = crate::client::connect_with(stream, crate::client::config()).await {
            assert_eq!(Client::over(tls).await.get("/healthz").await.status, 200);
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(second.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn an_expectation_is_met_and_a_connection_serves_many_requests() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    for _ in 0..5 {
        let mut request = post(CHAT, &chat("say x", ""));
        request.headers_mut().insert("expect", "100-continue".parse().unwrap());
        let reply = Reply::read(client.send(request).await.unwrap()).await;
        assert_eq!(reply.status, 200);
    }
    let response = client.open(&chat("say x", r#""stream":true"#)).await;
    response.into_body().collect().await.unwrap();
    assert_eq!(client.get("/healthz").await.status, 200);
}
