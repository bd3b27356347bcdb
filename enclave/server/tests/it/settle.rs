//! Receipts that settle, from the client's request to the proof in its answer, with the host in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use http::StatusCode;
use tokio::io::duplex;
use vouchsafe_enclave::{Config, LogConfig, Models, Server, SettlementConfig, serve_control};
use vouchsafe_link::control::{EnclaveMessage, Hello, HostMessage, Receiver, Sender};
use vouchsafe_receipt::stream::{ASSURANCE_NAME, OPENING_NAME, PROOF_NAME, RECEIPT_NAME, comments};
use vouchsafe_receipt::{
    Assurance, BootStatement, Envelope, EpochStatement, Leaf, LeafType, Settlement, receipt_leaf,
};
use vouchsafe_translog::merkle::leaf_hash;
use vouchsafe_translog::{TlogProof, TrustedLog};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::from_base64;

use crate::client::{Checked, Client, Echo, Reply, chat, connect, decode, manifest, post};
use crate::model::Script;
use crate::settle::test_log::TestLog;

#[path = "../../src/settle/test_log.rs"]
mod test_log;

const CHAT: &str = "/v1/chat/completions";
const TIME: u64 = 1_795_262_400;

/// A host with a log of its own, which it can keep from the enclave.
struct Host {
    log: Arc<Mutex<TestLog>>,
    leaves: Arc<Mutex<Vec<Vec<u8>>>>,
    is_silent: Arc<AtomicBool>,
}

struct Setup {
    server: Arc<OnceLock<Server>>,
    host: Host,
    trusted: TrustedLog,
}

impl Setup {
    async fn start(change: impl FnOnce(&mut Config, &mut LogConfig)) -> Self {
        let log = TestLog::new();
        let mut settlement = log.config();
        let mut config = Config::default();
        change(&mut config, &mut settlement);
        let trusted = TrustedLog::parse(&settlement.key, &settlement.witnesses, 2, &Ring).unwrap();
        config.settlement = SettlementConfig::Log(settlement);
        let mut models = Models::new();
        models.add_text(manifest("script"), Arc::new(Script::default()) as _).unwrap();
        let server = Arc::new(OnceLock::new());
        let _ = server.set(Server::start(config, Arc::new(Echo), models).await.unwrap());
        let host = Host { log: Arc::new(Mutex::new(log)), leaves: Arc::default(), is_silent: Arc::default() };
        Self { server, host, trusted }
    }

    fn server(&self) -> &Server {
        self.server.get().unwrap()
    }

    /// Carries leaves to the log and proofs back, until the enclave ends the connection.
    fn carry(&self) {
        let (near, far) = duplex(64 * 1024);
        tokio::spawn(serve_control(far, Arc::clone(&self.server)));
        let (log, leaves) = (Arc::clone(&self.host.log), Arc::clone(&self.host.leaves));
        let is_silent = Arc::clone(&self.host.is_silent);
        tokio::spawn(async move {
            let (reader, writer) = tokio::io::split(near);
            let (mut receiver, mut sender) = (Receiver::new(reader), Sender::new(writer));
            sender.send(&HostMessage::Hello(Hello::new("test"))).await.unwrap();
            let (mut known, mut queue, mut is_waiting) = (0_usize, Vec::<usize>::new(), false);
            loop {
                let message = tokio::select! {
                    message = receiver.receive::<EnclaveMessage>() => message,
                    () = tokio::time::sleep(Duration::from_millis(5)) => {
                        if !is_waiting && !queue.is_empty() && !is_silent.load(Ordering::SeqCst) {
                            let message = proof(&log.lock().unwrap(), known, &std::mem::take(&mut queue));
                            is_waiting = true;
                            sender.send(&message).await.unwrap();
                        }
                        continue;
                    }
                };
                let leaf = match message {
                    Ok(Some(EnclaveMessage::Record { leaf, .. })) => from_base64(&leaf).unwrap(),
                    Ok(Some(EnclaveMessage::Receipt { envelope, .. })) => {
                        receipt_leaf(&Envelope::from_json(envelope.as_bytes()).unwrap())
                    }
                    Ok(Some(EnclaveMessage::Verified { size, .. })) => {
                        (known, is_waiting) = (usize::try_from(size).unwrap(), false);
                        continue;
                    }
                    Ok(Some(EnclaveMessage::Refused { code, .. })) => panic!("{code}"),
                    Ok(Some(_)) => continue,
                    Ok(None) | Err(_) => return,
                };
                Leaf::parse(&leaf).unwrap();
                let mut log = log.lock().unwrap();
                log.append(&leaf);
                queue.push(log.leaves.len() - 1);
                leaves.lock().unwrap().push(leaf);
            }
        });
    }

    async fn client(&self) -> Client {
        let (near, far) = duplex(64 * 1024);
        self.server().session(far);
        Client::over(connect(near).await).await
    }

    fn check_proof(&self, receipt: &Envelope, text: &[u8]) -> u64 {
        let proof = TlogProof::parse(text).unwrap();
        let hash = leaf_hash(&receipt_leaf(receipt), &Ring);
        proof.verify(&hash, &self.trusted, &Ring).unwrap().checkpoint().time().0
    }
}

fn proof(log: &TestLog, from: usize, indices: &[usize]) -> HostMessage {
    let size = log.leaves.len();
    HostMessage::Inclusion {
        note: log.note(size, &[TIME + size as u64; 3]),
        from: from as u64,
        consistency: log.consistency(from, size),
        leaves: indices.iter().map(|index| log.included(*index, size)).collect(),
    }
}

fn settled(body: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = post(CHAT, body);
    request.headers_mut().insert(ASSURANCE_NAME, "settled".parse().unwrap());
    request
}

fn envelope_of(reply: &Reply) -> Envelope {
    Envelope::from_json(&decode(reply.header(RECEIPT_NAME).expect("no receipt").as_bytes())).unwrap()
}

#[tokio::test]
async fn nobody_is_served_before_the_boot_is_public_and_the_epoch_names_the_checkpoint() {
    let setup = Setup::start(|_, _| {}).await;
    let (near, far) = duplex(1024);
    setup.server().session(far);
    assert!(tokio::io::AsyncReadExt::read_u8(&mut { near }).await.is_err(), "closed at once");
    setup.carry();
    setup.server().settle().await;
    let document = setup.client().await.document().await;
    let boot = BootStatement::parse(&document.boot.statement.0, &Ring).unwrap();
    let Settlement::Log(stated) = boot.settlement else { panic!("no settlement") };
    assert_eq!((stated.quorum, stated.bound_s, stated.witnesses.len()), (2, 60, 3));
    let epoch = EpochStatement::parse(&document.epoch.statement.0).unwrap();
    assert_eq!(epoch.epoch, 1);
    let checkpoint = setup.trusted.verify(epoch.checkpoint.unwrap().as_bytes(), &Ring).unwrap();
    assert!(checkpoint.time().0 > TIME);
}

#[tokio::test]
async fn a_settled_answer_comes_with_its_proof_and_an_attested_one_gets_it_later() {
    let setup = Setup::start(|_, _| {}).await;
    setup.carry();
    setup.server().settle().await;
    let mut client = setup.client().await;
    let key = client.key().await;
    let body = chat("say a b", "");
    let reply = Reply::read(client.send(settled(&body)).await.unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK);
    let envelope = envelope_of(&reply);
    let checked = Checked::new(&envelope, &decode(reply.header(OPENING_NAME).unwrap().as_bytes()), &key);
    assert_eq!(checked.payload.assurance, Assurance::Settled);
    assert_eq!(checked.opening.request.as_ref().unwrap().assurance, "settled");
    let (checkpoint, settle_by) = checked.payload.checkpoint.zip(checked.payload.settle_by).unwrap();
    assert_eq!(settle_by, checkpoint.time + 60);
    let proved = setup.check_proof(&envelope, &decode(reply.header(PROOF_NAME).unwrap().as_bytes()));
    assert!(proved > checkpoint.time && proved <= settle_by);

    // So does what is refused after admission.
    let refused = settled(&body.replace("script", "unknown"));
    let reply = Reply::read(client.send(refused).await.unwrap()).await;
    assert_eq!(reply.error_code(), "model_not_found");
    setup.check_proof(&envelope_of(&reply), &decode(reply.header(PROOF_NAME).unwrap().as_bytes()));

    let reply = client.post(CHAT, &body).await;
    assert_eq!(reply.header(PROOF_NAME), None);
    assert_eq!(reply.receipt(CHAT, &body, &key).payload.assurance, Assurance::Attested);
    let path = format!("/v1/receipts/{}", reply.token());
    let kept = loop {
        let kept = client.get(&path).await.json();
        if kept.get("proof").is_some() {
            break kept;
        }
    };
    setup.check_proof(&envelope_of(&reply), kept["proof"].as_str().unwrap().as_bytes());
    assert_eq!(kept["version"], 1);
}

#[tokio::test]
async fn a_settled_stream_is_held_and_ends_with_its_proof() {
    let setup = Setup::start(|_, _| {}).await;
    setup.carry();
    setup.server().settle().await;
    let mut client = setup.client().await;
    setup.host.is_silent.store(true, Ordering::SeqCst);
    let body = chat("say a b c", r#""stream":true"#);
    let mut response = client.send(settled(&body)).await.unwrap();
    let first = http_body_util::BodyExt::frame(&mut response).await.unwrap().unwrap().into_data().unwrap();
    let text = String::from_utf8(first.to_vec()).unwrap();
    assert!(text.contains("vouchsafe-token") && !text.contains("data:"), "{text}");
    // However long: nothing of the answer comes before its proof.
    let next = http_body_util::BodyExt::frame(&mut response);
    assert!(tokio::time::timeout(Duration::from_millis(300), next).await.is_err());
    setup.host.is_silent.store(false, Ordering::SeqCst);
    let rest = Reply::read(response).await;
    let stream = [first.as_ref(), rest.body.as_ref()].concat();
    assert!(rest.text().contains("[DONE]"));
    let receipt = comments(&stream, RECEIPT_NAME).next().unwrap();
    let envelope = Envelope::from_json(&decode(receipt)).unwrap();
    setup.check_proof(&envelope, &decode(comments(&stream, PROOF_NAME).next().unwrap()));
}

#[tokio::test]
async fn a_host_that_withholds_proofs_stops_the_service_and_holds_up_no_drain() {
    let setup = Setup::start(|_, settlement| settlement.unsettled_max = 2).await;
    setup.carry();
    setup.server().settle().await;
    setup.host.is_silent.store(true, Ordering::SeqCst);
    let mut client = setup.client().await;
    let body = chat("say a", "");
    for _ in 0..2 {
        assert_eq!(client.post(CHAT, &body).await.status, StatusCode::OK);
    }
    let reply = client.post(CHAT, &body).await;
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
    assert_eq!(reply.error_code(), "unsettled");
    assert_eq!(reply.header(RECEIPT_NAME), None, "what is not admitted gets no receipt");
    // A flood changes nothing.
    for _ in 0..50 {
        assert_eq!(client.post(CHAT, &body).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    setup.server().stop().await;
}

#[tokio::test]
async fn a_settled_answer_that_is_not_proven_in_time_is_not_given() {
    let setup = Setup::start(|config, _| config.limits.request_ms_max = 1500).await;
    setup.carry();
    setup.server().settle().await;
    setup.host.is_silent.store(true, Ordering::SeqCst);
    let mut client = setup.client().await;
    let reply = Reply::read(client.send(settled(&chat("say secret", ""))).await.unwrap()).await;
    assert_eq!((reply.status, reply.error_code().as_str()), (StatusCode::GATEWAY_TIMEOUT, "settlement_late"));
    assert!(!reply.text().contains("secret"));
    let (receipt, _) = client.retrieve(reply.token()).await;
    assert!(receipt_leaf(&receipt).starts_with(&[LeafType::Receipt.byte()]));
}

#[tokio::test]
async fn the_last_word_is_in_the_log_before_the_end() {
    let setup = Setup::start(|_, _| {}).await;
    setup.carry();
    setup.server().settle().await;
    let mut client = setup.client().await;
    assert_eq!(client.post(CHAT, &chat("say a", "")).await.status, StatusCode::OK);
    drop(client);
    setup.server().stop().await;
    let leaves = setup.host.leaves.lock().unwrap();
    let types = leaves.iter().map(|leaf| Leaf::parse(leaf).unwrap().leaf_type());
    // On a slow machine there may be heartbeats in between.
    let types: Vec<_> = types.filter(|kind| *kind != LeafType::Heartbeat).collect();
    let [boot, epoch] = [LeafType::Boot, LeafType::Epoch];
    assert_eq!(types, [boot, epoch, epoch, LeafType::Receipt, LeafType::Close]);
    let Ok(Leaf::Close(signed)) = Leaf::parse(leaves.last().unwrap()) else { panic!("no close record") };
    let last: serde_json::Value = serde_json::from_slice(signed.envelope().unverified_payload()).unwrap();
    assert_eq!(last["seq_next"], 1);
}
