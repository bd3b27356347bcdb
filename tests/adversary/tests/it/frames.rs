//! Attacks of the host on the link below TLS: preambles, frames and their ends.

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vouchsafe_link::{Endpoint, FramedStream, SESSION_PORT, dial};

use crate::enclave::Enclave;

fn address(enclave: &Enclave) -> std::net::SocketAddr {
    match enclave.endpoint {
        Endpoint::Tcp(address) => address,
        _ => unreachable!("these enclaves listen on TCP"),
    }
}

async fn drained(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut said = Vec::new();
    // How a connection ends that was never one does not matter here.
    let _ = stream.read_to_end(&mut said).await;
    said
}

/// Promise: who does not name a port, or names another one, gets nothing and holds up nobody.
#[tokio::test]
async fn garbage_preambles_reach_nobody() {
    let enclave = Enclave::honest().await;
    let mut silent = Vec::new();
    for _ in 0..70 {
        // More than may be in their preamble at once: they wait for their time to run out.
        silent.push(TcpStream::connect(address(&enclave)).await.unwrap());
    }
    silent.truncate(40);
    let long = [b"CONNECT 5000".as_slice(), &[b' '; 4096]].concat();
    let garbage: [&[u8]; 7] = [
        b"\n",
        b"CONNECT 22\n",
        b"CONNECT +5000\n",
        b"CONNECT 99999999999999999999\n",
        b"connect 5000\n",
        b"\xff\xff\xff\xff\n",
        &long,
    ];
    for bytes in garbage {
        let mut raw = TcpStream::connect(address(&enclave)).await.unwrap();
        raw.write_all(bytes).await.unwrap();
        assert!(!drained(raw).await.starts_with(b"OK"), "{}", bytes.escape_ascii());
    }
    enclave.serves().await;
    drop(silent);
}

/// Promise: a frame whose length cannot be, an abort, an early end and a cut are errors of their own
/// session, never an end that TLS would take for one, and never more than that.
#[tokio::test]
async fn mutated_frames_end_their_session_alone() {
    let enclave = Enclave::honest().await;
    let frames: [&[u8]; 8] = [
        &[0, 0],
        &[0xff, 0xff],
        &[0xff, 0xfe, 1],
        &[0x40, 0x00, 1],
        &[0, 1],
        &[0, 5, 22, 3, 1, 0, 5, 0, 0],
        &[0, 1, 22, 0, 1, 3, 0xff, 0xff],
        &[0, 0, 0, 1, 22],
    ];
    for bytes in frames {
        let mut raw = dial(&enclave.endpoint, SESSION_PORT).await.unwrap();
        let _ = raw.write_all(bytes).await;
        let _ = raw.shutdown().await;
        let said = drained(raw).await;
        assert!(said.len() < 64, "an alert and an end at most: {said:?}");
    }
    enclave.serves().await;
}

/// Promise: as above, for any bytes as frames. Each case is a session of its own with one enclave, which
/// serves honest clients afterwards. A failing case prints its bytes.
#[test]
fn arbitrary_frames_end_their_session_alone() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let enclave = runtime.block_on(Enclave::configured(r#"{"limits":{"handshake_ms_max":500}}"#));
    let frame = prop_oneof![
        (any::<u16>(), vec(any::<u8>(), 0..64))
            .prop_map(|(length, bytes)| { [length.to_be_bytes().as_slice(), &bytes].concat() }),
        vec(any::<u8>(), 1..64).prop_map(|bytes| {
            [u16::try_from(bytes.len()).unwrap().to_be_bytes().as_slice(), &bytes].concat()
        }),
        Just(vec![0, 0]),
        Just(vec![0xff, 0xff]),
    ];
    let config = ProptestConfig { cases: 200, ..ProptestConfig::default() };
    proptest!(config, |(frames in vec(frame, 0..6))| {
        let said = runtime.block_on(async {
            let mut raw = dial(&enclave.endpoint, SESSION_PORT).await.unwrap();
            let _ = raw.write_all(&frames.concat()).await;
            let _ = raw.shutdown().await;
            drained(raw).await
        });
        prop_assert!(said.len() < 64, "{said:?}");
    });
    runtime.block_on(enclave.serves());
}

/// Promise: what is written before a cut and not ended is never taken for a whole: reading fails.
#[tokio::test]
async fn a_cut_link_is_never_an_end() {
    let (near, far) = tokio::io::duplex(64);
    let (mut near, mut far) = (FramedStream::new(near), FramedStream::new(far));
    near.write_all(b"half").await.unwrap();
    near.flush().await.unwrap();
    drop(near);
    let mut read = Vec::new();
    let error = far.read_to_end(&mut read).await.unwrap_err();
    assert_eq!((read.as_slice(), error.kind()), (b"half".as_slice(), std::io::ErrorKind::UnexpectedEof));
    // The control: with an end it is one.
    let (near, far) = tokio::io::duplex(64);
    let (mut near, mut far) = (FramedStream::new(near), FramedStream::new(far));
    near.write_all(b"whole").await.unwrap();
    near.shutdown().await.unwrap();
    drop(near);
    assert_eq!(far.read_to_end(&mut Vec::new()).await.unwrap(), 5);
}
