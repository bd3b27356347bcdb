//! The control connection: readiness, receipts, reconnection.

use vouchsafe_host::{Error, Event, Limits};
use vouchsafe_link::CONTROL_PORT;
use vouchsafe_link::control::{EnclaveMessage, Hello, HostMessage, PROTOCOL, Receiver, Sender};

use crate::enclave::{Enclave, Host, boot, stored};

fn receipt(seq: u64) -> EnclaveMessage {
    EnclaveMessage::Receipt { boot: boot(), seq, envelope: format!("{{\"seq\":{seq}}}") }
}

#[tokio::test]
async fn progress_and_readiness_are_told_once() {
    let mut enclave = Enclave::listen().await;
    let mut host = Host::start(&enclave.endpoint(), Limits::default());
    let mut control = enclave.control().await;
    control.send(EnclaveMessage::Loading { stage: "weights".into(), done: 3, total: 9 }).await;
    control.send(EnclaveMessage::Ready { boot: boot() }).await;
    control.send(EnclaveMessage::Ready { boot: boot() }).await;
    let loading =
        host.event("loading", |event| event.to_string().starts_with("loading").then(|| event.clone())).await;
    assert_eq!(loading, Event::Loading { done: 3, total: 9 });
    let ready =
        host.event("ready", |event| event.to_string().starts_with("ready").then(|| event.to_string())).await;
    assert_eq!(ready, format!("ready boot={}", boot()));
    drop(control);
    // Nothing more was said until the connection was lost.
    let next = host.event("an event", |event| Some(event.clone())).await;
    assert!(matches!(next, Event::ControlLost(_)), "{next:?}");
}

#[tokio::test]
async fn a_receipt_is_on_disk_before_it_is_acknowledged() {
    let mut enclave = Enclave::listen().await;
    let host = Host::start(&enclave.endpoint(), Limits::default());
    let mut control = enclave.control().await;
    control.send(receipt(0)).await;
    assert_eq!(control.ack().await, (boot(), 0));
    assert_eq!(stored(host.folder.path()), [0]);
    for seq in 1..400 {
        control.send(receipt(seq)).await;
    }
    let mut acknowledged = 0;
    while acknowledged < 399 {
        let (of, seq) = control.ack().await;
        assert!(of == boot() && seq > acknowledged, "acknowledgements ascend");
        acknowledged = seq;
        assert!(stored(host.folder.path()).contains(&seq));
    }
    let (folder, ended) = host.stop().await;
    assert_eq!(ended, Ok(()));
    assert_eq!(stored(folder.path()), (0..400).collect::<Vec<_>>());
}

#[tokio::test]
async fn after_a_lost_connection_or_a_restart_nothing_is_doubled() {
    let mut enclave = Enclave::listen().await;
    let mut host = Host::start(&enclave.endpoint(), Limits::default());
    let mut control = enclave.control().await;
    control.send(receipt(0)).await;
    control.send(receipt(1)).await;
    while control.ack().await != (boot(), 1) {}
    drop(control);
    host.event("the loss", |event| matches!(event, Event::ControlLost(_)).then_some(())).await;

    let mut control = enclave.control().await;
    control.send(receipt(1)).await;
    control.send(receipt(2)).await;
    while control.ack().await != (boot(), 2) {}
    let (folder, ended) = host.stop().await;
    assert_eq!(ended, Ok(()));

    let host = Host::start_in(folder, &enclave.endpoint(), Limits::default());
    let mut control = enclave.control().await;
    control.send(receipt(2)).await;
    assert_eq!(control.ack().await, (boot(), 2));
    control.send(receipt(3)).await;
    assert_eq!(control.ack().await, (boot(), 3));
    assert_eq!(stored(host.folder.path()), [0, 1, 2, 3]);
}

#[tokio::test]
async fn an_enclave_of_another_protocol_is_refused_for_good() {
    let mut enclave = Enclave::listen().await;
    let host = Host::start(&enclave.endpoint(), Limits::default());
    let (reader, writer) = tokio::io::split(enclave.accept(CONTROL_PORT).await);
    let (mut receiver, mut sender) = (Receiver::new(reader), Sender::new(writer));
    assert!(matches!(receiver.receive().await, Ok(Some(HostMessage::Hello(_)))));
    let found = PROTOCOL + 1;
    let hello = Hello { protocol: found, software: "from the future".into() };
    sender.send(&EnclaveMessage::Hello(hello)).await.unwrap();
    let error = host.ended().await.unwrap_err();
    assert_eq!(error, Error::Control(vouchsafe_link::Error::Protocol { found, known: PROTOCOL }));
    assert_eq!(error.exit_code(), 3);
}

#[tokio::test]
async fn a_receipt_that_no_enclave_sends_is_refused() {
    let mut enclave = Enclave::listen().await;
    let host = Host::start(&enclave.endpoint(), Limits::default());
    let mut control = enclave.control().await;
    let envelope = "x".repeat(20_000);
    control.send(EnclaveMessage::Receipt { boot: boot(), seq: 0, envelope }).await;
    let error = host.ended().await.unwrap_err();
    assert!(matches!(error, Error::ReceiptTooLong { seq: 0, length: 20_000, .. }), "{error}");
}
