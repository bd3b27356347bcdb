//! Attacks on receipts and bundles: what is shown to somebody who was not there.

use serde_json::Value;
use vouchsafe_bundle::{Bundle, BundleParts, Inputs, Verdict, verify_bundle, verify_bundle_json};
use vouchsafe_client::Answer;
use vouchsafe_receipt::Envelope;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Base64;

use crate::enclave::{Enclave, client, not_proved, question};
use crate::forger::Forger;
use crate::machine::{now, policy};

/// Judges a bundle with an answer's request and response beside it.
pub(crate) fn judged(parts: BundleParts, answer: &Answer) -> Verdict {
    let inputs =
        Inputs { request: Some(&answer.request), response: Some(&answer.response), ..Inputs::new(now()) };
    verify_bundle(&Bundle::new(parts).unwrap(), &policy(), &inputs, &Ring)
}

/// Two answers of one enclave with their bundles.
async fn two() -> [(Answer, BundleParts); 2] {
    let enclave = Enclave::honest().await;
    let host = enclave.host().await;
    let client = client(host.address);
    let mut made = Vec::new();
    for text in ["first", "second"] {
        let (answer, boot) = client.ask(&question(text)).await.unwrap();
        let parts = answer.bundle(&boot).unwrap().into_parts();
        made.push((answer, parts));
    }
    made.try_into().unwrap_or_else(|_| unreachable!("two were made"))
}

/// Promise: one answer, one receipt, one leaf. ECDSA's `n − s` verifies as well as `s`; a stranger who
/// resubmits a receipt with that other form is refused, and so cannot make a second record of it.
#[tokio::test]
async fn the_other_form_of_a_signature_is_refused() {
    let [(answer, parts), _] = two().await;
    assert_eq!(judged(parts.clone(), &answer).code(), None, "the control");
    let json = Bundle::new(parts).unwrap().to_json();
    let mut bundle: Value = serde_json::from_slice(&json).unwrap();
    let signature = &mut bundle["receipt"]["signatures"][0]["sig"];
    let Base64(mut bytes) = serde_json::from_value(signature.clone()).unwrap();
    negate_s(&mut bytes);
    *signature = serde_json::to_value(Base64(bytes)).unwrap();
    let json = serde_json::to_vec(&bundle).unwrap();
    let verdict = verify_bundle_json(&json, &policy(), &Inputs::new(now()), &Ring);
    assert_eq!(verdict.code(), Some("signature_not_low_s"), "{}", verdict.to_json());
}

/// s becomes n − s, where n is the order of P-256's group (SEC 2, section 2.4.2).
fn negate_s(signature: &mut [u8]) {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut borrow = 0_i16;
    for (digit, order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let difference = i16::from(order) - i16::from(*digit) - borrow;
        borrow = i16::from(difference < 0);
        *digit = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
}

/// Promise: a receipt is for its own request and answer. One shown with another's request, response or
/// opening does not open.
#[tokio::test]
async fn a_receipt_shown_with_another_answer_does_not_open() {
    let [(first, parts), (second, others)] = two().await;
    assert_eq!(judged(parts.clone(), &first).code(), None, "the control");
    let with = |request: &Answer, response: &Answer| {
        let inputs = Inputs {
            request: Some(&request.request),
            response: Some(&response.response),
            ..Inputs::new(now())
        };
        verify_bundle(&Bundle::new(parts.clone()).unwrap(), &policy(), &inputs, &Ring).code()
    };
    assert_eq!(with(&second, &first), Some("request_mismatch"));
    assert_eq!(with(&first, &second), Some("response_mismatch"));
    let swapped = BundleParts { opening: others.opening.clone(), ..parts.clone() };
    assert_eq!(judged(swapped, &second).code(), Some("request_mismatch"));
}

/// Promise: an answer is what the enclave gave, to the byte.
#[tokio::test]
async fn an_altered_answer_is_not_the_one_that_was_signed() {
    let [(mut answer, parts), _] = two().await;
    assert_eq!(judged(parts.clone(), &answer).code(), None, "the control");
    let mut altered = answer.response.to_vec();
    *altered.last_mut().unwrap() ^= 0x20;
    answer.response = altered.into();
    assert_eq!(judged(parts, &answer).code(), Some("response_mismatch"));
}

/// Promise: a receipt is what the enclave signed, to the byte.
#[tokio::test]
async fn an_altered_receipt_does_not_verify() {
    let [(answer, parts), _] = two().await;
    let json = Bundle::new(parts.clone()).unwrap().to_json();
    let mut bundle: Value = serde_json::from_slice(&json).unwrap();
    let Base64(payload) = serde_json::from_value(bundle["receipt"]["payload"].clone()).unwrap();
    let later = String::from_utf8(payload).unwrap().replacen(r#""seq":0"#, r#""seq":7"#, 1);
    assert!(later.contains(r#""seq":7"#), "{later}");
    bundle["receipt"]["payload"] = serde_json::to_value(Base64(later.into())).unwrap();
    let json = serde_json::to_vec(&bundle).unwrap();
    let verdict = verify_bundle_json(&json, &policy(), &Inputs::new(now()), &Ring);
    assert_eq!(verdict.code(), Some("receipt_signature_invalid"));
    assert_eq!(judged(parts, &answer).code(), None, "the control");
}

/// Not stopped by who sees one bundle alone: an enclave whose code broke its promise could sign two
/// receipts with one sequence number and one predecessor. Each verifies; the verdict says under
/// `unlogged` that a record may be contradicted unseen. Who holds both sees the fork, and nobody but the
/// boot's key can have made it.
#[tokio::test]
async fn a_forked_receipt_sequence_is_seen_by_who_holds_both() {
    let forger = Forger::new();
    let [a, b] = [b"yes".as_slice(), b"no"].map(|response| {
        let parts = forger.bundle(response, |_| {});
        let inputs = Inputs { response: Some(response), ..Inputs::new(now()) };
        let verdict = verify_bundle(&Bundle::new(parts.clone()).unwrap(), &policy(), &inputs, &Ring);
        assert!(verdict.is_accepted(), "{}", verdict.to_json());
        assert!(not_proved(&verdict).contains(&"unlogged"), "{}", verdict.to_json());
        (verdict.receipt().unwrap().clone(), parts.receipt.unwrap())
    });
    assert_eq!((a.0.boot, a.0.seq, a.0.previous), (b.0.boot, b.0.seq, b.0.previous));
    assert_ne!(Envelope::to_json(&a.1), Envelope::to_json(&b.1));
}
