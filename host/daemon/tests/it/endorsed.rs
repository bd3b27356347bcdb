//! Boots whose machine brings no endorsements along: this host fetches them, and the log gets both.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vouchsafe_host::{CollateralConfig, Event, Limits};
use vouchsafe_link::control::{EnclaveMessage, HostMessage};
use vouchsafe_receipt::records::{evidence_blob, parse_endorsements_blob};
use vouchsafe_receipt::{
    AttestedStatement, BootRecord, EndorsementsRecord, Envelope, Leaf, PayloadType, endorsements_leaf,
    envelope_leaf,
};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, to_base64};
use vouchsafe_verifier::{UnixSeconds, verify};

use crate::enclave::{Enclave, Host, boot, soon};
use crate::log::Log;
use crate::service::{self, Mood, Service};
use crate::settle::record;

fn yesterday() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 86_400)
}

/// The record of a boot on the service's machine, as an enclave sends it that has no endorsements.
fn boot_record(service: &Service) -> (Vec<u8>, EnclaveMessage) {
    let statement = Base64(b"a statement".to_vec());
    let attested = AttestedStatement { statement, evidence: service.evidence.clone() };
    let payload = BootRecord::of([0xab; 32], &attested, &Ring).to_bytes();
    let leaf = envelope_leaf(&Envelope::new(PayloadType::Boot, payload, [0xab; 32], [1; 64])).unwrap();
    let blobs = [attested.statement.0, evidence_blob(&attested.evidence)];
    let blobs = blobs.iter().map(|blob| to_base64(blob)).collect();
    let message = EnclaveMessage::Record { boot: boot(), number: 0, leaf: to_base64(&leaf), blobs };
    (leaf, message)
}

fn host(enclave: &Enclave, log: &Log, service: &Service) -> Host {
    let folder = tempfile::tempdir().unwrap();
    let collateral = CollateralConfig { sources: service.sources(), cache: folder.path().join("collateral") };
    Host::start_endorsing(folder, &enclave.endpoint(), Limits::default(), Some(log.url.clone()), collateral)
}

#[tokio::test]
async fn a_boot_goes_to_the_log_with_what_vouches_for_its_machine() {
    let endorsed = yesterday();
    let service = service::intel(endorsed);
    let log = Log::start().await;
    let mut enclave = Enclave::listen().await;
    let _host = host(&enclave, &log, &service);
    let mut control = enclave.control().await;
    control.send(EnclaveMessage::Verified { boot: boot(), size: 0 }).await;
    let (boot_leaf, message) = boot_record(&service);
    let (next_leaf, next) = record(1);
    control.send(message).await;
    control.send(next).await;

    // The enclave gets them before it is ready: it cannot become so without them.
    let json = loop {
        if let HostMessage::Endorsements { json } = control.next().await.expect("the host goes on") {
            break json;
        }
    };
    let stapled = serde_json::from_str(&json).unwrap();
    let at = UnixSeconds(endorsed.0 + 3600);
    verify(&service.evidence, Some(&stapled), &service.roots, at, &Ring).unwrap();

    let three = async {
        loop {
            let leaves = log.state.lock().unwrap().leaves.clone();
            if leaves.len() >= 3 {
                return leaves;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let leaves = tokio::select! {
        leaves = soon("three leaves", three) => leaves,
        () = control.stay_healthy() => unreachable!(),
    };
    let expected = endorsements_leaf(&EndorsementsRecord::of([0xab; 32], &stapled, &Ring));
    assert_eq!(leaves, [boot_leaf, expected, next_leaf], "in the order in which a log takes them");
    let Ok(Leaf::Endorsements(named)) = Leaf::parse(&leaves[1]) else { panic!("endorsements") };
    let blob = log.state.lock().unwrap().blobs.get(&named.endorsements.0).cloned().unwrap();
    assert_eq!(Ring.sha256(&blob), named.endorsements.0);
    assert_eq!(parse_endorsements_blob(&blob).unwrap(), stapled);
}

#[tokio::test]
async fn until_somebody_vouches_for_its_machine_a_boot_waits() {
    let service = service::intel(yesterday());
    service.set(Mood::Down);
    let log = Log::start().await;
    let mut enclave = Enclave::listen().await;
    let mut host = host(&enclave, &log, &service);
    let mut control = enclave.control().await;
    control.send(EnclaveMessage::Verified { boot: boot(), size: 0 }).await;
    control.send(boot_record(&service).1).await;
    control.send(record(1).1).await;
    host.event("the complaint", |event| matches!(event, Event::CollateralFailing(_)).then_some(())).await;
    // An answer to what was sent after both says that the host has read them.
    while !matches!(control.next().await.expect("the host goes on"), HostMessage::HealthRequest {}) {}
    // Long enough for a host that does not wait.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(log.state.lock().unwrap().submissions, 0, "a log would refuse it, and all that follows it");
}
