//! Policies as documents: those shipped, and what is refused.

use serde_json::{Value, json};
use vouchsafe_bundle::policy::{ModelReference, Purpose};
use vouchsafe_bundle::{Error, Policy};
use vouchsafe_verifier::encoding::Hex;

use crate::common::*;

const SHIPPED: [&str; 5] =
    ["simulated", "evidence-strict", "evidence-crypto-only", "production-snp", "production-tdx"];

fn document(name: &str) -> Value {
    serde_json::from_slice(&shipped(name)).unwrap()
}

fn parse(value: &Value) -> Result<Policy, Error> {
    Policy::parse(value.to_string().as_bytes())
}

/// Parses the simulated policy with one place changed.
fn with(pointer: &str, value: Value) -> Result<Policy, Error> {
    let mut changed = document("simulated");
    *changed.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    parse(&changed)
}

#[track_caller]
fn malformed(result: Result<Policy, Error>, at: &str, why: &str) {
    match result {
        Err(Error::PolicyMalformed { path, why: found }) => {
            assert!(path == at && found.contains(why), "{path}: {found}, expected {at}: {why}");
        }
        other => panic!("expected {at}: {why}, found {other:?}"),
    }
}

#[track_caller]
fn contradiction(result: Result<Policy, Error>, at: &str) {
    match result {
        Err(Error::PolicyContradiction { path, .. }) => assert_eq!(path, at),
        other => panic!("expected a contradiction at {at}, found {other:?}"),
    }
}

/// Every object's keys below a value, as paths; a rule is a leaf.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    let Value::Object(map) = value else { return };
    if map.contains_key("require") || map.contains_key("ignore") {
        return;
    }
    for (key, inner) in map {
        if key != "$comment" {
            let inner_path = format!("{path}/{key}");
            found.push(inner_path.clone());
            paths(inner, &inner_path, found);
        }
    }
}

#[test]
fn every_shipped_policy_is_read_and_written_back() {
    for name in SHIPPED {
        let policy = Policy::parse(&shipped(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(policy.document().name, name);
        assert_eq!(Policy::parse(&policy.to_json()).unwrap(), policy, "{name}");
        assert!(policy.ignored().iter().all(|(_, reason)| reason.len() > 10), "{name}: a reason says why");
    }
    let on_disk = std::fs::read_dir(policies_dir()).unwrap();
    let json =
        on_disk.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "json"));
    assert_eq!(json.count(), SHIPPED.len(), "a policy on disk that no test reads");
}

#[test]
fn every_decision_must_be_made_and_none_may_be_unknown() {
    for name in SHIPPED {
        let mut found = Vec::new();
        paths(&document(name), "", &mut found);
        assert!(found.len() > 60, "{name}: {}", found.len());
        for pointer in found {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let mut without = document(name);
            let object = without.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            object.remove(key);
            let error = parse(&without).expect_err(&pointer);
            assert_eq!(error.code(), "policy_malformed", "{name}{pointer}: {error}");
            let mut renamed = document(name);
            let object = renamed.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            object.insert(format!("{key}s"), json!({"ignore": "why not"}));
            let error = parse(&renamed).expect_err(&pointer);
            assert!(error.to_string().contains("unknown field"), "{name}{pointer}: {error}");
        }
    }
}

/// The schema and the parser name the same fields: neither can gain one alone.
#[test]
fn the_schema_lists_the_fields_that_the_parser_knows() {
    let path = policies_dir().join("schema/policy.v1.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    fn properties(schema: &Value, path: &str, found: &mut Vec<String>) {
        // A rule is a leaf, here as in a document.
        if schema.get("$ref").is_some() {
            return;
        }
        let Some(map) = schema.get("properties").and_then(Value::as_object) else { return };
        let required = schema["required"].as_array().unwrap();
        for (key, inner) in map.iter().filter(|(key, _)| *key != "$comment") {
            assert!(required.contains(&json!(key)), "{path}/{key} is not required by the schema");
            let inner_path = format!("{path}/{key}");
            found.push(inner_path.clone());
            properties(inner, &inner_path, found);
        }
    }
    let (mut by_schema, mut by_document) = (Vec::new(), Vec::new());
    properties(&schema, "", &mut by_schema);
    paths(&document("simulated"), "", &mut by_document);
    by_schema.sort();
    by_document.sort();
    assert_eq!(by_schema, by_document);
}

#[test]
fn comments_may_stand_anywhere_and_are_text() {
    let mut commented = document("simulated");
    for pointer in ["", "/trust", "/trust/vendors", "/platform/snp/debug", "/gpu/evidence"] {
        let object = commented.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        object.insert("$comment".into(), "why it is so".into());
    }
    assert_eq!(parse(&commented).unwrap(), Policy::parse(&shipped("simulated")).unwrap());
    commented["$comment"] = json!(3);
    malformed(parse(&commented), "$comment", "must be text");
}

#[test]
fn what_is_not_a_decision_is_refused_with_its_place() {
    malformed(with("/platform/snp/debug", json!(false)), "platform.snp.debug", "expected exactly one of");
    malformed(with("/platform/snp/debug", json!({})), "platform.snp.debug", "expected exactly one of");
    let both = json!({"require": false, "ignore": "x"});
    malformed(with("/platform/snp/debug", both), "platform.snp.debug", "expected exactly one of");
    malformed(with("/platform/snp/debug", json!({"ignore": " "})), "platform.snp.debug.ignore", "reason");
    malformed(with("/platform/snp/debug", json!({"require": 1})), "platform.snp.debug.require", "boolean");
    let word = json!({"require": ["milan"]});
    malformed(with("/platform/snp/products", word), "platform.snp.products.require[0]", "unknown variant");
    let digest = json!({"require": ["AB"]});
    malformed(with("/platform/snp/chip_ids", digest), "platform.snp.chip_ids.require[0]", "hexadecimal");
    malformed(
        with("/sessions/challenge", json!({"require": false})),
        "sessions.challenge.require",
        "only true",
    );
    malformed(with("/purpose", json!("test")), "purpose", "unknown variant");
}

#[test]
fn what_does_not_exist_yet_can_only_be_ignored() {
    for (section, field) in
        [("anchors", "anchored"), ("replay", "reproduced"), ("proof", "execution"), ("gpu", "evidence")]
    {
        let result = with(&format!("/{section}/{field}"), json!({"require": true}));
        malformed(result, &format!("{section}.{field}"), "can only be ignored");
    }
}

#[test]
fn documents_that_are_not_policies_are_refused() {
    let text = String::from_utf8(shipped("simulated")).unwrap();
    let code = |text: &str| Policy::parse(text.as_bytes()).unwrap_err().code();
    let bent = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    assert_eq!(code(""), "policy_malformed");
    assert_eq!(code("null"), "policy_malformed");
    assert_eq!(code("{}"), "policy_malformed");
    assert_eq!(code(&format!("{text}{text}")), "policy_malformed");
    assert_eq!(code(&bent("\"version\": 1", "\"version\": 2, \"new\": {}")), "policy_version_unknown");
    assert_eq!(code(&bent("\"version\": 1", "\"version\": -1")), "policy_malformed");
    assert_eq!(code(&bent("\"version\": 1", "\"version\": 1, \"version\": 1")), "policy_malformed");
    assert_eq!(code(&"[".repeat(1_000_000)), "policy_malformed");
    assert_eq!(code(&" ".repeat((1 << 20) + 1)), "policy_malformed");
    // A million entries do not fit.
    let many = format!("\"vendors\": {{\"require\": [{}\"amd\"]}}", "\"amd\",".repeat(1_000_000));
    assert_eq!(code(&bent("\"vendors\": {\"require\": []}", &many)), "policy_malformed");
}

#[test]
fn decisions_that_contradict_each_other_are_refused() {
    contradiction(with("/trust/vendors", json!({"ignore": "any"})), "trust.vendors");
    contradiction(with("/trust/simulated_roots", json!({"ignore": "any"})), "trust.simulated_roots");
    let floor = json!({"require": {"Milan": {"bootloader": 0, "tee": 0, "snp": 0, "microcode": 0}}});
    contradiction(with("/platform/snp/minimum_tcb", floor), "platform.snp.minimum_tcb");
    let fmc = json!({"require": {
        "Milan": {"fmc": 1, "bootloader": 0, "tee": 0, "snp": 0, "microcode": 0},
        "Genoa": {"bootloader": 0, "tee": 0, "snp": 0, "microcode": 0},
        "Turin": {"fmc": 1, "bootloader": 0, "tee": 0, "snp": 0, "microcode": 0}}});
    contradiction(with("/platform/snp/minimum_tcb", fmc), "platform.snp.minimum_tcb");
    let twice = json!({"require": [{"status": "UpToDate"}, {"status": "UpToDate", "grace_days": 1}]});
    contradiction(with("/platform/tdx/tcb_statuses", twice), "platform.tdx.tcb_statuses");
    let mut advisories = document("simulated");
    advisories["platform"]["tdx"]["advisories_denied"] = json!({"require": ["INTEL-SA-1"]});
    advisories["platform"]["tdx"]["advisories_tolerated"] = json!({"require": ["INTEL-SA-1"]});
    contradiction(parse(&advisories), "platform.tdx.advisories_denied");

    let value = |name: &str, from: &str, until: &str, revoked: &str| {
        json!({"name": name, "computed": "by hand",
            "digests": {"platform": "sev-snp", "measurement": "00".repeat(48)},
            "valid_from": from, "valid_until": until, "revoked": {"at": revoked, "reason": "x"}})
    };
    let (early, middle, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z");
    let values = |values: Value| with("/measurements", json!({"require": values}));
    assert!(values(json!([value("a", early, late, middle), value("b", early, late, early)])).is_ok());
    contradiction(values(json!([value("a", late, early, late)])), "measurements");
    contradiction(values(json!([value("a", early, early, late)])), "measurements");
    contradiction(values(json!([value("a", middle, late, early)])), "measurements");
    contradiction(
        values(json!([value("a", early, late, late), value("a", early, late, late)])),
        "measurements",
    );
    contradiction(with("/models", json!({"require": [{"name": "m"}]})), "models");
}

#[test]
fn a_production_policy_cannot_waive_what_makes_it_one() {
    let changed = |name: &str, pointer: &str, value: Value| {
        let mut document = document(name);
        *document.pointer_mut(pointer).unwrap() = value;
        parse(&document)
    };
    let why = || json!({"ignore": "just for now"});
    contradiction(changed("production-snp", "/settlement/promised", why()), "settlement.promised");
    contradiction(changed("production-snp", "/measurements", why()), "measurements");
    contradiction(changed("production-snp", "/platform/accepted", why()), "platform.accepted");
    contradiction(changed("production-snp", "/platform/snp/debug", why()), "platform.snp.debug");
    contradiction(changed("production-tdx", "/platform/tdx/debug", why()), "platform.tdx.debug");
    contradiction(
        changed("production-snp", "/platform/snp/debug", json!({"require": true})),
        "platform.snp.debug",
    );
    let root = json!({"require": ["00".repeat(32)]});
    contradiction(changed("production-snp", "/trust/simulated_roots", root.clone()), "trust.simulated_roots");
    contradiction(
        changed("evidence-strict", "/trust/simulated_roots", root.clone()),
        "trust.simulated_roots",
    );
    assert!(changed("simulated", "/trust/simulated_roots", root).is_ok());
    assert!(changed("production-snp", "/purpose", json!("simulation")).is_ok());
}

#[test]
fn policies_are_edited_by_tools_under_the_same_rules() {
    let policy = policy();
    let edited = Policy::parse(&policy.to_json()).unwrap();
    assert_eq!(edited, policy);
    let Purpose::Simulation = policy.document().purpose else { panic!() };
    let again = policy.clone().with_measurement(vouchsafe_bundle::policy::ReferenceValue::new(
        "guest",
        "again",
        tdx_digests(),
    ));
    contradiction(again, "measurements");
    let nothing = ModelReference { name: "m".into(), manifest: None, weights: None };
    contradiction(policy.with_model(nothing), "models");
    let production = Policy::parse(&shipped("production-snp")).unwrap();
    contradiction(production.with_simulated_root([0; 32]), "trust.simulated_roots");
    let model = ModelReference { name: "m".into(), manifest: Some(Hex([0; 32])), weights: None };
    let pinned = Policy::parse(&shipped("simulated")).unwrap().with_model(model).unwrap();
    assert_eq!(pinned.document().models.required().unwrap().len(), 1);
}
