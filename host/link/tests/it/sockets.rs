//! Dialling and listening over real sockets.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use vouchsafe_link::{
    Backoff, CONTROL_PORT, Endpoint, Error, FramedStream, Listener, Port, SESSION_PORT, dial, dial_retrying,
};

fn unix(folder: &tempfile::TempDir) -> Endpoint {
    Endpoint::Unix(folder.path().join("link.sock"))
}

async fn exchange(endpoint: &Endpoint) {
    let mut listener = Listener::bind(endpoint).await.unwrap();
    let endpoint = listener.endpoint().clone();
    for port in [SESSION_PORT, CONTROL_PORT] {
        let (dialled, (accepted, enclave)) = tokio::join!(dial(&endpoint, port), listener.accept());
        assert_eq!(accepted, port);
        let (mut host, mut enclave) = (FramedStream::new(dialled.unwrap()), FramedStream::new(enclave));
        host.write_all(b"ping").await.unwrap();
        host.shutdown().await.unwrap();
        let mut received = Vec::new();
        enclave.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"ping");
    }
}

#[tokio::test]
async fn sessions_and_control_over_unix_and_tcp() {
    let folder = tempfile::tempdir().unwrap();
    exchange(&unix(&folder)).await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the socket's file is removed");
    exchange(&"tcp:127.0.0.1:0".parse().unwrap()).await;
}

#[tokio::test]
async fn who_is_not_there_yet_is_told_apart_from_who_never_will_be() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = unix(&folder);
    let absent = dial(&endpoint, SESSION_PORT).await.unwrap_err();
    assert!(absent.is_transient() && absent.code() == "endpoint_unreachable", "{absent:?}");

    let mut listener = Listener::bind(&endpoint).await.unwrap();
    let other = Port(1);
    let refused = tokio::select! {
        refused = dial(&endpoint, other) => refused.unwrap_err(),
        _ = listener.accept() => panic!("a connection to no port of ours was reported"),
    };
    assert_eq!(
        refused,
        Error::NotListening { endpoint: endpoint.clone(), port: other, reply: String::new() }
    );
    assert!(refused.is_transient());

    let second = Listener::bind(&endpoint).await.unwrap_err();
    assert_eq!(second.code(), "endpoint_unreachable");
}

#[tokio::test]
async fn dialling_goes_on_until_somebody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = unix(&folder);
    let backoff = Backoff { first: Duration::from_millis(1), ..Backoff::default() };
    let listen = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Listener::bind(&endpoint).await.unwrap().accept().await.0
    };
    let (dialled, accepted) = tokio::join!(dial_retrying(&endpoint, CONTROL_PORT, backoff), listen);
    assert!(dialled.is_ok());
    assert_eq!(accepted, CONTROL_PORT);

    let never = Backoff { give_up_after: Duration::from_millis(5), ..backoff };
    let absent = dial_retrying(&unix(&tempfile::tempdir().unwrap()), CONTROL_PORT, never).await;
    assert_eq!(absent.unwrap_err().code(), "endpoint_unreachable");
}

#[tokio::test]
async fn silent_connections_hold_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = unix(&folder);
    let mut listener = Listener::bind(&endpoint).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(UnixStream::connect(folder.path().join("link.sock")).await.unwrap());
    }
    let (dialled, (accepted, _)) = tokio::join!(dial(&endpoint, SESSION_PORT), listener.accept());
    assert!(dialled.is_ok());
    assert_eq!(accepted, SESSION_PORT);
}
