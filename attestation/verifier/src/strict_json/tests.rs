//! What is refused and where; that nothing else is accepted than by `serde_json`.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use alloc::{format, vec};

use proptest::prelude::*;
use serde::Serialize;

use super::*;
use crate::encoding::Hex;
use crate::{Endorsements, Evidence, Platform, json_record};

const LIMITS: Limits = Limits { bytes_max: 10_000, depth_max: 8 };

#[test]
fn accepts_ordinary_documents() {
    let value: Value = parse(br#"{"a":[1,2.5,-3,null,true,"x"],"b":{"a":{}}}"#, LIMITS).unwrap();
    assert_eq!(value["a"][0], 1);
}

#[test]
fn refuses_duplicate_keys_at_any_depth_even_when_escaped() {
    for text in [r#"{"a":1,"a":1}"#, r#"[{"x":{"b":1,"b":2}}]"#, r#"{"a":1,"\u0061":2}"#] {
        let error = parse::<Value>(text.as_bytes(), LIMITS).unwrap_err();
        assert!(
            matches!(&error, JsonError::Malformed(why) if why.contains("duplicate key")),
            "{text}: {error}"
        );
    }
}

#[test]
fn refuses_depth_length_and_trailing_bytes() {
    let deep = "[".repeat(9) + &"]".repeat(9);
    assert!(matches!(parse::<Value>(deep.as_bytes(), LIMITS), Err(JsonError::Malformed(_))));
    assert!(parse::<Value>(("[".repeat(8) + &"]".repeat(8)).as_bytes(), LIMITS).is_ok());
    let bottomless = "[".repeat(9_999);
    assert!(matches!(parse::<Value>(bottomless.as_bytes(), LIMITS), Err(JsonError::Malformed(_))));
    assert_eq!(parse::<Value>(&[b' '; 10_001], LIMITS), Err(JsonError::TooLong { len: 10_001, max: 10_000 }));
    assert!(matches!(parse::<Value>(b"{} {}", LIMITS), Err(JsonError::Malformed(_))));
    assert!(matches!(parse::<Value>(b"", LIMITS), Err(JsonError::Malformed(_))));
    assert!(matches!(parse::<Value>(b"\xff", LIMITS), Err(JsonError::Malformed(_))));
}

#[test]
fn a_wrong_shape_is_told_apart_from_malformed_text() {
    assert!(matches!(parse::<u32>(b"\"text\"", LIMITS), Err(JsonError::Shape(_))));
}

#[derive(Debug, PartialEq, Serialize)]
struct Person {
    #[serde(rename = "fullName")]
    name: String,
    age: u8,
    keys: Vec<Hex<2>>,
    friend: Option<Box<Self>>,
}

json_record!(Person { name as "fullName", age, keys, friend });

impl<T: FromValue> FromValue for Box<T> {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        T::from_value(value).map(Self::new)
    }
}

fn person(text: &str) -> Result<Person, String> {
    read(text.as_bytes(), LIMITS).map_err(|error| match error {
        JsonError::Shape(why) => why,
        other => panic!("{text}: {other}"),
    })
}

#[test]
fn a_record_is_read_as_it_is_written() {
    let friend = Person { name: "b".into(), age: 255, keys: vec![], friend: None };
    let whole = Person { name: "a".into(), age: 0, keys: vec![Hex([0, 171])], friend: Some(friend.into()) };
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(person(&text), Ok(whole));
    // What may be null may be absent.
    assert!(person(r#"{"fullName":"a","age":1,"keys":[]}"#).is_ok());
    // As a part of what serde reads it is the same.
    let people: BTreeMap<String, Person> = parse(format!(r#"{{"x":{text}}}"#).as_bytes(), LIMITS).unwrap();
    assert_eq!(people["x"].keys, [Hex([0, 171])]);
}

#[test]
fn a_wrong_shape_is_refused_with_its_place() {
    let refused = |from: &str, to: &str| {
        let text = r#"{"fullName":"a","age":1,"keys":["00ff"],"friend":{"fullName":"b","age":1,"keys":[]}}"#;
        assert!(text.contains(from), "{from}");
        person(&text.replacen(from, to, 1)).unwrap_err()
    };
    let names = "expected one of `fullName`, `age`, `keys`, `friend`";
    assert_eq!(refused("\"age\":1,", ""), "missing field `age`");
    assert_eq!(refused("\"age\":1,\"keys\":[]", "\"keys\":[]"), "friend: missing field `age`");
    assert_eq!(refused("age", "agé"), format!("unknown field `agé`, {names}"));
    assert_eq!(refused("\"a\"", "null"), "fullName: expected a string, found null");
    assert_eq!(refused("\"00ff\"", "\"00ff\",\"00FF\""), "keys[1]: not 2 bytes of lower-case hexadecimal");
    assert_eq!(refused("1", "256"), "age: expected an integer from 0 to 255, found 256");
    assert_eq!(refused("1", "1.0"), "age: expected an integer from 0 to 255, found 1.0");
    assert_eq!(refused("1", "-1"), "age: expected an integer from 0 to 255, found -1");
    assert_eq!(refused("1", "\"1\""), "age: expected an integer from 0 to 255, found a string");
    let long = refused("age", &"x".repeat(1000));
    assert_eq!(long, format!("unknown field `{}`, {names}", "x".repeat(64)));
}

/// serde takes a struct from a list of its fields' values too, and a word from an object with that key: a
/// second text for every document.
#[test]
fn an_object_is_an_object_and_a_word_a_word() {
    assert_eq!(person(r#"["a",1,[],null]"#).unwrap_err(), "expected an object, found a list");
    assert!(serde_json::from_str::<Person>(r#"["a",1,[],null]"#).is_err());
    let nested = r#"{"fullName":"a","age":1,"keys":[],"friend":["b",1,[],null]}"#;
    assert_eq!(person(nested).unwrap_err(), "friend: expected an object, found a list");
    assert_eq!(read(b"\"tdx\"", LIMITS), Ok(Platform::Tdx));
    for text in [r#"{"tdx":null}"#, r#"["tdx"]"#, r#""TDX""#, "1"] {
        assert!(matches!(read::<Platform>(text.as_bytes(), LIMITS), Err(JsonError::Shape(_))), "{text}");
        assert!(serde_json::from_str::<Platform>(text).is_err(), "{text}");
    }
    for text in [r#"["sev-snp",""]"#, r#"{"platform":["sev-snp"],"report":""}"#, r#"{"report":""}"#] {
        assert!(matches!(read::<Evidence>(text.as_bytes(), LIMITS), Err(JsonError::Shape(_))), "{text}");
    }
    for text in [r#"["sev-snp"]"#, r#"["sev-snp",null,null,null,null]"#, r#"{"platform":"sev-snp","x":1}"#] {
        assert!(matches!(read::<Endorsements>(text.as_bytes(), LIMITS), Err(JsonError::Shape(_))), "{text}");
    }
    let evidence: Evidence = read(br#"{"report":"AA==","platform":"sev-snp"}"#, LIMITS).unwrap();
    assert!(matches!(evidence, Evidence::SevSnp { report } if report.0 == [0]));
}

#[test]
fn a_repeated_key_is_refused_by_serde_too() {
    let text = r#"{"fullName":"a","age":1,"age":1,"keys":[]}"#;
    let error = serde_json::from_str::<Person>(text).unwrap_err().to_string();
    assert!(error.contains("duplicate key"), "{error}");
}

/// JSON, now and then with a key given twice, and broken at times.
fn texts() -> impl Strategy<Value = String> {
    let word = prop_oneof![Just("a".into()), Just("b".into()), "\\PC{0,3}"];
    let word = word.prop_map(|word: String| Value::from(word).to_string());
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:e}")),
        "-?[0-9]{1,3}(\\.[0-9]{1,3})?(e-?[0-9]{1,3})?"
    ];
    let leaf = prop_oneof![
        word.clone(),
        number,
        Just("null".into()),
        Just("true".into()),
        "[\\[\\]{}:,\"\\\\u0 ]{0,4}"
    ];
    leaf.prop_recursive(10, 60, 4, move |inner| {
        let field = (word.clone(), inner.clone()).prop_map(|(name, value)| format!("{name}:{value}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            proptest::collection::vec(field, 0..4).prop_map(|fields| format!("{{{}}}", fields.join(" ,"))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// What is accepted is what `serde_json` accepts, with the same value; what only `serde_json` accepts
    /// repeats a key or is too deep.
    #[test]
    fn nothing_else_is_accepted_or_refused_than_by_serde_json(text in texts()) {
        let theirs = serde_json::from_str::<Value>(&text);
        let reparsed = parse::<Value>(text.as_bytes(), LIMITS);
        match (value(text.as_bytes(), LIMITS), theirs) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!(&ours, &theirs);
                prop_assert_eq!(reparsed, Ok(ours));
            }
            (Err(JsonError::Malformed(why)), Ok(_)) => {
                prop_assert!(why.contains("duplicate key") || why.contains("nested too deeply"), "{}", why);
                prop_assert!(reparsed.is_err());
            }
            (Err(_), Err(_)) => prop_assert!(reparsed.is_err()),
            (ours, theirs) => prop_assert!(false, "{:?} and {:?}", ours, theirs),
        }
    }
}
