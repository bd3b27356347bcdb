//! The helpers of docs/check-a-receipt.md, exactly as they stand there, against receipts of a running enclave.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vouchsafe_e2e::{Up, prepared, root, run};

/// The page's code block in this language.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/check-a-receipt.md")).unwrap();
    let fence = format!("```{language}\n");
    let mut blocks = page.split(fence.as_str()).skip(1);
    let block = blocks.next().unwrap_or_else(|| panic!("no {language} on the page"));
    assert!(blocks.next().is_none(), "more than one {language} block");
    block.split_once("\n```").unwrap().0.to_owned() + "\n"
}

struct Kept {
    bundle: PathBuf,
    request: PathBuf,
    response: PathBuf,
    boot: String,
}

/// A plain and a streamed answer, as the endpoint keeps them.
fn answers(up: &Up) -> Vec<Kept> {
    let message = r#""messages":[{"role":"user","content":"What is attestation?"}]"#;
    for stream in ["false", "true"] {
        let body = format!(r#"{{"model":"vouchsafe-demo","stream":{stream},"max_tokens":20,{message}}}"#);
        let (status, text) = up.curl("/chat/completions", &body);
        assert_eq!(status, 200, "{text}");
    }
    let folder = up.state.path().join("receipts");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut bundles: Vec<_> =
        entries.filter(|path| path.to_string_lossy().ends_with("-bundle.json")).collect();
    bundles.sort();
    bundles.into_iter().map(kept).collect()
}

fn kept(bundle: PathBuf) -> Kept {
    let beside = |suffix: &str| PathBuf::from(bundle.to_string_lossy().replace("bundle.json", suffix));
    let response = Some(beside("response.json")).filter(|path| path.is_file());
    let parsed: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    // The tests know that the boot is theirs; users have it from `vouchsafe verify`.
    let boot = parsed["receipt"]["signatures"][0]["keyid"].as_str().unwrap().to_owned();
    Kept {
        request: beside("request.json"),
        response: response.unwrap_or_else(|| beside("response.sse")),
        bundle,
        boot,
    }
}

/// Runs a helper on true receipts and on changed ones.
fn check(command: &dyn Fn() -> Command) {
    let up = Up::start(&[]);
    let answers = answers(&up);
    assert_eq!(answers.len(), 2, "one plain, one streamed");
    for Kept { bundle, request, response, boot } in &answers {
        let told = |bundle: &Path, request: &Path, response: &Path, boot: &str| {
            let output = run(command().args([bundle, request, response]).arg(boot));
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        };
        let (proved, said) = told(bundle, request, response, boot);
        assert!(proved && said.contains("finish_reasons"), "{said}");

        let changed = up.state.path().join("changed");
        let alter = |path: &Path, from: &str, to: &str| {
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.contains(from), "{from} is not in {text}");
            std::fs::write(&changed, text.replacen(from, to, 1)).unwrap();
            changed.clone()
        };
        let request_changed = alter(request, "What is", "What was");
        let (proved, said) = told(bundle, &request_changed, response, boot);
        assert!(!proved && said.contains("request"), "{said}");
        let response_changed = alter(response, "\"assistant\"", "\"Assistant\"");
        let (proved, said) = told(bundle, request, &response_changed, boot);
        assert!(!proved && said.contains("response"), "{said}");
        let record_changed = alter(bundle, r#"\"temperature\":1"#, r#"\"temperature\":0"#);
        let (proved, said) = told(&record_changed, request, response, boot);
        assert!(!proved && said.contains("execution"), "{said}");
        // Another payload under the same signature.
        let payload = serde_json::from_slice::<Value>(&std::fs::read(bundle).unwrap()).unwrap();
        let payload = payload["receipt"]["payload"].as_str().unwrap().to_owned();
        let (first, rest) = payload.split_at(40);
        let other = format!("{first}{}{}", if rest.starts_with('A') { 'B' } else { 'A' }, &rest[1..]);
        let receipt_changed = alter(bundle, &payload, &other);
        let (proved, said) = told(&receipt_changed, request, response, boot);
        assert!(!proved && said.contains("signature"), "{said}");
        let (proved, said) = told(bundle, request, response, &"0".repeat(64));
        assert!(!proved && said.contains("boot"), "{said}");
    }
}

#[test]
fn the_python_helper_checks_receipts() {
    let Some(python) = prepared("VOUCHSAFE_PYTHON", "the_python_helper_checks_receipts") else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("check_receipt.py");
    std::fs::write(&script, block("python")).unwrap();
    check(&|| {
        let mut command = Command::new(&python);
        command.arg(&script);
        command
    });
}

#[test]
fn the_typescript_helper_checks_receipts() {
    let Some(modules) = prepared("VOUCHSAFE_NODE_CLIENTS", "the_typescript_helper_checks_receipts") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("check-receipt.ts");
    std::fs::write(&source, block("typescript")).unwrap();
    check(&|| {
        let mut command = Command::new("node");
        command.arg(root().join("tests/e2e/node/helper.mjs")).arg(&modules).arg(&source);
        command
    });
}
