//! Each finding has a document that provokes it, and the sound one has none.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vouchsafe_policy::check::{FINDINGS, Finding, check};
use vouchsafe_verifier::UnixSeconds;

use crate::common::*;

const AT: &str = "2026-11-21T12:00:00Z";

fn at() -> UnixSeconds {
    UnixSeconds::from_rfc3339(AT).unwrap()
}

fn findings(value: &Value) -> Vec<Finding> {
    check(&parse(value), at())
}

fn names(value: &Value) -> Vec<(&'static str, String)> {
    findings(value).into_iter().map(|finding| (finding.name, finding.path)).collect()
}

/// What provokes each finding, and where it is found.
fn provoked() -> Vec<(&'static str, Value, &'static str)> {
    let (snp, tdx) = (sound_snp(), sound_tdx());
    let none = json!({"require": []});
    let waived = json!({"ignore": "for a test"});
    let reference = |change: &str, value: Value| {
        let mut changed = snp.clone();
        changed["measurements"]["require"][0][change] = value;
        changed
    };
    let mut both = snp.clone();
    both["platform"]["accepted"] = json!({"require": ["sev-snp", "tdx"]});
    both["platform"]["tdx"] = tdx["platform"]["tdx"].clone();
    both["trust"]["vendors"] = json!({"require": ["amd", "intel"]});
    let mut second = reference("valid_until", json!("2026-11-01T00:00:00Z"));
    let mut other = second["measurements"]["require"][0].clone();
    other["name"] = json!("image 2");
    other["valid_until"] = json!("2027-11-01T00:00:00Z");
    other["digests"]["measurement"] = json!("5b".repeat(48));
    second["measurements"]["require"].as_array_mut().unwrap().push(other);
    let mut twice = snp.clone();
    let mut copy = twice["measurements"]["require"][0].clone();
    copy["name"] = json!("image 2");
    twice["measurements"]["require"].as_array_mut().unwrap().push(copy);
    let mut open_kernel = tdx.clone();
    open_kernel["measurements"]["require"][0]["digests"]["rtmr2"] = waived.clone();
    let simulated =
        with(&shipped("simulated"), "/trust/simulated_roots", json!({"require": ["ab".repeat(32)]}));
    let mut debug = shipped("evidence-strict");
    debug["platform"]["snp"]["debug"] = waived.clone();
    vec![
        ("accepts_nothing", with(&snp, "/models", none.clone()), "models"),
        ("accepts_nothing", with(&snp, "/measurements", none.clone()), "measurements"),
        ("accepts_nothing", with(&snp, "/trust/vendors", none.clone()), "trust.vendors"),
        ("accepts_nothing", with(&snp, "/platform/accepted", none.clone()), "platform.accepted"),
        (
            "accepts_nothing",
            with(&snp, "/platform/snp/signing_keys", none.clone()),
            "platform.snp.signing_keys",
        ),
        (
            "accepts_nothing",
            with(&tdx, "/platform/tdx/tcb_statuses", none.clone()),
            "platform.tdx.tcb_statuses",
        ),
        ("references_past", reference("valid_until", json!(AT)), "measurements"),
        (
            "references_past",
            reference("revoked", json!({"at": "2026-01-01T00:00:00Z", "reason": "broken"})),
            "measurements",
        ),
        ("platform_accepts_nothing", both, "measurements"),
        (
            "rule_without_platform",
            with(&snp, "/platform/tdx/debug", json!({"require": false})),
            "platform.tdx.debug",
        ),
        ("accepts_debug", debug, "platform.snp.debug"),
        (
            "accepts_migration",
            with(&snp, "/platform/snp/migration", waived.clone()),
            "platform.snp.migration",
        ),
        (
            "accepts_migration",
            with(&tdx, "/platform/tdx/migratable", json!({"require": true})),
            "platform.tdx.migratable",
        ),
        ("accepts_milan", with(&snp, "/platform/snp/products", waived.clone()), "platform.snp.products"),
        ("accepts_simulation", simulated, "trust.simulated_roots"),
        (
            "tcb_unbounded",
            with(&snp, "/platform/snp/minimum_tcb", waived.clone()),
            "platform.snp.minimum_tcb",
        ),
        (
            "tcb_unbounded",
            with(&tdx, "/platform/tdx/tcb_statuses", waived.clone()),
            "platform.tdx.tcb_statuses",
        ),
        (
            "grace_unlimited",
            with(&tdx, "/platform/tdx/tcb_statuses", json!({"require": [{"status": "OutOfDate"}]})),
            "platform.tdx.tcb_statuses",
        ),
        (
            "evaluation_unbounded",
            with(&tdx, "/platform/tdx/evaluation_number_min", waived.clone()),
            "platform.tdx.evaluation_number_min",
        ),
        ("crl_ignored", with(&snp, "/platform/snp/crl", waived.clone()), "platform.snp.crl"),
        ("kernel_unmeasured", open_kernel, "measurements.0"),
        ("measurements_ignored", shipped("simulated"), "measurements"),
        ("models_ignored", with(&snp, "/models", waived.clone()), "models"),
        ("log_ignored", shipped("simulated"), "log.inclusion"),
        ("witnesses_ignored", with(&snp, "/witnesses/quorum", waived.clone()), "witnesses.quorum"),
        ("quorum_weak", with(&snp, "/witnesses/quorum/require/threshold", json!(1)), "witnesses.quorum"),
        ("challenge_ignored", with(&snp, "/sessions/challenge", waived), "sessions.challenge"),
        ("reference_expired", second, "measurements.0"),
        ("reference_expires_soon", reference("valid_until", json!("2026-12-01T00:00:00Z")), "measurements.0"),
        ("reference_twice", twice, "measurements.1"),
    ]
}

#[test]
fn sound_policies_have_no_findings_and_each_fault_has_its_own() {
    for sound in [sound_snp(), sound_tdx()] {
        assert_eq!(names(&sound), [], "{sound}");
    }
    let mut covered = BTreeSet::new();
    for (name, value, path) in provoked() {
        let found = names(&value);
        assert!(found.contains(&(name, path.to_owned())), "{name} at {path}: {found:?}");
        covered.insert(name);
    }
    let all: BTreeSet<_> = FINDINGS.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(covered, all);
}

#[test]
fn a_template_says_that_it_accepts_nothing_and_why() {
    for (name, places) in [
        (
            "production-snp",
            ["log.inclusion", "measurements", "models", "operator.identities", "witnesses.quorum"],
        ),
        (
            "production-tdx",
            ["log.inclusion", "measurements", "models", "operator.identities", "witnesses.quorum"],
        ),
    ] {
        let found = names(&shipped(name));
        let nothing: Vec<_> = found
            .iter()
            .filter(|(name, _)| *name == "accepts_nothing")
            .map(|(_, path)| path.as_str())
            .collect();
        assert_eq!(nothing, places, "{name}");
    }
}

#[test]
fn errors_come_first() {
    let value = with(
        &with(&sound_snp(), "/models", json!({"require": []})),
        "/platform/snp/crl",
        json!({"ignore": "x"}),
    );
    let severities: Vec<_> = findings(&value).into_iter().map(|finding| finding.severity).collect();
    let mut sorted = severities.clone();
    sorted.sort();
    assert_eq!(severities, sorted);
}

#[test]
fn every_finding_is_documented() {
    let text = std::fs::read_to_string(root().join("docs/policy.md")).unwrap();
    for (name, _, meaning) in FINDINGS {
        assert!(text.contains(&format!("| `{name}` |")), "docs/policy.md lacks {name}: {meaning}");
    }
}
