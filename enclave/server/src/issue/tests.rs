//! The issuer under a throwaway key: what it signs verifies, in order, whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use vouchsafe_platform::{AttestError, Attestation, Attester, Platform, Tee};
use vouchsafe_receipt::stream::{Head, StreamHead, StreamStart};
use vouchsafe_receipt::{
    Assurance, AttestedStatement, Envelope, ExecutionRecord, ReceiptKey, VerifiedReceipt, receipt_leaf_hash,
};
use vouchsafe_verifier::Evidence;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, from_base64url};

use super::*;
use crate::config::Limits;

/// An attester whose reports are the report data itself.
pub(crate) struct EchoAttester;

impl Attester for EchoAttester {
    fn platform(&self) -> Platform {
        Platform { tee: Tee::SevSnp, simulated: true, interface: "echo".into() }
    }

    fn attest(&self, report_data: &[u8; 64]) -> Result<Attestation, AttestError> {
        let evidence = Evidence::SevSnp { report: Base64(report_data.to_vec()) };
        Ok(Attestation { evidence, endorsements: None })
    }
}

pub(crate) fn issuer() -> (Arc<Issuer>, ReceiptKey) {
    settling_issuer(None)
}

pub(crate) fn settling_issuer(settlement: Option<Arc<Settlement>>) -> (Arc<Issuer>, ReceiptKey) {
    let signer = ReceiptSigner::generate().unwrap();
    let key = ReceiptKey::from_spki(&signer.spki(), &Ring).unwrap();
    let evidence = EchoAttester.attest(&[0; 64]).unwrap().evidence;
    let boot = Boot {
        id: signer.key_id(),
        attested: AttestedStatement { statement: Base64(Vec::new()), evidence },
        statement_digest: [1; 32],
        endorsements: None,
        engine_digest: [2; 32],
    };
    let epochs = Arc::new(Epochs::begin([1; 32], 3600, &EchoAttester).unwrap());
    (Arc::new(Issuer::new(signer, &boot, epochs, settlement, &Limits::default())), key)
}

fn pending(issuer: &Arc<Issuer>, body: &str) -> Pending {
    pending_with(issuer, body, Assurance::Attested).unwrap()
}

pub(crate) fn pending_of(issuer: &Arc<Issuer>, assurance: Assurance) -> Result<Pending, NotAdmitted> {
    pending_with(issuer, "q", assurance)
}

fn pending_with(issuer: &Arc<Issuer>, body: &str, assurance: Assurance) -> Result<Pending, NotAdmitted> {
    let facts = RequestFacts {
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        content_type: "application/json".into(),
        nonce: "n".into(),
        assurance: String::new(),
        body: Bytes::from(body.to_owned()),
    };
    let record = ExecutionRecord {
        version: 1,
        operation: "chat.completions".into(),
        model: "m".into(),
        parameters: BTreeMap::new(),
        seed: Some("1".into()),
        usage: None,
        finish_reasons: Vec::new(),
        error: None,
    };
    let admission = Admission { model: Some([3; 32]), assurance, record };
    issuer.admit(facts, admission)
}

async fn all_receipts(issuer: &Issuer, count: u64) -> Vec<Envelope> {
    let mut envelopes = Vec::new();
    while (envelopes.len() as u64) < count {
        let batch = issuer.outbox().next_batch(envelopes.len() as u64).await;
        envelopes.extend(batch.iter().map(|(_, text)| Envelope::from_json(text).unwrap()));
    }
    envelopes
}

#[test]
fn a_receipt_verifies_and_its_openings_open_it() {
    let (issuer, key) = issuer();
    let issued = pending(&issuer, "question").finish(200, "application/json", b"answer").unwrap();
    let receipt = VerifiedReceipt::verify(&issued.envelope, &key, &Ring).unwrap();
    let payload = receipt.payload();
    assert_eq!((payload.seq, payload.previous, payload.epoch), (0, None, 0));
    let opening = &issued.opening;
    assert_eq!(opening.request.as_ref().unwrap().commit(b"question", &Ring), payload.request.0);
    assert_ne!(opening.request.as_ref().unwrap().commit(b"other", &Ring), payload.request.0);
    assert_eq!(opening.response.as_ref().unwrap().commit(b"answer", &Ring), payload.response.0);
    assert_eq!(opening.execution.as_ref().unwrap().commit(&Ring), payload.execution.0);
    let text = from_base64url(&issued.receipt_text()).unwrap();
    assert_eq!(Envelope::from_json(&text).unwrap(), issued.envelope);
}

#[tokio::test]
async fn receipts_made_at_once_form_one_chain_without_gaps() {
    let (issuer, key) = issuer();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    pending(&issuer, "q").finish(200, "text/plain", b"a").unwrap();
                }
            });
        }
    });
    let envelopes = all_receipts(&issuer, 200).await;
    let mut previous = None;
    for (seq, envelope) in (0_u64..).zip(&envelopes) {
        let receipt = VerifiedReceipt::verify(envelope, &key, &Ring).unwrap();
        assert_eq!(receipt.payload().seq, seq);
        assert_eq!(receipt.payload().previous.map(|hash| hash.0), previous);
        previous = Some(receipt_leaf_hash(envelope, &Ring));
    }
}

#[tokio::test]
async fn an_answer_dropped_midway_or_by_a_panic_gets_a_receipt_that_says_so() {
    let (issuer, key) = issuer();
    let mut streaming = pending(&issuer, "q");
    let token = from_base64url(&streaming.token()).unwrap().try_into().unwrap();
    streaming.start_stream().unwrap();
    streaming.event(b"one");
    drop(streaming);
    let pending_panic = pending(&issuer, "q");
    let panicked = from_base64url(&pending_panic.token()).unwrap().try_into().unwrap();
    let panicking = std::thread::spawn(move || {
        let _held = pending_panic;
        panic!("on purpose");
    });
    assert!(panicking.join().is_err());
    // The issuer still works.
    pending(&issuer, "q").finish(200, "text/plain", b"a").unwrap();
    for envelope in all_receipts(&issuer, 3).await {
        VerifiedReceipt::verify(&envelope, &key, &Ring).unwrap();
    }
    let Some(Kept::Done { document, .. }) = issuer.store().get(&token) else { panic!("nothing kept") };
    let text = String::from_utf8(document.to_vec()).unwrap();
    assert!(text.contains("client_closed_request") && text.contains("cancelled"), "{text}");
    let Some(Kept::Done { document, .. }) = issuer.store().get(&panicked) else { panic!("nothing kept") };
    let text = String::from_utf8(document.to_vec()).unwrap();
    assert!(text.contains("internal_error") && text.contains("failed"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn heads_cover_the_chain_and_fall_due_by_count_and_by_time() {
    let (issuer, key) = issuer();
    let mut answer = pending(&issuer, "q");
    assert_eq!(answer.head_due(), None);
    let start = answer.start_stream().unwrap();
    let stated = StreamStart::verify(&start, &key, &Ring).unwrap();
    assert_eq!(stated.model.0, [3; 32]);
    let mut expected = Head::begin(&start, &Ring);
    assert_eq!(answer.head_due(), None);
    for number in 0..16_u8 {
        let begun = tokio::time::Instant::now();
        if number > 0 {
            assert_eq!(answer.head_due(), Some(begun + std::time::Duration::from_secs(1)), "{number}");
        }
        answer.event(&[number]);
        expected = expected.extend(&[number], &Ring);
    }
    assert_eq!(answer.head_due(), Some(tokio::time::Instant::now()), "sixteen events are due at once");
    let head = answer.sign_head().unwrap();
    let stated = StreamHead::verify(&head, &key, &Ring).unwrap();
    assert_eq!((stated.events, stated.head.0), (16, expected.value));
    assert_eq!(answer.head_due(), None);
    answer.event(b"[DONE]");
    let expected = expected.extend(b"[DONE]", &Ring);
    let issued = answer.finish_stream().unwrap();
    let receipt = VerifiedReceipt::verify(&issued.envelope, &key, &Ring).unwrap();
    let response = issued.opening.response.unwrap();
    assert!(response.is_stream());
    assert_eq!(response.commit(&expected.committed(), &Ring), receipt.payload().response.0);
}
