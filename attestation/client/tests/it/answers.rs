//! Which answers are believed.

use vouchsafe_bundle::{Bundle, Inputs, verify_bundle};
use vouchsafe_client::{Answer, Error, Request};
use vouchsafe_receipt::stream::data_payloads;
use vouchsafe_verifier::crypto::Ring;

use crate::enclave::{Enclave, Fault, WORDS};
use crate::signer::policy;

fn plain() -> Request {
    let mut request = Request::post_json("/v1/chat/completions?x=1", r#"{"messages":[]}"#);
    request.nonce = "once".into();
    request
}

fn stream() -> Request {
    Request::post_json("/v1/chat/completions", r#"{"stream":true}"#)
}

async fn asked(fault: Fault, request: &Request) -> Result<Answer, Error> {
    let enclave = Enclave::start(Some(fault)).await;
    enclave.client().ask(request).await.map(|(answer, _)| answer)
}

fn code(answer: &Answer) -> Option<&'static str> {
    answer.verdict.as_ref().and_then(|verdict| verdict.code())
}

/// That the bundle, as a file and with the bodies beside it, is accepted by who has only the policy.
fn verifies_elsewhere(bundle: &Bundle, answer: &Answer) {
    let bundle = Bundle::parse(&bundle.to_json()).unwrap();
    let now = vouchsafe_client::now().unwrap();
    let inputs =
        Inputs { request: Some(&answer.request), response: Some(&answer.response), ..Inputs::new(now) };
    let verdict = verify_bundle(&bundle, &policy(), &inputs, &Ring);
    assert!(verdict.is_accepted(), "{}", verdict.to_json());
}

#[tokio::test]
async fn an_honest_answer_is_accepted_here_and_its_bundle_elsewhere() {
    let enclave = Enclave::honest().await;
    let client = enclave.client();
    for request in [plain(), stream()] {
        let (answer, boot) = client.ask(&request).await.unwrap();
        assert!(answer.is_accepted(), "{}", answer.verdict.unwrap().to_json());
        verifies_elsewhere(&answer.bundle(&boot).unwrap(), &answer);
    }
}

#[tokio::test]
async fn a_stream_arrives_piece_by_piece_as_it_was_sent() {
    let enclave = Enclave::honest().await;
    let client = enclave.client();
    let mut reply = client.send(&stream()).await.unwrap();
    assert!(reply.is_stream());
    let mut received = Vec::new();
    while let Some(chunk) = reply.chunk().await.unwrap() {
        received.extend_from_slice(&chunk);
    }
    let (answer, _) = client.judge(reply).await.unwrap();
    assert_eq!(answer.response, received);
    let events: Vec<_> = data_payloads(&received).collect();
    assert_eq!(events.len(), WORDS.len() + 1);
    assert_eq!(events.last(), Some(&b"[DONE]".as_slice()));
    assert!(answer.is_accepted());
}

#[tokio::test]
async fn what_was_signed_for_something_else_is_rejected_by_name() {
    let rejected = [(Fault::OtherRequest, "request_mismatch"), (Fault::OtherResponse, "response_mismatch")];
    for (fault, expected) in rejected {
        let answer = asked(fault, &plain()).await.unwrap();
        assert_eq!(code(&answer), Some(expected), "{fault:?}");
        assert!(!answer.is_accepted());
    }
    for (fault, field) in [(Fault::OtherPath, "path"), (Fault::OtherStatus, "status")] {
        let error = asked(fault, &plain()).await.unwrap_err();
        assert!(
            matches!(&error, Error::OtherExchange { field: found, .. } if *found == field),
            "{fault:?}: {error}"
        );
    }
    let error = asked(Fault::Encoded, &plain()).await.unwrap_err();
    assert_eq!(error.code(), "content_encoding_unsupported");
}

#[tokio::test]
async fn an_answer_without_receipt_is_not_accepted() {
    let answer = asked(Fault::NoReceipt, &plain()).await.unwrap();
    assert!(answer.verdict.is_none() && !answer.is_accepted());
    let refused = asked(Fault::Refused, &plain()).await.unwrap();
    assert_eq!(refused.status, 404);
    assert!(refused.verdict.is_none() && !refused.is_accepted());
}

#[tokio::test]
async fn an_event_that_was_not_signed_stops_the_stream_at_the_next_head() {
    let enclave = Enclave::start(Some(Fault::OtherEvent)).await;
    let mut reply = enclave.client().send(&stream()).await.unwrap();
    let error = loop {
        match reply.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream was taken for complete"),
            Err(error) => break error,
        }
    };
    // The fourth event was changed; the head after it covers four.
    assert!(matches!(error, Error::HeadMismatch { events: 4 }), "{error}");
}

#[tokio::test]
async fn a_stream_that_was_cut_proves_what_came_before_its_last_head() {
    let enclave = Enclave::start(Some(Fault::Cut)).await;
    let client = enclave.client();
    let mut reply = client.send(&stream()).await.unwrap();
    let error = loop {
        match reply.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream was taken for complete"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "connection_failed", "{error}");
    let (answer, boot) = client.judge(reply).await.unwrap();
    assert!(answer.receipt.is_none());
    let records = answer.stream.as_ref().unwrap();
    assert!(records.head.is_some());
    // The request's opening would have come with the receipt, so a cut stream cannot show its request.
    let verdict = answer.verdict.as_ref().unwrap();
    assert!(verdict.is_accepted(), "{}", verdict.to_json());
    assert!(!answer.is_accepted(), "a beginning is no answer");
    assert!(verdict.proved().iter().any(|statement| statement.code == "response_prefix"));
    assert!(answer.bundle(&boot).is_ok());
}

#[tokio::test]
async fn a_stream_without_receipt_is_no_complete_answer() {
    let answer = asked(Fault::NoReceiptInStream, &stream()).await.unwrap();
    assert!(answer.receipt.is_none() && !answer.is_accepted());
}

#[tokio::test]
async fn an_opening_too_long_for_a_header_is_fetched_by_the_token() {
    let enclave = Enclave::start(Some(Fault::OpeningKept)).await;
    let (answer, boot) = enclave.client().ask(&plain()).await.unwrap();
    assert!(answer.is_accepted(), "{}", answer.verdict.unwrap().to_json());
    verifies_elsewhere(&answer.bundle(&boot).unwrap(), &answer);

    for (fault, code) in
        [(Fault::OpeningOfAnother, "receipt_malformed"), (Fault::OpeningNowhere, "receipt_not_kept")]
    {
        let error = asked(fault, &plain()).await.unwrap_err();
        assert_eq!(error.code(), code, "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn an_event_before_the_signed_start_is_not_passed_on() {
    let enclave = Enclave::start(Some(Fault::NoStart)).await;
    let mut reply = enclave.client().send(&stream()).await.unwrap();
    let error = loop {
        match reply.chunk().await {
            Ok(Some(chunk)) => assert!(data_payloads(&chunk).next().is_none(), "an event was passed on"),
            Ok(None) => panic!("the stream was taken for complete"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "stream_start_missing", "{error}");
}

#[tokio::test]
async fn an_answer_of_a_newer_epoch_is_judged_after_attesting_again() {
    let enclave = Enclave::honest().await;
    let client = enclave.client();
    client.attest().await.unwrap();
    enclave.boot().next_epoch();
    for request in [plain(), stream()] {
        let (answer, boot) = client.ask(&request).await.unwrap();
        assert!(answer.is_accepted(), "{}", answer.verdict.unwrap().to_json());
        assert_eq!(boot.epoch_statement().epoch, 1);
    }
    assert_eq!(enclave.attestations(), 2);
}

#[tokio::test]
async fn an_answer_whose_enclave_is_gone_is_not_judged_by_another() {
    let first = Enclave::honest().await;
    let (client, address) = (first.client(), first.address);
    client.attest().await.unwrap();
    first.boot().next_epoch();
    let mut reply = client.send(&plain()).await.unwrap();
    while reply.chunk().await.unwrap().is_some() {}
    drop(first);
    let _second = Enclave::start_at(address, None).await;
    let error = client.judge(reply).await.map(drop).unwrap_err();
    assert_eq!(error.code(), "enclave_gone");
}
