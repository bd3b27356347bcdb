//! Two verdicts by what they leave unproved.

use serde_json::{Value, json};
use vouchsafe_policy::compare::{Judged, compare};

use crate::common::root;
use crate::program::{file, run};

const AT: &str = "2026-01-01T00:00:30Z";

/// The verdict on a golden bundle of the folder `v1-settled`, under its policy with places changed.
fn verdict(bundle: &str, changes: &[(&str, Value)]) -> Value {
    use vouchsafe_bundle::{Inputs, Policy, verify_bundle_json};
    use vouchsafe_verifier::UnixSeconds;
    use vouchsafe_verifier::crypto::Ring;
    let folder = root().join("attestation/bundle/tests/data/v1-settled");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut policy: Value = serde_json::from_slice(&read("policy.json")).unwrap();
    for (pointer, value) in changes {
        *policy.pointer_mut(pointer).unwrap() = value.clone();
    }
    let policy = Policy::parse(policy.to_string().as_bytes()).unwrap();
    let inputs = Inputs::new(UnixSeconds::from_rfc3339(AT).unwrap());
    let verdict = verify_bundle_json(&read(bundle), &policy, &inputs, &Ring);
    serde_json::from_str(&verdict.to_json()).unwrap()
}

fn judged(verdict: &Value) -> Judged {
    Judged::parse(verdict.to_string().as_bytes()).unwrap()
}

fn words(open: &[vouchsafe_policy::compare::Open]) -> Vec<(&str, Option<&str>)> {
    open.iter().map(|one| (one.code.as_str(), one.established_by.as_deref())).collect()
}

#[test]
fn a_log_and_witnesses_establish_what_a_bare_receipt_leaves_open() {
    let waived = json!({"ignore": "for a test"});
    let lenient = [("/log/inclusion", waived.clone()), ("/witnesses/quorum", waived)];
    let (bare, settled) = (verdict("unsettled.json", &lenient), verdict("settled.json", &[]));
    assert_eq!((&bare["verdict"], &settled["verdict"]), (&json!("accepted"), &json!("accepted")));
    let comparison = compare(&judged(&bare), &judged(&settled));
    assert_eq!(
        words(&comparison.second_establishes),
        [
            ("ignored:log.inclusion", Some("rule log.inclusion")),
            ("ignored:witnesses.quorum", Some("rule witnesses.quorum")),
            ("time_unattested", Some("time")),
            ("unlogged", Some("logged")),
            ("unwitnessed", Some("witnessed")),
        ]
    );
    // What only a log makes possible to ask is open with one, and not established without.
    assert_eq!(words(&comparison.unsaid), [("newest_receipts", None)]);
    assert_eq!(comparison.first_establishes, []);
    assert!(comparison.both.iter().any(|word| word == "physical_attacks"));
    // The other way round it is the first that establishes.
    let back = compare(&judged(&settled), &judged(&bare));
    assert_eq!(words(&back.first_establishes), words(&comparison.second_establishes));
    // A verdict against itself leaves nothing to say.
    let same = compare(&judged(&bare), &judged(&bare));
    assert_eq!((same.first_establishes.len(), same.second_establishes.len(), same.unsaid.len()), (0, 0, 0));
}

/// A refused verdict says little, which is not to be taken for establishing anything.
#[test]
fn what_a_verdict_does_not_say_is_not_established() {
    let waived = json!({"ignore": "for a test"});
    let ignoring = verdict("settled.json", &[("/platform/snp/debug", waived)]);
    let refused = verdict("settled.json", &[("/platform/snp/debug", json!({"require": true}))]);
    assert_eq!(refused["verdict"], "rejected");
    let comparison = compare(&judged(&ignoring), &judged(&refused));
    assert!(words(&comparison.unsaid).contains(&("ignored:platform.snp.debug", None)));
    assert_eq!(comparison.second_establishes, []);
    let demanded = verdict("settled.json", &[("/platform/snp/debug", json!({"require": false}))]);
    let comparison = compare(&judged(&ignoring), &judged(&demanded));
    assert_eq!(
        words(&comparison.second_establishes),
        [("ignored:platform.snp.debug", Some("rule platform.snp.debug"))]
    );
}

#[test]
fn the_program_compares_and_objects_to_what_is_weaker() {
    let own = tempfile::tempdir().unwrap();
    let waived = json!({"ignore": "for a test"});
    let lenient = [("/log/inclusion", waived.clone()), ("/witnesses/quorum", waived)];
    let bare = file(own.path(), "bare.json", verdict("unsettled.json", &lenient).to_string());
    let settled = file(own.path(), "settled.json", verdict("settled.json", &[]).to_string());
    let better = run(&["compare", &bare, &settled]);
    assert_eq!(better.code, 0, "{}", better.err);
    assert!(better.out.contains("unwitnessed  (witnessed)"), "{}", better.out);
    let worse = run(&["compare", &settled, &bare, "--format", "json"]);
    assert_eq!(worse.code, 10, "{}", worse.err);
    let json: Value = serde_json::from_str(&worse.out).unwrap();
    assert_eq!(json["first_establishes"][4]["code"], "unwitnessed");
    for text in ["", "{}", "[]", r#"{"verdict":"accepted","proved":[],"not_proved":[1],"findings":[]}"#] {
        let bad = file(own.path(), "bad.json", text);
        assert_eq!(run(&["compare", &bad, &bare]).code, 30, "{text}");
    }
}
