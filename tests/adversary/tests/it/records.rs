//! Attacks of a host, or of anybody on the network, on the TLS records of a session.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use vouchsafe_adversary::{Action, Direction, Record};
use vouchsafe_client::Error;
use vouchsafe_receipt::stream::HEAD_COMMENT;

use crate::enclave::{Enclave, ask, client, not_proved, question, stream};

/// What a client says of a session whose records were meddled with: never an answer.
fn is_broken(error: &Error) -> bool {
    ["connection_failed", "tls_handshake_failed", "attestation_document_malformed"].contains(&error.code())
}

/// Asks through a host that treats records of one direction as told; the client must get an error and
/// no answer. `first` is the first record meddled with: 0 is within the handshake, later ones carry
/// evidence, requests and answers.
async fn breaks(direction: Direction, first: u64, mut with: impl FnMut(Record) -> Action + Send + 'static) {
    let enclave = Enclave::honest().await;
    let host = enclave
        .records(move |record| {
            if record.direction == direction && record.number >= first {
                return with(record);
            }
            Action::Send(record.bytes)
        })
        .await;
    let error = ask(&host, "secret").await.map(|answer| answer.response).unwrap_err();
    assert!(is_broken(&error), "{direction:?} from record {first}: {error} ({})", error.code());
    drop(host);
    enclave.serves().await;
}

/// Promise: what a client gets was sent once, by the enclave, for this place in the session. Each record
/// is sealed under its own sequence number (RFC 8446, section 5.3), so a second copy does not open.
#[tokio::test]
async fn a_replayed_record_ends_the_session() {
    for (direction, first) in [(Direction::ToClient, 4), (Direction::ToEnclave, 3)] {
        let doubled = |record: Record| Action::Send([record.bytes.as_slice(), &record.bytes].concat());
        breaks(direction, first, doubled).await;
    }
}

/// Promise: as above. Two records exchanged are two records that do not open.
#[tokio::test]
async fn reordered_records_end_the_session() {
    for (direction, first) in [(Direction::ToClient, 3), (Direction::ToEnclave, 2)] {
        let mut held: Option<Vec<u8>> = None;
        let exchanged = move |record: Record| match held.take() {
            None => {
                held = Some(record.bytes);
                Action::Send(Vec::new())
            }
            Some(before) => Action::Send([record.bytes, before].concat()),
        };
        breaks(direction, first, exchanged).await;
    }
}

/// Promise: a client that misses something knows that it does. The record after a dropped one does
/// not open.
#[tokio::test]
async fn a_dropped_record_ends_the_session() {
    let enclave = Enclave::honest().await;
    let host = enclave
        .records(|record| match record.direction {
            // The enclave's first flight is records 0 to 2 at least; the one after carries a ticket or data.
            Direction::ToClient if record.number == 3 => Action::Send(Vec::new()),
            _ => Action::Send(record.bytes),
        })
        .await;
    let error = ask(&host, "secret").await.map(|answer| answer.response).unwrap_err();
    assert!(is_broken(&error), "{error}");
    enclave.serves().await;
}

/// Promise: nobody without the keys changes one bit of what travels, in either direction.
#[tokio::test]
async fn a_flipped_bit_ends_the_session() {
    for (direction, first) in [
        (Direction::ToClient, 0),
        (Direction::ToClient, 2),
        (Direction::ToClient, 5),
        (Direction::ToEnclave, 1),
        (Direction::ToEnclave, 3),
    ] {
        let flipped = |mut record: Record| {
            *record.bytes.last_mut().unwrap() ^= 1;
            Action::Send(record.bytes)
        };
        breaks(direction, first, flipped).await;
    }
}

/// Promise: an end is an end that the enclave made. A host that ends the direction cleanly in the
/// middle of the evidence or the answer has not sent TLS's own end (RFC 8446, section 6.1), and the
/// length in the headers is not reached.
#[tokio::test]
async fn a_truncated_answer_is_not_taken_for_a_whole_one() {
    breaks(Direction::ToClient, 4, |mut record: Record| {
        record.bytes.truncate(record.bytes.len() / 2);
        Action::End(record.bytes)
    })
    .await;
}

/// Promise: nothing of one session is of use in another. Records of another session of the same
/// enclave are sealed under other keys.
#[tokio::test]
async fn sessions_cannot_be_spliced() {
    let enclave = Enclave::honest().await;
    let other: Arc<Mutex<Vec<Record>>> = Arc::default();
    let recorded = Arc::clone(&other);
    let host = enclave
        .records(move |record| {
            recorded.lock().unwrap().push(record.clone());
            Action::Send(record.bytes)
        })
        .await;
    assert!(ask(&host, "first").await.unwrap().is_accepted());
    for direction in [Direction::ToClient, Direction::ToEnclave] {
        let recorded = Arc::clone(&other);
        let host = enclave
            .records(move |record| {
                let recorded = recorded.lock().unwrap();
                let is_same = |kept: &&Record| kept.direction == direction && kept.number == record.number;
                match recorded.iter().find(is_same) {
                    Some(kept) if record.direction == direction && record.number >= 3 => {
                        Action::Send(kept.bytes.clone())
                    }
                    _ => Action::Send(record.bytes),
                }
            })
            .await;
        let error = ask(&host, "second").await.map(|answer| answer.response).unwrap_err();
        assert!(is_broken(&error), "{direction:?}: {error}");
    }
    enclave.serves().await;
}

/// Promise: a recorded session cannot be played to the enclave again, to have a request executed
/// twice. Its handshake ends in keys that depend on the enclave's fresh share, so that the recorded
/// request does not open, and no receipt is signed for it.
#[tokio::test]
async fn a_recorded_session_cannot_be_played_again() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let enclave = Enclave::honest().await;
    let recorded: Arc<Mutex<Vec<u8>>> = Arc::default();
    let tap = Arc::clone(&recorded);
    let host = enclave
        .records(move |record| {
            if record.direction == Direction::ToEnclave {
                tap.lock().unwrap().extend_from_slice(&record.bytes);
            }
            Action::Send(record.bytes)
        })
        .await;
    let client = client(host.address);
    let (answer, _) = client.ask(&question("once")).await.unwrap();
    let before = answer.verdict.unwrap().receipt().unwrap().seq;
    let honest = enclave.host().await;
    let mut replayed = tokio::net::TcpStream::connect(honest.address).await.unwrap();
    let bytes = recorded.lock().unwrap().clone();
    replayed.write_all(&bytes).await.unwrap();
    let mut said = Vec::new();
    let _ = replayed.read_to_end(&mut said).await;
    assert!(!said.is_empty(), "the enclave begins a handshake, and no more");
    let (answer, _) = client.ask(&question("twice")).await.unwrap();
    assert_eq!(answer.verdict.unwrap().receipt().unwrap().seq, before + 1, "nothing was signed in between");
}

/// Not stopped: a host may deliver late. The answer is the honest one; *when* it was given is what no
/// verdict claims without a witnessed time, and that the host sees and makes the timing stands there too.
#[tokio::test]
async fn delayed_records_change_nothing_but_the_time() {
    let enclave = Enclave::honest().await;
    let host = enclave
        .records(|record| match record.direction {
            Direction::ToClient => Action::Hold(Duration::from_millis(20), record.bytes),
            Direction::ToEnclave => Action::Send(record.bytes),
        })
        .await;
    let answer = ask(&host, "late").await.unwrap();
    assert!(answer.is_accepted());
    let verdict = answer.verdict.unwrap();
    for word in ["time_unattested", "sizes_and_timing"] {
        assert!(not_proved(&verdict).contains(&word), "{word}: {}", verdict.to_json());
    }
}

/// Not stopped, and harmless: a host may cut the stream into writes of one byte. The answer is the same.
#[tokio::test]
async fn a_byte_at_a_time_is_slow_and_nothing_else() {
    let enclave = Enclave::honest().await;
    let host = enclave.records(|record| Action::Trickle(record.bytes)).await;
    let answer = ask(&host, "drop by drop").await.unwrap();
    assert!(answer.is_accepted(), "{}", answer.verdict.unwrap().to_json());
}

/// Not stopped: a host may cut a stream at any point. Promise: what arrived before the last signed head
/// is proved, the rest is not, the verdict says so, and no client takes the beginning for an answer.
#[tokio::test]
async fn a_cut_stream_proves_its_beginning_and_says_that_it_was_cut() {
    let enclave = Enclave::honest().await;
    let long = vec!["word"; 40].join(" ") + " gate and more";
    // The control: uncut, the same stream is an answer.
    enclave.gate.notify_one();
    let whole = client(enclave.host().await.address).ask(&stream(&long)).await.unwrap().0;
    assert!(whole.is_accepted(), "{}", whole.verdict.unwrap().to_json());
    assert!(!not_proved(whole.verdict.as_ref().unwrap()).contains(&"stream_cut_off"));

    let heads = Arc::new(Mutex::new(0_usize));
    let seen = Arc::clone(&heads);
    let host = enclave
        .records(move |record| match record.direction {
            Direction::ToClient if *seen.lock().unwrap() > 0 => Action::Cut,
            _ => Action::Send(record.bytes),
        })
        .await;
    let client = client(host.address);
    let mut reply = client.send(&stream(&long)).await.unwrap();
    let error = loop {
        match reply.chunk().await {
            // The host is told where a head is, which it can't see by itself.
            Ok(Some(chunk)) if String::from_utf8_lossy(&chunk).contains(HEAD_COMMENT) => {
                *heads.lock().unwrap() += 1;
                enclave.gate.notify_one();
            }
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream was taken for complete"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "connection_failed", "{error}");
    let (answer, _) = client.judge(reply).await.unwrap();
    assert!(!answer.is_accepted(), "a beginning is no answer");
    let verdict = answer.verdict.unwrap();
    assert!(verdict.is_accepted(), "what arrived is proved: {}", verdict.to_json());
    assert!(not_proved(&verdict).contains(&"stream_cut_off"), "{}", verdict.to_json());
}
