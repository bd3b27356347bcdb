//! `docs/drills.md` and `docs/images.md` as written: each command in them runs, and prints what the page says that it
//! prints.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};
use vouchsafe_e2e::{program, root, run};

/// One command of the page.
#[derive(Debug, Default)]
struct Step {
    command: String,
    printed: Vec<String>,
    status: i32,
}

/// The commands in the page's `console` blocks, in their order.
fn steps(page: &str) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (inside, line) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, line) => match line.strip_prefix("$ ") {
                Some(command) => found.push(Step { command: command.into(), ..Step::default() }),
                None => {
                    let step = found.last_mut().expect("a block begins with a command");
                    let status = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse().ok());
                    match status {
                        Some(status) => step.status = status,
                        None => step.printed.push(line.into()),
                    }
                }
            },
            (false, _) => {}
        }
    }
    found
}

/// Whether lines are what a page says of them: `…` within a line stands for anything, a line of it alone for any
/// lines.
fn is_as_written(written: &[String], seen: &[&str]) -> bool {
    match (written.split_first(), seen.split_first()) {
        (None, None) => true,
        (Some((line, rest)), _) if line == "…" => {
            (0..=seen.len()).any(|skipped| is_as_written(rest, &seen[skipped..]))
        }
        (Some((line, rest)), Some((first, others))) => is_line(line, first) && is_as_written(rest, others),
        _ => false,
    }
}

fn is_line(written: &str, seen: &str) -> bool {
    match written.split_once('…') {
        None => written == seen,
        Some((before, after)) => seen.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| is_line(after, &rest[at..]))
        }),
    }
}

/// A program that runs until the test ends, and a word that it prints once it serves.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, word: &str) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let running = Self(child);
        let value = lines
            .find_map(|line| line.unwrap().strip_prefix(word).map(|rest| rest.trim().to_owned()))
            .unwrap_or_else(|| panic!("it ended before it said {word:?}"));
        std::thread::spawn(move || lines.for_each(drop));
        (running, value)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a log's first checkpoint, which its witness has to cosign.
fn until_published(at: &str) {
    for _ in 0..600 {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(b"GET /checkpoint HTTP/1.1\r\nhost: log\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        if answer.starts_with("HTTP/1.1 200") {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the log publishes nothing");
}

/// Takes alerts.
fn hook() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = "HTTP/1.1 204 Thanks\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
            tell.send(String::from_utf8(body).unwrap()).unwrap();
        }
    });
    (url, told)
}

fn line_of(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs one step and holds it against the page.
fn perform(step: &Step, folder: &Path, variables: &mut Vec<(String, String)>) {
    // A variable outlives its command, as it does in a terminal.
    let (name, command) = match step.command.split_once('=') {
        Some((name, _)) if name.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            (Some(name), format!("{}; printf %s \"${name}\"", step.command))
        }
        _ => (None, step.command.clone()),
    };
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(folder)
        .envs(variables.iter().cloned())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(step.status), "$ {}\n{text}", step.command);
    if let Some(name) = name {
        return variables.push((name.into(), text));
    }
    let seen: Vec<_> = text.lines().collect();
    let written = step.printed.join("\n");
    assert!(is_as_written(&step.printed, &seen), "$ {}\n{text}\nwhere the page has\n{written}", step.command);
}

/// What a page is executed with.
struct Stage {
    folder: PathBuf,
    own: tempfile::TempDir,
    log_key: String,
    witness_key: String,
}

const ORIGIN: &str = "log.example/drill";

impl Stage {
    /// A folder with the recorded answer, and the keys of a log and a witness that do not run yet.
    fn new() -> Self {
        let own = tempfile::tempdir().unwrap();
        let folder = own.path().join("drill");
        std::fs::create_dir(&folder).unwrap();
        let golden = root().join("attestation/bundle/tests/data/v1-settled");
        for (from, to) in [
            ("policy.json", "base.json"),
            ("settled.json", "bundle.json"),
            ("request.json", "request.json"),
            ("response.json", "response.json"),
        ] {
            std::fs::copy(golden.join(from), folder.join(to)).unwrap();
        }
        let log_key = line_of(
            Command::new(program("vouchsafe-log"))
                .args(["init", "--origin", ORIGIN, "--dir"])
                .arg(own.path().join("log")),
        );
        let witness_key = line_of(
            Command::new(program("vouchsafe-witness"))
                .args(["init", "--name", "witness.example/drill", "--state"])
                .arg(own.path().join("witness")),
        );
        Self { folder, own, log_key, witness_key }
    }

    /// Runs a page's commands; the log starts once there is the policy that it admits by.
    fn perform(&self, page: &str, commands_min: usize, hook: &str) {
        let page = std::fs::read_to_string(root().join(page)).unwrap();
        let steps = steps(&page);
        assert!(steps.len() > commands_min, "{} commands", steps.len());
        let programs = program("vouchsafe").parent().unwrap().to_owned();
        for name in ["vouchsafe-policy", "vouchsafe-monitor", "vouchsafe-log", "vouchsafe-witness"] {
            program(name);
        }
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut variables = vec![("PATH".to_owned(), path)];
        let mut running = Vec::new();
        for step in &steps {
            if running.is_empty() && step.command.contains("$LOG") {
                let (at, started) = self.start();
                running.extend(started);
                variables.extend([
                    ("LOG".to_owned(), format!("http://{at}")),
                    ("LOG_KEY".to_owned(), self.log_key.clone()),
                    ("WITNESS_KEY".to_owned(), self.witness_key.clone()),
                    ("HOOK".to_owned(), hook.to_owned()),
                ]);
            }
            perform(step, &self.folder, &mut variables);
        }
    }

    /// The fleet's log and its witness.
    fn start(&self) -> (String, [Running; 2]) {
        let mut witness = Command::new(program("vouchsafe-witness"));
        witness
            .args(["serve", "--listen", "127.0.0.1:0", "--log", &self.log_key, "--state"])
            .arg(self.own.path().join("witness"));
        let (witness, at) = Running::start(&mut witness, "listening ");
        let mut log = Command::new(program("vouchsafe-log"));
        log.args(["serve", "--listen", "127.0.0.1:0", "--pool-ms", "10", "--dir"]);
        log.arg(self.own.path().join("log"));
        log.args(["--witness", &format!("http://{at}={}", self.witness_key)]);
        log.arg("--admission").arg(self.folder.join("policy.json"));
        let (log, at) = Running::start(&mut log, "listening ");
        until_published(&at);
        (at, [witness, log])
    }
}

#[test]
fn the_drills_go_as_written() {
    let (hook, told) = hook();
    Stage::new().perform("docs/drills.md", 30, &hook);
    // Somebody was woken, three times, and told no more than this.
    for code in ["revoked", "revoked", "revocation_withdrawn"] {
        let alert = told.recv_timeout(Duration::from_secs(60)).unwrap();
        let alert: Value = serde_json::from_str(&alert).unwrap();
        assert_eq!((&alert["code"], &alert["log"]), (&code.into(), &ORIGIN.into()), "{alert}");
        assert_eq!(alert.as_object().unwrap().len(), 4, "{alert}");
    }
    assert!(told.try_recv().is_err());
}

#[test]
fn images_are_released_as_written() {
    let stage = Stage::new();
    program("vouchsafe-image");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(stage.folder.join(name)).unwrap()).unwrap()
    };
    let mut base = read("base.json");
    for (image, change) in [("image", None), ("other", Some("00".repeat(48)))] {
        let folder = stage.folder.join(image);
        std::fs::create_dir(&folder).unwrap();
        // The guest of the recorded answer is the first.
        let mut measurements = json!({"require": [base["measurements"]["require"][0].clone()]});
        if let Some(digest) = change {
            measurements["require"][0]["digests"]["measurement"] = digest.into();
        }
        let write = |name: &str, value: Value| std::fs::write(folder.join(name), value.to_string()).unwrap();
        write("measurements-snp-1.json", json!({"measurements": measurements}));
        write("manifest.json", json!({"files": [], "of": image}));
    }
    // The fleet's log and witness are trusted beside those of the recorded answer.
    base["log"]["inclusion"]["require"].as_array_mut().unwrap().push(json!({"key": stage.log_key}));
    let quorum = &mut base["witnesses"]["quorum"]["require"];
    quorum["keys"].as_array_mut().unwrap().push(json!(stage.witness_key));
    quorum["threshold"] = json!(1);
    std::fs::write(stage.folder.join("base.json"), base.to_string()).unwrap();
    stage.perform("docs/images.md", 15, "");
}

#[test]
fn a_page_that_says_otherwise_is_noticed() {
    let written = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    for (page, seen, same) in [
        (&["a"][..], &["a"][..], true),
        (&["a"], &["b"], false),
        (&["a"], &["a", "b"], false),
        (&["a", "b"], &["a"], false),
        (&["a … c"], &["a b c"], true),
        (&["a … c"], &["a b d"], false),
        (&["…", "c"], &["a", "b", "c"], true),
        (&["…", "c", "…"], &["a", "b"], false),
        (&["…"], &[], true),
        (&[], &[], true),
    ] {
        assert_eq!(is_as_written(&written(page), seen), same, "{page:?} {seen:?}");
    }
    let found =
        steps("text\n```console\n$ one\nsaid\n[10]\n$ two\n```\n$ no command\n```sh\n$ nor this\n```\n");
    let found: Vec<_> =
        found.iter().map(|step| (step.command.as_str(), step.printed.len(), step.status)).collect();
    assert_eq!(found, [("one", 1, 10), ("two", 0, 0)]);
}
