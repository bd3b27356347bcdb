//! The schemas of releases and revocations against their readers: whatever is changed in a sample, both take it or
//! neither does.
//!
//! The evaluator here knows the few keywords that these schemas use and no others, so that a schema with another
//! one fails: a general library would bring some fifty crates into the checks.

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::{Map, Value, json};
use vouchsafe_policy::revocations::Document;
use vouchsafe_policy::signed::{Release, SignedPolicy, SigningKey};
use vouchsafe_receipt::{RevocationList, SignedRevocations};
use vouchsafe_verifier::UnixSeconds;

use crate::common::*;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

struct Schema {
    whole: Value,
    /// Those that were needed so far.
    patterns: RefCell<HashMap<String, regex::Regex>>,
}

impl Schema {
    fn shipped(name: &str) -> Self {
        let path = root().join(format!("policies/schema/{name}.v1.schema.json"));
        let whole = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        Self { whole, patterns: RefCell::default() }
    }

    /// Whether a value is as a definition of the schema says.
    fn takes(&self, definition: &str, value: &Value) -> bool {
        self.is_valid(&self.whole["$defs"][definition], value)
    }

    /// Whether exactly one of the schema's definitions takes it, as its head says.
    fn takes_any(&self, value: &Value) -> bool {
        self.is_valid(&self.whole, value)
    }

    fn is_valid(&self, schema: &Value, value: &Value) -> bool {
        if *schema == json!(true) {
            return true;
        }
        let schema = schema.as_object().unwrap_or_else(|| panic!("no schema: {schema}"));
        schema.iter().all(|(keyword, rule)| self.holds(schema, keyword, rule, value))
    }

    fn holds(&self, schema: &Map<String, Value>, keyword: &str, rule: &Value, value: &Value) -> bool {
        let count = |max: &Value| usize::try_from(max.as_u64().unwrap()).unwrap();
        match (keyword, value) {
            ("$schema" | "$id" | "title" | "description" | "$defs", _) => true,
            ("$ref", _) => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                self.takes(name, value)
            }
            ("oneOf", _) => {
                rule.as_array().unwrap().iter().filter(|one| self.is_valid(one, value)).count() == 1
            }
            ("anyOf", _) => rule.as_array().unwrap().iter().any(|one| self.is_valid(one, value)),
            ("uniqueItems", Value::Array(values)) => {
                values.iter().enumerate().all(|(place, one)| !values[..place].contains(one))
            }
            ("const", _) => rule == value,
            ("enum", _) => rule.as_array().unwrap().contains(value),
            ("type", _) => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_i64() || value.is_u64(),
                "boolean" => value.is_boolean(),
                other => panic!("type {other}"),
            },
            ("properties", Value::Object(fields)) => {
                let known = rule.as_object().unwrap();
                fields.iter().all(|(name, value)| known.get(name).is_none_or(|one| self.is_valid(one, value)))
            }
            ("additionalProperties", Value::Object(fields)) => {
                assert_eq!(rule, &json!(false));
                fields.keys().all(|name| schema["properties"].get(name).is_some())
            }
            ("required", Value::Object(fields)) => {
                rule.as_array().unwrap().iter().all(|name| fields.contains_key(name.as_str().unwrap()))
            }
            ("minProperties", Value::Object(fields)) => fields.len() >= count(rule),
            ("maxProperties", Value::Object(fields)) => fields.len() <= count(rule),
            ("items", Value::Array(values)) => values.iter().all(|value| self.is_valid(rule, value)),
            ("maxItems", Value::Array(values)) => values.len() <= count(rule),
            ("pattern", Value::String(text)) => {
                let mut known = self.patterns.borrow_mut();
                let pattern = rule.as_str().unwrap();
                let compiled = known.entry(pattern.into());
                compiled.or_insert_with(|| regex::Regex::new(pattern).unwrap()).is_match(text)
            }
            ("minLength", Value::String(text)) => text.chars().count() >= count(rule),
            ("maxLength", Value::String(text)) => text.chars().count() <= count(rule),
            ("minimum", Value::Number(number)) => number.as_u64() >= rule.as_u64(),
            ("maximum", Value::Number(number)) => number.as_u64() <= rule.as_u64(),
            // Of another type, which "type" says.
            ("properties" | "additionalProperties" | "required" | "minProperties" | "maxProperties", _)
            | (
                "items" | "maxItems" | "uniqueItems" | "pattern" | "minLength" | "maxLength" | "minimum"
                | "maximum",
                _,
            ) => true,
            (other, _) => panic!("a keyword that nobody evaluates: {other}"),
        }
    }
}

fn of_each_kind() -> Value {
    let hex = |bytes: usize| "ab".repeat(bytes);
    let kinds = [
        json!({"boot": hex(32)}),
        json!({"receipt_key": hex(32)}),
        json!({"chip_id": hex(64)}),
        json!({"ppid": hex(16)}),
        json!({"measurement": hex(48)}),
        json!({"registers": {"mrtd": hex(48), "rtmr0": hex(48), "rtmr1": hex(48), "rtmr2": hex(48), "rtmr3": hex(48)}}),
        json!({"product": "Milan"}),
        json!({"fmspc": hex(6)}),
    ];
    let one = |(number, revokes): (usize, Value)| {
        let name = format!("matter {number}");
        json!({"name": name, "revokes": revokes, "at": "2026-12-01T08:00:00Z", "reason": "broken"})
    };
    kinds.into_iter().enumerate().map(one).collect()
}

fn document() -> Value {
    json!({"version": 1, "revocations": of_each_kind()})
}

fn list() -> Value {
    json!({"version": 1, "serial": 7, "issued": "2026-12-01T09:00:00Z", "expires": "2027-12-01T09:00:00Z",
        "revocations": of_each_kind()})
}

/// Every place in a document, as a JSON pointer.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(values) => values.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect(),
        _ => return,
    };
    for (name, value) in inner {
        let path = format!("{path}/{name}");
        found.push(path.clone());
        places(value, &path, found);
    }
}

/// Everything that is done to every place of a sample.
fn mutations(sample: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    places(sample, "", &mut found);
    let mut all = Vec::new();
    for pointer in found {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let here = sample.pointer(&pointer).unwrap();
        let mut values = vec![
            Value::Null,
            json!(true),
            json!(-1),
            json!(7),
            json!(1.5),
            json!(""),
            json!("x"),
            json!([]),
            json!({}),
        ];
        match here {
            Value::String(text) => {
                values.extend(
                    [
                        format!("{text}a"),
                        text.to_uppercase(),
                        format!(" {text}"),
                        text.chars().skip(1).collect(),
                    ]
                    .map(Value::String),
                );
                values.push(json!("y".repeat(2000)));
            }
            Value::Number(number) => values.push(json!(number.as_u64().unwrap() + 1)),
            Value::Object(fields) => {
                let mut more = fields.clone();
                more.insert("more".into(), json!("x"));
                values.push(Value::Object(more));
            }
            _ => {}
        }
        all.extend(
            values.into_iter().map(|value| (format!("{pointer} = {value}"), with(sample, &pointer, value))),
        );
        if let Some(Value::Object(fields)) = sample.clone().pointer_mut(parent) {
            let value = fields.remove(name).unwrap();
            let put = |fields: Map<String, Value>| match parent {
                "" => Value::Object(fields),
                parent => with(sample, parent, Value::Object(fields)),
            };
            all.push((format!("{pointer} dropped"), put(fields.clone())));
            fields.insert(format!("{name}s"), value);
            all.push((format!("{pointer} renamed"), put(fields.clone())));
        }
    }
    all
}

/// Holds a definition against its reader on a sample and everything that is done to it.
fn agree(schema: &Schema, definition: &str, sample: &Value, reads: impl Fn(&Value) -> bool) {
    assert!(schema.takes(definition, sample) && schema.takes_any(sample) && reads(sample), "{sample}");
    let (mut taken, mut refused) = (0, 0);
    for (what, changed) in mutations(sample) {
        let (by_schema, by_reader) = (schema.takes(definition, &changed), reads(&changed));
        assert_eq!(by_schema, by_reader, "{definition} {what}: the schema says {by_schema}");
        *(if by_schema { &mut taken } else { &mut refused }) += 1;
    }
    assert!(taken > 0 && refused > 50, "{definition}: {taken} taken, {refused} refused");
}

#[test]
fn revocations_are_described_as_they_are_read() {
    let schema = Schema::shipped("revocations");
    agree(&schema, "document", &document(), |value| {
        let parsed = Document::parse(value.to_string().as_bytes());
        parsed.and_then(|document| document.release(1, NOW, UnixSeconds(NOW.0 + 1))).is_ok()
    });
    agree(&schema, "list", &list(), |value| {
        // Read as what is signed is, once it is in the one order that canonical JSON has.
        let typed = serde_json::from_value::<RevocationList>(value.clone());
        typed.is_ok_and(|list| RevocationList::parse(&list.to_bytes()).is_ok())
    });
    // A document is no list, and the reverse.
    assert!(!schema.takes("list", &document()) && !schema.takes("document", &list()));
}

#[test]
fn releases_are_described_as_they_are_read() {
    let schema = Schema::shipped("release");
    let key = SigningKey::generate().unwrap().0;
    let policy = sound_snp();
    let release = Release::new(7, NOW, UnixSeconds(NOW.0 + 1), policy.to_string().as_bytes()).unwrap();
    let mut of_policy = SignedPolicy::unsigned(&release);
    of_policy.sign(&key).unwrap();
    let mut of_list = Document::parse(document().to_string().as_bytes())
        .unwrap()
        .release(7, NOW, UnixSeconds(NOW.0 + 1))
        .unwrap();
    vouchsafe_policy::revocations::sign(&mut of_list, &key).unwrap();
    let reads = |value: &Value| {
        let text = value.to_string();
        let list = SignedRevocations::parse(text.as_bytes());
        // What is in a payload is described by its own schema.
        let is_envelope = list.as_ref().is_ok()
            || list.is_err_and(|error| value["payloadType"] != policy_type() && is_of_payload(error.code()));
        SignedPolicy::parse(text.as_bytes()).is_ok() || is_envelope
    };
    for envelope in [of_policy.to_json(), of_list.to_json()] {
        agree(&schema, "envelope", &serde_json::from_str(&envelope).unwrap(), reads);
    }
    // Of a release what is not its policy, which has a schema of its own.
    let mut outer = serde_json::to_value(&release).unwrap();
    outer["policy"] = json!({});
    agree(&schema, "policy_release", &outer, |value| {
        let typed = serde_json::from_value::<Release>(value.clone());
        typed.is_ok_and(|release| release.version == 1 && release.policy.is_object())
    });
}

/// Policies in which every rule, and everything that may be left out, is there.
fn whole_policies() -> Vec<Value> {
    let mut snp = requiring_everything();
    let moment = |text: &str| json!(format!("{text}T00:00:00Z"));
    let one = &mut snp["measurements"]["require"][0];
    one["valid_from"] = moment("2026-01-01");
    one["valid_until"] = moment("2027-01-01");
    one["revoked"] = json!({"at": moment("2026-06-01"), "reason": "broken"});
    snp["models"]["require"][0]["manifest"] = json!("cd".repeat(32));
    snp["platform"]["tdx"]["tcb_statuses"] =
        json!({"require": [{"status": "UpToDate"}, {"status": "OutOfDate", "grace_days": 3}]});
    vec![snp, sound_tdx()]
}

/// What no schema can say: the calendar.
const NO_SUCH_DAY: [&str; 2] = ["2026-02-30T00:00:00Z", "2026-02-29T00:00:00Z"];

#[test]
fn policies_are_described_as_they_are_read() {
    let schema = Schema::shipped("policy");
    let moments =
        ["2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "1969-01-01T00:00:00Z", "2026-01-01T00:00:60Z"];
    let (mut taken, mut refused) = (0, 0);
    for sample in whole_policies() {
        assert!(schema.takes_any(&sample) && try_parse(&sample).is_ok());
        let mut changed = mutations(&sample);
        let mut found = Vec::new();
        places(&sample, "", &mut found);
        for pointer in found {
            let here = sample.pointer(&pointer).unwrap();
            let more: Vec<Value> = match here {
                Value::Number(_) => vec![json!(u64::from(u32::MAX)), json!(1_u64 << 32), json!(256)],
                Value::String(text) if text.ends_with("00Z") => moments.map(|text| json!(text)).to_vec(),
                Value::String(_) => vec![json!("é".repeat(600)), json!("é".repeat(1025))],
                Value::Object(_) => ["$comment", "ignore"]
                    .into_iter()
                    .flat_map(|name| [json!(5), json!("c"), json!(" ")].map(|value| (name, value)))
                    .map(|(name, value)| {
                        let mut fields = here.clone();
                        fields[name] = value;
                        fields
                    })
                    .collect(),
                _ => Vec::new(),
            };
            changed.extend(
                more.into_iter()
                    .map(|value| (format!("{pointer} = {value}"), with(&sample, &pointer, value))),
            );
        }
        for (what, changed) in changed {
            let by_schema = schema.takes_any(&changed);
            // That decisions contradict each other is for the reader alone to say.
            let by_reader = match try_parse(&changed) {
                Ok(_) => true,
                Err(error) if error.code() == "policy_contradiction" => continue,
                Err(_) => false,
            };
            assert_eq!(
                by_schema,
                by_reader,
                "{what}: the schema says {by_schema}: {:?}",
                try_parse(&changed)
            );
            *(if by_schema { &mut taken } else { &mut refused }) += 1;
        }
        for day in NO_SUCH_DAY {
            let mut changed = sample.clone();
            changed["measurements"]["require"][0]["valid_until"] = json!(day);
            assert!(schema.takes_any(&changed) && try_parse(&changed).is_err(), "{day}");
        }
    }
    assert!(taken > 500 && refused > 5_000, "{taken} taken, {refused} refused");
}

fn policy_type() -> &'static str {
    vouchsafe_policy::signed::PAYLOAD_TYPE
}

fn is_of_payload(code: &str) -> bool {
    ["payload_malformed", "payload_not_canonical", "version_unknown"].contains(&code)
}
