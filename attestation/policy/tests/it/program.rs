//! The program as people run it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::*;

pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn run(words: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_vouchsafe-policy")).args(words).output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn file(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
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
    assert_eq!(value["witnesses"]["$comment"], "2 of these witnesses must have cosigned.");
    for commented in ["/measurements", "/models", "/operator/identities", "/log/inclusion"] {
        assert!(value.pointer(commented).unwrap()["$comment"].is_string(), "{commented}: {text}");
    }
    // A model's folder is as good as the file in it, if there is one.
    let folder = own.path().join("model");
    std::fs::create_dir(&folder).unwrap();
    let of_folder = |name: &str| {
        std::fs::write(folder.join(name), b"weights").unwrap();
        run(&["init", "--platform", "tdx", "--name", "mine", "--model", folder.to_str().unwrap()])
    };
    assert!(of_folder("tiny.gguf").out.contains(sha256_of_weights));
    assert_eq!(of_folder("other.gguf").code, 30, "which of two nobody knows");
    let place =
        |name: &str| text.find(&format!("\n  \"{name}\"")).unwrap_or_else(|| panic!("{name}: {text}"));
    assert!(place("version") < place("trust") && place("trust") < place("measurements"));

    let checked = run(&["check", out, "--format", "json"]);
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    let objected = run(&["check", out, "--strict"]);
    assert_eq!(objected.out.matches("warning").count(), 1, "{}", objected.out);
    assert!(objected.out.contains("revocations_ignored"), "it lacks who may revoke: {}", objected.out);
    let key = run(&["keygen", "--out", own.path().join("a.key").to_str().unwrap()]);
    let key = file(own.path(), "a.pub", key.out);
    let revocable = run(&["revokers", out, "--key", &key, "--threshold", "1"]);
    let revocable = file(own.path(), "revocable.json", revocable.out);
    assert_eq!(run(&["check", &revocable, "--strict"]).code, 0, "the strict template leaves nothing else");
    let explained = run(&["explain", out]);
    assert_eq!(explained.code, 0);
    assert!(explained.out.contains("\"image 1\" (sev-snp)") && explained.out.contains("What is left open"));
    assert!(explained.out.contains(&"5a".repeat(48)) && explained.out.contains(sha256_of_weights));
    let anywhere = with(&value, "/platform/accepted", json!({"ignore": "for a test"}));
    let anywhere = with(&anywhere, "/purpose", json!("simulation"));
    let anywhere = run(&["explain", &file(own.path(), "anywhere.json", anywhere.to_string())]);
    assert!(anywhere.out.contains("SEV-SNP: firmware of Genoa"), "what is demanded is: {}", anywhere.out);
    let mut parameter = value.clone();
    parameter["parameters"]["values"] = json!({"require": {"ignore": "greedy"}});
    let parameter = run(&["explain", &file(own.path(), "parameter.json", parameter.to_string())]);
    assert!(parameter.out.contains("The parameter ignore was \"greedy\""), "{}", parameter.out);
    assert!(!parameter.out.contains("parameters.values.require"), "{}", parameter.out);

    assert_eq!(run(&["diff", out, out]).out.trim(), "the same evidence is accepted");
    let loosened = with(&value, "/platform/snp/crl", json!({"ignore": "for a test"}));
    let loosened = file(own.path(), "loosened.json", loosened.to_string());
    let wider = run(&["diff", out, &loosened]);
    assert_eq!(wider.code, 10);
    assert!(wider.out.contains("platform.snp.crl"), "{}", wider.out);
    assert_eq!(run(&["diff", &loosened, out]).code, 0, "less is accepted: nothing to object to");
}

#[test]
fn a_release_is_signed_by_two_served_and_followed() {
    let own = tempfile::tempdir().unwrap();
    let path = |name: &str| own.path().join(name).to_str().unwrap().to_owned();
    let mut public = Vec::new();
    for name in ["a", "b"] {
        let made = run(&["keygen", "--out", &path(name)]);
        assert_eq!(made.code, 0, "{}", made.err);
        public.push(file(own.path(), &format!("{name}.pub"), made.out));
        assert_eq!(run(&["keygen", "--out", &path(name)]).code, 1, "a key is never overwritten");
    }
    let (strict, loose) = (sound_snp(), with(&sound_snp(), "/platform/snp/crl", json!({"ignore": "x"})));
    let expires = "2036-01-01T00:00:00Z";
    let release = |serial: &str, policy: &Value| {
        let policy = file(own.path(), "policy.json", policy.to_string());
        let first = run(&["sign", &policy, "--key", &path("a"), "--serial", serial, "--expires", expires]);
        assert_eq!(first.code, 0, "{}", first.err);
        let first = file(own.path(), "first.json", first.out);
        let both = run(&["sign", &first, "--key", &path("b")]);
        assert_eq!(both.code, 0, "{}", both.err);
        (first, both.out)
    };
    let signers = ["--key", &public[0], "--key", &public[1], "--threshold", "2"];
    let (first, both) = release("1", &strict);
    let too_few = run(&[["verify", &first].as_slice(), &signers].concat());
    assert_eq!(too_few.code, 10);
    assert!(too_few.err.contains("signed_policy_threshold"), "{}", too_few.err);
    let both_file = file(own.path(), "both.json", &both);
    let verified = run(&[["verify", &both_file].as_slice(), &signers].concat());
    assert_eq!(verified.code, 0, "{}", verified.err);
    assert_eq!(serde_json::from_str::<Value>(&verified.out).unwrap(), strict, "comments included");

    let state = path("state");
    let pull = |from: &str| run(&[["pull", from, "--state", &state].as_slice(), &signers].concat());
    let address = serve(both);
    assert_eq!(pull(&address).code, 0);
    let (_, wider) = release("2", &loose);
    let waits = pull(&file(own.path(), "wider.json", wider));
    assert_eq!(waits.code, 10);
    assert!(waits.err.contains("platform.snp.crl") && waits.err.contains("waits until"), "{}", waits.err);
    assert_eq!(
        run(&["check", &format!("{state}/policy.json"), "--strict"]).code,
        0,
        "the strict one is in force"
    );
    // What a server answers is what was asked for, or refused.
    let mistaken =
        run(&[["pull", &both_file, "--revocations", "--state", &state].as_slice(), &signers].concat());
    assert_eq!(mistaken.code, 10);
    assert!(mistaken.err.contains("payload_type_wrong"), "{}", mistaken.err);
    let nothing = run(&[["pull", "--state", &state].as_slice(), &signers].concat());
    assert_eq!(nothing.code, 10, "what waits is looked at again without anybody's help: {}", nothing.err);
    let rollback = pull(&both_file);
    assert_eq!(rollback.code, 10);
    assert!(rollback.err.contains("signed_policy_rollback"), "{}", rollback.err);
    assert_eq!(pull("http://127.0.0.1:1/none").code, 30);
    assert_eq!(pull("https://127.0.0.1:1/none").code, 30);
}

#[test]
fn who_signs_sees_what_and_signs_nothing_that_never_verifies() {
    let own = tempfile::tempdir().unwrap();
    let key = own.path().join("a.key");
    let key = key.to_str().unwrap();
    assert_eq!(run(&["keygen", "--out", key]).code, 0);
    let (strict, loose) = (sound_snp(), with(&sound_snp(), "/platform/snp/crl", json!({"ignore": "x"})));
    let old = file(own.path(), "old.json", strict.to_string());
    let new = file(own.path(), "new.json", loose.to_string());
    let expires = "2036-01-01T00:00:00Z";
    let signed = run(&["sign", &new, "--key", key, "--serial", "7", "--expires", expires, "--against", &old]);
    assert_eq!(signed.code, 0, "{}", signed.err);
    for said in ["release 7", expires, "+ platform.snp.crl"] {
        assert!(signed.err.contains(said), "{said}: {}", signed.err);
    }
    // Whoever signs next sees the same, and who did before.
    let half = file(own.path(), "half.json", &signed.out);
    let again = run(&["sign", &half, "--key", key, "--against", &old]);
    assert!(
        again.err.contains("signed before: ") && again.err.contains("+ platform.snp.crl"),
        "{}",
        again.err
    );
    // An envelope of a release's type around something else.
    let mut envelope: Value = serde_json::from_str(&signed.out).unwrap();
    envelope["payload"] = json!(vouchsafe_verifier::encoding::to_base64(b"this is no release"));
    let garbage = run(&["sign", &file(own.path(), "garbage.json", envelope.to_string()), "--key", key]);
    assert_eq!((garbage.code, garbage.out.as_str()), (10, ""));
    assert!(garbage.err.contains("signed_policy_malformed"), "{}", garbage.err);
    let late = run(&["sign", &half, "--key", key, "--at", "2037-01-01T00:00:00Z"]);
    assert_eq!((late.code, late.out.as_str()), (10, ""));
    assert!(late.err.contains("signed_policy_expired"), "{}", late.err);
    // What a name or a reason holds does not reach the terminal.
    let named = r#"{"version": 1, "revocations": [{"name": "\u001b[2J\nevil", "revokes": {"product": "Genoa"},
        "at": "2026-01-01T00:00:00Z", "reason": "\u001b]0;x"}]}"#;
    let named = file(own.path(), "named.json", named);
    let named = run(&["sign", &named, "--key", key, "--serial", "1", "--expires", expires]);
    assert_eq!(named.code, 0, "{}", named.err);
    assert!(!named.err.contains('\u{1b}') && named.err.contains("Genoa"), "{:?}", named.err);
}

/// Serves one text once, and gives its address.
fn serve(text: String) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
    });
    format!("http://{address}/policy.json")
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
