//! The program as people run it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::*;

struct Run {
    code: i32,
    out: String,
    err: String,
}

fn run(words: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_vouchsafe-policy")).args(words).output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn file(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_policy_is_written_checked_and_compared() {
    let own = tempfile::tempdir().unwrap();
    let digests = json!({"platform": "sev-snp", "measurement": "5a".repeat(48)});
    let measured = json!({"inputs": {}, "measurements": {"require": [
        {"name": "image 1", "computed": "vouchsafe measure snp", "digests": digests}
    ]}});
    let measured = file(own.path(), "measured.json", measured.to_string());
    let model = file(own.path(), "tiny.gguf", b"weights");
    let (log, out) = (vkey("localhost/log", 1), own.path().join("policy.json"));
    let witnesses: Vec<_> = (1..=3).map(|n| vkey(&format!("localhost/witness-{n}"), 4)).collect();
    let out = out.to_str().unwrap();
    let mut words = vec!["init", "--platform", "sev-snp", "--name", "mine", "--operator", "Example"];
    words.extend(["--measured", &measured, "--model", &model, "--log", &log, "--out", out]);
    for witness in &witnesses {
        words.extend(["--witness", witness]);
    }
    let written = run(&words);
    assert_eq!(written.code, 0, "{}", written.err);
    assert_eq!(run(&words).code, 1, "an existing file is left alone");

    let text = std::fs::read_to_string(out).unwrap();
    assert!(text.contains("$comment"), "{text}");
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["witnesses"]["quorum"]["require"]["threshold"], 2);
    let sha256_of_weights = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";
    assert_eq!(value["models"]["require"][0]["weights"], sha256_of_weights);
    let place =
        |name: &str| text.find(&format!("\n  \"{name}\"")).unwrap_or_else(|| panic!("{name}: {text}"));
    assert!(place("version") < place("trust") && place("trust") < place("measurements"));

    let checked = run(&["check", out, "--format", "json"]);
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    assert_eq!(run(&["check", out, "--strict"]).code, 0, "the strict template leaves nothing to object to");
    let explained = run(&["explain", out]);
    assert_eq!(explained.code, 0);
    assert!(explained.out.contains("\"image 1\" (sev-snp)") && explained.out.contains("What is left open"));

    assert_eq!(run(&["diff", out, out]).out.trim(), "the same evidence is accepted");
    let loosened = with(&value, "/platform/snp/crl", json!({"ignore": "for a test"}));
    let loosened = file(own.path(), "loosened.json", loosened.to_string());
    let wider = run(&["diff", out, &loosened]);
    assert_eq!(wider.code, 10);
    assert!(wider.out.contains("platform.snp.crl"), "{}", wider.out);
    assert_eq!(run(&["diff", &loosened, out]).code, 0, "less is accepted: nothing to object to");
}

#[test]
fn what_a_template_lacks_is_said() {
    let empty = run(&["init", "--platform", "tdx", "--name", "mine"]);
    assert_eq!(empty.code, 0);
    assert!(empty.err.contains("accepts_nothing: measurements"), "{}", empty.err);
    let own = tempfile::tempdir().unwrap();
    let path = file(own.path(), "policy.json", &empty.out);
    let checked = run(&["check", &path]);
    assert_eq!(checked.code, 10);
    assert!(checked.out.contains("accepts_nothing"), "{}", checked.out);
}

#[test]
fn what_is_no_policy_is_refused_by_name() {
    let own = tempfile::tempdir().unwrap();
    let good = sound_snp();
    let many: Vec<_> = (0..20_000).map(|n| json!(format!("operator {n} {}", "x".repeat(60)))).collect();
    for (name, text, code) in [
        ("empty", String::new(), "policy_malformed"),
        ("twice", good.to_string().replacen('{', r#"{"version":1,"#, 1), "policy_malformed"),
        (
            "unknown",
            with(&good, "/name", json!("x")).to_string().replacen('{', r#"{"more":1,"#, 1),
            "policy_malformed",
        ),
        ("future", with(&good, "/version", json!(2)).to_string(), "policy_version"),
        (
            "interval",
            {
                let mut value = good.clone();
                value["measurements"]["require"][0]["valid_from"] = json!("2027-01-01T00:00:00Z");
                value["measurements"]["require"][0]["valid_until"] = json!("2026-01-01T00:00:00Z");
                value.to_string()
            },
            "policy_contradiction",
        ),
    ] {
        let path = file(own.path(), name, text);
        let refused = run(&["check", &path]);
        assert_eq!(refused.code, 30, "{name}: {}", refused.out);
        assert!(refused.err.contains(code), "{name}: {}", refused.err);
    }
    let long = with(&good, "/operator/identities", json!({"require": many}));
    let long = run(&["check", &file(own.path(), "long", long.to_string())]);
    assert_eq!(long.code, 30);
    assert!(long.err.contains("longer than"), "{}", long.err);
    assert_eq!(run(&["check", "/nonexistent"]).code, 30);
    assert_eq!(run(&["chek"]).code, 2);
}
