//! Attacks of somebody who ends TLS himself and shows evidence that is not his own.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use vouchsafe_adversary::Impostor;
use vouchsafe_adversary::middle::{Middle, server_config_with};
use vouchsafe_bundle::{Inputs, Verdict, VerifiedBoot, appraise_document};
use vouchsafe_client::Error;
use vouchsafe_key_exchange::server_provider;
use vouchsafe_receipt::{AttestationDocument, BootStatement};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex, from_hex};

use crate::enclave::{Enclave, client, question};
use crate::fetch::document;
use crate::machine::{now, policy};

/// Judges a document as a client does that sent `nonce`.
fn judge(document: &AttestationDocument, nonce: &[u8; 32]) -> Result<VerifiedBoot, Box<Verdict>> {
    appraise_document(document, &policy(), Some(nonce), &Inputs::new(now()), &Ring)
}

fn code(document: &AttestationDocument, nonce: &[u8; 32]) -> Option<&'static str> {
    judge(document, nonce).map(drop).unwrap_err().code()
}

/// Asks an impostor; he must be refused, and must not have been told anything but a nonce.
async fn refused(impostor: &Impostor) -> Error {
    let error = client(impostor.address).ask(&question("secret")).await.map(drop).unwrap_err();
    let asked = impostor.asked();
    assert!(!asked.is_empty(), "he was never asked for evidence: {error}");
    for line in asked {
        assert!(line.starts_with("GET /.well-known/vouchsafe/attestation?nonce="), "he was told: {line}");
    }
    error
}

fn nonce_of(path: &str) -> [u8; 32] {
    let digits = path.rsplit_once("nonce=").unwrap().1;
    from_hex(digits).unwrap()
}

/// Promise: TLS ends inside the enclave. A man in the middle with a key of his own relays everything,
/// the client's challenge included, so that the evidence is genuine, fresh and answers the very nonce;
/// but the boot statement in it names the enclave's TLS key, and his is another.
#[tokio::test]
async fn a_man_in_the_middle_is_refused_for_his_key() {
    let enclave = Enclave::honest().await;
    let faithful = Arc::new(|bytes: Vec<u8>| bytes);
    let middle = Middle::start(enclave.endpoint.clone(), faithful).await.unwrap();
    let client = client(middle.address);
    let error = client.ask(&question("secret")).await.map(drop).unwrap_err();
    assert_eq!(error.code(), "tls_key_mismatch", "{error}");
    // The control: the same evidence over the session that it is of.
    enclave.serves().await;
}

/// Promise: as above. So he writes his own key into the boot statement: the report does not bind it.
#[tokio::test]
async fn a_boot_statement_with_another_key_is_not_the_reported_one() {
    let enclave = Enclave::honest().await;
    let nonce = [1; 32];
    let genuine = document(&enclave.endpoint, &nonce).await;
    assert!(judge(&genuine, &nonce).is_ok(), "the control");
    let mut forged = genuine.clone();
    let mut statement = BootStatement::parse(&forged.boot.statement.0, &Ring).unwrap();
    *statement.keys.tls.0.last_mut().unwrap() ^= 1;
    forged.boot.statement = Base64(statement.to_bytes());
    assert_eq!(code(&forged, &nonce), Some("boot_report_data_mismatch"));
}

/// Promise: evidence is of this session, now. What was recorded of an earlier session answers another
/// nonce: each nonce is derived from fresh randomness and from its own session's exporter.
#[tokio::test]
async fn evidence_of_another_session_is_refused() {
    let enclave = Enclave::honest().await;
    let recorded = document(&enclave.endpoint, &[7; 32]).await;
    assert!(judge(&recorded, &[7; 32]).is_ok(), "the control");
    let recorded = serde_json::to_vec(&recorded).unwrap();
    let impostor = Impostor::start(move |_| std::future::ready(recorded.clone())).await.unwrap();
    assert_eq!(refused(&impostor).await.code(), "challenge_nonce_mismatch");
}

/// Promise: as above. So he writes the client's nonce into the recorded answer: the fresh report covers
/// another one.
#[tokio::test]
async fn a_nonce_written_into_recorded_evidence_is_not_covered() {
    let enclave = Enclave::honest().await;
    let recorded = document(&enclave.endpoint, &[7; 32]).await;
    let impostor = Impostor::start(move |path| {
        let mut forged = recorded.clone();
        if let Some(challenge) = &mut forged.challenge {
            challenge.nonce = Hex(nonce_of(&path));
        }
        std::future::ready(serde_json::to_vec(&forged).unwrap())
    })
    .await
    .unwrap();
    assert_eq!(refused(&impostor).await.code(), "challenge_report_data_mismatch");
}

/// Promise: as above. Evidence without any answer to the challenge is not asked to be believed.
#[tokio::test]
async fn evidence_without_a_challenge_is_refused() {
    let enclave = Enclave::honest().await;
    let mut recorded = document(&enclave.endpoint, &[7; 32]).await;
    recorded.challenge = None;
    let recorded = serde_json::to_vec(&recorded).unwrap();
    let impostor = Impostor::start(move |_| std::future::ready(recorded.clone())).await.unwrap();
    assert_eq!(refused(&impostor).await.code(), "challenge_missing");
}

/// Promise: what a client is shown is one enclave. Parts of the documents of two genuine enclaves do
/// not make a third: statements and reports name each other.
#[tokio::test]
async fn evidence_of_two_enclaves_does_not_mix() {
    let (a, b) = (Enclave::honest().await, Enclave::honest().await);
    let nonce = [9; 32];
    let (a, b) = (document(&a.endpoint, &nonce).await, document(&b.endpoint, &nonce).await);
    assert!(judge(&a, &nonce).is_ok() && judge(&b, &nonce).is_ok(), "the controls");
    let mixed = |change: &dyn Fn(&mut AttestationDocument)| {
        let mut mixed = a.clone();
        change(&mut mixed);
        code(&mixed, &nonce)
    };
    let boot = mixed(&|mixed| mixed.boot = b.boot.clone());
    let epoch = mixed(&|mixed| mixed.epoch = b.epoch.clone());
    let challenge = mixed(&|mixed| mixed.challenge = b.challenge.clone());
    let statement = mixed(&|mixed| mixed.boot.statement = b.boot.statement.clone());
    let report = mixed(&|mixed| mixed.boot.evidence = b.boot.evidence.clone());
    let epoch_report = mixed(&|mixed| mixed.epoch.evidence = b.epoch.evidence.clone());
    assert_eq!(boot, Some("machine_mismatch"));
    assert_eq!(epoch, Some("machine_mismatch"));
    assert_eq!(challenge, Some("machine_mismatch"));
    assert_eq!(statement, Some("boot_report_data_mismatch"));
    assert_eq!(report, Some("machine_mismatch"));
    assert_eq!(epoch_report, Some("machine_mismatch"));
}

/// Promise: as above, where both enclaves run as the same guest of the same machine, so that the
/// reports alone do not tell them apart: the epoch statement names its boot statement's digest, and the
/// challenge report covers its epoch statement.
#[tokio::test]
async fn evidence_of_two_boots_of_one_guest_does_not_mix() {
    let machine = crate::machine::snp();
    let boot = |machine: &vouchsafe_simulator::amd::SnpMachine| crate::enclave::Boot {
        machine: machine.clone(),
        ..Default::default()
    };
    let (a, b) = (boot(&machine).start().await, boot(&machine).start().await);
    let nonce = [9; 32];
    let (a, b) = (document(&a.endpoint, &nonce).await, document(&b.endpoint, &nonce).await);
    let mut epoch = a.clone();
    epoch.epoch = b.epoch.clone();
    assert_eq!(code(&epoch, &nonce), Some("epoch_of_other_boot"));
    let mut challenge = a.clone();
    challenge.challenge = b.challenge.clone();
    assert_eq!(code(&challenge, &nonce), Some("challenge_report_data_mismatch"));
    assert!(judge(&a, &nonce).is_ok(), "the control");
}

/// Promise: hostile bytes are refused, whatever they are, and told nothing.
#[tokio::test]
async fn a_document_of_garbage_is_refused() {
    let enclave = Enclave::honest().await;
    let genuine = serde_json::to_string(&document(&enclave.endpoint, &[1; 32]).await).unwrap();
    let twice = genuine.replacen('{', r#"{"version":1,"#, 1);
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let cut = genuine.get(..genuine.len() / 2).unwrap().to_owned();
    for garbage in [String::new(), "{}".into(), "\u{0}".into(), twice, deep, cut] {
        let impostor =
            Impostor::start(move |_| std::future::ready(garbage.clone().into_bytes())).await.unwrap();
        assert_eq!(refused(&impostor).await.code(), "attestation_document_malformed");
    }
    // The control, which is malformed in nothing: refused for its nonce and not for its form.
    let impostor = Impostor::start(move |_| std::future::ready(genuine.clone().into_bytes())).await.unwrap();
    assert_eq!(refused(&impostor).await.code(), "challenge_nonce_mismatch");
}

/// Promise: the operator of the middle cannot lie about which nonce was asked: the client compares it
/// with the one that it derived from its own end of the session. Here he asks the genuine enclave
/// with the nonce of his own leg, as an honest relay of two sessions would have to.
#[tokio::test]
async fn evidence_for_the_middles_own_leg_is_refused() {
    let enclave = Enclave::honest().await;
    let endpoint = enclave.endpoint.clone();
    let impostor = Impostor::start(move |_| {
        let endpoint = endpoint.clone();
        async move { serde_json::to_vec(&document(&endpoint, &[0x3d; 32]).await).unwrap() }
    })
    .await
    .unwrap();
    assert_eq!(refused(&impostor).await.code(), "challenge_nonce_mismatch");
}

/// Promise: what is recorded today stays closed. Somebody between client and enclave who has only to wait
/// for a quantum computer offers a key exchange that it opens; the client offers none such, and no session
/// comes about in which anything could be said.
#[tokio::test]
async fn a_key_exchange_that_waits_for_a_quantum_computer_is_refused() {
    async fn shake(provider: CryptoProvider) -> (Error, bool) {
        let acceptor = TlsAcceptor::from(Arc::new(server_config_with(provider).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(listener.local_addr().unwrap());
        let question = question("secret");
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            acceptor.accept(stream).await.is_ok()
        };
        let (asked, is_shaken) = tokio::join!(client.ask(&question), server);
        (asked.map(drop).unwrap_err(), is_shaken)
    }
    let (error, is_shaken) = shake(ring::default_provider()).await;
    assert_eq!((error.code(), is_shaken), ("tls_handshake_failed", false), "{error}");
    // The control: the same server with the hybrid gets as far as being asked who he is.
    let (error, is_shaken) = shake(server_provider()).await;
    assert!(is_shaken && error.code() != "tls_handshake_failed", "{error}");
}
