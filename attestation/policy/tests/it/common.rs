//! Shipped policies, and changing them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vouchsafe_bundle::Policy;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn shipped(name: &str) -> Value {
    let path = root().join(format!("policies/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn parse(value: &Value) -> Policy {
    try_parse(value).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn try_parse(value: &Value) -> Result<Policy, vouchsafe_bundle::Error> {
    Policy::parse(value.to_string().as_bytes())
}

/// The same document with one place changed.
pub(crate) fn with(value: &Value, pointer: &str, change: Value) -> Value {
    let mut changed = value.clone();
    *changed.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = change;
    changed
}

/// A key of a log (type 1) or a witness (type 4) as text. Only its form is read here.
pub(crate) fn vkey(name: &str, kind: u8) -> String {
    use std::fmt::Write as _;
    let bytes = [vec![kind], vec![7; 32]].concat();
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (u32::from(chunk[0]) << 16) | (u32::from(chunk[1]) << 8) | u32::from(chunk[2]);
        for shift in [18, 12, 6, 0] {
            let index = usize::try_from((word >> shift) & 63).unwrap();
            let _ = write!(text, "{}", char::from(ALPHABET[index]));
        }
    }
    format!("{name}+0badc0de+{text}")
}

/// The strict template for SEV-SNP with everything filled in: nothing is to be objected to.
pub(crate) fn sound_snp() -> Value {
    let mut value = shipped("production-snp");
    fill(&mut value, json!({"platform": "sev-snp", "measurement": "5a".repeat(48)}));
    value
}

/// The same for TDX.
pub(crate) fn sound_tdx() -> Value {
    let mut value = shipped("production-tdx");
    let one = json!({"require": ["5a".repeat(48)]});
    let digests = json!({
        "platform": "tdx", "mrtd": one, "rtmr0": one, "rtmr1": one, "rtmr2": one,
        "rtmr3": {"ignore": "nothing extends it"},
    });
    fill(&mut value, digests);
    value
}

/// A policy that requires every rule that can be required.
pub(crate) fn requiring_everything() -> Value {
    let mut value = sound_snp();
    value["trust"]["vendors"] = json!({"require": ["amd", "intel"]});
    value["platform"]["accepted"] = json!({"require": ["sev-snp", "tdx"]});
    value["platform"]["tdx"] = sound_tdx()["platform"]["tdx"].clone();
    let list = |bytes: usize| json!(["ab".repeat(bytes)]);
    for (pointer, demanded) in [
        ("/platform/report_data", json!(true)),
        ("/platform/snp/smt", json!(false)),
        ("/platform/snp/single_socket", json!(true)),
        ("/platform/snp/rapl_disabled", json!(true)),
        ("/platform/snp/ciphertext_hiding", json!(true)),
        ("/platform/snp/id_key_digests", list(48)),
        ("/platform/snp/author_key_digests", list(48)),
        ("/platform/snp/host_data", list(32)),
        ("/platform/snp/chip_ids", list(64)),
        ("/platform/tdx/advisories_denied", json!(["INTEL-SA-00960"])),
        ("/platform/tdx/advisories_tolerated", json!([])),
        ("/platform/tdx/trailing_bytes", json!("none")),
        ("/platform/tdx/rtmrs_nonzero", json!(true)),
        ("/platform/tdx/event_log", json!(true)),
        ("/platform/tdx/mrconfigid", list(48)),
        ("/platform/tdx/mrowner", list(48)),
        ("/platform/tdx/mrownerconfig", list(48)),
        ("/platform/tdx/ppids", list(16)),
        ("/engine/identities", json!([{"name": "vouchsafe-engine", "version": "1", "kernel": "k"}])),
        ("/parameters/values", json!({"temperature": 0})),
        ("/openings/request", json!(true)),
        ("/openings/response", json!(true)),
        ("/openings/execution", json!(true)),
        ("/sessions/challenge", json!(true)),
        ("/freshness/epoch_seconds_max", json!(3600)),
        ("/freshness/receipt_age_seconds_max", json!(3600)),
        ("/settlement/bound", json!(60)),
        ("/images/released", json!({"keys": [spki(3), spki(4)], "threshold": 2})),
    ] {
        *value.pointer_mut(pointer).unwrap() = json!({"require": demanded});
    }
    value
}

/// A public key as policies hold it. Only its form is read here.
pub(crate) fn spki(number: u8) -> String {
    use vouchsafe_verifier::encoding::to_base64;
    to_base64(&vouchsafe_receipt::ReceiptKey::spki_of_point(&std::array::from_fn(|place| {
        if place == 0 { 4 } else { number }
    })))
}

fn fill(value: &mut Value, digests: Value) {
    value["measurements"] =
        json!({"require": [{"name": "image 1", "computed": "by hand", "digests": digests}]});
    value["operator"]["identities"] = json!({"require": ["Example"]});
    value["models"] = json!({"require": [{"name": "m", "weights": "ab".repeat(32)}]});
    value["log"]["inclusion"] = json!({"require": [{"key": vkey("localhost/log", 1)}]});
    let witnesses: Vec<_> = (1..=3).map(|n| vkey(&format!("localhost/witness-{n}"), 4)).collect();
    value["witnesses"]["quorum"] = json!({"require": {"keys": witnesses, "threshold": 2}});
    let revokers = json!({"keys": [spki(1), spki(2)], "threshold": 2, "age_seconds_max": 259_200});
    value["revocations"]["list"] = json!({"require": revokers});
}

/// Every place in a document that holds a rule, as a JSON pointer, with whether it is required.
pub(crate) fn rules(value: &Value) -> Vec<(String, bool)> {
    fn walk(value: &Value, path: &mut String, found: &mut Vec<(String, bool)>) {
        let Value::Object(fields) = value else { return };
        for word in ["require", "ignore"] {
            if fields.contains_key(word) {
                return found.push((path.clone(), word == "require"));
            }
        }
        for (name, inner) in fields {
            let length = path.len();
            path.push_str(&format!("/{name}"));
            walk(inner, path, found);
            path.truncate(length);
        }
    }
    let mut found = Vec::new();
    walk(value, &mut String::new(), &mut found);
    found
}
