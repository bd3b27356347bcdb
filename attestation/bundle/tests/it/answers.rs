//! Answers in bundles: plain, streamed, cut off, refused; and what each lie is called.

use vouchsafe_bundle::policy::{Demanded, ModelReference, Rule};
use vouchsafe_bundle::{Policy, Verdict};
use vouchsafe_receipt::stream::START_COMMENT;
use vouchsafe_receipt::{AttestedStatement, PayloadType, ReceiptPayload, report_data};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex, to_base64url};
use vouchsafe_verifier::{Evidence, UnixSeconds};

use crate::common::*;

#[test]
fn a_plain_answer_is_accepted_with_everything_that_it_proves() {
    for machine in [Machine::snp(), Machine::tdx()] {
        let parts = Enclave::new(machine).plain();
        let verdict = judge(&parts, &policy(), &inputs(Some(REQUEST), Some(RESPONSE)));
        assert_accepted(&verdict);
        assert!(verdict.simulated());
        let expected = [
            "measurement",
            "simulated_hardware",
            "keys_attested",
            "receipt",
            "request",
            "response",
            "model",
            "engine",
            "execution",
        ];
        let mut found = proved(&verdict);
        for word in expected {
            let at = found.iter().position(|found| *found == word);
            found.remove(at.unwrap_or_else(|| panic!("{word} is not proved: {found:?}")));
        }
        assert!(found.is_empty(), "also proved: {found:?}");
        for word in ["physical_attacks", "simulated_root", "time_unattested", "unlogged", "model_quality"] {
            assert!(not_proved(&verdict).contains(&word), "{word}");
        }
        assert_eq!(verdict.execution().unwrap().usage.unwrap().completion_tokens, 2);
        assert_eq!(verdict.receipt().unwrap().unattested_time, NOW.0);
    }
}

#[test]
fn what_is_not_shown_is_not_proved() {
    let mut parts = Enclave::snp().plain();
    let verdict = judge(&parts, &policy(), &inputs(None, None));
    assert_accepted(&verdict);
    assert!(!proved(&verdict).contains(&"response") && !proved(&verdict).contains(&"request"));
    for word in ["request_not_given", "response_not_given"] {
        assert!(not_proved(&verdict).contains(&word), "{word}");
    }
    parts.opening = None;
    let verdict = judge(&parts, &policy(), &inputs(None, None));
    assert_accepted(&verdict);
    assert!(not_proved(&verdict).contains(&"execution_opening_missing"));
}

#[test]
fn what_is_shown_must_match() {
    let parts = Enclave::snp().plain();
    fn shown(
        parts: &vouchsafe_bundle::BundleParts,
        request: Option<&[u8]>,
        response: Option<&[u8]>,
    ) -> Verdict {
        judge(parts, &policy(), &inputs(request, response))
    }
    let judge = |request: Option<&'static [u8]>, response| shown(&parts, request, response);
    assert_rejected(&judge(Some(b"{}"), Some(RESPONSE)), "request_mismatch");
    assert_rejected(&judge(Some(REQUEST), Some(b"{}")), "response_mismatch");
    assert_rejected(&judge(None, Some(b"")), "response_mismatch");
    for at in 0..RESPONSE.len() {
        let mut answer = RESPONSE.to_vec();
        answer[at] ^= 1;
        assert_rejected(&shown(&parts, Some(REQUEST), Some(&answer)), "response_mismatch");
    }
    // Swapped bodies break both; the request comes first in the order of steps.
    assert_rejected(&judge(Some(RESPONSE), Some(REQUEST)), "request_mismatch");
}

#[test]
fn a_check_that_the_caller_asked_for_and_that_cannot_run_is_no_acceptance() {
    let mut parts = Enclave::snp().plain();
    parts.opening.as_mut().unwrap().response = None;
    assert_incomplete(&judge(&parts, &policy(), &inputs(None, Some(RESPONSE))), "response_opening_missing");
    parts.opening.as_mut().unwrap().request = None;
    assert_incomplete(&judge(&parts, &policy(), &inputs(Some(REQUEST), None)), "request_opening_missing");
    let demand = |change: fn(&mut vouchsafe_bundle::policy::Openings)| {
        policy_with(|document| change(&mut document.openings))
    };
    let request = demand(|openings| openings.request = Rule::Require(Demanded));
    let response = demand(|openings| openings.response = Rule::Require(Demanded));
    let execution = demand(|openings| openings.execution = Rule::Require(Demanded));
    parts.opening = None;
    assert_incomplete(&judge(&parts, &request, &inputs(None, None)), "request_not_given");
    assert_incomplete(&judge(&parts, &response, &inputs(None, None)), "response_not_given");
    assert_incomplete(&judge(&parts, &execution, &inputs(None, None)), "execution_opening_missing");
}

#[test]
fn each_salt_and_committed_field_counts() {
    let parts = Enclave::snp().plain();
    let bent = |change: fn(&mut vouchsafe_receipt::Opening)| {
        let mut parts = parts.clone();
        change(parts.opening.as_mut().unwrap());
        judge(&parts, &policy(), &inputs(Some(REQUEST), Some(RESPONSE)))
    };
    assert_rejected(&bent(|opening| opening.request.as_mut().unwrap().salt.0[0] ^= 1), "request_mismatch");
    assert_rejected(&bent(|opening| opening.request.as_mut().unwrap().path.push('x')), "request_mismatch");
    assert_rejected(&bent(|opening| opening.response.as_mut().unwrap().salt.0[0] ^= 1), "response_mismatch");
    assert_rejected(&bent(|opening| opening.response.as_mut().unwrap().status = 201), "response_mismatch");
    assert_rejected(
        &bent(|opening| opening.execution.as_mut().unwrap().salt.0[0] ^= 1),
        "execution_mismatch",
    );
    assert_rejected(
        &bent(|opening| opening.execution.as_mut().unwrap().record.push(' ')),
        "execution_mismatch",
    );
}

#[test]
fn parameters_are_those_of_the_policy() {
    let parts = Enclave::snp().plain();
    let verdict = |values: &str| {
        let values = serde_json::from_str(values).unwrap();
        let policy = policy_with(|document| document.parameters.values = Rule::Require(values));
        judge(&parts, &policy, &inputs(None, None))
    };
    assert_accepted(&verdict(r#"{"temperature":0}"#));
    assert_accepted(&verdict(r#"{"temperature":0.0,"top_k":40}"#));
    assert_rejected(&verdict(r#"{"temperature":0.5}"#), "parameter_mismatch");
    assert_rejected(&verdict(r#"{"top_k":41}"#), "parameter_mismatch");
    assert_rejected(&verdict(r#"{"top_p":1}"#), "parameter_mismatch");
    let mut hidden = parts.clone();
    hidden.opening = None;
    let values = [("temperature".into(), 0.into())].into();
    let policy = policy_with(|document| document.parameters.values = Rule::Require(values));
    assert_incomplete(&judge(&hidden, &policy, &inputs(None, None)), "execution_opening_missing");
}

#[test]
fn a_record_that_nobody_can_read_is_refused_though_it_opens() {
    for record in ["{}", "", r#"{"version":2}"#] {
        let enclave = Enclave::snp();
        let mut opening = enclave.opening("application/json", 200);
        opening.execution.as_mut().unwrap().record = record.into();
        let receipt = enclave.receipt(&enclave.payload(&opening, RESPONSE));
        let parts = enclave.parts(Some(receipt), Some(opening), None);
        assert_rejected(&judge(&parts, &policy(), &inputs(None, None)), "execution_malformed");
    }
}

#[test]
fn a_streamed_answer_is_matched_event_by_event() {
    let (mut parts, text) = Enclave::snp().streamed();
    let check = |parts: &vouchsafe_bundle::BundleParts, text: &str| {
        judge(parts, &policy(), &inputs(Some(REQUEST), Some(text.as_bytes())))
    };
    assert_accepted(&check(&parts, &text));
    // Comments and line ends are not part of the answer.
    assert_accepted(&check(&parts, &text.replace(": padding\n\n", "")));
    assert_accepted(&check(&parts, &text.replace('\n', "\r\n")));
    for (from, to) in [
        ("hel", "bel"),
        ("data: [DONE]\n\n", ""),
        ("data: {", "data:  {"),
        ("lo\"}\n\n", "lo\"}\n\ndata: {}\n\n"),
        // The standard would join these to one event, and this one would have a name.
        ("\n\n: padding\n\ndata", "\ndata"),
        ("data: [DONE]", "event: x\ndata: [DONE]"),
    ] {
        assert!(text.contains(from), "{from}");
        let verdict = check(&parts, &text.replacen(from, to, 1));
        assert_eq!(verdict.code(), Some("response_mismatch"), "{from:?} to {to:?}");
    }
    // Without the records in the bundle, the start may stand in the text.
    let start = parts.stream.take().unwrap().start;
    assert_incomplete(&check(&parts, &text), "stream_start_missing");
    let comment = format!(": {START_COMMENT} {}\n\n", to_base64url(&start.to_json()));
    assert_accepted(&check(&parts, &(comment + &text)));
}

#[test]
fn a_stream_that_was_cut_off_proves_its_events_up_to_the_last_head() {
    let (mut parts, text) = Enclave::snp().streamed();
    parts.receipt = None;
    let check = |parts: &vouchsafe_bundle::BundleParts, text: &str| {
        judge(parts, &policy(), &inputs(Some(REQUEST), Some(text.as_bytes())))
    };
    // Two of three events are under the head; a third, whole or torn, is not proved.
    let torn = &text[..text.find("[DONE]").unwrap() + 3];
    for text in [text.as_str(), torn] {
        let verdict = check(&parts, text);
        assert_accepted(&verdict);
        assert!(proved(&verdict).contains(&"response_prefix") && proved(&verdict).contains(&"model"));
        assert!(!proved(&verdict).contains(&"response") && !proved(&verdict).contains(&"receipt"));
        assert!(not_proved(&verdict).contains(&"stream_cut_off"));
        assert!(not_proved(&verdict).contains(&"execution_opening_missing"));
    }
    assert_rejected(&check(&parts, &text.replace("hel", "bel")), "response_mismatch");
    assert_rejected(&check(&parts, "data: {\"delta\":\"hel\"}\n\n"), "response_mismatch");
    parts.stream.as_mut().unwrap().head = None;
    assert_incomplete(&check(&parts, &text), "stream_head_missing");
    let verdict = judge(&parts, &policy(), &inputs(Some(REQUEST), None));
    assert_accepted(&verdict);
    assert!(proved(&verdict).contains(&"request"));
}

#[test]
fn the_records_of_another_stream_are_refused() {
    let enclave = Enclave::snp();
    let (parts, text) = enclave.streamed();
    let check = |parts: &vouchsafe_bundle::BundleParts| {
        judge(parts, &policy(), &inputs(Some(REQUEST), Some(text.as_bytes())))
    };
    let records = parts.stream.clone().unwrap();
    let start_bytes = records.start.unverified_payload();
    let head_bytes = records.head.as_ref().unwrap().unverified_payload();
    let bent = |kind, bytes: &[u8], from: &str, to: &str| {
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        enclave.sign(kind, text.replacen(from, to, 1).as_bytes())
    };
    let other_stream = bent(PayloadType::StreamHead, head_bytes, &"08".repeat(32), &"09".repeat(32));
    let mut parts = parts.clone();
    parts.stream.as_mut().unwrap().head = Some(other_stream);
    assert_rejected(&check(&parts), "stream_mismatch");
    parts.stream = Some(records.clone());
    parts.stream.as_mut().unwrap().start =
        bent(PayloadType::StreamStart, start_bytes, r#""epoch":0"#, r#""epoch":1"#);
    assert_rejected(&check(&parts), "stream_mismatch");
    // Of one stream's records and another enclave's receipt, the receipt fails first.
    let (mut mixed, _) = Enclave::snp().streamed();
    mixed.receipt = parts.receipt.clone();
    assert_rejected(&check(&mixed), "receipt_key_mismatch");
    let (mut mixed, _) = enclave.streamed();
    mixed.stream = Enclave::snp().streamed().0.stream;
    assert_rejected(&check(&mixed), "receipt_key_mismatch");
}

#[test]
fn only_a_refusal_may_name_no_model() {
    let enclave = Enclave::snp();
    let answer = |status| {
        let opening = enclave.opening("application/json", status);
        let payload =
            vouchsafe_receipt::ReceiptPayload { model: None, ..enclave.payload(&opening, RESPONSE) };
        enclave.parts(Some(enclave.receipt(&payload)), Some(opening), None)
    };
    assert_accepted(&judge(&answer(404), &policy(), &inputs(None, Some(RESPONSE))));
    assert_rejected(&judge(&answer(404), &policy(), &inputs(None, None)), "model_absent");
    assert_rejected(&judge(&answer(200), &policy(), &inputs(None, Some(RESPONSE))), "model_absent");
    let any_model = policy_with(|document| document.models = ignore());
    assert_accepted(&judge(&answer(200), &any_model, &inputs(None, None)));
}

#[test]
fn model_engine_operator_and_epoch_are_those_attested_and_accepted() {
    let enclave = Enclave::snp();
    let opening = enclave.opening("application/json", 200);
    let honest = enclave.payload(&opening, RESPONSE);
    let check = |change: fn(&mut vouchsafe_receipt::ReceiptPayload)| {
        let mut payload = honest.clone();
        change(&mut payload);
        let parts = enclave.parts(Some(enclave.receipt(&payload)), Some(opening.clone()), None);
        judge(&parts, &policy(), &inputs(None, None))
    };
    assert_accepted(&check(|_| {}));
    assert_rejected(&check(|payload| payload.model = Some(Hex([9; 32]))), "model_not_attested");
    assert_rejected(&check(|payload| payload.engine = Hex([9; 32])), "engine_not_attested");
    assert_rejected(&check(|payload| payload.epoch = 1), "epoch_mismatch");

    let parts = enclave.plain();
    let under = |policy: &Policy| judge(&parts, policy, &inputs(None, None));
    let manifest = Hex(enclave.boot.models[0].digest(&Ring));
    let model = |manifest, weights| {
        let reference = ModelReference { name: "m".into(), manifest, weights };
        policy_with(|document| document.models = Rule::Require(vec![reference]))
    };
    assert_accepted(&under(&model(Some(manifest), None)));
    assert_accepted(&under(&model(Some(manifest), Some(Hex([1; 32])))));
    assert_rejected(&under(&model(Some(Hex([9; 32])), None)), "model_mismatch");
    assert_rejected(&under(&model(None, Some(Hex([9; 32])))), "model_mismatch");
    assert_rejected(&under(&model(Some(manifest), Some(Hex([9; 32])))), "model_mismatch");
    assert_rejected(
        &under(&policy_with(|document| document.models = Rule::Require(vec![]))),
        "model_mismatch",
    );

    let operator = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        policy_with(|document| document.operator.identities = Rule::Require(names))
    };
    let verdict = under(&operator(&["other", "operator.example"]));
    assert_accepted(&verdict);
    assert!(proved(&verdict).contains(&"operator"));
    assert_rejected(&under(&operator(&["other"])), "operator_mismatch");

    let engine = |version: &str| {
        let engine =
            vouchsafe_receipt::EngineIdentity { version: version.into(), ..enclave.boot.engine.clone() };
        policy_with(|document| document.engine.identities = Rule::Require(vec![engine]))
    };
    assert_accepted(&under(&engine("0.1.0")));
    assert_rejected(&under(&engine("0.1.1")), "engine_mismatch");
    let settled = policy_with(|document| document.settlement.promised = Rule::Require(Demanded));
    assert_rejected(&under(&settled), "settlement_none");
}

#[test]
fn age_is_judged_by_the_receipts_own_time_and_the_epoch_must_cover_it() {
    let enclave = Enclave::snp();
    let parts = enclave.plain();
    let at = |seconds: u64, policy: &Policy| {
        judge(&parts, policy, &vouchsafe_bundle::Inputs::new(UnixSeconds(NOW.0 + seconds)))
    };
    let aged = policy_with(|document| document.freshness.receipt_age_seconds_max = Rule::Require(60));
    assert_accepted(&at(60, &aged));
    assert_rejected(&at(61, &aged), "receipt_too_old");
    let ahead = |seconds: u64| {
        let opening = parts.opening.clone().unwrap();
        let payload =
            ReceiptPayload { unattested_time: NOW.0 + seconds, ..enclave.payload(&opening, RESPONSE) };
        let parts = enclave.parts(Some(enclave.receipt(&payload)), Some(opening), None);
        judge(&parts, &aged, &vouchsafe_bundle::Inputs::new(NOW))
    };
    assert_accepted(&ahead(300));
    assert_rejected(&ahead(301), "receipt_from_future");
    let epoch = |max| policy_with(|document| document.freshness.epoch_seconds_max = Rule::Require(max));
    // The epoch ends an hour after the receipt; when it is judged does not matter.
    assert_accepted(&at(86_400, &epoch(3600)));
    assert_rejected(&at(0, &epoch(3599)), "epoch_too_long");
    let mut late = Enclave::snp();
    late.epoch.not_after = NOW.0 - 1;
    assert_rejected(&judge(&late.plain(), &epoch(3600), &inputs(None, None)), "epoch_expired");
}

#[test]
fn reports_bind_statements_and_no_other() {
    let (enclave, other) = (Enclave::snp(), Enclave::snp());
    let check = |parts| -> Verdict { judge(&parts, &policy(), &inputs(Some(REQUEST), Some(RESPONSE))) };
    let good = enclave.plain();
    // A statement changed after its report was made, at any byte that keeps it readable.
    let mut parts = good.clone();
    parts.boot.statement = Base64(replace(&good.boot.statement.0, "operator.example", "operator.examplf"));
    assert_rejected(&check(parts), "boot_report_data_mismatch");
    let mut parts = good.clone();
    parts.epoch.statement = Base64(replace(&good.epoch.statement.0, r#""epoch":0"#, r#""epoch":1"#));
    assert_rejected(&check(parts), "epoch_report_data_mismatch");
    // The reports exchanged: each is genuine, neither is for this purpose.
    let mut parts = good.clone();
    std::mem::swap(&mut parts.boot.evidence, &mut parts.epoch.evidence);
    assert_rejected(&check(parts), "boot_report_data_mismatch");
    // Another enclave's epoch, attested by its own machine.
    let mut parts = good.clone();
    parts.epoch = other.attested_epoch();
    let verdict = check(parts);
    assert_rejected(&verdict, "machine_mismatch");
    assert!(verdict.findings().iter().any(|finding| finding.code == Some("epoch_of_other_boot")));
    // The same on one machine: two boots of it.
    let statement = other.epoch.to_bytes();
    let evidence = enclave.machine.evidence(report_data::epoch(&statement, &Ring));
    let mut parts = good.clone();
    parts.epoch = AttestedStatement { statement: Base64(statement), evidence };
    assert_rejected(&check(parts), "epoch_of_other_boot");
    // A whole other boot: the receipt is not of its key.
    let mut parts = good.clone();
    (parts.boot, parts.epoch) = (other.attested_boot(), other.attested_epoch());
    parts.endorsements = Some(other.machine.endorsements());
    assert_rejected(&check(parts), "receipt_key_mismatch");
}

#[test]
fn nothing_is_proved_from_a_broken_report_on() {
    let mut parts = Enclave::snp().plain();
    let Evidence::SevSnp { report } = &mut parts.boot.evidence else { unreachable!() };
    report.0[0x90] ^= 1;
    let verdict = judge(&parts, &policy(), &inputs(Some(REQUEST), Some(RESPONSE)));
    assert_rejected(&verdict, "snp_report_signature_invalid");
    assert!(verdict.proved().is_empty() && verdict.claims().is_none());
    // Where the answer alone is wrong, what stands before it stays proved.
    let parts = Enclave::snp().plain();
    let verdict = judge(&parts, &policy(), &inputs(Some(REQUEST), Some(b"{}")));
    assert!(proved(&verdict).contains(&"receipt") && !proved(&verdict).contains(&"execution"));
}

#[test]
fn a_policy_for_raw_evidence_accepts_no_answer() {
    let verdict = judge(
        &Enclave::snp().plain(),
        &Policy::parse(&shipped("evidence-crypto-only")).unwrap(),
        &inputs(None, None),
    );
    assert_rejected(&verdict, "policy_purpose");
}

fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}
