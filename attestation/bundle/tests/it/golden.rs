//! Bundles that were written once: whatever this crate becomes, version 1 of the format stays
//! readable, and these verdicts stay what they are.
//!
//! `VOUCHSAFE_WRITE_GOLDEN=1 cargo test -p vouchsafe-bundle golden` writes them anew, with new keys;
//! do so only when the format gets a new version, and then beside the old files.

use std::path::{Path, PathBuf};

use vouchsafe_bundle::{Bundle, Policy, verify_bundle_json};
use vouchsafe_verifier::crypto::Ring;

use crate::common::*;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn write_anew() {
    let enclave = Enclave::snp();
    let (streamed, text) = enclave.streamed();
    let mut cut_off = streamed.clone();
    cut_off.receipt = None;
    let bundle = |parts| Bundle::new(parts).unwrap().to_json();
    let files: [(&str, Vec<u8>); 7] = [
        ("plain.json", bundle(enclave.plain())),
        ("streamed.json", bundle(streamed)),
        ("cut-off.json", bundle(cut_off)),
        ("policy.json", policy().to_json()),
        ("request.json", REQUEST.to_vec()),
        ("response.json", RESPONSE.to_vec()),
        ("events.txt", text.into_bytes()),
    ];
    std::fs::create_dir_all(file("")).unwrap();
    for (name, bytes) in files {
        std::fs::write(file(name), bytes).unwrap();
    }
}

#[test]
fn golden_bundles_keep_their_verdicts() {
    if std::env::var_os("VOUCHSAFE_WRITE_GOLDEN").is_some() {
        write_anew();
    }
    let policy = Policy::parse(&read("policy.json")).unwrap();
    let (request, response, events) = (read("request.json"), read("response.json"), read("events.txt"));
    for (name, answer, word) in [
        ("plain.json", &response, "response"),
        ("streamed.json", &events, "response"),
        ("cut-off.json", &events, "response_prefix"),
    ] {
        let json = read(name);
        let inputs = inputs(Some(&request), Some(answer));
        let verdict = verify_bundle_json(&json, &policy, &inputs, &Ring);
        assert_accepted(&verdict);
        assert!(proved(&verdict).contains(&word) && proved(&verdict).contains(&"request"), "{name}");
        assert_eq!(Bundle::parse(&json).unwrap().to_json(), json, "{name} is written otherwise today");
    }
}
