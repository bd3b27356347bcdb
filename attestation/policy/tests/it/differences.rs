//! What a change makes acceptable is said, whichever rule is changed.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use vouchsafe_policy::diff::{Change, Direction, compare, diff};
use vouchsafe_policy::explain::explain;

use crate::common::*;

fn changes(old: &Value, new: &Value) -> Vec<Change> {
    diff(&parse(old), &parse(new))
}

fn directions(old: &Value, new: &Value) -> Vec<(Direction, String)> {
    changes(old, new).into_iter().map(|change| (change.direction, change.path)).collect()
}

fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

/// A document of each kind in which as many rules as possible are required.
fn documents() -> Vec<Value> {
    // What production can't do without, and a log without witnesses and releases, can be waived in simulation.
    let mut simulation = with(&requiring_everything(), "/purpose", json!("simulation"));
    simulation["witnesses"]["quorum"] = json!({"ignore": "for a test"});
    simulation["images"]["released"] = json!({"ignore": "for a test"});
    vec![requiring_everything(), simulation, sound_snp(), sound_tdx(), shipped("evidence-strict")]
}

#[test]
fn waiving_any_rule_widens_at_its_place_and_demanding_it_again_narrows() {
    let mut waived = BTreeSet::new();
    for document in documents() {
        for (pointer, is_required) in rules(&document) {
            let loosened = with(&document, &pointer, json!({"ignore": "for a test"}));
            let path = dotted(&pointer);
            let Ok(policy) = try_parse(&loosened) else {
                assert!(is_required, "{path}: only what is required can be indispensable");
                continue;
            };
            if !is_required {
                assert_eq!(changes(&document, &loosened), [], "{path}: another reason changes nothing");
                continue;
            }
            assert_eq!(directions(&document, &loosened), [(Direction::Widens, path.clone())]);
            assert_eq!(directions(&loosened, &document), [(Direction::Narrows, path.clone())]);
            // Whoever reads the policy in plain words sees it too.
            let (before, after) = (explain(&parse(&document)), explain(&policy));
            assert_ne!(before.demands, after.demands, "{path}");
            assert!(after.leaves_open.iter().any(|line| line.starts_with(&format!("{path}: "))), "{path}");
            waived.insert(path);
        }
    }
    // Whatever can be ignored in some policy was; what this version lacks can only be ignored.
    let unbuilt = ["anchors.anchored", "replay.reproduced", "proof.execution", "gpu.evidence"];
    let never = ["trust.vendors", "trust.simulated_roots"];
    let all = rules(&requiring_everything()).into_iter().map(|(pointer, _)| dotted(&pointer));
    let missed: Vec<_> = all
        .filter(|path| !waived.contains(path) && !unbuilt.iter().chain(&never).any(|known| known == path))
        .collect();
    assert_eq!(missed, Vec::<String>::new());
}

#[test]
fn values_change_in_their_own_order() {
    use Direction::{Narrows, Widens};
    let (snp, tdx) = (sound_snp(), sound_tdx());
    let floor = "/platform/snp/minimum_tcb/require/Genoa/snp";
    let statuses = "/platform/tdx/tcb_statuses";
    let days = |days: u32| json!({"require": [{"status": "UpToDate"}, {"status": "SWHardeningNeeded", "grace_days": days}]});
    let cases: [(&Value, &str, Value, &[Direction]); 17] = [
        (&snp, "/platform/snp/products", json!({"require": ["Turin", "Genoa"]}), &[]),
        (&snp, "/platform/snp/products", json!({"require": ["Turin"]}), &[Narrows]),
        (&snp, floor, json!(22), &[Widens]),
        (&snp, floor, json!(24), &[Narrows]),
        (&snp, "/platform/snp/vmpl_max/require", json!(1), &[Widens]),
        (&snp, "/platform/snp/ecc/require", json!(false), &[Widens, Narrows]),
        (&snp, "/platform/snp/signing_keys/require", json!(["VCEK", "VLEK"]), &[Widens]),
        (&snp, "/witnesses/quorum/require/threshold", json!(3), &[Narrows]),
        (&snp, "/witnesses/quorum/require/threshold", json!(1), &[Widens]),
        (&snp, "/measurements/require/0/name", json!("another name"), &[]),
        (&snp, "/measurements/require/0/digests/measurement", json!("5b".repeat(48)), &[Widens, Narrows]),
        (&snp, "/models/require/0/name", json!("another name"), &[]),
        (&snp, "/models/require/0/weights", json!("ac".repeat(32)), &[Widens, Narrows]),
        (&snp, "/name", json!("another name"), &[]),
        (&snp, "/settlement/bound/require", json!(1), &[Narrows]),
        (&tdx, "/platform/tdx/evaluation_number_min/require", json!(1), &[Widens]),
        (&tdx, "/platform/tdx/trailing_bytes/require", json!("zeros"), &[Widens]),
    ];
    for (document, pointer, value, expected) in cases {
        if document.pointer(pointer) == Some(&value) {
            continue;
        }
        let changed = with(document, pointer, value);
        let seen: Vec<_> =
            directions(document, &changed).into_iter().map(|(direction, _)| direction).collect();
        assert_eq!(seen, expected, "{pointer}: {:?}", changes(document, &changed));
    }
    let (short, long) = (with(&tdx, statuses, days(7)), with(&tdx, statuses, days(30)));
    assert_eq!(directions(&short, &long), [(Widens, dotted(statuses))]);
    assert_eq!(directions(&long, &short), [(Narrows, dotted(statuses))]);
    let denied = |ids: &[&str]| with(&tdx, "/platform/tdx/advisories_denied", json!({"require": ids}));
    assert_eq!(
        directions(&denied(&[]), &denied(&["INTEL-SA-00960"])),
        [(Narrows, "platform.tdx.advisories_denied".to_owned())]
    );
}

#[test]
fn a_references_time_is_part_of_what_it_accepts() {
    use Direction::{Narrows, Widens};
    let snp = sound_snp();
    let dated = |name: &str, value: Value| {
        let mut changed = snp.clone();
        changed["measurements"]["require"][0][name] = value;
        changed
    };
    let (early, late) = (json!("2026-01-01T00:00:00Z"), json!("2027-01-01T00:00:00Z"));
    let revoked = |at: &Value| dated("revoked", json!({"at": at, "reason": "broken"}));
    for (old, new, expected) in [
        (snp.clone(), dated("valid_from", early.clone()), Narrows),
        (dated("valid_from", early.clone()), dated("valid_from", late.clone()), Narrows),
        (snp.clone(), dated("valid_until", late.clone()), Narrows),
        (dated("valid_until", early.clone()), dated("valid_until", late.clone()), Widens),
        (snp.clone(), revoked(&late), Narrows),
        (revoked(&late), revoked(&early), Narrows),
        (revoked(&early), snp.clone(), Widens),
    ] {
        assert_eq!(directions(&old, &new), [(expected, "measurements".to_owned())]);
    }
}

proptest! {
    /// Whatever is waived: the way back is the reverse, and nothing changes against itself.
    #[test]
    fn the_way_back_is_the_reverse(first in any::<u64>(), second in any::<u64>()) {
        let document = shipped("evidence-strict");
        let loosened = |bits: u64| {
            let mut changed = document.clone();
            for (index, (pointer, _)) in rules(&document).iter().enumerate() {
                let one = with(&changed, pointer, json!({"ignore": "for a test"}));
                if bits >> (index % 64) & 1 == 1 && try_parse(&one).is_ok() {
                    changed = one;
                }
            }
            changed
        };
        let (a, b) = (loosened(first), loosened(second));
        prop_assert_eq!(changes(&a, &a), []);
        let reversed = |direction| match direction {
            Direction::Widens => Direction::Narrows,
            Direction::Narrows => Direction::Widens,
        };
        let mut back: Vec<_> =
            directions(&b, &a).into_iter().map(|(direction, path)| (reversed(direction), path)).collect();
        back.sort();
        prop_assert_eq!(directions(&a, &b), back);
    }
}

/// Documents that differ from each other in every way that the tests know of.
fn varied() -> Vec<Value> {
    let mut all = documents();
    let tdx = sound_tdx();
    let (a, b) = (json!("5a".repeat(48)), json!("5b".repeat(48)));
    let register = |name: &str| format!("/measurements/require/0/digests/{name}");
    all.push(with(&tdx, &register("mrtd"), json!({"require": [a, b]})));
    all.push(with(&tdx, &register("mrtd"), json!({"require": [b, a]})));
    all.push(with(&tdx, &register("rtmr0"), json!({"ignore": "one reason"})));
    all.push(with(&tdx, &register("rtmr0"), json!({"ignore": "another reason"})));
    all.push(with(&tdx, &register("rtmr3"), json!({"require": [a]})));
    all.push(with(&tdx, &register("mrtd"), json!({"require": [b]})));
    all.push(with(
        &tdx,
        "/platform/tdx/tcb_statuses",
        json!({"require": [
        {"status": "UpToDate"}, {"status": "SWHardeningNeeded", "grace_days": 7}]}),
    ));
    all.push(with(&tdx, "/platform/tdx/trailing_bytes", json!({"require": "zeros"})));
    let snp = sound_snp();
    let dated = |from: Option<&str>, until: Option<&str>, revoked: Option<&str>| {
        let mut value = snp.clone();
        let one = &mut value["measurements"]["require"][0];
        from.into_iter().for_each(|at| one["valid_from"] = json!(at));
        until.into_iter().for_each(|at| one["valid_until"] = json!(at));
        revoked.into_iter().for_each(|at| one["revoked"] = json!({"at": at, "reason": "broken"}));
        value
    };
    let [may, june, july] = ["2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"];
    all.extend([dated(Some(may), None, None), dated(None, Some(june), None), dated(None, None, Some(may))]);
    all.extend([dated(Some(june), Some(july), None), dated(Some(may), Some(july), Some(june))]);
    // The same digest twice, for two seasons.
    let mut twice = dated(None, Some(june), None);
    let mut later = dated(Some(july), None, None)["measurements"]["require"][0].clone();
    later["name"] = json!("image 1, later");
    twice["measurements"]["require"].as_array_mut().unwrap().push(later);
    all.push(twice);
    let weights = |byte: &str| json!({"name": "m", "weights": byte.repeat(32)});
    let both = json!({"name": "m", "weights": "ab".repeat(32), "manifest": "cd".repeat(32)});
    all.push(with(&snp, "/models/require", json!([both])));
    all.push(with(&snp, "/models/require", json!([weights("ab"), weights("ac")])));
    let witness = |n: u8| vkey(&format!("localhost/witness-{n}"), 4);
    for (keys, threshold) in [(vec![1, 2, 3], 3), (vec![1, 2, 4], 2), (vec![1, 2, 3, 4], 3), (vec![1], 1)] {
        let keys: Vec<_> = keys.into_iter().map(witness).collect();
        let quorum = json!({"keys": keys, "threshold": threshold});
        all.push(with(&snp, "/witnesses/quorum/require", quorum));
    }
    all.push(with(&snp, "/platform/snp/products/require", json!(["Turin"])));
    all.push(with(&snp, "/platform/snp/minimum_tcb/require/Genoa/snp", json!(200)));
    all.push(with(&snp, "/settlement/bound/require", json!(1)));
    all.push(with(&snp, "/parameters/values", json!({"require": {"temperature": 0, "seed": 1}})));
    all.push(with(&snp, "/parameters/values", json!({"require": {"top_p": 1}})));
    all
}

/// The same with every list turned around.
fn reordered(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().rev().map(reordered).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), reordered(value))).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn what_narrows_can_be_taken_from_any_release_and_never_widens() {
    let all = varied();
    for old in &all {
        assert_eq!(changes(old, old), [], "nothing changes against itself");
        assert_eq!(changes(old, &reordered(old)), [], "the order of a list decides nothing");
        for new in &all {
            let (old, new) = (parse(old), parse(new));
            let (found, between) = compare(&old, &new, &|_| false);
            let widens =
                |changes: &[Change]| changes.iter().any(|change| change.direction == Direction::Widens);
            let between = vouchsafe_bundle::Policy::new(between).unwrap_or_else(|error| panic!("{error}"));
            assert!(!widens(&diff(&old, &between)), "{:?}", diff(&old, &between));
            // Nothing of what narrows is lost either: the new policy accepts all that is left.
            let lost = diff(&between, &new);
            let is_lost = |change: &Change| change.direction == Direction::Narrows;
            assert!(
                !lost.iter().any(is_lost) || old.document().purpose != new.document().purpose,
                "{lost:?}"
            );
            if !widens(&found) {
                assert_eq!(between, new, "what only narrows is taken whole");
            }
        }
    }
}

#[test]
fn what_is_written_otherwise_accepts_the_same() {
    use Direction::Narrows;
    let tdx = sound_tdx();
    let register = |name: &str| format!("/measurements/require/0/digests/{name}");
    let (a, b) = (json!("5a".repeat(48)), json!("5b".repeat(48)));
    let two = with(&tdx, &register("mrtd"), json!({"require": [a, b]}));
    // An alternative less, and a register more, only narrow.
    assert_eq!(directions(&two, &tdx), [(Narrows, "measurements".to_owned())]);
    let more = with(&tdx, &register("rtmr3"), json!({"require": [a]}));
    assert_eq!(directions(&tdx, &more), [(Narrows, "measurements".to_owned())]);
    // Revoking an image and mending a reason's spelling is a revocation.
    let mut revoked = with(&tdx, &register("rtmr3"), json!({"ignore": "nothing extends it."}));
    revoked["measurements"]["require"][0]["revoked"] =
        json!({"at": "2026-01-01T00:00:00Z", "reason": "broken"});
    assert_eq!(directions(&tdx, &revoked), [(Narrows, "measurements".to_owned())]);
    // Two references with one alternative each, or one with both.
    let mut split = two.clone();
    let mut second = tdx["measurements"]["require"][0].clone();
    second["name"] = json!("image 1, the other order");
    second["digests"]["mrtd"] = json!({"require": [b]});
    split["measurements"]["require"] = json!([tdx["measurements"]["require"][0], second]);
    assert_eq!(changes(&two, &split), []);
    assert_eq!(changes(&split, &two), []);
    // A model that must have a manifest as well.
    let snp = sound_snp();
    let mut stricter = snp.clone();
    stricter["models"]["require"][0]["manifest"] = json!("cd".repeat(32));
    assert_eq!(directions(&snp, &stricter), [(Narrows, "models".to_owned())]);
    // A witness more of which one more must have signed.
    let mut quorum = snp.clone();
    let keys: Vec<_> = (1..=4).map(|n| vkey(&format!("localhost/witness-{n}"), 4)).collect();
    quorum["witnesses"]["quorum"]["require"] = json!({"keys": keys, "threshold": 3});
    assert_eq!(directions(&snp, &quorum), [(Narrows, "witnesses.quorum".to_owned())]);
}
