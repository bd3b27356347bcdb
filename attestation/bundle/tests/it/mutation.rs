//! One change at a time, everywhere in a bundle: none is accepted, and each has the right name.

use serde_json::Value;
use vouchsafe_bundle::{Bundle, Policy, Verdict, verify_bundle_json};
use vouchsafe_receipt::{PayloadType, ReceiptPayload};
use vouchsafe_verifier::Evidence;
use vouchsafe_verifier::crypto::Ring;

use crate::common::*;

fn verdict(json: &[u8], policy: &Policy) -> Verdict {
    verify_bundle_json(json, policy, &inputs(Some(REQUEST), Some(RESPONSE)), &Ring)
}

#[test]
fn every_byte_of_the_receipt_envelope_counts() {
    let (policy, parts) = (policy(), Enclave::snp().plain());
    let bundle = Bundle::new(parts.clone()).unwrap().to_json();
    assert_accepted(&verdict(&bundle, &policy));
    let envelope = parts.receipt.unwrap().to_json();
    let start = bundle.windows(envelope.len()).position(|window| window == envelope).unwrap();
    let text = std::str::from_utf8(&envelope).unwrap();
    let inside = |name: &str| {
        let begin = text.find(&format!(r#""{name}":""#)).unwrap() + name.len() + 4;
        begin..begin + text[begin..].find('"').unwrap()
    };
    let regions = [
        (inside("payloadType"), "payload_type_wrong"),
        (inside("payload"), "receipt_signature_invalid"),
        (inside("keyid"), "receipt_key_mismatch"),
        (inside("sig"), "receipt_signature_invalid"),
    ];
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for at in 0..envelope.len() {
        let mut bent = bundle.clone();
        // Another character of base64 and hexadecimal where possible, so that most mutations reach
        // the signature.
        bent[start + at] = match bent[start + at] {
            b'0' => b'1',
            b'A' => b'B',
            byte => byte ^ 1,
        };
        let verdict = verdict(&bent, &policy);
        let code = verdict.code().unwrap_or_else(|| panic!("byte {at} was changed unnoticed"));
        assert_eq!(verdict.decision().exit_code(), 10);
        *counts.entry(code).or_default() += 1;
        let region = regions.iter().find(|(range, _)| range.contains(&at)).map(|(_, code)| *code);
        let expected = match region {
            // What is no longer text of that form, or says the signature otherwise, has its own name.
            Some(code) => [code, "envelope_malformed", "signature_not_low_s", "bundle_malformed"],
            None => ["envelope_malformed", "bundle_malformed", "", ""],
        };
        assert!(expected.contains(&code), "byte {at}: {code}, expected one of {expected:?}");
    }
    assert!(counts["receipt_signature_invalid"] > 500 && counts["receipt_key_mismatch"] > 30, "{counts:?}");
}

/// The enclave is honest about nothing here: each field of the payload is changed *and signed*.
#[test]
fn every_field_of_a_signed_payload_is_held_against_what_is_attested_or_shown() {
    let enclave = Enclave::snp();
    let parts = enclave.plain();
    let payload = parts.receipt.as_ref().unwrap().unverified_payload();
    let fields: Vec<String> =
        serde_json::from_slice::<serde_json::Map<String, Value>>(payload).unwrap().keys().cloned().collect();
    let honest: ReceiptPayload = serde_json::from_slice(payload).unwrap();
    for field in fields {
        let mut bent = honest.clone();
        let expected = match field.as_str() {
            "version" => {
                bent.version = 2;
                Some("version_unknown")
            }
            "boot" => {
                bent.boot.0[0] ^= 1;
                Some("boot_mismatch")
            }
            "epoch" => {
                bent.epoch = 1;
                Some("epoch_mismatch")
            }
            "seq" => {
                bent.seq = 1;
                Some("payload_malformed")
            }
            "previous" => {
                bent.previous = Some(bent.request);
                Some("payload_malformed")
            }
            "model" => {
                bent.model.as_mut().unwrap().0[0] ^= 1;
                Some("model_not_attested")
            }
            "engine" => {
                bent.engine.0[0] ^= 1;
                Some("engine_not_attested")
            }
            "request" => {
                bent.request.0[0] ^= 1;
                Some("request_mismatch")
            }
            "response" => {
                bent.response.0[0] ^= 1;
                Some("response_mismatch")
            }
            "execution" => {
                bent.execution.0[0] ^= 1;
                Some("execution_mismatch")
            }
            // What only a log or a clock could contradict; a signature over it is all there is.
            "assurance" | "checkpoint" | "settle_by" | "unattested_time" => None,
            other => panic!("a new field: {other}"),
        };
        let mut parts = parts.clone();
        parts.receipt = Some(enclave.sign(PayloadType::Receipt, &bent.to_bytes()));
        let verdict = judge(&parts, &policy(), &inputs(Some(REQUEST), Some(RESPONSE)));
        match expected {
            Some(code) => assert_rejected(&verdict, code),
            None => assert_accepted(&verdict),
        }
    }
}

#[test]
fn every_byte_of_the_report_counts() {
    let (policy, parts) = (policy(), Enclave::snp().plain());
    let mut codes = std::collections::BTreeSet::new();
    // Every byte of both reports, one bit each: 0x000 to 0x29f is signed, the rest is the signature.
    for at in 0..1184 {
        for is_boot in [true, false] {
            let mut parts = parts.clone();
            let attested = if is_boot { &mut parts.boot } else { &mut parts.epoch };
            let Evidence::SevSnp { report } = &mut attested.evidence else { unreachable!() };
            report.0[at] ^= 1;
            let verdict = judge(&parts, &policy, &inputs(None, None));
            let code = verdict.code().unwrap_or_else(|| panic!("byte {at:#x} was changed unnoticed"));
            assert!(code.starts_with("snp_"), "byte {at:#x}: {code}");
            codes.insert(code);
        }
    }
    assert!(codes.contains("snp_report_signature_invalid"), "{codes:?}");
}

#[test]
fn every_byte_of_the_statements_counts() {
    let (policy, parts) = (policy(), Enclave::snp().plain());
    for at in 0..parts.boot.statement.0.len() {
        let mut parts = parts.clone();
        parts.boot.statement.0[at] ^= 1;
        assert_rejected(&judge(&parts, &policy, &inputs(None, None)), "boot_report_data_mismatch");
    }
    for at in 0..parts.epoch.statement.0.len() {
        let mut parts = parts.clone();
        parts.epoch.statement.0[at] ^= 1;
        assert_rejected(&judge(&parts, &policy, &inputs(None, None)), "epoch_report_data_mismatch");
    }
}

#[test]
fn the_policys_measurement_counts() {
    let parts = Enclave::snp().plain();
    let json = String::from_utf8(policy().to_json()).unwrap();
    let digest = "4d".repeat(48);
    let measurement = format!(r#""measurement": "{digest}""#);
    assert!(json.contains(&measurement));
    let altered = json.replacen(&measurement, &measurement.replacen("4d", "4e", 1), 1);
    let policy = Policy::parse(altered.as_bytes()).unwrap();
    assert_rejected(&judge(&parts, &policy, &inputs(None, None)), "measurement_mismatch");
}
