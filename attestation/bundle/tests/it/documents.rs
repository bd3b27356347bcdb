//! Live enclaves: the challenge, and the answers of a session.

use vouchsafe_bundle::policy::Rule;
use vouchsafe_bundle::{Answer, Inputs, Policy, Verdict, VerifiedBoot, appraise_document, verify_bundle};
use vouchsafe_receipt::AttestationDocument;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::{Endorsements, UnixSeconds};

use crate::common::*;

const NONCE: [u8; 32] = [0x77; 32];

fn appraise(
    document: &AttestationDocument,
    policy: &Policy,
    nonce: Option<&[u8; 32]>,
) -> Result<VerifiedBoot, Box<Verdict>> {
    appraise_document(document, policy, nonce, &Inputs::new(NOW), &Ring)
}

#[track_caller]
fn refused(document: &AttestationDocument, code: &str) {
    assert_rejected(&appraise(document, &policy(), Some(&NONCE)).unwrap_err(), code);
}

#[test]
fn a_live_enclave_is_accepted_and_its_answers_judged() {
    for machine in [Machine::snp(), Machine::tdx()] {
        let enclave = Enclave::new(machine);
        let boot = appraise(&enclave.document(Some(NONCE)), &policy(), Some(&NONCE))
            .unwrap_or_else(|verdict| panic!("{}", verdict.to_json()));
        assert!(boot.simulated() && boot.verdict().is_accepted());
        assert!(proved(boot.verdict()).contains(&"fresh"));
        assert_eq!(boot.receipt_key(), &enclave.key);
        assert_eq!(boot.tls_spki(), enclave.boot.keys.tls.0);
        assert_eq!(boot.not_after(), UnixSeconds(NOW.0 + 3600));

        let parts = enclave.plain();
        let answer = Answer {
            receipt: parts.receipt.as_ref(),
            opening: parts.opening.as_ref(),
            request: Some(REQUEST),
            response: Some(RESPONSE),
            ..Answer::default()
        };
        let verdict = boot.check_answer(&answer, NOW, &Ring);
        assert_accepted(&verdict);
        assert!(verdict.simulated(), "what holds for the boot holds for its answers");
        for word in ["measurement", "keys_attested", "fresh", "receipt", "response"] {
            assert!(proved(&verdict).contains(&word), "{word}");
        }
        let altered = Answer { response: Some(b"{}"), ..answer };
        assert_rejected(&boot.check_answer(&altered, NOW, &Ring), "response_mismatch");
        assert_rejected(&boot.check_answer(&Answer::default(), NOW, &Ring), "answer_empty");
        let other = Enclave::snp().plain();
        let foreign = Answer { receipt: other.receipt.as_ref(), ..answer };
        assert_rejected(&boot.check_answer(&foreign, NOW, &Ring), "receipt_key_mismatch");

        // The same answer as a file for others.
        let bundle = boot.bundle(parts.receipt.clone(), parts.opening.clone(), None).unwrap();
        assert_accepted(&verify_bundle(&bundle, &policy(), &inputs(Some(REQUEST), Some(RESPONSE)), &Ring));
        assert!(boot.bundle(None, None, None).is_err());
    }
}

#[test]
fn streams_are_judged_in_a_session_too() {
    let enclave = Enclave::snp();
    let boot = appraise(&enclave.document(Some(NONCE)), &policy(), Some(&NONCE)).unwrap();
    let (parts, text) = enclave.streamed();
    let whole = Answer {
        receipt: parts.receipt.as_ref(),
        opening: parts.opening.as_ref(),
        stream: parts.stream.as_ref(),
        request: Some(REQUEST),
        response: Some(text.as_bytes()),
        proof: None,
    };
    assert_accepted(&boot.check_answer(&whole, NOW, &Ring));
    let cut_off = Answer { receipt: None, ..whole };
    assert_accepted(&boot.check_answer(&cut_off, NOW, &Ring));
}

#[test]
fn an_answer_of_another_epoch_asks_for_a_new_attestation() {
    let mut enclave = Enclave::snp();
    let policy = policy_with(|document| document.freshness.epoch_seconds_max = Rule::Require(7200));
    let boot = appraise(&enclave.document(Some(NONCE)), &policy, Some(&NONCE)).unwrap();
    enclave.epoch.epoch = 1;
    let parts = enclave.plain();
    let answer = Answer { receipt: parts.receipt.as_ref(), ..Answer::default() };
    assert_rejected(&boot.check_answer(&answer, NOW, &Ring), "epoch_mismatch");

    // The epoch that is known may have ended meanwhile. That is found too, and a newer one settles both.
    let opening = enclave.opening("application/json", 200);
    let mut payload = enclave.payload(&opening, RESPONSE);
    let later = UnixSeconds(boot.not_after().0 + 60);
    payload.unattested_time = later.0;
    let receipt = enclave.receipt(&payload);
    let answer = Answer { receipt: Some(&receipt), ..Answer::default() };
    let verdict = boot.check_answer(&answer, later, &Ring);
    assert!(!verdict.is_accepted());
    let codes: Vec<_> = verdict.findings().iter().filter_map(|finding| finding.code).collect();
    assert!(codes.contains(&"epoch_mismatch") && codes.contains(&"epoch_expired"), "{codes:?}");
}

#[test]
fn the_challenge_must_be_sent_answered_and_right() {
    let enclave = Enclave::snp();
    let good = enclave.document(Some(NONCE));
    let bent = |change: fn(&mut vouchsafe_receipt::ChallengeAnswer)| {
        let mut document = good.clone();
        change(document.challenge.as_mut().unwrap());
        document
    };
    refused(&enclave.document(None), "challenge_missing");
    assert_incomplete(&appraise(&good, &policy(), None).unwrap_err(), "challenge_not_sent");
    refused(&enclave.document(Some([0x78; 32])), "challenge_nonce_mismatch");
    // The answer to another's nonce, renamed.
    let mut renamed = enclave.document(Some([0x78; 32]));
    renamed.challenge.as_mut().unwrap().nonce = Hex(NONCE);
    refused(&renamed, "challenge_report_data_mismatch");
    refused(&bent(|answer| answer.path[0].0[0] ^= 1), "challenge_report_data_mismatch");
    refused(&bent(|answer| answer.leaf_index = 0), "challenge_report_data_mismatch");
    refused(&bent(|answer| answer.leaf_index = 3), "challenge_path_malformed");
    refused(&bent(|answer| answer.tree_size = 0), "challenge_path_malformed");
    refused(&bent(|answer| answer.path.clear()), "challenge_path_malformed");
    refused(&bent(|answer| answer.path.resize(1000, Hex([0; 32]))), "challenge_path_malformed");
    // The boot report in place of a fresh one, and another machine's fresh one.
    let mut replayed = good.clone();
    replayed.challenge.as_mut().unwrap().evidence = good.boot.evidence.clone();
    refused(&replayed, "challenge_report_data_mismatch");
    let mut relayed = good.clone();
    relayed.challenge = Enclave::snp().document(Some(NONCE)).challenge;
    refused(&relayed, "machine_mismatch");
}

#[test]
fn a_challenge_that_the_policy_ignores_must_still_be_right_where_it_is_answered() {
    let policy = policy_with(|document| document.sessions.challenge = ignore());
    let enclave = Enclave::snp();
    let boot = appraise(&enclave.document(None), &policy, None).unwrap();
    assert!(not_proved(boot.verdict()).contains(&"ignored:sessions.challenge"));
    assert!(!proved(boot.verdict()).contains(&"fresh"));
    assert!(appraise(&enclave.document(None), &policy, Some(&NONCE)).is_ok());
    let wrong = appraise(&enclave.document(Some([0x78; 32])), &policy, Some(&NONCE)).unwrap_err();
    assert_rejected(&wrong, "challenge_nonce_mismatch");
}

#[test]
fn the_epoch_must_last() {
    let policy = policy_with(|document| document.freshness.epoch_seconds_max = Rule::Require(3600));
    let document = Enclave::snp().document(Some(NONCE));
    let at = |seconds: u64| {
        let inputs = Inputs::new(UnixSeconds(NOW.0 + seconds));
        appraise_document(&document, &policy, Some(&NONCE), &inputs, &Ring)
    };
    assert!(at(0).is_ok() && at(3600).is_ok());
    assert_rejected(&at(3601).unwrap_err(), "epoch_expired");
    let short = policy_with(|document| document.freshness.epoch_seconds_max = Rule::Require(10));
    assert_rejected(&appraise(&document, &short, Some(&NONCE)).unwrap_err(), "epoch_too_long");
}

#[test]
fn a_boot_that_serves_no_accepted_model_is_refused_at_once() {
    let mut enclave = Enclave::snp();
    enclave.boot.models[0].files[0].sha256 = Hex([9; 32]);
    enclave.rebind();
    refused(&enclave.document(Some(NONCE)), "model_mismatch");
}

#[test]
fn documents_of_other_versions_and_for_other_policies_are_refused() {
    let mut document = Enclave::snp().document(Some(NONCE));
    let evidence_only = Policy::parse(&shipped("evidence-strict")).unwrap();
    let verdict = appraise(&document, &evidence_only, Some(&NONCE)).unwrap_err();
    assert_rejected(&verdict, "policy_purpose");
    document.version = 2;
    refused(&document, "document_version_unknown");
}

#[test]
fn only_named_roots_are_believed() {
    let document = Enclave::snp().document(Some(NONCE));
    let nobody = policy_with(|document| document.trust.simulated_roots = Rule::Require(vec![]));
    assert_rejected(&appraise(&document, &nobody, Some(&NONCE)).unwrap_err(), "snp_root_not_trusted");
    let extra_roots = [amd().ark_der().to_vec()];
    let no_certificate = [vec![0; 10]];
    let with_root = |policy: &Policy, roots| {
        let inputs = Inputs { extra_roots: roots, ..Inputs::new(NOW) };
        appraise_document(&document, policy, Some(&NONCE), &inputs, &Ring)
    };
    assert!(with_root(&nobody, &extra_roots).is_ok());
    assert_rejected(&with_root(&nobody, &no_certificate).unwrap_err(), "root_unusable");
    // A policy for production refuses a simulated root even when the caller adds it.
    let production = {
        let mut document = Policy::parse(&shipped("production-snp")).unwrap().into_document();
        document.measurements = policy().document().measurements.clone();
        Policy::new(document).unwrap()
    };
    let verdict = with_root(&production, &extra_roots).unwrap_err();
    assert_rejected(&verdict, "root_simulated");
    assert!(verdict.findings().iter().any(|finding| finding.code == Some("settlement_none")));
    // Endorsements that leave the root out, and endorsements that bring none at all.
    let mut without_root = document.clone();
    let Some(Endorsements::SevSnp(endorsements)) = &mut without_root.endorsements else { unreachable!() };
    endorsements.root = None;
    refused(&without_root, "snp_root_not_trusted");
    without_root.endorsements = None;
    refused(&without_root, "snp_vek_missing");
}
