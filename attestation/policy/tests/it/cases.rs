//! Recorded cases: the vectors of real hardware, judged as they were recorded.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vouchsafe_policy::cases::{Error, run};

use crate::common::*;

/// A folder of the vectors; `None` when they are not beside the checkout.
pub(crate) fn vectors(part: &str) -> Option<PathBuf> {
    let fixtures =
        std::env::var_os("VOUCHSAFE_FIXTURES").map_or_else(|| root().join("../shared"), PathBuf::from);
    let folder = fixtures.join("vectors").join(part);
    if folder.is_dir() {
        return Some(folder.canonicalize().unwrap());
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", folder.display());
    eprintln!("NOT RUN: {} is missing", folder.display());
    None
}

fn write(folder: &Path, name: &str, case: &Value) {
    std::fs::write(folder.join(format!("{name}.case.json")), case.to_string()).unwrap();
}

#[test]
fn real_evidence_is_judged_as_recorded_and_a_wrong_expectation_is_told() {
    let Some(snp) = vectors("snp") else { return };
    let Some(tdx) = vectors("tdx") else { return };
    let own = tempfile::tempdir().unwrap();
    let report = |case: &str, at: &str, expect: Value| {
        let folder = snp.join(case);
        json!({"at": at, "snp": {"report": folder.join("report.bin"), "vek": folder.join("vek.der")}, "expect": expect})
    };
    let quote = |collateral: &str, at: &str, expect: Value| {
        let folder = tdx.join("v4-gcp-cos113-ccel");
        let files = json!({"quote": folder.join("quote.bin"), "collateral": folder.join(collateral)});
        json!({"at": at, "tdx": files, "expect": expect})
    };
    let rejected = |code: &str| json!({"verdict": "rejected", "code": code});
    let accepted = json!({"verdict": "accepted"});
    write(own.path(), "siena", &report("genoa-v5-siena", "2026-02-20T00:00:00Z", accepted.clone()));
    write(
        own.path(),
        "debug",
        &report("milan-v2-debug", "2022-09-25T00:00:00Z", rejected("snp_debug_mismatch")),
    );
    write(
        own.path(),
        "fresh",
        &quote("collateral-2025-01-21.json", "2025-01-21T14:00:00Z", accepted.clone()),
    );
    let old = rejected("tdx_tcb_status_not_accepted");
    write(own.path(), "old", &quote("collateral-2026-01-27.json", "2026-01-27T12:00:00Z", old));
    let strict = parse(&shipped("evidence-strict"));
    let outcomes = run(&strict, own.path()).unwrap();
    let names: Vec<_> = outcomes.iter().map(|outcome| outcome.name.as_str()).collect();
    assert_eq!(names, ["debug", "fresh", "old", "siena"]);
    for outcome in &outcomes {
        assert!(outcome.is_as_expected(), "{outcome:?}");
    }
    // Under a policy that ignores debugging the debug guest is judged otherwise, and that is told.
    let loose =
        parse(&with(&shipped("evidence-strict"), "/platform/snp/debug", json!({"ignore": "for a test"})));
    let otherwise: Vec<_> =
        run(&loose, own.path()).unwrap().into_iter().filter(|outcome| !outcome.is_as_expected()).collect();
    assert_eq!(otherwise.len(), 1);
    assert_eq!((otherwise[0].name.as_str(), otherwise[0].seen.verdict.as_str()), ("debug", "accepted"));
}

#[test]
fn cases_bring_revocations_report_data_and_the_moment_of_logging() {
    use vouchsafe_policy::signed::SigningKey;
    let own = tempfile::tempdir().unwrap();
    let data = root().join("attestation/bundle/tests/data/v1-settled");
    let key = SigningKey::generate().unwrap().0;
    let bytes = std::fs::read(data.join("policy.json")).unwrap();
    let text = vouchsafe_policy::template::with_revokers(&bytes, &[key.spki().to_vec()], 1, 1_000_000_000);
    let policy = vouchsafe_bundle::Policy::parse(text.unwrap().as_bytes()).unwrap();
    let list = |revocations: Value| {
        use vouchsafe_policy::revocations::{Document, sign};
        let document = json!({"version": 1, "revocations": revocations}).to_string();
        let at = |text| vouchsafe_verifier::UnixSeconds::from_rfc3339(text).unwrap();
        let mut list = Document::parse(document.as_bytes())
            .unwrap()
            .release(1, at("2026-01-01T00:00:00Z"), at("2036-01-01T00:00:00Z"))
            .unwrap();
        sign(&mut list, &key).unwrap();
        list.to_json()
    };
    let genoa =
        json!([{"name": "m", "revokes": {"product": "Genoa"}, "at": "2026-01-02T00:00:00Z", "reason": "r"}]);
    for (name, revocations) in [("none.json", json!([])), ("genoa.json", genoa)] {
        std::fs::write(own.path().join(name), list(revocations)).unwrap();
    }
    let case = |revocations: Option<&str>, expect: Value| {
        json!({"at": "2026-01-03T00:00:00Z", "bundle": data.join("settled.json"), "revocations": revocations,
            "expect": expect})
    };
    write(own.path(), "good", &case(Some("none.json"), json!({"verdict": "accepted"})));
    let missing = json!({"verdict": "incomplete", "code": "revocations_missing"});
    write(own.path(), "missing", &case(None, missing));
    let revoked = json!({"verdict": "rejected", "code": "processor_revoked",
        "as_logged": {"verdict": "accepted"}});
    write(own.path(), "revoked", &case(Some("genoa.json"), revoked));
    let outcomes = run(&policy, own.path()).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.is_as_expected()), "{outcomes:#?}");
    // What is expected of the moment of logging counts.
    let otherwise = json!({"verdict": "rejected", "code": "processor_revoked",
        "as_logged": {"verdict": "rejected", "code": "processor_revoked"}});
    write(own.path(), "revoked", &case(Some("genoa.json"), otherwise));
    let outcomes = run(&policy, own.path()).unwrap();
    let wrong: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_as_expected()).collect();
    assert_eq!((wrong.len(), wrong[0].name.as_str()), (1, "revoked"));

    let Some(snp) = vectors("snp") else { return };
    let folder = tempfile::tempdir().unwrap();
    let one = snp.join("genoa-v5-siena");
    let report = json!({"report": one.join("report.bin"), "vek": one.join("vek.der")});
    let mismatch = json!({"verdict": "rejected", "code": "report_data_mismatch"});
    write(
        folder.path(),
        "data",
        &json!({"at": "2026-02-20T00:00:00Z", "snp": report, "report_data": "ab".repeat(64), "expect": mismatch}),
    );
    let outcomes = run(&parse(&shipped("evidence-strict")), folder.path()).unwrap();
    assert!(outcomes[0].is_as_expected(), "{outcomes:?}");
}

#[test]
fn unusable_cases_are_told_from_wrong_ones() {
    let strict = parse(&shipped("evidence-strict"));
    let own = tempfile::tempdir().unwrap();
    assert!(matches!(run(&strict, own.path()), Err(Error::Empty { .. })));
    assert!(matches!(run(&strict, &own.path().join("none")), Err(Error::Unreadable { .. })));
    let at = "2026-11-21T12:00:00Z";
    let accepted = json!({"verdict": "accepted"});
    for case in [
        json!({"at": at, "expect": accepted}),
        json!({"at": at, "bundle": "b", "snp": {"report": "r"}, "expect": accepted}),
        json!({"at": "yesterday", "bundle": "b", "expect": accepted}),
        json!({"at": at, "bundle": "b", "expect": {"verdict": "fine"}}),
        json!({"at": at, "bundle": "b", "more": 1, "expect": accepted}),
    ] {
        write(own.path(), "one", &case);
        assert!(matches!(run(&strict, own.path()), Err(Error::Malformed { .. })), "{case}");
    }
    write(own.path(), "one", &json!({"at": at, "bundle": "none", "expect": accepted}));
    assert!(matches!(run(&strict, own.path()), Err(Error::Unreadable { .. })));
}
