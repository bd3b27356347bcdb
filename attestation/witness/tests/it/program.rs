//! The program: init, serve, limits, and kill -9 while requests are under way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use vouchsafe_translog::note::VerifierKey;
use vouchsafe_translog::{SignedCheckpoint, cosignature, note};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::to_hex;

use crate::common::{Log, ORIGIN, leaves, request, root};

struct Running {
    child: Child,
    address: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vouchsafe-witness"))
}

fn init(folder: &Path) -> String {
    let made =
        program().args(["init", "--name", "witness.example/w1", "--state"]).arg(folder).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap().trim_end().into()
}

fn serve(folder: &Path, log: &Log, more: &[&str]) -> Running {
    serve_by(program(), folder, log, more)
}

/// Serves by a command to which the program's arguments are added.
fn serve_by(mut program: Command, folder: &Path, log: &Log, more: &[&str]) -> Running {
    let mut child = program
        .args(["serve", "--listen", "127.0.0.1:0", "--log", &log.key.to_string(), "--state"])
        .arg(folder)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening ").unwrap().parse().unwrap();
    Running { child, address }
}

/// Status, content type and body; `None` where the connection broke.
fn http(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // A server that refuses a body closes before it has read all of it: what it answers counts.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    Some((status, kind.into(), body.into()))
}

fn add(address: SocketAddr, body: &str) -> Option<(u16, String, String)> {
    http(address, "POST", "/add-checkpoint", body.as_bytes())
}

#[test]
fn the_protocol_over_http() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let key = VerifierKey::parse(&init(folder.path()), &Ring).unwrap();
    let running = serve(folder.path(), &log, &[]);
    let hash = to_hex(&Ring.sha256(ORIGIN.as_bytes()));
    let stored = || http(running.address, "GET", &format!("/{hash}/checkpoint"), b"").unwrap();
    assert_eq!(stored().0, 404);

    let first = request(&log, &leaves(0, 0, 3), 0);
    let (status, _, lines) = add(running.address, &first.to_string()).unwrap();
    assert_eq!(status, 200, "{lines}");
    let line = &note::parse_signatures(&lines).unwrap()[0];
    cosignature::verify(first.note().text(), line, &key, &Ring).unwrap();
    assert!(stored().2.ends_with(&lines));

    let conflict = add(running.address, &request(&log, &leaves(0, 0, 4), 2).to_string()).unwrap();
    assert_eq!(conflict, (409, "text/x.tlog.size".into(), "3\n".into()));
    assert_eq!(add(running.address, &request(&log, &leaves(1, 0, 4), 3).to_string()).unwrap().0, 422);
    let forked = add(running.address, &request(&log, &leaves(1, 0, 3), 3).to_string()).unwrap();
    assert_eq!(forked, (409, "text/x.tlog.size".into(), "3\n".into()));
    assert_eq!(add(running.address, "old").unwrap().0, 400);
    assert_eq!(
        add(running.address, &request(&Log::new("other", 1), &leaves(0, 0, 3), 0).to_string()).unwrap().0,
        404
    );
    assert_eq!(
        add(running.address, &request(&Log::new(ORIGIN, 2), &leaves(0, 0, 4), 3).to_string()).unwrap().0,
        403
    );
    assert_eq!(add(running.address, &"x".repeat(1 << 20)).unwrap().0, 413);
    assert_eq!(http(running.address, "PUT", "/add-checkpoint", b"").unwrap().0, 405);
    assert_eq!(http(running.address, "GET", "/../checkpoint", b"").unwrap().0, 404);

    let metrics = http(running.address, "GET", "/metrics", b"").unwrap().2;
    for line in [
        "vouchsafe_witness_requests_total{outcome=\"cosigned\"} 1\n",
        "vouchsafe_witness_requests_total{outcome=\"old_size_conflict\"} 1\n",
        "vouchsafe_witness_requests_total{outcome=\"inconsistent\"} 1\n",
        "vouchsafe_witness_requests_total{outcome=\"forked\"} 1\n",
        "vouchsafe_witness_requests_total{outcome=\"request_too_long\"} 1\n",
        "vouchsafe_witness_size{origin=\"log.example/one\"} 3\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
}

#[test]
fn one_state_serves_one_program_and_strangers_have_a_rate() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    init(folder.path());
    let running = serve(folder.path(), &log, &["--requests-per-second", "1"]);
    let second = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--log", &log.key.to_string(), "--state"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(3), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("state_busy"));
    let statuses: Vec<u16> = (0..20).map(|_| add(running.address, "old").unwrap().0).collect();
    assert!(statuses.contains(&400) && statuses.contains(&429), "{statuses:?}");
}

/// A disk that stops taking writes: the shell's limit on file sizes stands for it, since the write-ahead
/// log grows into it. What was cosigned before stands, nothing is cosigned in doubt, and a restart with room
/// goes on from what is on disk.
#[test]
fn a_disk_that_fails_stops_the_witness_and_not_its_history() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    init(folder.path());
    let mut limited = Command::new("sh");
    // In blocks of 512 bytes: 64 KiB.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\""]);
    limited.arg(env!("CARGO_BIN_EXE_vouchsafe-witness"));
    let running = serve_by(limited, folder.path(), &log, &[]);
    let ask = |running: &Running, size: usize, old: usize| {
        add(running.address, &request(&log, &leaves(0, 0, size), old).to_string()).unwrap()
    };
    let mut answered = 0;
    let (status, refusal) = loop {
        let (status, _, body) = ask(&running, answered + 1, answered);
        if status != 200 {
            break (status, body);
        }
        answered += 1;
        assert!(answered < 100, "the limit was never met");
    };
    assert!(answered > 0);
    assert!(status == 500 && refusal.starts_with("the state could not be written"), "{status} {refusal}");
    // What is on disk is in doubt now, and nothing is cosigned.
    let (status, _, refusal) = ask(&running, answered + 1, answered);
    assert!(status == 503 && refusal.contains("restart the witness"), "{status} {refusal}");
    drop(running);
    let running = serve(folder.path(), &log, &[]);
    // The one in doubt is there or it is not; the size to go on from is said.
    let (status, _, body) = ask(&running, answered + 2, answered);
    match status {
        200 => {}
        409 => {
            assert_eq!(body, format!("{}\n", answered + 1));
            assert_eq!(ask(&running, answered + 2, answered + 1).0, 200);
        }
        other => panic!("{other} {body}"),
    }
}

/// Cosignatures are collected while the program is killed again and again, at moments of its own
/// choosing: every restart must know at least what left before, and all that left is one history.
#[test]
fn killed_at_any_moment_it_never_forgets_what_left() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    init(folder.path());
    let (mut size, mut answered) = (0, 0);
    for round in 0..12_u64 {
        let mut running = serve(folder.path(), &log, &["--requests-per-second", "100000"]);
        let process = nix::unistd::Pid::from_raw(running.child.id().try_into().unwrap());
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(700 * round));
            nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
        });
        // A fork of what was answered must never be cosigned, whatever was lost in between.
        for _ in 0..200 {
            let fork = request(&log, &leaves(1, 0, answered + 1), answered.min(size));
            if answered > 0
                && add(running.address, &fork.to_string()).is_some_and(|(status, ..)| status == 200)
            {
                panic!("a fork of {answered} was cosigned");
            }
            let body = request(&log, &leaves(0, 0, size + 1), size).to_string();
            match add(running.address, &body) {
                Some((200, ..)) => (size, answered) = (size + 1, size + 1),
                Some((409, _, latest)) => {
                    size = latest.trim_end().parse().unwrap();
                    assert!(size >= answered, "{size} was known after {answered} had been answered");
                }
                Some(other) => panic!("{other:?}"),
                None => break,
            }
        }
        killer.join().unwrap();
        running.child.wait().unwrap();
    }
    let running = serve(folder.path(), &log, &[]);
    let hash = to_hex(&Ring.sha256(ORIGIN.as_bytes()));
    if let Some((200, _, note)) = http(running.address, "GET", &format!("/{hash}/checkpoint"), b"") {
        let opened =
            SignedCheckpoint::open(note.as_bytes(), ORIGIN, std::slice::from_ref(&log.key), &Ring).unwrap();
        let known = usize::try_from(opened.checkpoint().size()).unwrap();
        assert!(known >= answered);
        assert_eq!(opened.checkpoint().root(), &root(&leaves(0, 0, known)));
    }
}
