//! Receipts in the log: what settles, what does not, and when something was good.

use serde_json::json;
use vouchsafe_bundle::policy::{Moment, QuorumReference, Reason, Revocation, Rule};
use vouchsafe_bundle::{Answer, Bundle, BundleParts, Policy, Verdict, appraise_document, verify_bundle_json};
use vouchsafe_receipt::{Assurance, Settlement};
use vouchsafe_translog::{Algorithm, NoteSignature, TlogProof};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use crate::common::*;
use crate::logs::*;

const LATER: UnixSeconds = UnixSeconds(NOW.0 + 30);
const SEEN_BY: UnixSeconds = UnixSeconds(NOW.0 + 3);

fn strict(log: &Log) -> Policy {
    policy_with(|document| log.require(document))
}

fn at(parts: &BundleParts, policy: &Policy, at: UnixSeconds) -> Verdict {
    judge(parts, policy, &vouchsafe_bundle::Inputs { at, ..inputs(Some(REQUEST), Some(RESPONSE)) })
}

#[test]
fn a_settled_receipt_proves_who_else_can_see_it_and_when() {
    let log = Log::new();
    let parts = log.settled(&log.enclave());
    let verdict = at(&parts, &strict(&log), LATER);
    assert_accepted(&verdict);
    assert_eq!(verdict.assurance(), Some(Assurance::Settled));
    for word in ["logged", "witnessed", "time", "settled_in_time"] {
        assert!(proved(&verdict).contains(&word), "{word}");
    }
    for word in ["unlogged", "unwitnessed", "time_unattested", "settled_in_time"] {
        assert!(!not_proved(&verdict).contains(&word), "{word}");
    }
    assert!(not_proved(&verdict).contains(&"newest_receipts"));
    let logged = verdict.as_logged().unwrap();
    assert_eq!((logged.verdict.as_str(), logged.code, logged.at), ("accepted", None, SEEN_BY));
    let now = verdict.as_of_now();
    assert_eq!((now.verdict.as_str(), now.code, now.at), ("accepted", None, LATER));
    // As a file.
    let json = Bundle::new(parts.clone()).unwrap().to_json();
    assert_eq!(Bundle::parse(&json).unwrap().parts(), &parts);
}

#[test]
fn keys_that_the_operator_chose_show_no_time_and_nobody_elses_eyes() {
    let log = Log::new();
    let parts = log.settled(&log.enclave());
    let verdict = at(&parts, &policy(), LATER);
    assert_accepted(&verdict);
    assert_eq!((verdict.assurance(), verdict.as_logged()), (Some(Assurance::Attested), None));
    for word in ["logged_by_boots_log", "witnessed_by_boots_witnesses"] {
        assert!(proved(&verdict).contains(&word), "{word}");
    }
    for word in ["logged", "witnessed", "time", "settled_in_time"] {
        assert!(!proved(&verdict).contains(&word), "{word}");
    }
    for word in ["unlogged", "unwitnessed", "time_unattested"] {
        assert!(not_proved(&verdict).contains(&word), "{word}");
    }
    // A log that the policy names, and witnesses that it does not.
    let of_log = policy_with(|document| {
        log.require(document);
        document.witnesses.quorum = ignore();
    });
    let verdict = at(&parts, &of_log, LATER);
    assert_accepted(&verdict);
    assert!(proved(&verdict).contains(&"logged") && !proved(&verdict).contains(&"time"));
    assert!(not_proved(&verdict).contains(&"unwitnessed") && verdict.as_logged().is_none());
    // What is revoked is not accepted as of a time of the operator's own.
    let revoked = policy_with(|document| {
        let Rule::Require(values) = &mut document.measurements else { panic!("it names the guest") };
        values[0].revoked = Some(Revocation { at: Moment(LATER), reason: "a hole in a parser".into() });
    });
    let verdict = at(&parts, &revoked, LATER);
    assert_rejected(&verdict, "measurement_revoked");
    assert_eq!(verdict.as_logged(), None);
}

#[test]
fn an_unsettled_receipt_is_attested_and_says_what_is_missing() {
    let log = Log::new();
    let parts = log.unsettled(&log.enclave());
    let verdict = at(&parts, &policy(), LATER);
    assert_accepted(&verdict);
    assert_eq!((verdict.assurance(), verdict.as_logged()), (Some(Assurance::Attested), None));
    for word in ["unlogged", "unwitnessed", "time_unattested"] {
        assert!(not_proved(&verdict).contains(&word), "{word}");
    }
    assert_incomplete(&at(&parts, &strict(&log), LATER), "proof_pending");
    let settle_by = NOW.0 - 5 + BOUND_S;
    assert_incomplete(&at(&parts, &strict(&log), UnixSeconds(settle_by)), "proof_pending");
    assert_incomplete(&at(&parts, &strict(&log), UnixSeconds(settle_by + 1)), "proof_missing");
}

#[test]
fn what_does_not_prove_settlement_is_refused_by_name() {
    let log = Log::new();
    let enclave = log.enclave();
    let unsettled = log.unsettled(&enclave);
    let with = |proof: TlogProof| BundleParts { proof: Some(proof), ..unsettled.clone() };
    let other = log.unsettled(&enclave);
    let mut bad_cosignature = log.proof(&unsettled, BEFORE, &TIMES[..2]).note().clone();
    bad_cosignature.add(NoteSignature::new(&log.witnesses[2].key, vec![0; 72])).unwrap();
    let path = log.proof(&unsettled, BEFORE, &TIMES).path().to_vec();
    let foreign = Log { signer: Signer::new("log.example/other", Algorithm::Ed25519, 2), ..Log::new() };
    let forged = Log { signer: Signer::new("log.example/test", Algorithm::Ed25519, 2), ..Log::new() };
    let shorter = TlogProof::new(
        BEFORE as u64,
        path[1..].to_vec(),
        log.proof(&unsettled, BEFORE, &TIMES).note().clone(),
    );
    let moved =
        TlogProof::new(BEFORE as u64 + 1, path.clone(), log.proof(&unsettled, BEFORE, &TIMES).note().clone());
    let cases = [
        (with(log.proof(&other, BEFORE, &TIMES)), "inclusion_invalid"),
        (with(shorter.unwrap()), "inclusion_invalid"),
        (with(moved.unwrap()), "inclusion_invalid"),
        (with(log.proof(&unsettled, BEFORE, &TIMES[..1])), "witness_quorum_missing"),
        (with(log.proof(&unsettled, BEFORE, &[])), "witness_quorum_missing"),
        (with(TlogProof::new(BEFORE as u64, path, bad_cosignature).unwrap()), "cosignature_invalid"),
        (with(foreign.proof(&unsettled, BEFORE, &TIMES)), "log_unknown"),
        (with(forged.proof(&unsettled, BEFORE, &TIMES)), "checkpoint_signature_missing"),
        (with(log.proof(&unsettled, BEFORE - 1, &TIMES)), "logged_before_checkpoint"),
    ];
    for (parts, code) in cases {
        let verdict = at(&parts, &strict(&log), LATER);
        assert_rejected(&verdict, code);
        assert_eq!(verdict.assurance(), Some(Assurance::Attested), "{code}");
        assert!(not_proved(&verdict).contains(&"unwitnessed"), "{code}");
        // A place in the log that is shown must be one even where the policy ignores it; witnesses whom nobody
        // asked for can neither be missing nor wrong.
        let lenient = at(&parts, &policy(), LATER);
        match code {
            "witness_quorum_missing" | "cosignature_invalid" => {
                assert_accepted(&lenient);
                assert_eq!(lenient.assurance(), Some(Assurance::Attested));
                assert!(proved(&lenient).contains(&"logged_by_boots_log"));
                assert!(!proved(&lenient).contains(&"witnessed_by_boots_witnesses"));
                assert!(not_proved(&lenient).contains(&"unwitnessed"));
            }
            _ => assert_rejected(&lenient, code),
        }
    }
}

#[test]
fn the_boot_must_settle_where_the_policy_trusts() {
    let log = Log::new();
    let parts = log.settled(&log.enclave());
    let refused = |change: &dyn Fn(&mut vouchsafe_bundle::policy::PolicyDocument), code: &str| {
        let policy = policy_with(|document| {
            log.require(document);
            change(document);
        });
        assert_rejected(&at(&parts, &policy, LATER), code);
    };
    refused(
        &|document| document.settlement.bound = Rule::Require(BOUND_S - 1),
        "settlement_bound_above_policy",
    );
    refused(&|document| document.log.inclusion = Rule::Require(vec![]), "log_not_trusted");
    let vkey = |number: usize| log.witnesses[number].vkey();
    let quorum = |keys: Vec<_>, threshold| Rule::Require(QuorumReference { keys, threshold });
    refused(&|document| document.witnesses.quorum = quorum(vec![], 2), "witnesses_not_trusted");
    refused(
        &|document| document.witnesses.quorum = quorum((0..3).map(vkey).collect(), 3),
        "witnesses_not_trusted",
    );
    refused(
        &|document| document.witnesses.quorum = quorum(vec![vkey(0), vkey(1)], 2),
        "witnesses_not_trusted",
    );
    // Of any two of the boot's three witnesses, the policy knows at least one.
    let one_of_two = policy_with(|document| {
        log.require(document);
        document.witnesses.quorum = quorum(vec![vkey(0), vkey(1)], 1);
    });
    assert_accepted(&at(&parts, &one_of_two, LATER));
    let without = Enclave::snp();
    assert_rejected(&at(&without.plain(), &strict(&log), LATER), "settlement_none");
    // A live enclave is held to the same.
    let document = log.enclave().document(Some([7; 32]));
    assert!(appraise_document(&document, &strict(&log), Some(&[7; 32]), &inputs(None, None), &Ring).is_ok());
    let other = Log { signer: Signer::new("log.example/other", Algorithm::Ed25519, 2), ..Log::new() };
    let document = other.enclave().document(Some([7; 32]));
    let refused = appraise_document(&document, &strict(&log), Some(&[7; 32]), &inputs(None, None), &Ring);
    assert_rejected(&refused.unwrap_err(), "log_not_trusted");
}

#[test]
fn a_receipt_promises_what_its_boot_does() {
    let log = Log::new();
    let enclave = log.enclave();
    let opening = enclave.opening("application/json", 200);
    let judge_payload = |change: &dyn Fn(&mut vouchsafe_receipt::ReceiptPayload)| {
        let mut payload = enclave.payload(&opening, RESPONSE);
        Log::promise(&mut payload);
        change(&mut payload);
        at(&enclave.parts(Some(enclave.receipt(&payload)), Some(opening.clone()), None), &policy(), LATER)
    };
    assert_accepted(&judge_payload(&|_| ()));
    assert_rejected(
        &judge_payload(&|payload| *payload.settle_by.as_mut().unwrap() += 1),
        "settle_by_mismatch",
    );
    assert_rejected(
        &judge_payload(&|payload| *payload.settle_by.as_mut().unwrap() -= 1),
        "settle_by_mismatch",
    );
    let nothing = |payload: &mut vouchsafe_receipt::ReceiptPayload| {
        (payload.checkpoint, payload.settle_by) = (None, None);
    };
    assert_rejected(&judge_payload(&nothing), "settle_by_mismatch");
    // A boot without a log promises nothing.
    let none = Enclave::snp();
    let mut payload = none.payload(&opening, RESPONSE);
    Log::promise(&mut payload);
    let parts = none.parts(Some(none.receipt(&payload)), Some(opening.clone()), None);
    assert_rejected(&at(&parts, &policy(), LATER), "settle_by_mismatch");
    let mut parts = none.plain();
    parts.proof = Some(log.proof(&parts, BEFORE, &TIMES));
    assert_rejected(&at(&parts, &policy(), LATER), "proof_without_log");
}

#[test]
fn a_clock_that_was_set_back_does_not_prolong_an_epoch() {
    let log = Log::new();
    let mut enclave = log.enclave();
    enclave.epoch.not_after = NOW.0 - 6;
    let opening = enclave.opening("application/json", 200);
    let mut payload = enclave.payload(&opening, RESPONSE);
    payload.unattested_time = NOW.0 - 100;
    Log::promise(&mut payload);
    let parts = enclave.parts(Some(enclave.receipt(&payload)), Some(opening), None);
    let policy = policy_with(|document| document.freshness.epoch_seconds_max = Rule::Require(7200));
    assert_rejected(&at(&parts, &policy, LATER), "epoch_expired");
}

#[test]
fn what_was_good_when_it_was_logged_may_be_refused_now() {
    let log = Log::new();
    let parts = log.settled(&log.enclave());
    let revoked = |at: u64| {
        policy_with(|document| {
            log.require(document);
            let Rule::Require(values) = &mut document.measurements else { panic!("it names the guest") };
            values[0].revoked =
                Some(Revocation { at: Moment(UnixSeconds(at)), reason: "a hole in a parser".into() });
        })
    };
    let verdict = at(&parts, &revoked(SEEN_BY.0 + 1), LATER);
    assert_rejected(&verdict, "measurement_revoked");
    assert_eq!(verdict.as_logged().unwrap().verdict.as_str(), "accepted");
    assert_eq!(verdict.assurance(), Some(Assurance::Settled));
    let verdict = at(&parts, &revoked(SEEN_BY.0), LATER);
    assert_rejected(&verdict, "measurement_revoked");
    assert_eq!(verdict.as_logged().unwrap().code, Some("measurement_revoked"));
    // Ten years on, the machine's certificates have expired.
    let in_ten_years = UnixSeconds(NOW.0 + 10 * 365 * 86_400);
    let verdict = at(&parts, &strict(&log), in_ten_years);
    assert_eq!(verdict.decision().as_str(), "rejected");
    let logged = verdict.as_logged().unwrap();
    assert_eq!((logged.verdict.as_str(), logged.at), ("accepted", SEEN_BY));
}

#[test]
fn one_lying_witness_does_not_move_the_time_of_logging_back() {
    let log = Log::new();
    let unsettled = log.unsettled(&log.enclave());
    let long_ago = NOW.0 - 1_000_000;
    for times in [[long_ago, NOW.0 + 3, NOW.0 + 4], [NOW.0 + 3, long_ago, NOW.0 + 4]] {
        for count in [2, 3] {
            let proof = Some(log.proof(&unsettled, BEFORE, &times[..count]));
            let parts = BundleParts { proof, ..unsettled.clone() };
            let verdict = at(&parts, &strict(&log), LATER);
            assert_accepted(&verdict);
            assert_eq!(verdict.as_logged().unwrap().at, SEEN_BY, "{times:?}, {count}");
        }
    }
}

#[test]
fn a_proof_under_a_later_checkpoint_does_not_show_punctuality() {
    let log = Log::new();
    let unsettled = log.unsettled(&log.enclave());
    let late = NOW.0 + 500;
    let proof = Some(log.proof(&unsettled, BEFORE, &[late, late]));
    let verdict = at(&BundleParts { proof, ..unsettled }, &strict(&log), UnixSeconds(late));
    assert_accepted(&verdict);
    assert!(
        not_proved(&verdict).contains(&"settled_in_time") && !proved(&verdict).contains(&"settled_in_time")
    );
}

#[test]
fn a_stream_that_was_cut_off_has_nothing_to_prove() {
    let log = Log::new();
    let settled = log.settled(&log.enclave());
    let (mut streamed, _) = log.enclave().streamed();
    (streamed.receipt, streamed.opening) = (None, None);
    assert_accepted(&judge(&streamed, &policy(), &inputs(None, None)));
    streamed.proof = settled.proof;
    assert_rejected(&judge(&streamed, &policy(), &inputs(None, None)), "proof_without_receipt");
}

#[test]
fn a_live_answer_is_older_than_its_proof_unless_the_client_waited() {
    let log = Log::new();
    let enclave = log.enclave();
    let document = enclave.document(Some([7; 32]));
    let policy = strict(&log);
    let boot = appraise_document(&document, &policy, Some(&[7; 32]), &inputs(None, None), &Ring).unwrap();
    let judge_live = |assurance: Assurance, proof: bool| {
        let opening = enclave.opening("application/json", 200);
        let mut payload = enclave.payload(&opening, RESPONSE);
        Log::promise(&mut payload);
        payload.assurance = assurance;
        let mut parts = enclave.parts(Some(enclave.receipt(&payload)), Some(opening), None);
        parts.proof = proof.then(|| log.proof(&parts, BEFORE, &TIMES));
        let answer = Answer {
            receipt: parts.receipt.as_ref(),
            opening: parts.opening.as_ref(),
            request: Some(REQUEST),
            response: Some(RESPONSE),
            proof: parts.proof.as_ref(),
            ..Answer::default()
        };
        boot.check_answer(&answer, NOW, &Ring)
    };
    let attested = judge_live(Assurance::Attested, false);
    assert_accepted(&attested);
    assert_eq!(attested.assurance(), Some(Assurance::Attested));
    assert!(not_proved(&attested).contains(&"proof_pending") && not_proved(&attested).contains(&"unlogged"));
    assert_rejected(&judge_live(Assurance::Settled, false), "settled_without_proof");
    let settled = judge_live(Assurance::Settled, true);
    assert_accepted(&settled);
    assert_eq!(settled.assurance(), Some(Assurance::Settled));
}

#[test]
fn no_byte_of_a_proof_in_a_bundle_can_change() {
    let log = Log::new();
    // No more cosignatures than needed: one that nobody needs could be lost unnoticed.
    let mut parts = log.unsettled(&log.enclave());
    parts.proof = Some(log.proof(&parts, BEFORE, &TIMES[..2]));
    let policy = strict(&log);
    let json = String::from_utf8(Bundle::new(parts.clone()).unwrap().to_json()).unwrap();
    let proof = serde_json::to_string(&parts.proof.unwrap().to_string()).unwrap();
    let start = json.find(&proof).unwrap() + 1;
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    // Two bytes in three: each judgement verifies four certificate chains.
    for offset in (0..proof.len() - 2).filter(|offset| offset % 3 != 2) {
        let mut bent = json.clone().into_bytes();
        bent[start + offset] ^= 1;
        let verdict = verify_bundle_json(&bent, &policy, &vouchsafe_bundle::Inputs::new(LATER), &Ring);
        let code = verdict.code().unwrap_or_else(|| panic!("byte {offset} was changed unnoticed"));
        assert_eq!(verdict.decision().exit_code(), 10, "byte {offset}: {code}");
        *counts.entry(code).or_default() += 1;
    }
    for code in ["proof_malformed", "inclusion_invalid", "checkpoint_signature_invalid"] {
        assert!(counts.contains_key(code), "{code}: {counts:?}");
    }
}

#[test]
fn log_keys_in_policies_are_of_their_kind() {
    let log = Log::new();
    let read = |section: &str, field: &str, value: serde_json::Value| {
        let mut document: serde_json::Value = serde_json::from_slice(&strict(&log).to_json()).unwrap();
        document[section][field] = value;
        Policy::parse(document.to_string().as_bytes()).map_err(|error| (error.code(), error.to_string()))
    };
    let (log_key, witness) = (log.signer.key.to_string(), log.witnesses[0].key.to_string());
    let quorum = |keys: &[&str], threshold: u64| json!({"require": {"keys": keys, "threshold": threshold}});
    for (section, field, value, code) in [
        ("log", "inclusion", json!({"require": [{"key": "x"}]}), "policy_malformed"),
        ("log", "inclusion", json!({"require": [log_key]}), "policy_malformed"),
        ("log", "inclusion", json!({"require": [{"key": witness}]}), "policy_contradiction"),
        ("log", "inclusion", json!({"ignore": "no"}), "policy_contradiction"),
        ("witnesses", "quorum", quorum(&[&log_key], 1), "policy_contradiction"),
        ("witnesses", "quorum", quorum(&[&witness], 0), "policy_contradiction"),
        ("witnesses", "quorum", quorum(&[&witness], 2), "policy_contradiction"),
        ("witnesses", "quorum", quorum(&[&witness, &witness], 1), "policy_contradiction"),
        ("witnesses", "quorum", json!({"require": {"keys": [witness]}}), "policy_malformed"),
        ("settlement", "bound", json!({"require": -1}), "policy_malformed"),
    ] {
        let error = read(section, field, value.clone()).unwrap_err();
        assert_eq!(error.0, code, "{value}: {}", error.1);
        assert!(
            error.1.contains(&format!("{section}.{field}")) || code == "policy_contradiction",
            "{}",
            error.1
        );
    }
    assert!(read("witnesses", "quorum", quorum(&[&witness], 1)).is_ok());
    assert!(read("log", "inclusion", json!({"require": []})).is_ok());
    // A key whose short id is not its own is found when it is used.
    let digits = log_key.find('+').unwrap() + 1;
    let mut bent = log_key.clone();
    bent.replace_range(digits..digits + 8, "00000000");
    assert_rejected(
        &at(
            &log.settled(&log.enclave()),
            &read("log", "inclusion", json!({"require": [{"key": bent}]})).unwrap(),
            LATER,
        ),
        "log_not_trusted",
    );
    let waived = Rule::<u64>::Ignore(Reason::new("for the test").unwrap());
    assert!(!waived.is_required() && Settlement::default() == Settlement::None);
}
