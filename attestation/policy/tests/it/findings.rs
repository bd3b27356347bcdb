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
    let register =
        |name: &str, rule: Value| with(&tdx, &format!("/measurements/require/0/digests/{name}"), rule);
    let [open_firmware, no_firmware] = [waived.clone(), none.clone()].map(|rule| register("mrtd", rule));
    // The broken image, and another that shares its registers and is not revoked.
    let mut void = tdx.clone();
    void["measurements"]["require"][0]["revoked"] = json!({"at": "2026-01-01T00:00:00Z", "reason": "broken"});
    let mut wider = tdx["measurements"]["require"][0].clone();
    wider["name"] = json!("image 1, and another kernel");
    wider["digests"]["rtmr1"] = json!({"require": ["5a".repeat(48), "5b".repeat(48)]});
    void["measurements"]["require"].as_array_mut().unwrap().push(wider);
    let statuses = |rule: Value| with(&tdx, "/platform/tdx/tcb_statuses", json!({"require": [rule]}));
    let zero = json!({"bootloader": 0, "tee": 0, "snp": 0, "microcode": 0});
    let mut no_floor = with(&snp, "/platform/snp/products", waived.clone());
    no_floor["platform"]["snp"]["minimum_tcb"] = json!({"require": {}});
    let mut no_revokers = shipped("evidence-strict");
    no_revokers["revocations"]["list"] =
        json!({"require": {"keys": [], "threshold": 1, "age_seconds_max": 86_400}});
    let rule = |document: &Value, pointer: &str| with(document, pointer, waived.clone());
    vec![
        ("accepts_nothing", no_floor, "platform.snp.minimum_tcb"),
        ("accepts_nothing", no_firmware, "measurements"),
        ("accepts_nothing", no_revokers, "revocations.list"),
        (
            "accepts_nothing",
            with(&snp, "/revocations/list/require/age_seconds_max", json!(0)),
            "revocations.list",
        ),
        ("references_not_yet", reference("valid_from", json!("2099-01-01T00:00:00Z")), "measurements"),
        (
            "reference_expires_soon",
            reference("revoked", json!({"at": "2026-11-22T00:00:00Z", "reason": "broken"})),
            "measurements.0",
        ),
        ("revocation_void", void, "measurements.0"),
        ("firmware_unmeasured", open_firmware, "measurements.0"),
        ("tcb_revoked", statuses(json!({"status": "Revoked"})), "platform.tdx.tcb_statuses"),
        (
            "grace_unlimited",
            statuses(json!({"status": "OutOfDate", "grace_days": u32::MAX})),
            "platform.tdx.tcb_statuses",
        ),
        (
            "advisory_unknown",
            with(&tdx, "/platform/tdx/advisories_denied", json!({"require": ["SA-00960"]})),
            "platform.tdx.advisories_denied",
        ),
        ("sept_ve_ignored", rule(&tdx, "/platform/tdx/sept_ve_disable"), "platform.tdx.sept_ve_disable"),
        ("service_td_ignored", rule(&tdx, "/platform/tdx/no_service_td"), "platform.tdx.no_service_td"),
        ("vmpl_open", rule(&snp, "/platform/snp/vmpl_max"), "platform.snp.vmpl_max"),
        ("signing_keys_ignored", rule(&snp, "/platform/snp/signing_keys"), "platform.snp.signing_keys"),
        ("alias_check_ignored", rule(&snp, "/platform/snp/alias_check"), "platform.snp.alias_check"),
        (
            "tcb_unbounded",
            with(&snp, "/platform/snp/minimum_tcb/require/Genoa", zero),
            "platform.snp.minimum_tcb",
        ),
        ("operator_ignored", rule(&snp, "/operator/identities"), "operator.identities"),
        ("epoch_unbounded", rule(&snp, "/freshness/epoch_seconds_max"), "freshness.epoch_seconds_max"),
        ("bound_ignored", rule(&snp, "/settlement/bound"), "settlement.bound"),
        ("revocations_ignored", rule(&snp, "/revocations/list"), "revocations.list"),
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

/// Lists of which nothing need be named: nothing is accepted beside, or denied, or demanded.
const MAY_BE_EMPTY: [&str; 4] = [
    "/trust/simulated_roots",
    "/platform/tdx/advisories_denied",
    "/platform/tdx/advisories_tolerated",
    "/parameters/values",
];

/// Whatever rule the schema will have: where nothing is named that could match, nothing is accepted, and that is said.
#[test]
fn an_empty_list_anywhere_accepts_nothing_and_is_said() {
    let document = requiring_everything();
    let mut emptied = 0;
    for (pointer, _) in rules(&document) {
        let value = &document.pointer(&pointer).unwrap()["require"];
        let empty = match value {
            Value::Array(_) => json!([]),
            Value::Object(fields) if fields.contains_key("keys") => {
                let mut none = value.clone();
                none["keys"] = json!([]);
                none
            }
            Value::Object(_) => json!({}),
            _ => continue,
        };
        // A product that is accepted has a floor: without one there is no policy.
        let mut changed = document.clone();
        if pointer == "/platform/snp/minimum_tcb" {
            changed["platform"]["snp"]["products"] = json!({"ignore": "for a test"});
        }
        let changed = with(&changed, &pointer, json!({"require": empty}));
        let found = names(&changed);
        let path = pointer.trim_start_matches('/').replace('/', ".");
        let is_said = found.iter().any(|(name, place)| {
            ["accepts_nothing", "platform_accepts_nothing"].contains(name) && *place == path
        });
        assert_eq!(is_said, !MAY_BE_EMPTY.contains(&pointer.as_str()), "{pointer}: {found:?}");
        emptied += 1;
    }
    assert!(emptied > 20, "{emptied}");
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
