//! What an enclave presents of itself, and the TLS it presents it over.

use std::sync::Arc;

use rustls::ProtocolVersion;
use rustls::client::Resumption;
use vouchsafe_enclave::Config;
use vouchsafe_receipt::{AttestationDocument, BootStatement, EpochStatement, report_data};
use vouchsafe_translog::merkle;
use vouchsafe_verifier::Evidence;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::to_hex;

use crate::client::{Client, Enclave, chat, config, connect, connect_with, manifest};

/// The report data of the echo attester's evidence.
fn report_data_of(evidence: &Evidence) -> Vec<u8> {
    let Evidence::SevSnp { report } = evidence else { panic!("other evidence") };
    report.0.clone()
}

#[tokio::test]
async fn the_document_binds_statements_keys_and_nonce() {
    let configuration = Config::parse(br#"{"operator":"example.org"}"#).unwrap();
    let enclave = Enclave::with(configuration.clone()).await;
    let tls = connect(enclave.stream(64 * 1024)).await;
    let certificate = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let mut client = Client::over(tls).await;
    let nonce = [0xab; 32];
    let reply = client.get(&format!("/.well-known/vouchsafe/attestation?nonce={}", to_hex(&nonce))).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let document: AttestationDocument = serde_json::from_slice(&reply.body).unwrap();

    let boot_bytes = &document.boot.statement.0;
    let boot = BootStatement::parse(boot_bytes, &Ring).unwrap();
    assert_eq!(report_data_of(&document.boot.evidence), report_data::boot(boot_bytes, &Ring));
    assert_eq!(to_hex(&boot.boot.0), enclave.server.boot_id());
    assert_eq!(boot.configuration.0, configuration.digest(&Ring));
    assert_eq!(boot.operator.as_deref(), Some("example.org"));
    assert_eq!(boot.models, [manifest("script"), manifest("figures")]);
    let key = &boot.keys.tls.0;
    assert!(certificate.windows(key.len()).any(|window| window == key), "the session's key is another");

    let epoch_bytes = &document.epoch.statement.0;
    let epoch = EpochStatement::parse(epoch_bytes).unwrap();
    assert_eq!(report_data_of(&document.epoch.evidence), report_data::epoch(epoch_bytes, &Ring));
    assert_eq!((epoch.epoch, &epoch.checkpoint), (0, &None));
    assert_eq!(epoch.boot_statement.0, Ring.sha256(boot_bytes));

    let challenge = document.challenge.unwrap();
    assert_eq!((challenge.leaf_index, challenge.tree_size, challenge.path.len()), (0, 1, 0));
    let root = merkle::leaf_hash(&nonce, &Ring);
    let expected = report_data::challenge(epoch_bytes, &root, &Ring);
    assert_eq!(report_data_of(&challenge.evidence), expected);
}

#[tokio::test]
async fn a_nonce_of_another_form_is_refused() {
    let enclave = Enclave::start().await;
    let mut client = enclave.client().await;
    for query in ["nonce=", "nonce=00", "x=1", "", &format!("nonce={}", "0G".repeat(32))] {
        let reply = client.get(&format!("/.well-known/vouchsafe/attestation?{query}")).await;
        assert_eq!((reply.status.as_u16(), reply.error_code().as_str()), (400, "invalid_value"), "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn epochs_are_renewed_and_receipts_name_theirs() {
    let enclave = Enclave::with(Config::parse(br#"{"epoch_seconds":100}"#).unwrap()).await;
    let mut client = enclave.client().await;
    let key = client.key().await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let document = client.document().await;
        let epoch = EpochStatement::parse(&document.epoch.statement.0).unwrap().epoch;
        let reply = client.post("/v1/chat/completions", &chat("say x", "")).await;
        let checked = reply.receipt("/v1/chat/completions", &chat("say x", ""), &key);
        assert_eq!(checked.payload.epoch, epoch);
        seen.push(epoch);
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        client = enclave.client().await;
    }
    assert_eq!(seen, [0, 1, 2]);
}

#[tokio::test]
async fn sessions_are_tls_1_3_and_http_1_1_only() {
    let enclave = Enclave::start().await;
    let tls = connect(enclave.stream(64 * 1024)).await;
    assert_eq!(tls.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let mut other = config();
    other.alpn_protocols = vec![b"h2".to_vec()];
    assert!(connect_with(enclave.stream(64 * 1024), other).await.is_err());
    let mut none = config();
    none.alpn_protocols = Vec::new();
    assert!(connect_with(enclave.stream(64 * 1024), none).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn tickets_resume_within_the_epoch_and_not_beyond_it() {
    let enclave = Enclave::with(Config::parse(br#"{"epoch_seconds":100}"#).unwrap()).await;
    let mut resuming = config();
    resuming.resumption = Resumption::in_memory_sessions(8);
    resuming.enable_early_data = true;
    let resuming = Arc::new(resuming);
    let attempt = async || {
        let tls =
            connect_with(enclave.stream(64 * 1024), rustls::ClientConfig::clone(&resuming)).await.unwrap();
        let kind = tls.get_ref().1.handshake_kind().unwrap();
        assert!(!tls.get_ref().1.is_early_data_accepted());
        // The ticket comes after the handshake: a request makes sure that it was read.
        Client::over(tls).await.get("/healthz").await;
        kind
    };
    assert_eq!(attempt().await, rustls::HandshakeKind::Full);
    assert_eq!(attempt().await, rustls::HandshakeKind::Resumed);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(attempt().await, rustls::HandshakeKind::Full);
}
