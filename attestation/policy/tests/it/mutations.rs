//! Every field of every shipped policy counts: dropped it is no policy any more, and loosened, somebody notices.
//!
//! Fields are found in the documents themselves, so that a new one can't be forgotten. A rule is loosened by
//! ignoring it, or by accepting one value more, at each level of each component; whatever is loosened must be
//! refused by the reader, change a golden verdict, or be a finding of `check` that was none before. The few places
//! where none of that can be are listed with their reasons, and a listed place that is noticed fails too.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vouchsafe_policy::check::check;
use vouchsafe_policy::diff::{Direction, diff};
use vouchsafe_verifier::UnixSeconds;

use crate::common::*;
use crate::golden;

const SHIPPED: [&str; 5] =
    ["production-snp", "production-tdx", "simulated", "evidence-strict", "evidence-crypto-only"];

/// Fields that say nothing of what is accepted.
const MEANINGLESS: [(&str, &str); 2] = [
    ("/name", "what people call the policy; each verdict repeats it"),
    ("/version", "there is one version; another is refused"),
];

/// Which way of loosening a rule is meant.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    /// It is ignored.
    Waived,
    /// It demands less.
    Less,
}

impl Change {
    fn matches(self, looser: &Value) -> bool {
        (self == Self::Waived) == looser.get("ignore").is_some()
    }
}

/// Changes that nobody can notice in a verdict, with the reason.
const EXCEPTIONS: [(&[&str], &str, Change, &str); 5] = [
    (
        &["simulated", "evidence-strict"],
        "/platform/accepted",
        Change::Waived,
        "it lists every platform that there is",
    ),
    (
        &["simulated", "evidence-strict"],
        "/platform/snp/products",
        Change::Waived,
        "it lists every product that there is",
    ),
    (
        &["production-tdx", "evidence-strict"],
        "/platform/tdx/trailing_bytes",
        Change::Waived,
        "it allows zeros, and anything else is refused whatever a policy says",
    ),
    (
        &["production-snp", "production-tdx"],
        "/freshness/epoch_seconds_max",
        Change::Less,
        "the golden answers were given within short epochs; the bundle's own tests break it",
    ),
    (
        &["production-snp", "production-tdx"],
        "/settlement/bound",
        Change::Less,
        "the golden boots promise what is demanded, to the second; the bundle's own tests stand at the boundary",
    ),
];

/// Every place in a document below which something is decided: objects' fields at any depth, and lists' elements.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "$comment")
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(values) => values.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect(),
        _ => return,
    };
    for (name, value) in inner {
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        found.push(path.clone());
        places(value, &path, found);
    }
}

fn without(document: &Value, pointer: &str) -> Value {
    let mut changed = document.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match changed.pointer_mut(parent).unwrap() {
        Value::Object(fields) => drop(fields.remove(name).unwrap()),
        Value::Array(values) => drop(values.remove(name.parse().unwrap())),
        other => panic!("{other}"),
    }
    changed
}

/// What of a changed document is noticed, and how.
fn noticed(document: &Value, changed: &Value) -> Option<&'static str> {
    let Ok(policy) = try_parse(changed) else { return Some("refused") };
    let before = parse(document);
    let at = UnixSeconds::from_rfc3339("2026-11-21T12:00:00Z").unwrap();
    let names =
        |policy| check(policy, at).into_iter().map(|one| (one.name, one.path)).collect::<BTreeSet<_>>();
    if !names(&policy).is_subset(&names(&before)) {
        return Some("check");
    }
    if golden::verdicts(changed) != golden::verdicts(document) {
        return Some("golden");
    }
    None
}

#[test]
fn what_is_dropped_is_refused_or_noticed() {
    let (mut how, mut unnoticed) = (BTreeSet::new(), Vec::new());
    for name in SHIPPED {
        let document = shipped(name);
        let mut found = Vec::new();
        places(&document, "", &mut found);
        assert!(found.len() > 120, "{name}: {}", found.len());
        for pointer in &found {
            let changed = without(&document, pointer);
            let seen = noticed(&document, &changed);
            // An element fewer of what is accepted accepts less: nothing is loosened by it.
            let is_element = pointer.rsplit_once('/').unwrap().1.parse::<usize>().is_ok();
            let narrows = is_element && seen.is_none() && {
                diff(&parse(&document), &parse(&changed))
                    .iter()
                    .all(|one| one.direction == Direction::Narrows)
            };
            if seen.is_none() && !narrows {
                unnoticed.push(format!("{name}{pointer}"));
            }
            how.extend(seen);
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
    assert!(how.contains("refused"), "{how:?}");
}

/// How a value is loosened: what accepts strictly more, by the kind of value.
fn loosened(pointer: &str, value: &Value) -> Vec<Value> {
    let waived = || json!({"ignore": "for a test of what is noticed"});
    let rule = match value {
        Value::Object(fields) if fields.contains_key("require") => &fields["require"],
        _ => return Vec::new(),
    };
    let mut all = vec![waived()];
    let with = |value: Value| json!({"require": value});
    match (pointer, rule) {
        (
            "/platform/snp/vmpl_max" | "/settlement/bound" | "/freshness/epoch_seconds_max",
            Value::Number(n),
        ) => {
            all.push(with(json!(n.as_u64().unwrap() + 1)));
        }
        ("/platform/tdx/evaluation_number_min", Value::Number(n)) => {
            all.push(with(json!(n.as_u64().unwrap() - 1)));
        }
        ("/platform/snp/minimum_tcb", Value::Object(products)) => {
            for (product, floor) in products {
                for (part, level) in floor.as_object().unwrap() {
                    if let Some(lower) = level.as_u64().unwrap().checked_sub(1) {
                        let mut lowered = rule.clone();
                        lowered[product][part] = json!(lower);
                        all.push(with(lowered));
                    }
                }
            }
        }
        ("/witnesses/quorum", quorum) => {
            // Without a witness no threshold is reached, whatever it is.
            if !quorum["keys"].as_array().unwrap().is_empty() {
                let mut weaker = quorum.clone();
                weaker["threshold"] = json!(quorum["threshold"].as_u64().unwrap() - 1);
                all.push(with(weaker));
            }
            let mut more = quorum.clone();
            more["keys"].as_array_mut().unwrap().push(json!(vkey("localhost/other", 4)));
            all.push(with(more));
        }
        (_, Value::Bool(value)) => all.push(with(json!(!value))),
        (_, Value::Array(values)) => {
            let (mut more, one) = (values.clone(), another(pointer, values));
            // A list of everything that there is has no more.
            if !values.contains(&one) {
                more.push(one);
                all.push(with(json!(more)));
            }
        }
        (_, Value::String(word)) => all.push(with(json!(if word == "none" { "zeros" } else { "none" }))),
        (_, other) => panic!("{pointer}: nobody knows how to loosen {other}"),
    }
    all
}

/// One value more for a list. A list that is not here has no such test yet, and fails.
fn another(pointer: &str, values: &[Value]) -> Value {
    // What the golden answers are: their image, operator, model and log.
    let image = json!({"platform": "sev-snp", "measurement": "4d".repeat(48)});
    match pointer {
        "/trust/vendors" if values.contains(&json!("intel")) => json!("amd"),
        "/trust/vendors" => json!("intel"),
        "/trust/simulated_roots" => json!("ab".repeat(32)),
        "/platform/accepted" if values.contains(&json!("tdx")) => json!("sev-snp"),
        "/platform/accepted" => json!("tdx"),
        "/platform/snp/products" => json!("Milan"),
        "/platform/snp/signing_keys" if values.contains(&json!("VLEK")) => json!("VCEK"),
        "/platform/snp/signing_keys" => json!("VLEK"),
        "/platform/tdx/tcb_statuses" => json!({"status": "OutOfDate"}),
        "/platform/tdx/advisories_tolerated" => json!("INTEL-SA-00960"),
        "/measurements" => json!({"name": "another", "computed": "by hand", "digests": image}),
        "/operator/identities" => json!("operator.example"),
        "/models" => json!({"name": "another", "weights": "01".repeat(32)}),
        "/log/inclusion" => golden::log(),
        other => panic!("{other}: no value to add"),
    }
}

#[test]
fn what_is_loosened_is_refused_or_noticed() {
    let mut how = std::collections::BTreeMap::<&str, usize>::new();
    let mut wrong = Vec::new();
    for name in SHIPPED {
        let document = shipped(name);
        for (pointer, is_required) in rules(&document) {
            if !is_required {
                continue;
            }
            let value = document.pointer(&pointer).unwrap();
            for looser in loosened(&pointer, value) {
                let changed = with(&document, &pointer, looser.clone());
                if changed == document {
                    continue;
                }
                let is_excepted = EXCEPTIONS.iter().any(|(of, place, change, _)| {
                    of.contains(&name) && *place == pointer && change.matches(&looser)
                });
                match (noticed(&document, &changed), is_excepted) {
                    (Some(seen), false) => *how.entry(seen).or_default() += 1,
                    (None, true) => {}
                    (Some(_), true) => {
                        wrong.push(format!("{name}{pointer} as {looser} is noticed, and excepted"))
                    }
                    (None, false) => wrong.push(format!("{name}{pointer} as {looser}: nobody noticed")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for way in ["refused", "check", "golden"] {
        assert!(how.contains_key(way), "{how:?}");
    }
}

/// Rules of a policy that demands all there is whose waiving no golden case shows.
const UNSEEN: [(&str, &str); 3] = [
    ("/platform/accepted", "it lists every platform that there is"),
    (
        "/openings/execution",
        "the golden answers disclose their records; the bundle's own tests leave them out",
    ),
    ("/freshness/receipt_age_seconds_max", "the golden answers are young; the bundle's own tests age them"),
];

/// The shipped policies demand a part of what can be demanded, and name nothing that an installation has of its own.
#[test]
fn whatever_can_be_demanded_is_missed_when_it_is_waived() {
    let document = with(&requiring_everything(), "/purpose", json!("simulation"));
    let document = with(&document, "/parameters/values", json!({"require": {"temperature": 1}}));
    let (mut waived, mut unnoticed) = (0, BTreeSet::new());
    for (pointer, is_required) in rules(&document) {
        let looser = with(&document, &pointer, json!({"ignore": "for a test"}));
        if !is_required || try_parse(&looser).is_err() {
            continue;
        }
        waived += 1;
        if noticed(&document, &looser).is_none() {
            unnoticed.insert(pointer);
        }
    }
    assert!(waived > 40, "{waived}");
    assert_eq!(unnoticed, UNSEEN.iter().map(|(pointer, _)| (*pointer).to_owned()).collect());
}

/// What may be left out is in no shipped policy: there it would be of no use.
#[test]
fn what_may_be_left_out_is_missed_where_it_was_there() {
    let mut document = golden::policy();
    let reference = &document["measurements"]["require"][0];
    assert!(reference.is_object() && document["models"]["require"][0].is_object(), "{document}");
    let moment = |year: u32| json!(format!("{year}-01-01T00:00:00Z"));
    document["platform"]["tdx"]["tcb_statuses"] =
        json!({"require": [{"status": "UpToDate"}, {"status": "OutOfDate", "grace_days": 1}]});
    for (parent, name, value) in [
        ("/measurements/require/0", "revoked", json!({"at": moment(2025), "reason": "broken"})),
        ("/measurements/require/0", "valid_until", moment(2025)),
        ("/measurements/require/0", "valid_from", moment(2099)),
        ("/models/require/0", "manifest", json!("ee".repeat(32))),
        ("/models/require/0", "weights", json!("ee".repeat(32))),
        ("/platform/tdx/tcb_statuses/require/1", "grace_days", json!(1)),
    ] {
        let mut there = document.clone();
        // Either digest of a model may be left out, not both.
        if let Some(both) = there.pointer_mut("/models/require/0").filter(|_| parent.starts_with("/models")) {
            let other = if name == "manifest" { "weights" } else { "manifest" };
            *both = json!({"name": "m", other: golden::model()[other]});
        }
        there.pointer_mut(parent).unwrap()[name] = value;
        let dropped = without(&there, &format!("{parent}/{name}"));
        assert!(try_parse(&dropped).is_ok(), "{parent}/{name} may be left out");
        assert!(noticed(&there, &dropped).is_some(), "{parent}/{name} is not missed");
    }
}

#[test]
fn what_says_nothing_of_acceptance_is_listed() {
    for name in SHIPPED {
        let document = shipped(name);
        for (pointer, why) in MEANINGLESS {
            assert!(document.pointer(pointer).is_some(), "{name} has no {pointer}: {why}");
        }
        let renamed = with(&document, "/name", json!("another name"));
        assert_eq!(diff(&parse(&document), &parse(&renamed)), []);
    }
}
