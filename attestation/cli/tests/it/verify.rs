//! `vouchsafe verify` on the golden bundles.

use std::io::Write;
use std::process::Stdio;

use crate::common::*;

fn verify(bundle: &str, more: &[&str]) -> Run {
    let policy = golden("policy.json");
    let mut arguments = vec!["verify", bundle, "--policy", &policy, "--at", AT];
    arguments.extend(more);
    run(&arguments)
}

fn json(bundle: &str, more: &[&str]) -> Run {
    verify(bundle, &[more, &["--format", "json"]].concat())
}

fn is(run: &Run, code: i32, verdict: &str, word: &str) {
    assert_eq!(run.verdict(), (code, verdict.into(), word.into()), "{}", run.out);
}

#[test]
fn a_golden_bundle_is_accepted_as_a_table() {
    let (request, response) = (golden("request.json"), golden("response.json"));
    let run = verify(&golden("plain.json"), &["--request", &request, "--response", &response]);
    assert_eq!(run.code, 0, "{}", run.err);
    insta::assert_snapshot!("accepted", without_ids(&run.out));
}

#[test]
fn a_rejection_is_shown_with_its_code_and_everything_else() {
    let (request, response) = (golden("request.json"), golden("response.json"));
    let swapped = verify(&golden("plain.json"), &["--request", &request, "--response", &request]);
    assert_eq!(swapped.code, 10, "{}", swapped.err);
    insta::assert_snapshot!("rejected", without_ids(&swapped.out));
    let verbose = verify(&golden("plain.json"), &["--response", &response, "--verbose"]);
    assert!(
        verbose.out.contains("platform.snp.debug") && verbose.out.contains("expected"),
        "{}",
        verbose.out
    );
    assert!(verbose.out.contains("Ignored by the policy"), "{}", verbose.out);
}

#[test]
fn each_verdict_has_its_exit_status() {
    let (plain, response, events) = (golden("plain.json"), golden("response.json"), golden("events.txt"));
    is(&json(&plain, &[]), 0, "accepted", "");
    is(&json(&plain, &["--response", &response]), 0, "accepted", "");
    is(&json(&plain, &["--response", &events]), 10, "rejected", "response_mismatch");
    is(&json(&golden("streamed.json"), &["--response", &events]), 0, "accepted", "");
    is(&json(&golden("cut-off.json"), &["--response", &events]), 0, "accepted", "");
    is(&json(&golden("cut-off.json"), &["--response", &response]), 10, "rejected", "response_mismatch");
    // The certificates are judged for the moment given.
    let late = run(&[
        "verify",
        &plain,
        "--policy",
        &golden("policy.json"),
        "--at",
        "2050-01-01T00:00:00Z",
        "--format",
        "json",
    ]);
    is(&late, 10, "rejected", "snp_certificate_expired");
    // Under another policy, the same bundle.
    let other =
        |name: &str| run(&["verify", &plain, "--policy", &policy(name), "--at", AT, "--format", "json"]);
    is(&other("production-snp"), 10, "rejected", "snp_root_not_trusted");
    is(&other("evidence-strict"), 10, "rejected", "policy_purpose");
}

#[test]
fn a_required_check_that_cannot_run_exits_20() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.json");
    let mut bundle: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden("plain.json")).unwrap()).unwrap();
    bundle["opening"].as_object_mut().unwrap().remove("response");
    std::fs::write(&path, bundle.to_string()).unwrap();
    let run = json(path.to_str().unwrap(), &["--response", &golden("response.json")]);
    is(&run, 20, "incomplete", "response_opening_missing");
}

#[test]
fn hostile_bundles_are_rejected_and_missing_files_are_not_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let golden_text = std::fs::read_to_string(golden("plain.json")).unwrap();
    let altered = |from: &str, to: &str| golden_text.replacen(from, to, 1).into_bytes();
    for (name, bytes, word) in [
        ("empty", Vec::new(), "bundle_malformed"),
        ("nested", "[".repeat(50_000_000).into_bytes(), "bundle_malformed"),
        ("duplicate", altered("{\"version\":1", "{\"version\":1,\"version\":1"), "bundle_malformed"),
        ("base64", altered("\"statement\":\"", "\"statement\":\"!"), "bundle_malformed"),
        ("version", altered("{\"version\":1", "{\"version\":7"), "bundle_version_unknown"),
    ] {
        is(&json(&file(name, &bytes), &[]), 10, "rejected", word);
    }
    let missing = folder.path().join("none");
    let missing = missing.to_str().unwrap();
    for run in [
        json(missing, &[]),
        json(&golden("plain.json"), &["--request", missing]),
        run(&["verify", &golden("plain.json"), "--policy", missing]),
        run(&["verify", &golden("plain.json"), "--policy", &file("policy", b"{}")]),
        run(&["verify", &golden("plain.json"), "--policy", &golden("plain.json")]),
    ] {
        assert_eq!((run.code, run.out.as_str()), (30, ""), "{}", run.err);
        assert!(run.err.starts_with("error: "), "{}", run.err);
    }
}

#[test]
fn a_bundle_may_come_on_standard_input() {
    let policy = golden("policy.json");
    let mut child = command()
        .args(["verify", "-", "--policy", &policy, "--at", AT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(golden("plain.json")).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"accepted"), "plain when piped");
}

#[test]
fn the_json_verdict_has_its_fields() {
    let json = json(&golden("plain.json"), &["--response", &golden("response.json")]).json();
    for field in ["verdict", "code", "detail", "simulated", "policy", "at", "claims", "receipt", "execution"]
    {
        assert!(json.get(field).is_some(), "{field}");
    }
    assert_eq!((&json["simulated"], &json["at"]), (&true.into(), &AT.into()));
    assert_eq!(json["claims"]["platform"], "sev-snp");
    assert_eq!(json["claims"]["measurement"], "4d".repeat(48));
    assert_eq!(json["receipt"]["seq"], 0);
    for list in ["proved", "not_proved", "findings"] {
        assert!(json[list].as_array().is_some_and(|list| !list.is_empty()), "{list}");
    }
}

#[test]
fn a_strangers_text_cannot_write_to_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    let text = std::fs::read_to_string(golden("policy.json")).unwrap();
    std::fs::write(&path, text.replacen("\"name\": \"simulated\"", "\"name\": \"\\u001b[2Jx\"", 1)).unwrap();
    let run = run(&["verify", &golden("plain.json"), "--policy", path.to_str().unwrap(), "--at", AT]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(!run.out.contains('\u{1b}'), "{}", run.out);
}

/// Digests of the golden files' random keys, shortened, so that a snapshot shows what matters.
pub(crate) fn without_ids(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_hexdigit() {
            digits.push(c);
            continue;
        }
        if digits.len() >= 16 {
            out.push_str("HEX");
        } else {
            out.push_str(&digits);
        }
        digits.clear();
        out.push(c);
    }
    out.trim_end().to_owned()
}
