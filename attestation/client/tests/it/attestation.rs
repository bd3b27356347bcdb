//! Who is believed to be an enclave, and that nobody else is asked anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use vouchsafe_client::{Error, Request};

use crate::enclave::{Enclave, Fault, client};

pub(crate) fn question() -> Request {
    Request::post_json("/v1/chat/completions", r#"{"messages":["secret"]}"#)
}

/// Asks an enclave with a fault; gives why it was refused. It must not have been asked anything.
async fn refusal(fault: Fault) -> Error {
    let enclave = Enclave::start(Some(fault)).await;
    let error = enclave.client().ask(&question()).await.map(drop).unwrap_err();
    assert_eq!(enclave.requests(), 0, "a request was sent to an enclave that was refused: {error}");
    error
}

#[tokio::test]
async fn an_honest_enclave_is_accepted_and_attested_once() {
    let enclave = Enclave::honest().await;
    let client = enclave.client();
    let attested = client.attest().await.unwrap();
    assert!(attested.boot.simulated() && attested.boot.verdict().is_accepted());
    for _ in 0..3 {
        assert!(client.ask(&question()).await.unwrap().0.is_accepted());
    }
    assert_eq!((enclave.attestations(), enclave.requests()), (1, 3));
}

#[tokio::test]
async fn a_certificate_whose_key_is_not_attested_is_refused() {
    assert_eq!(refusal(Fault::OtherTlsKey).await.code(), "tls_key_mismatch");
}

#[tokio::test]
async fn evidence_of_another_session_is_refused() {
    let error = refusal(Fault::ReplayedEvidence).await;
    assert_eq!(error.code(), "challenge_nonce_mismatch", "{error}");
    assert!(error.is_refusal());
}

#[tokio::test]
async fn evidence_without_an_answer_to_the_challenge_is_refused() {
    assert_eq!(refusal(Fault::NoChallenge).await.code(), "challenge_missing");
}

#[tokio::test]
async fn a_document_that_is_none_is_refused() {
    assert_eq!(refusal(Fault::GarbageDocument).await.code(), "attestation_document_malformed");
}

/// A server that chooses TLS 1.2: its hello has that version and no extension that says otherwise
/// (RFC 5246, section 7.4.1.3; RFC 8446, section 4.1.3).
async fn older_server() -> std::net::SocketAddr {
    let body = [&[3, 3], [7; 32].as_slice(), &[0], &[0xc0, 0x2b], &[0]].concat();
    let length = u8::try_from(body.len()).unwrap();
    let hello = [&[22, 3, 3, 0, length + 4, 2, 0, 0, length], body.as_slice()].concat();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.read(&mut [0; 4096]).await;
            let _ = client.write_all(&hello).await;
            let _ = client.read(&mut [0; 4096]).await;
        }
    });
    address
}

#[tokio::test]
async fn an_older_tls_is_refused() {
    let error = client(older_server().await).ask(&question()).await.map(drop).unwrap_err();
    assert_eq!(error.code(), "tls_handshake_failed");
    assert!(error.to_string().contains("Tls"), "refused for its version and nothing else: {error}");
}

#[tokio::test]
async fn an_enclave_of_another_root_is_refused() {
    let enclave = Enclave::honest().await;
    let mut document = crate::signer::policy().into_document();
    document.trust.simulated_roots = vouchsafe_bundle::policy::Rule::Require(vec![]);
    let policy = vouchsafe_bundle::Policy::new(document).unwrap();
    let address = enclave.address.to_string();
    let options = vouchsafe_client::Options {
        address,
        policy,
        extra_roots: Vec::new(),
        revocations: None,
        image: None,
    };
    let client = vouchsafe_client::Client::new(options).unwrap();
    let error = client.ask(&question()).await.map(drop).unwrap_err();
    assert!(matches!(&error, Error::NotAccepted(verdict) if !verdict.is_accepted()), "{error}");
    assert_eq!((error.code(), enclave.requests()), ("snp_root_not_trusted", 0));
}

#[tokio::test]
async fn nobody_there_is_told_from_somebody_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client(address).attest().await.map(drop).unwrap_err();
    assert!(error.code() == "enclave_unreachable" && !error.is_refusal(), "{error}");
}

/// Forwards to the enclave, with one byte flipped that travels to the client.
async fn flipping(enclave: &Enclave, flipped: usize) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, enclave) = (listener.local_addr().unwrap(), enclave.address);
    let passed = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let passed = Arc::clone(&passed);
            tokio::spawn(async move {
                let enclave = TcpStream::connect(enclave).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_enclave, mut to_enclave) = enclave.into_split();
                let up = async { tokio::io::copy(&mut from_client, &mut to_enclave).await.map(drop) };
                let down = async {
                    let mut buffer = [0; 1024];
                    loop {
                        let count = from_enclave.read(&mut buffer).await?;
                        if count == 0 {
                            return to_client.shutdown().await;
                        }
                        let before = passed.fetch_add(count, Ordering::SeqCst);
                        if (before..before + count).contains(&flipped) {
                            buffer[flipped - before] ^= 0x10;
                        }
                        to_client.write_all(&buffer[..count]).await?;
                    }
                };
                let _ = tokio::try_join!(up, down);
            });
        }
    });
    address
}

#[tokio::test]
async fn a_host_that_changes_one_byte_of_ciphertext_only_breaks_the_connection() {
    let enclave = Enclave::honest().await;
    // Within the handshake, within the evidence, and within the answer after it.
    for flipped in [50, 400, 700, 3_000, 6_000] {
        let error = client(flipping(&enclave, flipped).await).ask(&question()).await.map(drop).unwrap_err();
        let codes = ["tls_handshake_failed", "connection_failed", "attestation_document_malformed"];
        assert!(codes.contains(&error.code()), "byte {flipped}: {error} ({})", error.code());
    }
    // The control: a byte that never comes.
    let untouched = client(flipping(&enclave, usize::MAX).await).ask(&question()).await;
    assert!(untouched.unwrap().0.is_accepted());
}

#[tokio::test]
async fn a_new_boot_at_the_same_address_is_attested_before_it_is_asked() {
    let first = Enclave::honest().await;
    let (client, address) = (first.client(), first.address);
    assert!(client.ask(&question()).await.unwrap().0.is_accepted());
    drop(first);
    let second = Enclave::start_at(address, None).await;
    assert!(client.ask(&question()).await.unwrap().0.is_accepted());
    assert_eq!((second.attestations(), second.requests()), (1, 1));
    drop(second);
    let third = Enclave::start_at(address, Some(Fault::OtherTlsKey)).await;
    let error = client.ask(&question()).await.map(drop).unwrap_err();
    assert_eq!((error.code(), third.requests()), ("tls_key_mismatch", 0));
}

#[tokio::test]
async fn many_first_requests_at_once_cost_one_attestation() {
    let enclave = Enclave::honest().await;
    let client = Arc::new(enclave.client());
    let asking: Vec<_> = (0..12)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.ask(&question()).await.unwrap().0.is_accepted() })
        })
        .collect();
    for asked in asking {
        assert!(asked.await.unwrap());
    }
    assert_eq!((enclave.attestations(), enclave.requests()), (1, 12));
}
