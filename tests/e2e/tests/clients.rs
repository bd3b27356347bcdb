//! The endpoint as ordinary clients use it: `curl`, the official `openai` packages, LangChain, the Vercel AI SDK.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vouchsafe_e2e::{Up, prepared, program, root, run};

fn newest_bundle(up: &Up) -> PathBuf {
    let folder = up.state.path().join("receipts");
    let mut bundles: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with("-bundle.json"))
        .collect();
    bundles.sort();
    bundles.pop().expect("a bundle was kept")
}

fn beside(bundle: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(bundle.to_string_lossy().replace("bundle.json", suffix))
}

fn verify(up: &Up, bundle: &Path, response: &Path) -> (Option<i32>, Value) {
    let output = run(Command::new(program("vouchsafe"))
        .arg("verify")
        .arg(bundle)
        .arg("--policy")
        .arg(&up.policy)
        .arg("--request")
        .arg(beside(bundle, "request.json"))
        .arg("--response")
        .arg(response)
        .args(["--format", "json"]));
    let verdict = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), verdict)
}

/// Runs a client's program against an endpoint of its own.
fn works(command: &mut Command, up: &Up) {
    let output = run(command.arg(&up.endpoint));
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn python_clients_work_unchanged() {
    let Some(python) = prepared("VOUCHSAFE_PYTHON", "python_clients_work_unchanged") else { return };
    let up = Up::start(&[]);
    for script in ["openai_client.py", "langchain_client.py"] {
        works(Command::new(&python).arg(root().join("tests/e2e/python").join(script)), &up);
    }
}

#[test]
fn node_clients_work_unchanged() {
    let Some(modules) = prepared("VOUCHSAFE_NODE_CLIENTS", "node_clients_work_unchanged") else { return };
    let up = Up::start(&[]);
    works(Command::new("node").arg(root().join("tests/e2e/node/clients.mjs")).arg(modules), &up);
}

/// Asks for the answer only when its receipt is public.
const SETTLED: &str = "vouchsafe-assurance: settled";

#[test]
fn curl_gets_answers_whose_bundles_verify_and_tampered_ones_do_not() {
    let mut up = Up::start(&[]);
    let question =
        r#"{"model":"vouchsafe-demo","messages":[{"role":"user","content":"What is attestation?"}]}"#;
    let (status, body) = up.curl_with("/chat/completions", question, SETTLED);
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert!(!answer["choices"][0]["message"]["content"].as_str().unwrap().is_empty());

    let bundle = newest_bundle(&up);
    let response = beside(&bundle, "response.json");
    assert_eq!(std::fs::read_to_string(&response).unwrap(), body, "what curl got is what is kept");
    let (exit, verdict) = verify(&up, &bundle, &response);
    assert_eq!((exit, &verdict["verdict"]), (Some(0), &"accepted".into()), "{verdict:#}");
    assert_eq!(
        (&verdict["simulated"], &verdict["assurance"]),
        (&true.into(), &"settled".into()),
        "{verdict:#}"
    );

    let altered = up.state.path().join("altered.json");
    std::fs::write(&altered, body.replacen("chat.completion", "chat.Completion", 1)).unwrap();
    let (exit, verdict) = verify(&up, &bundle, &altered);
    assert_eq!((exit, &verdict["code"]), (Some(10), &"response_mismatch".into()), "{verdict:#}");

    let streaming = question.replace("{\"model\"", "{\"stream\":true,\"model\"");
    let (status, stream) = up.curl_with("/chat/completions", &streaming, SETTLED);
    assert_eq!(status, 200);
    assert!(stream.contains("data: [DONE]"), "{stream}");
    let bundle = newest_bundle(&up);
    let (exit, verdict) = verify(&up, &bundle, &beside(&bundle, "response.sse"));
    assert_eq!(exit, Some(0), "{verdict:#}");

    // Without waiting for the log the answer is as good; its bundle says that the proof is to come, until
    // the endpoint has added it.
    let (status, _) = up.curl("/chat/completions", question);
    assert_eq!(status, 200);
    let bundle = newest_bundle(&up);
    loop {
        let (exit, verdict) = verify(&up, &bundle, &beside(&bundle, "response.json"));
        if exit == Some(0) {
            assert_eq!(verdict["assurance"], "settled", "{verdict:#}");
            break;
        }
        assert_eq!((exit, &verdict["code"]), (Some(20), &"proof_pending".into()), "{verdict:#}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }

    assert!(up.interrupt().success(), "Ctrl-C ends it in order");
    // Whatever listened there is gone: host and enclave ended with it.
    assert!(std::net::TcpStream::connect(&up.host).is_err());
}

#[test]
fn bad_requests_get_openais_errors() {
    let up = Up::start(&[]);
    let long = format!(
        r#"{{"model":"vouchsafe-demo","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "word ".repeat(5_000)
    );
    let message = r#""messages":[{"role":"user","content":"Hi"}]"#;
    let cases = [
        ("{".to_owned(), 400, None),
        ("[]".to_owned(), 400, None),
        (r#"{"model":"vouchsafe-demo"}"#.to_owned(), 400, Some("messages")),
        (r#"{"model":"vouchsafe-demo","messages":"Hi"}"#.to_owned(), 400, Some("messages")),
        (format!(r#"{{"model":"vouchsafe-demo","temperature":-1,{message}}}"#), 400, Some("temperature")),
        (format!(r#"{{"model":"vouchsafe-demo","top_p":7,{message}}}"#), 400, Some("top_p")),
        (format!(r#"{{"model":"vouchsafe-demo","model":"x",{message}}}"#), 400, None),
        (format!(r#"{{"model":"no-such-model",{message}}}"#), 404, Some("model")),
        (long, 400, None),
    ];
    for (body, status, param) in cases {
        let shown: String = body.chars().take(80).collect();
        let (seen, text) = up.curl("/chat/completions", &body);
        assert_eq!(seen, status, "{shown}: {text}");
        let error: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{shown}: no JSON: {text}"));
        assert!(
            error["error"]["message"].is_string() && error["error"]["type"].is_string(),
            "{shown}: {text}"
        );
        if let Some(param) = param {
            assert_eq!(error["error"]["param"], param, "{shown}: {text}");
        }
    }
    let (status, body) = up.curl("/chat/completions", &format!(r#"{{"model":"vouchsafe-demo",{message}}}"#));
    assert_eq!(status, 200, "after all that an honest request is served: {body}");
}
