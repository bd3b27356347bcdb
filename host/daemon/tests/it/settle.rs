//! Receipts and records on their way to a log, and its proofs on their way back.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use vouchsafe_host::{Event, Limits};
use vouchsafe_link::control::{EnclaveMessage, HostMessage, Included};
use vouchsafe_receipt::{
    Assurance, CheckpointRef, Envelope, PayloadType, ReceiptPayload, envelope_leaf, receipt_leaf,
};
use vouchsafe_translog::merkle::{leaf_hash, verify_consistency, verify_inclusion};
use vouchsafe_translog::{Hash, VerifiedCheckpoint};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Hex, from_base64, from_hex, to_base64};

use crate::enclave::{Control, Enclave, Host, boot};
use crate::log::Log;

pub(crate) fn envelope(seq: u64) -> Envelope {
    let payload = ReceiptPayload {
        version: 1,
        boot: Hex([0xab; 32]),
        epoch: 0,
        seq,
        previous: (seq > 0).then_some(Hex([1; 32])),
        model: None,
        engine: Hex([2; 32]),
        request: Hex([3; 32]),
        response: Hex([4; 32]),
        execution: Hex([5; 32]),
        assurance: Assurance::Attested,
        checkpoint: Some(CheckpointRef { size: 1, root: Hex([6; 32]), time: 1000 }),
        settle_by: Some(1060),
        unattested_time: 1000,
    };
    Envelope::new(PayloadType::Receipt, payload.to_bytes(), [0xab; 32], [1; 64])
}

pub(crate) fn receipt(seq: u64) -> EnclaveMessage {
    let envelope = String::from_utf8(envelope(seq).to_json()).unwrap();
    EnclaveMessage::Receipt { boot: boot(), seq, envelope }
}

pub(crate) fn record(number: u64) -> (Vec<u8>, EnclaveMessage) {
    let signed = Envelope::new(PayloadType::Boot, format!("{number}").into_bytes(), [0xab; 32], [1; 64]);
    let leaf = envelope_leaf(&signed).unwrap();
    let blobs = vec![to_base64(format!("blob {number}").as_bytes())];
    let message = EnclaveMessage::Record { boot: boot(), number, leaf: to_base64(&leaf), blobs };
    (leaf, message)
}

/// The enclave's view of the log, checked as an enclave does.
pub(crate) struct View {
    log: Arc<Log>,
    newest: Option<VerifiedCheckpoint>,
    pub(crate) proven: Vec<Hash>,
}

impl View {
    pub(crate) fn new(log: &Arc<Log>) -> Self {
        Self { log: Arc::clone(log), newest: None, proven: Vec::new() }
    }

    pub(crate) fn size(&self) -> u64 {
        self.newest.as_ref().map_or(0, VerifiedCheckpoint::size)
    }

    /// Verifies everything that the host says of the log.
    pub(crate) fn learn(&mut self, note: &str, from: u64, consistency: &[String], leaves: &[Included]) {
        let checkpoint = self.log.trusted().verify(note.as_bytes(), &Ring).unwrap();
        let (size, root) = (checkpoint.size(), *checkpoint.root());
        assert_eq!(from, self.size());
        match &self.newest {
            None => assert!(consistency.is_empty()),
            Some(newest) => {
                let proof = hashes(consistency);
                verify_consistency(from, newest.root(), size, &root, &proof, &Ring).unwrap();
            }
        }
        for leaf in leaves {
            let hash = from_hex(&leaf.hash).unwrap();
            verify_inclusion(&hash, leaf.index, size, &hashes(&leaf.path), &root, &Ring).unwrap();
            self.proven.push(hash);
        }
        self.newest = Some(checkpoint);
    }

    /// Answers the host until so many leaves are proven.
    async fn until(&mut self, control: &mut Control, count: usize) {
        while self.proven.len() < count {
            match control.next().await.expect("the host goes on") {
                HostMessage::Inclusion { note, from, consistency, leaves } => {
                    self.learn(&note, from, &consistency, &leaves);
                }
                HostMessage::Checkpoint { note, from, consistency } => {
                    self.learn(&note, from, &consistency, &[]);
                }
                _ => continue,
            }
            control.send(EnclaveMessage::Verified { boot: boot(), size: self.size() }).await;
        }
    }
}

fn hashes(texts: &[String]) -> Vec<Hash> {
    texts.iter().map(|text| from_base64(text).unwrap().try_into().unwrap()).collect()
}

fn start(folder: TempDir, enclave: &Enclave, log: &Log) -> Host {
    Host::start_with(folder, &enclave.endpoint(), Limits::default(), Some(log.url.clone()))
}

async fn greeted(enclave: &mut Enclave, view: &View) -> Control {
    let mut control = enclave.control().await;
    control.send(EnclaveMessage::Verified { boot: boot(), size: view.size() }).await;
    control
}

#[tokio::test]
async fn leaves_go_to_the_log_in_order_and_proofs_come_back() {
    let log = Log::start().await;
    let mut enclave = Enclave::listen().await;
    let mut view = View::new(&log);
    let host = start(tempfile::tempdir().unwrap(), &enclave, &log);
    let mut control = greeted(&mut enclave, &view).await;
    let (leaf, message) = record(0);
    control.send(message).await;
    view.until(&mut control, 1).await;
    assert_eq!(view.proven, [leaf_hash(&leaf, &Ring)]);
    for seq in 0..300 {
        control.send(receipt(seq)).await;
    }
    view.until(&mut control, 301).await;
    {
        let state = log.state.lock().unwrap();
        assert_eq!(state.leaves[0], leaf);
        assert_eq!(state.blobs.values().next().unwrap(), b"blob 0");
        let receipts: Vec<_> = (0..300).map(|seq| receipt_leaf(&envelope(seq))).collect();
        assert_eq!(state.leaves[1..], receipts);
    }
    let (_, ended) = host.stop().await;
    assert_eq!(ended, Ok(()));
}

#[tokio::test]
async fn what_the_log_does_not_take_is_offered_again_also_by_the_next_host() {
    let log = Log::start().await;
    log.state.lock().unwrap().unavailable = usize::MAX;
    let mut enclave = Enclave::listen().await;
    let mut view = View::new(&log);
    let mut host = start(tempfile::tempdir().unwrap(), &enclave, &log);
    let mut control = greeted(&mut enclave, &view).await;
    control.send(record(0).1).await;
    control.send(receipt(0)).await;
    while control.ack().await != (boot(), 0) {}
    // Both are told, whichever comes first. The receipt was promised for a time long past.
    let (mut failed, mut late) = (false, None);
    let told = host.event("the failure and the alarm", |event| {
        match event {
            Event::SettlingFailing(_) => failed = true,
            Event::SettlementLate { seq, settle_by, .. } => late = Some((*seq, *settle_by)),
            _ => {}
        }
        late.filter(|_| failed)
    });
    assert_eq!(told.await, (0, 1060));
    let (folder, ended) = host.stop().await;
    assert_eq!(ended, Ok(()));
    drop(control);

    log.state.lock().unwrap().unavailable = 1;
    let host = start(folder, &enclave, &log);
    // The enclave says nothing of them a second time.
    let mut control = greeted(&mut enclave, &view).await;
    view.until(&mut control, 2).await;
    assert_eq!(log.state.lock().unwrap().leaves.len(), 2);
    drop(host);
}

#[tokio::test]
async fn a_proof_that_got_lost_is_made_anew_for_what_the_enclave_knows() {
    let log = Log::start().await;
    let mut enclave = Enclave::listen().await;
    let mut view = View::new(&log);
    let mut host = start(tempfile::tempdir().unwrap(), &enclave, &log);
    let mut control = greeted(&mut enclave, &view).await;
    control.send(receipt(0)).await;
    view.until(&mut control, 1).await;
    control.send(receipt(1)).await;
    // The proof arrives, and the connection is lost before its answer.
    loop {
        if let HostMessage::Inclusion { .. } = control.next().await.unwrap() {
            break;
        }
    }
    drop(control);
    host.event("the loss", |event| matches!(event, Event::ControlLost(_)).then_some(())).await;
    // Meanwhile the log grew, past a whole tile.
    let others = (0..600).map(|number| format!("somebody else's {number}").into_bytes());
    log.state.lock().unwrap().leaves.extend(others);
    let mut control = greeted(&mut enclave, &view).await;
    control.send(receipt(2)).await;
    view.until(&mut control, 3).await;
    let expected: Vec<_> = (0..3).map(|seq| leaf_hash(&receipt_leaf(&envelope(seq)), &Ring)).collect();
    view.proven.sort_unstable();
    let mut sorted = expected;
    sorted.sort_unstable();
    assert_eq!(view.proven, sorted);
}

#[tokio::test]
async fn what_the_enclave_refuses_is_proved_again() {
    let log = Log::start().await;
    let mut enclave = Enclave::listen().await;
    let mut view = View::new(&log);
    let mut host = start(tempfile::tempdir().unwrap(), &enclave, &log);
    let mut control = greeted(&mut enclave, &view).await;
    control.send(receipt(0)).await;
    loop {
        if let HostMessage::Inclusion { .. } = control.next().await.unwrap() {
            break;
        }
    }
    let code = "consistency_invalid".to_owned();
    control.send(EnclaveMessage::Refused { boot: boot(), size: 0, code }).await;
    let told = host.event("the failure", |event| match event {
        Event::SettlingFailing(why) => Some(why.clone()),
        _ => None,
    });
    assert!(told.await.contains("consistency_invalid"));
    view.until(&mut control, 1).await;
}

#[tokio::test]
async fn a_leaf_that_the_log_refuses_is_named_and_holds_up_no_other() {
    let log = Log::start().await;
    let refused = receipt_leaf(&envelope(0));
    log.state.lock().unwrap().refuse_once.push(refused.clone());
    let mut enclave = Enclave::listen().await;
    let mut view = View::new(&log);
    let mut host = start(tempfile::tempdir().unwrap(), &enclave, &log);
    let mut control = greeted(&mut enclave, &view).await;
    control.send(receipt(0)).await;
    control.send(receipt(1)).await;
    view.until(&mut control, 1).await;
    let told = host.event("the refusal", |event| match event {
        Event::LogRefused { number, code, .. } => Some((*number, code.clone())),
        _ => None,
    });
    assert_eq!(told.await, (0, "boot_unknown".to_owned()));
    view.until(&mut control, 2).await;
    assert!(log.state.lock().unwrap().leaves.contains(&refused));
}

/// Waits until the log was offered this leaf, alone or not.
async fn offered(log: &Log, leaf: &[u8]) {
    while !log.state.lock().unwrap().last.iter().any(|last| last == leaf) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_receipt_does_not_wait_for_the_answer_to_the_one_before_it() {
    let log = Log::start().await;
    let mut enclave = Enclave::listen().await;
    let mut view = View::new(&log);
    let _host = start(tempfile::tempdir().unwrap(), &enclave, &log);
    let mut control = greeted(&mut enclave, &view).await;
    log.is_silent.send_replace(true);
    for seq in 0..3 {
        control.send(receipt(seq)).await;
        offered(&log, &receipt_leaf(&envelope(seq))).await;
    }
    // All three are under way; each is submitted once and proved once.
    assert_eq!(log.state.lock().unwrap().submissions, 3);
    log.is_silent.send_replace(false);
    view.until(&mut control, 3).await;
    assert_eq!(log.state.lock().unwrap().submissions, 3);
    view.proven.sort_unstable();
    view.proven.dedup();
    assert_eq!(view.proven.len(), 3);
}

#[tokio::test]
async fn nothing_of_a_boot_is_submitted_beside_its_record() {
    let log = Log::start().await;
    let mut enclave = Enclave::listen().await;
    let mut view = View::new(&log);
    let _host = start(tempfile::tempdir().unwrap(), &enclave, &log);
    let mut control = greeted(&mut enclave, &view).await;
    log.is_silent.send_replace(true);
    let (leaf, message) = record(0);
    control.send(message).await;
    offered(&log, &leaf).await;
    control.send(receipt(0)).await;
    while control.ack().await != (boot(), 0) {}
    // Long enough for a host that does not wait.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(log.state.lock().unwrap().submissions, 1);
    log.is_silent.send_replace(false);
    view.until(&mut control, 2).await;
}

#[tokio::test]
async fn an_enclave_that_settles_without_a_log_is_told_of() {
    let mut enclave = Enclave::listen().await;
    let mut host = Host::start(&enclave.endpoint(), Limits::default());
    let mut control = enclave.control().await;
    control.send(record(0).1).await;
    host.event("the complaint", |event| (*event == Event::LogMissing).then_some(())).await;
}
