//! The built program: what it measures to, models that do not load, start, control, end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use vouchsafe_link::control::{EnclaveMessage, Hello, HostMessage, Receiver, Sender};
use vouchsafe_link::{CONTROL_PORT, Endpoint, dial};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vouchsafe-enclave-sim");
const DEMO_MODEL: &[u8] = include_bytes!("../../demo-model/vouchsafe-demo.gguf");

/// Keys of a log and a witness that nobody has the other half of.
const LOG_KEY: &str = "example.test/log+17ca1449+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
const WITNESS_KEY: &str = "w+14f42d88+BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g";

/// One authority for all tests, since its keys take seconds to make.
fn authority() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).arg("--authority").arg(authority().join("amd"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn file(folder: &Path, name: &str, content: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The demo model with the first occurrence of some bytes replaced by as many others.
fn patched(old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = DEMO_MODEL.to_vec();
    let at = bytes.windows(old.len()).position(|window| window == old).expect("nothing to patch");
    bytes[at..at + old.len()].copy_from_slice(new);
    bytes
}

#[test]
fn what_it_measures_to_is_known_from_the_outside() {
    let measure = |arguments: &[&str]| -> Value {
        let output = run(&[&["measure"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let first = measure(&[]);
    assert_eq!(first, measure(&[]));
    assert_eq!(first["measurement"].as_str().map(str::len), Some(96));
    assert_eq!(first["root_sha256"].as_str().map(str::len), Some(64));
    assert_eq!(first["models"].as_array().map(Vec::len), Some(1));

    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "config.json", br#"{"operator":"example.org"}"#);
    let other = measure(&["--config", &config]);
    assert_ne!(other["measurement"], first["measurement"]);
    assert_eq!(other["models"], first["models"]);

    // The log and its witnesses are measured, whichever file they come from.
    let section = format!(r#"{{"log":{{"key":"{LOG_KEY}","witnesses":["{WITNESS_KEY}"],"quorum":1}}}}"#);
    let settlement = file(folder.path(), "settlement.json", section.as_bytes());
    let settling = measure(&["--settlement", &settlement]);
    assert_ne!(settling["measurement"], first["measurement"]);
    let whole = format!(r#"{{"settlement":{section}}}"#);
    let whole = file(folder.path(), "whole.json", whole.as_bytes());
    assert_eq!(measure(&["--config", &whole])["configuration"], settling["configuration"]);
    assert_eq!(run(&["measure", "--settlement", &config]).status.code(), Some(1));

    let model = file(folder.path(), "vouchsafe-demo.gguf", DEMO_MODEL);
    let same = measure(&["--model", &model]);
    // It is served under the name it gives itself, which is no part of what it is.
    assert_eq!(
        same["models"][0]["manifest"], first["models"][0]["manifest"],
        "the same file is the same model"
    );
}

#[test]
fn a_model_that_does_not_load_is_named_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let link = format!("unix:{}", at.join("link.sock").display());
    let half = DEMO_MODEL.len() / 2;
    for (path, code) in [
        (file(at, "text.gguf", b"this is no model at all"), "not-gguf"),
        (file(at, "short.gguf", &DEMO_MODEL[..half]), "truncated"),
        (file(at, "head.gguf", &DEMO_MODEL[..20]), "truncated"),
        (file(at, "arch.gguf", &patched(b"llama", b"llamb")), "unsupported-architecture"),
        (at.join("none.gguf").to_str().unwrap().to_owned(), "open"),
    ] {
        let output = run(&["--link", &link, "--model", &path]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{path}: {stderr}");
        assert!(stderr.contains(&format!("error[{code}]")) && stderr.contains(&path), "{path}: {stderr}");
        assert!(stderr.contains("SIMULATED"), "{stderr}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("ready"));
    }
}

#[test]
fn arguments_that_cannot_be_are_usage_errors() {
    assert_eq!(run(&[]).status.code(), Some(2), "no link");
    assert_eq!(run(&["--link", "nowhere"]).status.code(), Some(2));
    assert_eq!(run(&["--link", "tcp:127.0.0.1:0", "--frobnicate"]).status.code(), Some(2));
    let config = tempfile::tempdir().unwrap();
    let config = file(config.path(), "config.json", br#"{"limits":{"nonsense":1}}"#);
    let output = run(&["--link", "tcp:127.0.0.1:0", "--config", &config]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error[config]"));
}

/// A started program, killed when dropped.
struct Started {
    child: Child,
    boot: String,
    link: Endpoint,
    _folder: tempfile::TempDir,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start() -> Started {
    let folder = tempfile::tempdir().unwrap();
    let link = Endpoint::Unix(PathBuf::from(folder.path()).join("link.sock"));
    let mut child = command(&["--link", &link.to_string()]).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready =
        lines.map(Result::unwrap).find(|line| line.starts_with("ready ")).expect("it never became ready");
    let boot = ready.strip_prefix("ready boot=").unwrap().to_owned();
    Started { child, boot, link, _folder: folder }
}

#[tokio::test]
async fn it_says_on_the_control_connection_that_it_is_ready_and_ends_when_told() {
    let mut started = start();
    let (reader, writer) = tokio::io::split(dial(&started.link, CONTROL_PORT).await.unwrap());
    let (mut receiver, mut sender) = (Receiver::new(reader), Sender::new(writer));
    sender.send(&HostMessage::Hello(Hello::new("test"))).await.unwrap();
    let mut next = async || receiver.receive::<EnclaveMessage>().await.unwrap();
    assert!(matches!(next().await, Some(EnclaveMessage::Hello(hello)) if hello.check().is_ok()));
    let Some(EnclaveMessage::Ready { boot }) = next().await else { panic!("not ready") };
    assert_eq!(boot.as_str(), started.boot);
    sender.send(&HostMessage::HealthRequest {}).await.unwrap();
    let Some(EnclaveMessage::Health(health)) = next().await else { panic!("no health") };
    assert!(health.ready && !health.draining && health.queue_max > 0);

    let id = started.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let status = started.child.wait().unwrap();
    let mut stderr = String::new();
    started.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(status.success(), "{status}: {stderr}");
}

#[tokio::test]
async fn with_a_log_it_offers_its_boot_record_and_serves_nobody_before_the_proof() {
    let folder = tempfile::tempdir().unwrap();
    let section = format!(r#"{{"log":{{"key":"{LOG_KEY}","witnesses":["{WITNESS_KEY}"],"quorum":1}}}}"#);
    let settlement = file(folder.path(), "settlement.json", section.as_bytes());
    let link = Endpoint::Unix(folder.path().join("link.sock"));
    let mut child = command(&["--link", &link.to_string(), "--settlement", &settlement]).spawn().unwrap();
    let stream = vouchsafe_link::dial_retrying(&link, CONTROL_PORT, Default::default()).await.unwrap();
    let (reader, writer) = tokio::io::split(stream);
    let (mut receiver, mut sender) = (Receiver::new(reader), Sender::new(writer));
    sender.send(&HostMessage::Hello(Hello::new("test"))).await.unwrap();
    let mut said = Vec::new();
    let (number, blobs) = loop {
        match receiver.receive::<EnclaveMessage>().await.unwrap().expect("it goes on") {
            EnclaveMessage::Record { number, blobs, .. } => break (number, blobs),
            other => said.push(other),
        }
    };
    assert_eq!((number, blobs.len()), (0, 3), "the statement, its evidence and its endorsements");
    assert!(said.iter().any(|said| matches!(said, EnclaveMessage::Verified { size: 0, .. })), "{said:?}");
    assert!(!said.iter().any(|said| matches!(said, EnclaveMessage::Ready { .. })), "{said:?}");
    // A made-up checkpoint is refused, and changes nothing.
    let note = "example.test/log\n1\nAAAA\n\n\u{2014} x AAAA\n".to_owned();
    sender.send(&HostMessage::Checkpoint { note, from: 0, consistency: Vec::new() }).await.unwrap();
    sender.send(&HostMessage::HealthRequest {}).await.unwrap();
    let (mut is_refused, mut is_ready) = (false, true);
    while let Some(message) = receiver.receive::<EnclaveMessage>().await.unwrap() {
        match message {
            EnclaveMessage::Refused { size, .. } => is_refused = size == 0,
            EnclaveMessage::Health(health) => {
                is_ready = health.ready;
                break;
            }
            _ => {}
        }
    }
    assert!(is_refused && !is_ready);
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}
