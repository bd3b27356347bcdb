//! Attacks of the host on the enclave program's control connection.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vouchsafe_adversary::{Honest, Host};
use vouchsafe_client::Request;
use vouchsafe_link::control::{BootId, HostMessage};
use vouchsafe_link::{CONTROL_PORT, dial};

use crate::enclave::{not_proved, with_model};
use crate::fetch::document;
use crate::program::{Control, Program, client, question};

async fn host(program: &Program) -> Host {
    Host::start(Honest(program.link.clone())).await.unwrap()
}

fn message(json: &str) -> Vec<u8> {
    [&u32::try_from(json.len()).unwrap().to_be_bytes(), json.as_bytes()].concat()
}

/// Promise: nothing the host says on the control connection harms the enclave: oversized lengths,
/// messages that are none, messages before hello, another protocol's hello, depth without end. The
/// connection ends; sessions and the next control connection are served.
#[tokio::test]
async fn garbage_on_the_control_connection_ends_that_connection_alone() {
    let mut program = Program::start("{}");
    let hello = message(r#"{"type":"hello","protocol":1,"software":"x"}"#);
    let after_hello = |bytes: &[u8]| [hello.as_slice(), bytes].concat();
    let deep = format!(r#"{{"type":"endorsements","json":{}"#, "[".repeat(100_000));
    let garbage = [
        u32::MAX.to_be_bytes().to_vec(),
        ((1_u32 << 20) + 1).to_be_bytes().to_vec(),
        vec![0; 4],
        vec![0, 0, 0, 1, b'{'],
        vec![0xff; 70_000],
        message(r#"{"type":"drain"}"#),
        message(r#"{"type":"hello","protocol":999,"software":"x"}"#),
        message(r#"["hello",{"protocol":1,"software":"x"}]"#),
        after_hello(&message(r#"{"type":"make_me_a_receipt"}"#)),
        after_hello(&message(r#"{"type":"receipt_ack","boot":"me","seq":1}"#)),
        after_hello(&message(r#"{"type":"receipt_ack","seq":-1}"#)),
        after_hello(&message(r#"{"type":"health_request","and":"more"}"#)),
        after_hello(&message(&deep)),
        after_hello(&message("\u{0}")),
        after_hello(&[0, 1, 0, 0, b'{']),
    ];
    for bytes in garbage {
        let mut raw = dial(&program.link, CONTROL_PORT).await.unwrap();
        // What is refused early is not read to its end.
        let _ = raw.write_all(&bytes).await;
        let _ = raw.shutdown().await;
        let mut said = Vec::new();
        let _ = raw.read_to_end(&mut said).await;
    }
    program.survives().await;
}

/// Promise: an acknowledgement is for receipts of this boot. One for another boot, or for receipts that
/// do not exist yet, makes the enclave forget nothing that it has still to hand over; and a host that
/// says it stored what it did not only fools itself: the client has its receipt.
#[tokio::test]
async fn acknowledgements_for_other_boots_forget_nothing() {
    let program = Program::start("{}");
    let (host, mut control) = (host(&program).await, Control::open(&program.link).await);
    let client = client(&host);
    for _ in 0..3 {
        assert!(client.ask(&question()).await.unwrap().0.is_accepted());
    }
    assert_eq!(control.receipts(3).await, [0, 1, 2]);
    let other = BootId::new(&"ab".repeat(32)).unwrap();
    control.send(HostMessage::ReceiptAck { boot: other, seq: u64::MAX }).await;
    assert_eq!(control.health().await.receipts_unacknowledged, 3);
    // A new connection gets them again: nothing was forgotten.
    let mut control = Control::open(&program.link).await;
    assert_eq!(control.receipts(3).await, [0, 1, 2]);
    control.send(HostMessage::ReceiptAck { boot: program.boot.clone(), seq: 1 }).await;
    assert_eq!(control.health().await.receipts_unacknowledged, 1, "the control");
    // Ahead of time: what does not exist yet is not acknowledged by it.
    control.send(HostMessage::ReceiptAck { boot: program.boot.clone(), seq: u64::MAX }).await;
    assert_eq!(control.health().await.receipts_unacknowledged, 0);
    assert!(client.ask(&question()).await.unwrap().0.is_accepted());
    assert_eq!(control.receipts(1).await, [3]);
}

/// Not stopped: without settlement a host may never acknowledge, and never publish. Promise: the
/// enclave's memory stays bounded, clients get their answers and receipts, and every verdict says under
/// `unlogged` that nobody else may ever see them.
#[tokio::test]
async fn withheld_acknowledgements_cost_bounded_memory() {
    let program = Program::start(r#"{"limits":{"receipts_unacknowledged_max":2}}"#);
    let (host, mut control) = (host(&program).await, Control::open(&program.link).await);
    let client = client(&host);
    for _ in 0..5 {
        let answer = client.ask(&question()).await.unwrap().0;
        assert!(answer.is_accepted());
        assert!(not_proved(&answer.verdict.unwrap()).contains(&"unlogged"));
    }
    assert_eq!(control.health().await.receipts_unacknowledged, 2);
}

/// Promise: a host that stops reading holds up itself. Sessions are served, and a later connection gets
/// every receipt.
#[tokio::test]
async fn a_host_that_reads_nothing_holds_up_nobody() {
    let mut program = Program::start("{}");
    let mut silent = Control::open(&program.link).await;
    for _ in 0..200 {
        // More questions than the enclave keeps answers for.
        if silent.sender.send(&HostMessage::HealthRequest {}).await.is_err() {
            break;
        }
    }
    let host = host(&program).await;
    let client = client(&host);
    for _ in 0..4 {
        assert!(client.ask(&question()).await.unwrap().0.is_accepted());
    }
    let mut control = Control::open(&program.link).await;
    assert_eq!(control.receipts(4).await, [0, 1, 2, 3]);
    drop(silent);
    program.survives().await;
}

/// Promise: many control connections are one: the newest counts, and none takes a place from sessions.
#[tokio::test]
async fn a_flood_of_control_connections_leaves_one() {
    let mut program = Program::start("{}");
    let mut flood = Vec::new();
    for _ in 0..100 {
        let mut raw = dial(&program.link, CONTROL_PORT).await.unwrap();
        raw.write_all(&message(r#"{"type":"hello","protocol":1,"software":"x"}"#)).await.unwrap();
        // The enclave speaks once it serves the connection, so that the next one is newer to it too.
        raw.read_u8().await.unwrap();
        flood.push(raw);
    }
    let mut last = Control::open(&program.link).await;
    assert_eq!(last.ready().await, program.boot);
    for mut raw in flood {
        // Those before come to an end, or to an error.
        let _ = raw.read_to_end(&mut Vec::new()).await;
    }
    assert!(last.health().await.ready, "the newest is served on");
    drop(last);
    program.survives().await;
}

/// Not stopped: a host may end the service at any time, and `operator_uptime` says so. Promise: an
/// answer in progress is given whole, with its receipt; new requests are refused and not lost half-way.
#[tokio::test]
async fn a_drain_within_a_stream_lets_it_end_with_its_receipt() {
    let program = Program::start("{}");
    let (host, mut control) = (host(&program).await, Control::open(&program.link).await);
    let body =
        r#"{"stream":true,"max_tokens":48,"messages":[{"role":"user","content":"What is attestation?"}]}"#;
    let request = Request::post_json("/v1/chat/completions", with_model(body, "vouchsafe-demo"));
    let asking = client(&host);
    let mut reply = asking.send(&request).await.unwrap();
    assert!(reply.chunk().await.unwrap().is_some());
    control.send(HostMessage::Drain {}).await;
    assert!(control.health().await.draining);
    let (answer, _) = asking.finish(reply).await.unwrap();
    assert!(answer.is_accepted(), "{:?}", answer.verdict.map(|verdict| verdict.to_json()));
    assert!(not_proved(answer.verdict.as_ref().unwrap()).contains(&"operator_uptime"));
    assert!(client(&host).ask(&question()).await.is_err(), "no further session is served");
}

/// Promise: stapled endorsements are judged, never believed. A host that staples garbage has its clients
/// refuse the enclave, which is its right; with genuine ones stapled again they accept it.
#[tokio::test]
async fn garbage_stapled_by_the_host_only_has_clients_refuse() {
    let program = Program::start("{}");
    let (host, mut control) = (host(&program).await, Control::open(&program.link).await);
    let genuine = document(&program.link, &[1; 32]).await.endorsements.unwrap();
    let genuine = serde_json::to_string(&genuine).unwrap();
    let staple = async |control: &mut Control, json: &str| {
        control.send(HostMessage::Endorsements { json: json.into() }).await;
        // The answer to a later question comes after the staple has taken effect.
        control.health().await;
        client(&host).attest().await.map(drop).map_err(|error| error.code())
    };
    assert_eq!(
        staple(&mut control, r#"{"platform":"sev-snp","vek":"AAAA"}"#).await,
        Err("snp_certificate_malformed")
    );
    let other_vek = genuine.replacen("MI", "AA", 1);
    assert!(staple(&mut control, &other_vek).await.is_err());
    assert_eq!(staple(&mut control, &genuine).await, Ok(()), "the control");
    // What is no endorsement at all leaves those in place that were there.
    for nothing in ["", "{}", "null", r#"{"platform":"riscv"}"#, &"[".repeat(600_000)] {
        assert_eq!(staple(&mut control, nothing).await, Ok(()), "{}", nothing.get(..20).unwrap_or(nothing));
    }
}
