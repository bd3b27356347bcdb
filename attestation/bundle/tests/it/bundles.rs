//! Bundles as files: what is read back, and what is refused before anything in it is judged.

use vouchsafe_bundle::{Bundle, BundleParts, Error, verify_bundle_json};
use vouchsafe_verifier::crypto::Ring;

use crate::common::*;

fn json(parts: &BundleParts) -> String {
    String::from_utf8(Bundle::new(parts.clone()).unwrap().to_json()).unwrap()
}

fn code(json: &str) -> &'static str {
    Bundle::parse(json.as_bytes()).unwrap_err().code()
}

#[test]
fn bundles_are_read_back_as_they_were_written() {
    let enclave = Enclave::snp();
    let (mut streamed, _) = enclave.streamed();
    let full = streamed.clone();
    streamed.receipt = None;
    let mut bare = enclave.plain();
    (bare.opening, bare.endorsements) = (None, None);
    for parts in [enclave.plain(), full, streamed, bare, Enclave::new(Machine::tdx()).plain()] {
        let text = json(&parts);
        let bundle = Bundle::parse(text.as_bytes()).unwrap();
        assert_eq!(bundle.parts(), &parts);
        assert_eq!(bundle.to_json(), text.as_bytes());
        // Layout is free: the signatures do not cover it.
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        assert_eq!(Bundle::parse(pretty.as_bytes()).unwrap().parts(), &parts);
    }
}

#[test]
fn malformed_bundles_are_refused_by_name() {
    let good = json(&Enclave::snp().plain());
    let bent = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let cases = [
        (String::new(), "bundle_malformed"),
        ("null".into(), "bundle_malformed"),
        ("{}".into(), "bundle_malformed"),
        (good[..good.len() - 1].into(), "bundle_malformed"),
        (format!("{good}{good}"), "bundle_malformed"),
        (bent("{\"version\":1", "{\"version\":2"), "bundle_version_unknown"),
        (bent("{\"version\":1", "{\"version\":2,\"new\":{}"), "bundle_version_unknown"),
        (bent("{\"version\":1", "{\"version\":\"1\""), "bundle_malformed"),
        (bent("{\"version\":1", "{\"version\":1,\"version\":1"), "bundle_malformed"),
        (bent("{\"version\":1", "{\"version\":1,\"extra\":0"), "bundle_malformed"),
        (bent("\"platform\":\"sev-snp\"", "\"platform\":\"sgx\""), "bundle_malformed"),
        (bent("\"proof\":null", "\"proof\":{}"), "bundle_malformed"),
        (bent("\"statement\":\"", "\"statement\":\"!"), "bundle_malformed"),
        (bent("\"statement\":\"", "\"statement\":\"\",\"statement\":\""), "bundle_malformed"),
        (bent("\"payload\":\"", "\"payload\":\"!"), "envelope_malformed"),
        (bent("\"payload\":\"", "\"payload\":\" "), "envelope_malformed"),
        (bent("\"sig\":\"", "\"sig\":\"AA"), "envelope_malformed"),
        (bent("\"keyid\":\"", "\"keyid\":\"A"), "envelope_malformed"),
        (bent("\"receipt\":{", "\"receipt\":{\"extra\":1,"), "envelope_malformed"),
        (bent("\"opening\":{\"version\":1", "\"opening\":{\"version\":2"), "version_unknown"),
    ];
    for (text, expected) in cases {
        assert_eq!(code(&text), expected, "{text:.300}");
    }
}

#[test]
fn size_and_depth_are_bounded_before_anything_is_built() {
    let deep = "[".repeat(50_000_000);
    assert_eq!(code(&deep), "bundle_malformed");
    for depth in [17, 1_000, 100_000] {
        let nested = format!(r#"{{"version":1,"receipt":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(code(&nested), "bundle_malformed", "{depth}");
    }
    let long = format!(r#"{{"version":1,"receipt":"{}"}}"#, "A".repeat(4 << 20));
    let Err(Error::BundleMalformed(why)) = Bundle::parse(long.as_bytes()) else { panic!("accepted") };
    assert!(why.contains("exceeds the limit"), "{why}");
    // An envelope may not be longer than the log could hold, whatever the bundle's limit.
    let good = json(&Enclave::snp().plain());
    let payload = format!("\"payload\":\"{}", "AAAA".repeat(1024));
    assert_eq!(code(&good.replacen("\"payload\":\"", &payload, 1)), "envelope_malformed");
}

#[test]
fn an_empty_bundle_proves_nothing() {
    let mut parts = Enclave::snp().plain();
    parts.receipt = None;
    assert_eq!(Bundle::new(parts.clone()).unwrap_err(), Error::BundleEmpty);
    let full = json(&Enclave::snp().plain());
    let mut value: serde_json::Value = serde_json::from_str(&full).unwrap();
    value["receipt"] = serde_json::Value::Null;
    assert_eq!(code(&value.to_string()), "bundle_empty");
}

#[test]
fn what_cannot_be_read_is_rejected_not_an_error() {
    let verdict = verify_bundle_json(b"{\"version\":9}", &policy(), &inputs(None, None), &Ring);
    assert_rejected(&verdict, "bundle_version_unknown");
    assert_eq!(verdict.decision().exit_code(), 10);
}
