//! Attacks on the enclave's resources, by hosts and by clients: all bounded, and others are served.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vouchsafe_adversary::{Action, Direction};
use vouchsafe_link::{FramedStream, RawStream, SESSION_PORT, dial};

use crate::enclave::{Enclave, ask, client, question};
use crate::fetch::document;

/// Opens a session and sends these bytes of it.
async fn opened(enclave: &Enclave, bytes: &[u8]) -> FramedStream<RawStream> {
    let mut session = FramedStream::new(dial(&enclave.endpoint, SESSION_PORT).await.unwrap());
    // The enclave may have closed it already: that is the bound at work.
    let _ = session.write_all(bytes).await;
    let _ = session.flush().await;
    session
}

/// A TLS record header that promises more than follows.
const BEGUN: &[u8] = &[22, 3, 1, 2, 0, 1];

/// Promise: sessions are bounded. Those beyond the bound are closed at once, and when the flood is over,
/// or its handshakes have taken their time, others are served.
#[tokio::test]
async fn a_flood_of_sessions_is_bounded_and_over_when_it_ends() {
    let enclave = Enclave::configured(r#"{"limits":{"sessions_max":8,"handshake_ms_max":60000}}"#).await;
    let mut flood = Vec::new();
    for _ in 0..8 {
        flood.push(opened(&enclave, BEGUN).await);
    }
    // The ninth is closed without a word.
    for _ in 0..50 {
        let mut beyond = opened(&enclave, BEGUN).await;
        assert_eq!(beyond.read(&mut [0; 16]).await.unwrap_or(0), 0);
    }
    let host = enclave.host().await;
    assert!(ask(&host, "no place").await.is_err());
    flood.clear();
    // Its tasks end when they notice; a client tries again.
    while ask(&host, "a place").await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    enclave.serves().await;
}

/// Promise: a session that stops in the middle of a record gives its place up. Here there is one place.
#[tokio::test]
async fn a_session_stalled_within_a_record_gives_its_place_up() {
    let enclave = Enclave::configured(
        r#"{"limits":{"sessions_max":1,"handshake_ms_max":300,"header_ms_max":300,"body_ms_max":300}}"#,
    )
    .await;
    // Before the handshake: silence after a beginning.
    let stalled = opened(&enclave, BEGUN).await;
    let host = enclave.host().await;
    while ask(&host, "after the handshake's time").await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(stalled);
    // After it: half of the request's record, and everything stays open.
    let stalling = enclave
        .records(|mut record| match record.direction {
            Direction::ToEnclave if record.number == 3 => {
                record.bytes.truncate(record.bytes.len() / 2);
                Action::Stall(record.bytes)
            }
            _ => Action::Send(record.bytes),
        })
        .await;
    let address = stalling.address;
    let stalled = tokio::spawn(async move { client(address).ask(&question("half")).await.map(drop) });
    while ask(&host, "after the header's time").await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(stalled.await.unwrap().is_err(), "the stalled one was told that it ended");
}

/// Promise: a handshake of a byte now and then ends when its time is over, however many bytes came.
#[tokio::test]
async fn a_handshake_byte_by_byte_ends_in_its_time() {
    let enclave = Enclave::configured(r#"{"limits":{"sessions_max":1,"handshake_ms_max":200}}"#).await;
    let mut slow = opened(&enclave, &[]).await;
    for byte in BEGUN.iter().chain([0; 600].iter()) {
        if slow.write_all(&[*byte]).await.is_err() || slow.flush().await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let host = enclave.host().await;
    while ask(&host, "its place").await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Promise: evidence costs a processor much and is made for many at once. A flood of challenges is
/// answered in batches or refused, and neither answers nor other clients' challenges are lost in it.
#[tokio::test]
async fn a_flood_of_challenges_is_batched() {
    let enclave =
        Enclave::configured(r#"{"limits":{"challenges_max":16,"challenge_interval_ms_min":50}}"#).await;
    let endpoint = enclave.endpoint.clone();
    let flood: Vec<_> = (0..24)
        .map(|number| {
            let endpoint = endpoint.clone();
            tokio::spawn(async move {
                let path = format!(
                    "/.well-known/vouchsafe/attestation?nonce={}",
                    format!("{number:02x}").repeat(32)
                );
                vouchsafe_adversary::middle::get(&endpoint, &path).await
            })
        })
        .collect();
    let mut answered = 0;
    for asked in flood {
        let body = asked.await.unwrap().unwrap();
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("challenge"), "{text}");
        answered += usize::from(text.contains(r#""tree_size""#));
    }
    assert!(answered >= 1, "none was answered");
    assert!(document(&endpoint, &[1; 32]).await.challenge.is_some());
    enclave.serves().await;
}

/// Promise: requests at once are bounded by the queue, refused beyond it with a status that says so, and
/// every one that was admitted is answered and receipted.
#[tokio::test]
async fn a_flood_of_requests_gets_answers_or_refusals_and_nothing_else() {
    let enclave = Enclave::honest().await;
    let host = enclave.host().await;
    let client = std::sync::Arc::new(client(host.address));
    client.attest().await.unwrap();
    let flood: Vec<_> = (0..60)
        .map(|_| {
            let client = std::sync::Arc::clone(&client);
            tokio::spawn(async move { client.ask(&question("flood")).await.unwrap().0 })
        })
        .collect();
    let mut seqs = Vec::new();
    for asked in flood {
        let answer = asked.await.unwrap();
        match answer.status.as_u16() {
            200 => {
                assert!(answer.is_accepted());
                seqs.push(answer.verdict.unwrap().receipt().unwrap().seq);
            }
            status => assert!([429, 503].contains(&status), "{status}"),
        }
    }
    assert!(!seqs.is_empty(), "nobody was answered");
    let answered = seqs.len();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), answered, "two answers have one place in the sequence");
    enclave.serves().await;
}

/// Promise: what is not TLS, and what is not HTTP within it, ends its own session and no other.
#[tokio::test]
async fn garbage_in_a_session_ends_that_session_alone() {
    let enclave = Enclave::honest().await;
    let host = enclave.host().await;
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 20_000],
        &[22, 3, 1, 0xff, 0xff, 1, 2, 3],
        &[23, 3, 3, 0, 0],
        &[0x80, 0x2e, 1, 0, 2],
    ];
    for bytes in garbage {
        let mut raw = TcpStream::connect(host.address).await.unwrap();
        raw.write_all(bytes).await.unwrap();
        raw.shutdown().await.unwrap();
        let mut said = Vec::new();
        let _ = raw.read_to_end(&mut said).await;
        assert!(said.len() < 64, "an alert at most: {said:?}");
    }
    enclave.serves().await;
}
