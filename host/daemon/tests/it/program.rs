//! The program: readiness lines, signals, exit status, and that nothing is left behind.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_vouchsafe-host");

/// A host program whose enclave is a shell script.
struct Host {
    child: Child,
    lines: BufReader<ChildStdout>,
    folder: TempDir,
}

impl Host {
    /// The script is called with `--link unix:PATH first second`.
    fn start(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let enclave = folder.path().join("enclave.sh");
        fs::write(&enclave, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&enclave, fs::Permissions::from_mode(0o700)).unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["run", "--backend", "process", "--listen", "127.0.0.1:0", "--state"])
            .arg(folder.path().join("state"))
            .arg("--enclave")
            .arg(enclave)
            .args(["--", "first", "second"])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, folder }
    }

    /// The rest of the first line that begins with `word`.
    fn line(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the host ended before it said {word:?}");
            if let Some(rest) = line.trim().strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    fn end(mut self) -> (ExitStatus, String, TempDir) {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap(), text, self.folder)
    }
}

fn signal(id: u32, name: &str) {
    assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
}

/// Whether a process runs (and is not a zombie that waits to be collected).
fn runs(id: &str) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

fn wait_until_gone(id: &str) {
    while runs(id) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn started(host: &mut Host) -> (String, PathBuf) {
    let line = host.line("started");
    let (pid, endpoint) = line.split_once(' ').unwrap();
    let socket = endpoint.strip_prefix("unix:").unwrap();
    (pid.strip_prefix("pid=").unwrap().to_owned(), PathBuf::from(socket))
}

#[test]
fn an_enclave_that_ends_takes_the_host_down_with_its_last_words() {
    let mut host = Host::start("echo loaded; echo 'no such model' >&2; exit 7");
    assert!(host.line("listening").starts_with("127.0.0.1:"));
    let (_, socket) = started(&mut host);
    let (status, text, _folder) = host.end();
    assert_eq!(status.code(), Some(3), "{text}");
    assert!(text.contains("enclave: loaded\n") && text.contains("enclave: no such model\n"), "{text}");
    let last = text.lines().last().unwrap();
    assert_eq!(last, "vouchsafe-host: the enclave ended with exit status: 7: no such model (enclave_ended)");
    assert!(!socket.parent().unwrap().exists());
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM)
        .args(["run", "--backend", "process", "--listen", "127.0.0.1:0", "--enclave", "/nonexistent/enclave"])
        .arg("--state")
        .arg(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("cannot start /nonexistent/enclave"), "{text}");
}

#[test]
fn wrong_usage_and_a_state_folder_in_use_have_their_own_status() {
    let output = Command::new(PROGRAM).args(["run", "--state", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let mut host = Host::start("sleep 1000");
    host.line("started");
    let second = Command::new(PROGRAM)
        .args(["run", "--connect", "unix:/nonexistent", "--listen", "127.0.0.1:0", "--state"])
        .arg(host.folder.path().join("state"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8(second.stderr).unwrap().contains("(state_locked)"));
    host.signal("-TERM");
    assert_eq!(host.end().0.code(), Some(0));
}

#[test]
fn the_enclave_gets_its_link_in_a_folder_of_this_user_alone() {
    let mut host = Host::start("stat -c %a \"$(dirname \"${2#unix:}\")\"; echo \"$1 $3 $4\"; sleep 1000");
    let (pid, socket) = started(&mut host);
    let folder = socket.parent().unwrap().to_path_buf();
    assert!(folder.starts_with(host.folder.path()));
    // Long enough for the script to speak: its third line is awaited on standard error.
    let mut text = BufReader::new(host.child.stderr.take().unwrap());
    let mut said = String::new();
    while said.lines().count() < 2 {
        assert!(text.read_line(&mut said).unwrap() > 0, "{said}");
    }
    assert_eq!(said, "enclave: 700\nenclave: --link first second\n");
    host.signal("-INT");
    assert_eq!(host.child.wait().unwrap().code(), Some(0));
    wait_until_gone(&pid);
    assert!(!folder.exists());
}

#[test]
fn a_stopped_host_stops_an_enclave_that_will_not_and_all_that_it_started() {
    let mut host =
        Host::start("trap '' TERM; sleep 1000 & echo $! > \"$(dirname \"$0\")/other\"; wait; wait");
    let (pid, _) = started(&mut host);
    let other = host.folder.path().join("other");
    let other = wait_for_text(&other);
    host.signal("-TERM");
    let (status, text, _folder) = host.end();
    assert_eq!(status.code(), Some(0), "{text}");
    wait_until_gone(&pid);
    wait_until_gone(&other);
}

#[cfg(target_os = "linux")]
#[test]
fn an_enclave_does_not_outlive_a_host_that_was_killed() {
    let mut host = Host::start("exec sleep 1000");
    let (pid, _) = started(&mut host);
    // Until it is the enclave program itself, not what becomes it.
    while !fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().starts_with("sleep") {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    host.signal("-KILL");
    let (status, _, folder) = host.end();
    assert_eq!(status.code(), None);
    wait_until_gone(&pid);
    // It left its socket's folder, which the next host on that state takes over.
    let left = folder.path().join("state/link");
    assert!(left.is_dir());
    fs::write(left.join("stale"), "").unwrap();
    let next = Command::new(PROGRAM)
        .args([
            "run",
            "--backend",
            "process",
            "--listen",
            "127.0.0.1:0",
            "--enclave",
            "/bin/false",
            "--state",
        ])
        .arg(folder.path().join("state"))
        .output()
        .unwrap();
    assert_eq!(next.status.code(), Some(3));
    assert!(!left.exists());
}

#[test]
fn a_state_folder_with_a_long_name_does_not_keep_the_enclave_from_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM)
        .args(["run", "--backend", "process", "--listen", "127.0.0.1:0", "--enclave", "/bin/echo", "--state"])
        .arg(folder.path().join("x".repeat(120)))
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let said = text.lines().find_map(|line| line.strip_prefix("enclave: --link unix:")).unwrap();
    assert!(said.len() < 104 && Path::new(said).starts_with(folder.path()), "{text}");
}

fn wait_for_text(path: &Path) -> String {
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    }
}
