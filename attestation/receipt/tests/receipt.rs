//! Every byte of an envelope and every field of a receipt, changed one at a time, is refused.

mod common;

use common::Signer;
use serde_json::{Value, json};
use vouchsafe_receipt::{
    Assurance, CheckpointRef, ENVELOPE_BYTES_MAX, Envelope, Error, PayloadType, ReceiptKey, VerifiedReceipt,
    is_low_s, receipt_leaf, receipt_leaf_hash,
};
use vouchsafe_verifier::crypto::{Crypto, Ring};
use vouchsafe_verifier::encoding::{Hex, from_base64, to_base64};

fn verify(json: &[u8], key: &ReceiptKey) -> Result<VerifiedReceipt, Error> {
    VerifiedReceipt::verify(&Envelope::from_json(json)?, key, &Ring)
}

#[test]
fn an_untouched_receipt_verifies_and_says_what_was_signed() {
    let signer = Signer::new();
    let json = signer.receipt().to_json();
    assert!(json.len() <= ENVELOPE_BYTES_MAX);
    assert_eq!(verify(&json, &signer.key).unwrap().payload(), &signer.receipt_payload());
}

#[test]
fn every_changed_byte_of_the_envelope_is_refused_with_the_code_of_what_it_broke() {
    let signer = Signer::new();
    let json = signer.receipt().to_json();
    let text = std::str::from_utf8(&json).unwrap();
    let payload = text.find(r#""payload":""#).unwrap() + 11..text.find(r#"","signatures""#).unwrap();
    let key_id = text.find(r#""keyid":""#).unwrap() + 9..text.find(r#"","sig":"#).unwrap();
    let payload_type = text.find("application/").unwrap()..text.find(r#"","payload""#).unwrap();
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for at in 0..json.len() {
        for bit in 0..8 {
            let mut bent = json.clone();
            bent[at] ^= 1 << bit;
            let code = verify(&bent, &signer.key)
                .expect_err(&format!("byte {at}, bit {bit}: {}", String::from_utf8_lossy(&bent)))
                .code();
            *seen.entry(code).or_default() += 1;
            // Whatever still reads as an envelope must fail for the part that was changed.
            if Envelope::from_json(&bent).is_ok() {
                let expected: &[&str] = match at {
                    at if payload.contains(&at) => &["receipt_signature_invalid"],
                    at if key_id.contains(&at) => &["receipt_key_mismatch"],
                    at if payload_type.contains(&at) => &["payload_type_wrong"],
                    _ => &["receipt_signature_invalid", "signature_not_low_s"],
                };
                assert!(expected.contains(&code), "byte {at}, bit {bit}: {code}, expected {expected:?}");
            }
        }
    }
    for code in
        ["envelope_malformed", "receipt_signature_invalid", "receipt_key_mismatch", "payload_type_wrong"]
    {
        assert!(seen.contains_key(code), "no mutation gave {code}: {seen:?}");
    }
}

#[test]
fn every_changed_field_of_the_payload_is_refused_by_the_signature() {
    let signer = Signer::new();
    let envelope: Value = serde_json::from_slice(&signer.receipt().to_json()).unwrap();
    let payload: Value = serde_json::from_slice(&signer.receipt_payload().to_bytes()).unwrap();
    let fields: Vec<&String> = payload.as_object().unwrap().keys().collect();
    assert_eq!(fields.len(), 14, "a new field: does this test change it?");
    for field in fields {
        let mut bent_payload = signer.receipt_payload();
        match field.as_str() {
            "version" => bent_payload.version = 2,
            "boot" => bent_payload.boot.0[31] ^= 1,
            "epoch" => bent_payload.epoch += 1,
            "seq" => bent_payload.seq += 1,
            "previous" => bent_payload.previous.as_mut().unwrap().0[0] ^= 1,
            "model" => bent_payload.model.as_mut().unwrap().0[0] ^= 1,
            "engine" => bent_payload.engine.0[0] ^= 1,
            "request" => bent_payload.request.0[0] ^= 1,
            "response" => bent_payload.response.0[0] ^= 1,
            "execution" => bent_payload.execution.0[0] ^= 1,
            "assurance" => bent_payload.assurance = Assurance::Settled,
            "checkpoint" => {
                bent_payload.checkpoint =
                    Some(CheckpointRef { size: 9, root: Hex([1; 32]), time: 1_795_262_400 });
            }
            "settle_by" => bent_payload.settle_by = Some(1_795_262_460),
            "unattested_time" => bent_payload.unattested_time -= 1,
            other => panic!("a new field: {other}"),
        }
        let mut bent = envelope.clone();
        bent["payload"] = to_base64(&bent_payload.to_bytes()).into();
        let bent: Envelope = serde_json::from_value(bent).unwrap();
        assert_eq!(
            VerifiedReceipt::verify(&bent, &signer.key, &Ring).unwrap_err().code(),
            "receipt_signature_invalid",
            "{field}"
        );
    }
}

/// The signer is honest here and the payload is not: what the key's holder could get wrong.
#[test]
fn signed_nonsense_is_refused() {
    let signer = Signer::new();
    let good = String::from_utf8(signer.receipt_payload().to_bytes()).unwrap();
    let replaced = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let previous = format!(r#""previous":"{}""#, "01".repeat(32));
    let settling = |checkpoint: &str, settle_by: &str| {
        replaced(
            r#""checkpoint":null,"settle_by":null"#,
            &format!(r#""checkpoint":{checkpoint},"settle_by":{settle_by}"#),
        )
    };
    let checkpoint = format!(r#"{{"size":9,"root":"{}","time":1795262400}}"#, "03".repeat(32));
    let cases = [
        (good.clone() + " ", "payload_not_canonical"),
        (format!(" {good}"), "payload_not_canonical"),
        (replaced(r#""seq":7"#, r#""seq":7.0"#), "payload_malformed"),
        (replaced(r#""version":1"#, r#""version":2"#), "version_unknown"),
        (replaced(r#""seq":7"#, r#""seq":7,"seq":7"#), "payload_malformed"),
        (replaced(r#""seq":7"#, r#""seq":9007199254740992"#), "payload_malformed"),
        (replaced(r#""epoch":3"#, r#""epoch":9007199254740992"#), "payload_malformed"),
        (replaced(r#""settle_by":null"#, r#""settle_by":9007199254740992"#), "payload_malformed"),
        (
            replaced(r#""unattested_time":1795262400"#, r#""unattested_time":9007199254740992"#),
            "payload_malformed",
        ),
        (replaced(r#""seq":7"#, r#""seq":-7"#), "payload_malformed"),
        (replaced(r#""seq":7"#, r#""seq":0"#), "payload_malformed"),
        (replaced(&previous, r#""previous":null"#), "payload_malformed"),
        (replaced(r#""attested""#, r#""settled""#), "payload_malformed"),
        (replaced(r#"{"version""#, r#"{"extra":1,"version""#), "payload_malformed"),
        (replaced(&format!("{previous},"), ""), "payload_malformed"),
        (replaced(r#""epoch":3,"seq":7"#, r#""seq":7,"epoch":3"#), "payload_not_canonical"),
        (replaced(r#""attested""#, r#""\u0061ttested""#), "payload_not_canonical"),
        (settling("null", "1795262460"), "payload_malformed"),
        (settling(&checkpoint, "null"), "payload_malformed"),
        (settling(&checkpoint, "1795262399"), "payload_malformed"),
        (settling(r#""a note""#, "1795262460"), "payload_malformed"),
        (settling(&checkpoint.replace(":9", ":9007199254740992"), "1795262460"), "payload_malformed"),
        (settling(&checkpoint.replace("1795262400", "9007199254740992"), "1795262460"), "payload_malformed"),
        (settling(&checkpoint.replace("{", "{ "), "1795262460"), "payload_not_canonical"),
        (String::new(), "payload_malformed"),
        ("null".into(), "payload_malformed"),
    ];
    let settled = signer.sign(PayloadType::Receipt, settling(&checkpoint, "1795262460").as_bytes());
    assert!(VerifiedReceipt::verify(&settled, &signer.key, &Ring).is_ok());
    for (payload, code) in cases {
        let envelope = signer.sign(PayloadType::Receipt, payload.as_bytes());
        let error = VerifiedReceipt::verify(&envelope, &signer.key, &Ring).unwrap_err();
        assert_eq!(error.code(), code, "{payload}: {error}");
    }
    let mut other_boot = signer.receipt_payload();
    other_boot.boot.0[0] ^= 1;
    let envelope = signer.sign(PayloadType::Receipt, &other_boot.to_bytes());
    assert_eq!(VerifiedReceipt::verify(&envelope, &signer.key, &Ring).unwrap_err().code(), "boot_mismatch");
}

#[test]
fn the_first_receipt_and_only_it_has_no_previous() {
    let signer = Signer::new();
    let mut payload = signer.receipt_payload();
    (payload.seq, payload.previous) = (0, None);
    let envelope = signer.sign(PayloadType::Receipt, &payload.to_bytes());
    assert!(VerifiedReceipt::verify(&envelope, &signer.key, &Ring).is_ok());
}

#[test]
fn another_purpose_another_key_and_the_other_form_of_the_signature_are_refused() {
    let (signer, other) = (Signer::new(), Signer::new());
    let bytes = signer.receipt_payload().to_bytes();
    for kind in [PayloadType::StreamStart, PayloadType::StreamHead] {
        let error = VerifiedReceipt::verify(&signer.sign(kind, &bytes), &signer.key, &Ring).unwrap_err();
        assert_eq!(error.code(), "payload_type_wrong");
    }
    // Under another key: named honestly, and named as the attested one.
    let honest = other.sign(PayloadType::Receipt, &bytes);
    assert_eq!(verify(&honest.to_json(), &signer.key).unwrap_err().code(), "receipt_key_mismatch");
    let forged = Envelope::new(
        PayloadType::Receipt,
        bytes.clone(),
        signer.key.id(),
        other.signature(PayloadType::Receipt.as_str(), &bytes),
    );
    assert_eq!(verify(&forged.to_json(), &signer.key).unwrap_err().code(), "receipt_signature_invalid");
    // n - s verifies as well as s does, so it must be refused by its form.
    let low = *signer.receipt().signature();
    let high = negate_s(low);
    assert!(is_low_s(&low) && !is_low_s(&high));
    let envelope = Envelope::new(PayloadType::Receipt, bytes, signer.key.id(), high);
    assert_eq!(verify(&envelope.to_json(), &signer.key).unwrap_err().code(), "signature_not_low_s");
    for signature in [[0; 64], [0xff; 64]] {
        let envelope = Envelope::new(PayloadType::Receipt, vec![], signer.key.id(), signature);
        assert!(verify(&envelope.to_json(), &signer.key).is_err());
    }
}

#[test]
fn envelopes_have_one_form() {
    let signer = Signer::new();
    let json = String::from_utf8(signer.receipt().to_json()).unwrap();
    let signatures = &json[json.find('[').unwrap()..=json.find(']').unwrap()];
    let one = &signatures[1..signatures.len() - 1];
    let cases = [
        (json.replace(":[{", ": [{"), "envelope_not_canonical"),
        (format!("{json}\n"), "envelope_not_canonical"),
        (json.replace(signatures, "[]"), "envelope_malformed"),
        (json.replace(signatures, &format!("[{one},{one}]")), "envelope_malformed"),
        (json.replace(r#""sig""#, r#""sig":"","sig""#), "envelope_malformed"),
        (json.replace(r#"{"payloadType""#, r#"{"a":1,"payloadType""#), "envelope_malformed"),
        (json.replace("vnd.vouchsafe", r"vnd.\u0076ouchsafe"), "envelope_not_canonical"),
        (json.replace("==\"", "\""), "envelope_malformed"),
        (String::from("[]"), "envelope_malformed"),
        ("[".repeat(100_000), "envelope_malformed"),
        (
            json.replace(r#""payload":""#, &format!(r#""payload":"{}"#, "A".repeat(4096))),
            "envelope_malformed",
        ),
    ];
    for (text, code) in cases {
        assert_ne!(text, json, "a case that changes nothing: {code}");
        assert_eq!(Envelope::from_json(text.as_bytes()).unwrap_err().code(), code, "{text:.200}");
    }
}

#[test]
fn keys_of_another_kind_are_refused() {
    let spki = Signer::new().spki;
    assert!(ReceiptKey::from_spki(&spki, &Ring).is_ok());
    let mut compressed = spki.clone();
    compressed[26] = 0x02;
    let mut other_curve = spki.clone();
    other_curve[22] ^= 1;
    for wrong in [&spki[..90], &[spki.as_slice(), &[0]].concat(), &compressed, &other_curve, &[]] {
        assert_eq!(ReceiptKey::from_spki(wrong, &Ring).unwrap_err().code(), "statement_key_malformed");
    }
}

#[test]
fn a_leaf_is_a_type_a_length_the_signed_bytes_and_the_signature() {
    let envelope = Signer::new().receipt();
    let leaf = receipt_leaf(&envelope);
    let pae = envelope.pae();
    assert_eq!(leaf[0], 1);
    assert_eq!(leaf[1..5], u32::try_from(pae.len()).unwrap().to_be_bytes());
    assert_eq!(leaf[5..5 + pae.len()], pae);
    assert_eq!(&leaf[5 + pae.len()..], envelope.signature());
    let hash = receipt_leaf_hash(&envelope, &Ring);
    assert_eq!(hash, Ring.sha256(&[&[0], leaf.as_slice()].concat()));
}

#[test]
fn pae_is_as_the_dsse_specification_has_it() {
    // The example of the DSSE protocol, v1.0.2.
    let pae = vouchsafe_receipt::pae("http://example.com/HelloWorld", b"hello world");
    assert_eq!(pae, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    let receipt: Value = serde_json::from_slice(&Signer::new().receipt().to_json()).unwrap();
    assert_eq!(receipt["payloadType"], json!("application/vnd.vouchsafe.receipt.v1+json"));
    assert!(from_base64(receipt["payload"].as_str().unwrap()).is_some());
}

fn negate_s(mut signature: [u8; 64]) -> [u8; 64] {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(signature[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        signature[32 + at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    signature
}
