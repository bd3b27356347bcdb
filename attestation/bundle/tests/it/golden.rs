//! Bundles that were written once: whatever this crate becomes, version 1 of the format stays
//! readable, and these verdicts stay what they are.
//!
//! `VOUCHSAFE_WRITE_GOLDEN=plain cargo test -p vouchsafe-bundle golden` writes them anew, with new keys,
//! and with `settled` those that settled into a log; do so only when the format gets a new version, and
//! then beside the old files.

use std::path::{Path, PathBuf};

use vouchsafe_bundle::{Bundle, Policy, verify_bundle_json};
use vouchsafe_receipt::Assurance;
use vouchsafe_translog::Tile;
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use crate::common::*;
use crate::logs::{BEFORE, Log};

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

/// A bundle with its proof, the same without, a policy that requires it, and the log's files.
fn write_settled() {
    let log = Log::new();
    let enclave = log.enclave();
    let parts = log.settled(&enclave);
    let mut unsettled = parts.clone();
    let proof = unsettled.proof.take().unwrap();
    let tile = Tile::in_tree(0, 0, proof.claimed_checkpoint().size()).unwrap();
    let files: [(&str, Vec<u8>); 7] = [
        ("settled.json", Bundle::new(parts.clone()).unwrap().to_json()),
        ("unsettled.json", Bundle::new(unsettled).unwrap().to_json()),
        ("policy.json", policy_with(|document| log.require(document)).to_json()),
        ("request.json", REQUEST.to_vec()),
        ("response.json", RESPONSE.to_vec()),
        ("log/checkpoint", proof.note().to_string().into_bytes()),
        (&format!("log/{}", tile.path()), log.leaves(&parts, BEFORE).concat()),
    ];
    for (name, bytes) in files {
        std::fs::create_dir_all(settled(name).parent().unwrap()).unwrap();
        std::fs::write(settled(name), bytes).unwrap();
    }
}

fn settled(name: &str) -> PathBuf {
    file("../v1-settled").join(name)
}

#[test]
fn a_golden_bundle_with_its_proof_keeps_its_verdict() {
    if std::env::var_os("VOUCHSAFE_WRITE_GOLDEN").is_some_and(|which| which == "settled") {
        write_settled();
    }
    let read = |name: &str| std::fs::read(settled(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let policy = Policy::parse(&read("policy.json")).unwrap();
    let (request, response) = (read("request.json"), read("response.json"));
    let at = UnixSeconds(NOW.0 + 30);
    let inputs = vouchsafe_bundle::Inputs { at, ..inputs(Some(&request), Some(&response)) };
    let json = read("settled.json");
    let verdict = verify_bundle_json(&json, &policy, &inputs, &Ring);
    assert_accepted(&verdict);
    assert_eq!(verdict.assurance(), Some(Assurance::Settled));
    assert_eq!(Bundle::parse(&json).unwrap().to_json(), json);
    assert_incomplete(&verify_bundle_json(&read("unsettled.json"), &policy, &inputs, &Ring), "proof_pending");
}

#[test]
fn golden_bundles_keep_their_verdicts() {
    if std::env::var_os("VOUCHSAFE_WRITE_GOLDEN").is_some_and(|which| which == "plain") {
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
