//! Sessions: what is forwarded, and how they end.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vouchsafe_host::{Event, Limits};
use vouchsafe_link::{FramedStream, RawStream, SESSION_PORT};

use crate::enclave::{Enclave, Host, soon};

pub(crate) async fn addresses(host: &mut Host) -> (SocketAddr, SocketAddr) {
    let listening = |event: &Event| match event {
        Event::Listening(address) => Some(*address),
        _ => None,
    };
    let metrics = |event: &Event| match event {
        Event::Metrics(address) => Some(*address),
        _ => None,
    };
    (host.event("listening", listening).await, host.event("metrics", metrics).await)
}

async fn session(enclave: &mut Enclave) -> FramedStream<RawStream> {
    FramedStream::new(enclave.accept(SESSION_PORT).await)
}

pub(crate) async fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 7 + seed) % 251).unwrap()).collect()
}

#[tokio::test]
async fn many_sessions_carry_their_bytes_both_ways_and_end_in_order() {
    const SESSIONS: usize = 24;
    const LENGTH: usize = 300_000;
    let mut enclave = Enclave::listen().await;
    let mut host = Host::start(&enclave.endpoint(), Limits::default());
    let (address, metrics) = addresses(&mut host).await;
    let clients: Vec<_> = (0..SESSIONS)
        .map(|seed| {
            tokio::spawn(async move {
                let mut client = TcpStream::connect(address).await.unwrap();
                let (mut read, mut write) = client.split();
                let (sent, mut received) = (bytes(LENGTH, seed), Vec::new());
                let send = async {
                    write.write_all(&sent).await.unwrap();
                    write.shutdown().await.unwrap();
                };
                let (_, count) = tokio::join!(send, read.read_to_end(&mut received));
                count.unwrap();
                assert!(received == sent, "session {seed} got other bytes back");
            })
        })
        .collect();
    let mut echoes = Vec::new();
    for _ in 0..SESSIONS {
        let session = session(&mut enclave).await;
        echoes.push(tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(session);
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            write.shutdown().await.unwrap();
            // The transport is the host's to close.
            let _ = read.read(&mut [0]).await;
        }));
    }
    for client in clients {
        soon("a client's end", client).await.unwrap();
    }
    drop(echoes);
    let text = scrape(metrics).await;
    let total = SESSIONS * LENGTH;
    for line in [
        format!("vouchsafe_host_connections_total {SESSIONS}\n"),
        format!("vouchsafe_host_bytes_total{{direction=\"to_enclave\"}} {total}\n"),
        format!("vouchsafe_host_bytes_total{{direction=\"to_client\"}} {total}\n"),
        "vouchsafe_host_connections_cut_total 0\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{line:?} is not in\n{text}");
    }
    assert_eq!(host.stop().await.1, Ok(()));
}

#[tokio::test]
async fn a_cut_on_one_side_is_a_cut_on_the_other() {
    let mut enclave = Enclave::listen().await;
    let mut host = Host::start(&enclave.endpoint(), Limits::default());
    let (address, _) = addresses(&mut host).await;

    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut far = session(&mut enclave).await;
    far.write_all(b"half an ans").await.unwrap();
    far.flush().await.unwrap();
    let mut received = [0; 11];
    client.read_exact(&mut received).await.unwrap();
    drop(far);
    let error = soon("the client's notice", client.read(&mut [0; 9])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut far = session(&mut enclave).await;
    far.read_exact(&mut [0; 5]).await.unwrap();
    client.set_zero_linger().unwrap();
    drop(client);
    let error = soon("the enclave's notice", far.read(&mut [0; 9])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once_and_places_are_freed() {
    let mut enclave = Enclave::listen().await;
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let mut host = Host::start(&enclave.endpoint(), limits);
    let (address, metrics) = addresses(&mut host).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"1").await.unwrap();
    let mut far = session(&mut enclave).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    assert!(matches!(soon("the refusal", second.read(&mut [0])).await, Ok(0) | Err(_)));
    assert!(scrape(metrics).await.contains("connections_refused_total 1\n"));
    // An orderly end of both directions frees the place.
    first.shutdown().await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(soon("the end", first.read(&mut [0])).await.unwrap(), 0);
    let again = async {
        loop {
            let (mut next, mut byte) = (TcpStream::connect(address).await.unwrap(), [0]);
            let _ = next.write_all(b"3").await;
            tokio::select! {
                _ = next.read(&mut byte) => tokio::time::sleep(Duration::from_millis(5)).await,
                _ = enclave.accept(SESSION_PORT) => return,
            }
        }
    };
    soon("a place", again).await;
}

#[tokio::test]
async fn idle_and_silent_clients_are_cut() {
    let mut enclave = Enclave::listen().await;
    let short = Duration::from_millis(30);
    let limits = Limits { idle: short, first_byte: short, ..Limits::default() };
    let mut host = Host::start(&enclave.endpoint(), limits);
    let (address, _) = addresses(&mut host).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert!(matches!(soon("the cut", silent.read(&mut [0])).await, Ok(0) | Err(_)));
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"once").await.unwrap();
    let mut far = session(&mut enclave).await;
    assert!(soon("the client's cut", idle.read(&mut [0])).await.is_err());
    let mut received = Vec::new();
    let ended = soon("the enclave's cut", far.read_to_end(&mut received)).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionAborted);
    assert_eq!(received, b"once");
}

#[tokio::test]
async fn without_an_enclave_clients_are_turned_away() {
    let enclave = Enclave::listen().await;
    let endpoint = enclave.endpoint();
    drop(enclave);
    let mut host = Host::start(&endpoint, Limits::default());
    let (address, metrics) = addresses(&mut host).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"anyone?").await.unwrap();
    assert!(soon("the refusal", client.read(&mut [0])).await.is_err());
    assert!(scrape(metrics).await.contains("connections_undelivered_total 1\n"));
}

#[tokio::test]
async fn a_host_that_stops_lets_sessions_end_and_accepts_no_new_ones() {
    let mut enclave = Enclave::listen().await;
    let limits = Limits { drain: Duration::from_secs(600), ..Limits::default() };
    let mut host = Host::start(&enclave.endpoint(), limits);
    let (address, _) = addresses(&mut host).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"question").await.unwrap();
    let mut far = session(&mut enclave).await;
    let stopping = tokio::spawn(host.stop());
    // Once nobody listens any more the host is draining.
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    soon("the refusal of new connections", refused).await;
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    let mut answer = Vec::new();
    soon("the answer", client.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"answer");
    client.shutdown().await.unwrap();
    drop(client);
    assert_eq!(soon("the host's end", stopping).await.unwrap().1, Ok(()));
}

#[tokio::test]
async fn sessions_that_do_not_end_are_cut_when_their_time_is_over() {
    let mut enclave = Enclave::listen().await;
    let limits = Limits { drain: Duration::from_millis(20), ..Limits::default() };
    let mut host = Host::start(&enclave.endpoint(), limits);
    let (address, _) = addresses(&mut host).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"question").await.unwrap();
    let _far = session(&mut enclave).await;
    assert_eq!(host.stop().await.1, Ok(()));
    assert!(matches!(soon("the cut", client.read(&mut [0])).await, Ok(0) | Err(_)));
}
