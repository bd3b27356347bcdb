//! Reference values from and to other verifiers: round trips, foreign documents, and what is refused by name.

use proptest::prelude::*;
use serde_json::{Value, json};
use vouchsafe_bundle::policy::ReferenceValue;
use vouchsafe_policy::corim::{Error, export, import};

use crate::cbor::Cbor::{self, Array, Bytes, Int, Map, Text};
use crate::cbor::tag;
use crate::common::*;
use crate::program::{file, run};

/// A class as draft-deeglaze-amd-sev-snp-corim-profile writes it, and as RFC 9090 has OIDs.
const BY_CHIP: &[u8] = b"\x06\x09\x2b\x06\x01\x04\x01\x9c\x78\x03\x01";
const BY_CHIP_BARE: &[u8] = b"\x2b\x06\x01\x04\x01\x9c\x78\x03\x01";
const BY_PROVIDER: &[u8] = b"\x06\x09\x2b\x06\x01\x04\x01\x9c\x78\x03\x02";

fn snp_class(oid: &[u8]) -> Cbor {
    Map(vec![(0, Map(vec![(0, tag(111, Bytes(oid.into())))]))])
}

fn digests(byte: u8) -> Cbor {
    Array(vec![Array(vec![Int(7), Bytes(vec![byte; 48])])])
}

fn snp_measurement(byte: u8) -> Cbor {
    Map(vec![(0, Int(641)), (1, Map(vec![(2, digests(byte))]))])
}

fn triple(environment: Cbor, measurement: Cbor) -> Cbor {
    Array(vec![environment, Array(vec![measurement])])
}

fn comid(name: &'static str, triples: Vec<Cbor>) -> Cbor {
    let comid = Map(vec![(1, Map(vec![(0, Text(name))])), (4, Map(vec![(0, Array(triples))]))]);
    tag(506, Bytes(comid.bytes()))
}

fn corim(tags: Vec<Cbor>, more: Vec<(i64, Cbor)>) -> Cbor {
    let mut entries = vec![(0, Text("vendor's release 7")), (1, Array(tags))];
    entries.extend(more);
    tag(501, Map(entries))
}

fn snp_profile() -> Cbor {
    tag(32, Text("tag:amd.com,2025:snp-corim-profile"))
}

fn values(corim: &Cbor) -> Vec<Value> {
    let imported = import(&corim.bytes()).unwrap_or_else(|error| panic!("{error}"));
    imported.values.iter().map(|value| serde_json::to_value(value).unwrap()).collect()
}

#[test]
fn a_foreign_snp_document_is_read() {
    let image = |byte, class| triple(snp_class(class), snp_measurement(byte));
    for class in [BY_CHIP, BY_CHIP_BARE, BY_PROVIDER] {
        let found =
            values(&corim(vec![comid("image 7", vec![image(0x5a, class)])], vec![(3, snp_profile())]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["name"], "image 7");
        assert_eq!(found[0]["digests"], json!({"platform": "sev-snp", "measurement": "5a".repeat(48)}));
        assert_eq!(found[0]["computed"], "by whoever made the CoRIM \"vendor's release 7\"");
    }
    // The draft's example has the profile in an array. Dates become those of each value; authors say nothing.
    let entity = Map(vec![(0, Text("the vendor")), (2, Array(vec![Int(1)]))]);
    let dates = Map(vec![(0, tag(1, Int(1_767_225_600))), (1, tag(1, Int(1_798_761_599)))]);
    let more = vec![(3, Array(vec![snp_profile()])), (4, dates), (5, Array(vec![entity]))];
    let tags = vec![
        comid("image 7", vec![image(1, BY_CHIP), image(1, BY_PROVIDER)]),
        comid("image 8", vec![image(2, BY_CHIP), image(3, BY_CHIP)]),
    ];
    let found = values(&corim(tags, more));
    let names: Vec<_> = found.iter().map(|value| value["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["image 7", "image 8 (1)", "image 8 (2)"]);
    assert_eq!(found[0]["valid_from"], "2026-01-01T00:00:00Z");
    assert_eq!(found[0]["valid_until"], "2027-01-01T00:00:00Z", "not-after is the last second");
}

#[test]
fn a_foreign_tdx_document_is_read() {
    let class = || Map(vec![(0, Map(vec![(1, Text("Intel Corporation")), (2, Text("TDX"))]))]);
    let registers = || Map(vec![(1, digests(2)), (2, digests(3))]);
    let profile = tag(111, Bytes(b"\x60\x86\x48\x01\x86\xf8\x4d\x01\x10\x01".to_vec()));
    let expected = json!({
        "platform": "tdx", "mrtd": {"require": ["01".repeat(48)]},
        "rtmr0": {"ignore": "the CoRIM says nothing of it"},
        "rtmr1": {"require": ["02".repeat(48)]}, "rtmr2": {"require": ["03".repeat(48)]},
        "rtmr3": {"ignore": "the CoRIM says nothing of it"},
    });
    let one = Array(vec![Int(7), Bytes(vec![1; 48])]);
    for measurement in [
        // As an extension, one digest or a list of one; or under a key of its own.
        Map(vec![(1, Map(vec![(14, registers()), (-83, one)]))]),
        Map(vec![(1, Map(vec![(14, registers()), (-83, digests(1))]))]),
        Map(vec![(0, Int(83)), (1, Map(vec![(2, digests(1)), (14, registers())]))]),
    ] {
        let found =
            values(&corim(vec![comid("td", vec![triple(class(), measurement)])], vec![(3, profile.clone())]));
        assert_eq!(found[0]["digests"], expected);
    }
}

/// What a policy's reference values can't say is named, and nothing is taken without it.
#[test]
fn what_has_no_place_in_a_policy_is_refused_by_name() {
    let good = || triple(snp_class(BY_CHIP), snp_measurement(1));
    let with_measurement =
        |measurement| corim(vec![comid("i", vec![triple(snp_class(BY_CHIP), measurement)])], vec![]);
    let with_class = |class| corim(vec![comid("i", vec![triple(class, snp_measurement(1))])], vec![]);
    let comid_with = |entries: Vec<(i64, Cbor)>| {
        let mut all = vec![(1, Map(vec![(0, Text("i"))]))];
        all.extend(entries);
        corim(vec![tag(506, Bytes(Map(all).bytes()))], vec![])
    };
    let triples =
        |key| comid_with(vec![(4, Map(vec![(0, Array(vec![good()])), (key, Array(vec![good()]))]))]);
    let class_and = |key, value| {
        let Map(mut entries) = snp_class(BY_CHIP) else { panic!() };
        entries.push((key, value));
        with_class(Map(entries))
    };
    let sha256 = Array(vec![Array(vec![Int(1), Bytes(vec![1; 32])])]);
    let two = Array(vec![Array(vec![Int(7), Bytes(vec![1; 48])]), Array(vec![Int(7), Bytes(vec![2; 48])])]);
    for (what, document, said) in [
        ("signed", tag(18, Array(vec![])), "signed"),
        ("other RIMs", corim(vec![comid("i", vec![good()])], vec![(2, Array(vec![]))]), "dependent-rims"),
        ("an unknown key", corim(vec![comid("i", vec![good()])], vec![(9, Int(1))]), "key Integer(9)"),
        ("software", corim(vec![tag(505, Bytes(vec![0xa0]))], vec![]), "CoSWID"),
        (
            "another profile",
            corim(vec![comid("i", vec![good()])], vec![(3, tag(32, Text("tag:x")))]),
            "profile",
        ),
        ("endorsements", triples(1), "endorsed-triples"),
        ("keys", triples(3), "attest-key-triples"),
        ("conditions", triples(10), "conditional-endorsement-triples"),
        (
            "linked tags",
            comid_with(vec![(3, Array(vec![])), (4, Map(vec![(0, Array(vec![good()]))]))]),
            "linked-tags",
        ),
        ("no references", comid_with(vec![(4, Map(vec![]))]), "no reference-triples"),
        ("one chip", class_and(1, tag(560, Bytes(vec![1; 64]))), "instance"),
        ("a group", class_and(2, tag(560, Bytes(vec![1]))), "group"),
        ("another class", with_class(Map(vec![(0, Map(vec![(1, Text("ACME"))]))])), "class"),
        (
            "a layer",
            with_class(Map(vec![(0, Map(vec![(0, tag(111, Bytes(BY_CHIP.into()))), (3, Int(1))]))])),
            "layer",
        ),
        (
            "a policy",
            with_measurement(Map(vec![(0, Int(2)), (1, Map(vec![(4, tag(560, Bytes(vec![0; 8])))]))])),
            "641",
        ),
        ("no key", with_measurement(Map(vec![(1, Map(vec![(2, digests(1))]))])), "641"),
        (
            "an authority",
            with_measurement(Map(vec![(0, Int(641)), (1, Map(vec![(2, digests(1))])), (2, Array(vec![]))])),
            "authorized-by",
        ),
        (
            "a version too",
            with_measurement(Map(vec![(0, Int(641)), (1, Map(vec![(1, Int(3)), (2, digests(1))]))])),
            "key Integer(1)",
        ),
        // Readers of CoRIMs skip what they don't know, this deprecated mask for one.
        (
            "a mask",
            with_measurement(Map(vec![(0, Int(641)), (1, Map(vec![(2, digests(1)), (5, Bytes(vec![0]))]))])),
            "key Integer(5)",
        ),
        (
            "another digest",
            with_measurement(Map(vec![(0, Int(641)), (1, Map(vec![(2, sha256)]))])),
            "SHA-384",
        ),
        (
            "two digests",
            with_measurement(Map(vec![(0, Int(641)), (1, Map(vec![(2, two)]))])),
            "exactly one digest",
        ),
        (
            "two measurements",
            corim(
                vec![comid(
                    "i",
                    vec![Array(vec![
                        snp_class(BY_CHIP),
                        Array(vec![snp_measurement(1), snp_measurement(2)]),
                    ])],
                )],
                vec![],
            ),
            "more than one measurement",
        ),
    ] {
        match import(&document.bytes()) {
            Err(error @ Error::Unsupported { .. }) => {
                assert!(error.to_string().contains(said), "{what}: {error}");
                assert_eq!(error.code(), "corim_unsupported");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    let short = Array(vec![Array(vec![Int(7), Bytes(vec![1; 47])])]);
    let no_moment = Map(vec![(1, tag(1, Int(-1)))]);
    for document in [
        Int(1),
        tag(501, Map(vec![(0, Text("x"))])),
        corim(vec![Int(1)], vec![]),
        corim(vec![comid("i", vec![good()])], vec![(4, no_moment)]),
        with_measurement(Map(vec![(0, Int(641)), (1, Map(vec![(2, short)]))])),
    ] {
        let refused = import(&document.bytes()).unwrap_err();
        assert!(["corim_malformed", "corim_unsupported"].contains(&refused.code()), "{refused}");
    }
    // A key twice, a length that lies, an empty file.
    let twice = Map(vec![(0, Text("x")), (0, Text("y"))]);
    for bytes in [tag(501, twice).bytes(), vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], vec![]]
    {
        assert_eq!(import(&bytes).unwrap_err().code(), "corim_malformed");
    }
}

fn policy_with(measurements: Value) -> vouchsafe_bundle::Policy {
    let document = match measurements[0]["digests"]["platform"] == "tdx" {
        true => sound_tdx(),
        false => sound_snp(),
    };
    parse(&with(&document, "/measurements", json!({"require": measurements})))
}

fn image(name: &str, byte: &str) -> Value {
    let digests = json!({"platform": "sev-snp", "measurement": byte.repeat(48)});
    json!({"name": name, "computed": "by hand", "digests": digests})
}

#[test]
fn what_is_written_is_read_back_and_accepts_the_same() {
    let mut dated = image("dated", "5c");
    dated["valid_from"] = json!("2026-01-01T00:00:00Z");
    dated["valid_until"] = json!("2027-01-01T00:00:00Z");
    let register = |byte: &str| json!({"require": [byte.repeat(48)]});
    let open = json!({"ignore": "nothing extends it"});
    let td = json!([{"name": "td", "computed": "by hand", "digests": {"platform": "tdx", "mrtd": register("01"),
        "rtmr0": open, "rtmr1": register("02"), "rtmr2": register("03"), "rtmr3": open}}]);
    for measurements in [json!([image("image 1", "5a"), image("image 2", "5b")]), json!([dated]), td] {
        let policy = policy_with(measurements.clone());
        let back = import(&export(&policy, &[]).unwrap()).unwrap();
        assert_eq!(back.id, policy.document().name);
        let before = policy.document().measurements.required().unwrap();
        assert_eq!(back.values.len(), before.len());
        let core = |value: &ReferenceValue| {
            (value.name.clone(), value.digests.clone(), value.valid_from, value.valid_until)
        };
        for (one, other) in before.iter().zip(&back.values) {
            let (mut one, other) = (core(one), core(other));
            // Why a register does not count has no place in a CoRIM; that it does not has.
            let reasons = serde_json::to_string(&one.1).unwrap();
            let reasons = reasons.replace("nothing extends it", "the CoRIM says nothing of it");
            one.1 = serde_json::from_str(&reasons).unwrap();
            assert_eq!(one, other);
        }
    }
    // Alternatives become one reference value each.
    let mut several = json!([{"name": "td", "computed": "by hand", "digests": {"platform": "tdx",
        "mrtd": {"require": ["01".repeat(48), "02".repeat(48)]}, "rtmr0": {"ignore": "x"}, "rtmr1": register("03"),
        "rtmr2": {"require": ["04".repeat(48), "05".repeat(48)]}, "rtmr3": {"ignore": "x"}}}]);
    let back = import(&export(&policy_with(several.clone()), &[]).unwrap()).unwrap();
    let names: Vec<_> = back.values.iter().map(|value| value.name.as_str()).collect();
    assert_eq!(names, ["td (1)", "td (2)", "td (3)", "td (4)"]);
    several[0]["digests"]["rtmr3"] =
        json!({"require": (0..17).map(|n| format!("{n:02x}").repeat(48)).collect::<Vec<_>>()});
    let error = export(&policy_with(several), &[]).unwrap_err();
    assert!(error.to_string().contains("combinations"), "{error}");
}

/// Independent of this program: the CoRIM is the one that the profile's draft describes.
#[test]
fn what_is_written_is_what_the_profile_says() {
    let policy = policy_with(json!([image("image 1", "5a")]));
    let expected = {
        let entries = vec![
            (0, Text("production-snp")),
            (1, Array(vec![comid("image 1", vec![triple(snp_class(BY_CHIP), snp_measurement(0x5a))])])),
            (3, snp_profile()),
        ];
        tag(501, Map(entries)).bytes()
    };
    assert_eq!(export(&policy, &[]).unwrap(), expected);
}

#[test]
fn what_a_corim_cannot_say_is_refused_by_name() {
    let mut revoked = image("revoked", "5c");
    revoked["revoked"] = json!({"at": "2026-01-01T00:00:00Z", "reason": "broken"});
    let mut endless = image("endless", "5d");
    endless["valid_from"] = json!("2026-01-01T00:00:00Z");
    let mut dated = image("dated", "5e");
    dated["valid_until"] = json!("2027-01-01T00:00:00Z");
    let policy = policy_with(json!([image("plain", "5a"), revoked, endless, dated]));
    for (names, name, said) in [
        (vec!["revoked"], "revoked", "revoked"),
        (vec!["endless"], "endless", "does not end"),
        (vec!["plain", "dated"], "dated", "validity"),
        (vec![], "revoked", "revoked"),
        (vec!["nobody"], "nobody", "no reference value"),
    ] {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        match export(&policy, &names).unwrap_err() {
            Error::Unrepresentable { name: found, what } => {
                assert!(found == name && what.contains(said), "{found}: {what}");
            }
            other => panic!("{other}"),
        }
    }
    assert!(export(&policy, &["plain".into()]).is_ok());
    let empty = parse(&shipped("production-snp"));
    assert_eq!(export(&empty, &[]).unwrap_err().code(), "corim_malformed");
}

#[test]
fn the_program_brings_reference_values_over() {
    let own = tempfile::tempdir().unwrap();
    let policy = file(own.path(), "policy.json", sound_snp().to_string());
    let out = own.path().join("images.corim");
    let written = run(&["corim", "export", &policy, "--out", out.to_str().unwrap()]);
    assert_eq!(written.code, 0, "{}", written.err);
    assert!(written.err.contains("left out: how each was computed"), "{}", written.err);
    let read = run(&["corim", "import", out.to_str().unwrap()]);
    assert_eq!(read.code, 0, "{}", read.err);
    // And into a new policy, as measurements are.
    let measured = file(own.path(), "measured.json", &read.out);
    let made = run(&["init", "--platform", "sev-snp", "--name", "mine", "--measured", &measured]);
    let made: Value = serde_json::from_str(&made.out).unwrap();
    assert_eq!(
        made["measurements"]["require"][0]["digests"],
        sound_snp()["measurements"]["require"][0]["digests"]
    );
    let no_corim = run(&["corim", "import", &policy]);
    assert_eq!(no_corim.code, 10);
    assert!(no_corim.err.contains("corim_malformed"), "{}", no_corim.err);
    assert_eq!(run(&["corim", "export", &policy, "--reference", "none"]).code, 10);
    assert_eq!(run(&["corim", "import", "/nonexistent"]).code, 30);
}

proptest! {
    #[test]
    fn reading_is_total(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..400, bit in 0_u8..8) {
        let _ = import(&bytes);
        let good = corim(vec![comid("i", vec![triple(snp_class(BY_CHIP), snp_measurement(1))])], vec![(3, snp_profile())]);
        let mut bent = good.bytes();
        let at = at % bent.len();
        bent[at] ^= 1 << bit;
        let _ = import(&bent);
    }
}
