//! The program itself: started, killed without warning, started again.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hyper::StatusCode;
use vouchsafe_translog::VerifierKey;
use vouchsafe_verifier::crypto::Ring;

use crate::admission::{Boot, Vendor, post_blobs};
use crate::common::{ORIGIN, Proved, all_leaves, bundle};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vouchsafe-log");

struct Program {
    child: Child,
    at: SocketAddr,
}

impl Program {
    fn start(dir: &Path, policy: &Path) -> Self {
        let mut child = command(dir, policy).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let at = lines.map(Result::unwrap).find_map(|line| line.strip_prefix("listening ")?.parse().ok());
        Self { child, at: at.expect("it listens") }
    }

    fn kill(self) {
        drop(self);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn command(dir: &Path, policy: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0", "--pool-ms", "10", "--dir"]).arg(dir);
    command.arg("--admission").arg(policy);
    command
}

fn init(dir: &Path) -> VerifierKey {
    let made = Command::new(PROGRAM).args(["init", "--origin", ORIGIN, "--dir"]).arg(dir).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    VerifierKey::parse(String::from_utf8(made.stdout).unwrap().trim(), &Ring).unwrap()
}

/// Killed again and again while submissions are under way. What was answered stays where it was; what
/// was not answered is submitted again and is there once.
#[tokio::test]
async fn kill_9_loses_and_doubles_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, policy) = (temp.path().join("log"), temp.path().join("policy.json"));
    std::fs::write(&policy, Vendor::get().policy().to_json()).unwrap();
    let key = init(&dir);
    let boot = Boot::new();
    let program = Program::start(&dir, &policy);
    post_blobs(program.at, &boot).await;
    let first = [boot.boot_leaf(), boot.endorsements_leaf()];
    let mut answered = vec![(first[0].clone(), 0), (first[1].clone(), 1)];
    let body = bundle(first.iter().map(Vec::as_slice));
    add(program.at, body).await;
    program.kill();

    let mut next = 0_u64;
    for round in 0..12_u64 {
        let program = Program::start(&dir, &policy);
        let at = program.at;
        let leaves: Vec<_> = (next..next + 40).map(|n| boot.heartbeat(n)).collect();
        next += 40;
        let submissions: Vec<_> = leaves
            .chunks(8)
            .map(|chunk| {
                let body = bundle(chunk.iter().map(Vec::as_slice));
                tokio::spawn(try_add(at, body))
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(3 * round)).await;
        program.kill();
        for (chunk, submission) in leaves.chunks(8).zip(submissions) {
            if let Ok(Some(proved)) = submission.await {
                let slices: Vec<_> = chunk.iter().map(Vec::as_slice).collect();
                answered.extend(chunk.iter().cloned().zip(proved.verify(&key, &slices)));
            }
        }
        // The submitter comes again with everything, answered or not.
        let program = Program::start(&dir, &policy);
        let slices: Vec<_> = leaves.iter().map(Vec::as_slice).collect();
        let proved = add(program.at, bundle(slices.iter().copied())).await;
        answered.extend(leaves.iter().cloned().zip(proved.verify(&key, &slices)));
        program.kill();
    }
    let checked = Command::new(PROGRAM).args(["check", "--dir"]).arg(&dir).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let folder = vouchsafe_log::Folder::new(dir, None, None);
    let held = all_leaves(&folder.open().unwrap());
    assert_eq!(held.len(), 2 + 12 * 40, "lost or doubled");
    for (leaf, index) in answered {
        assert_eq!(held[usize::try_from(index).unwrap()], leaf, "an answer was not kept");
    }
}

/// Submits again and again, as submitters do.
async fn add(at: SocketAddr, body: Vec<u8>) -> Proved {
    for _ in 0..100 {
        if let Some(proved) = try_add(at, body.clone()).await {
            return proved;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("never answered");
}

async fn try_add(at: SocketAddr, body: Vec<u8>) -> Option<Proved> {
    use http_body_util::{BodyExt as _, Full};
    let stream = tokio::net::TcpStream::connect(at).await.ok()?;
    let stream = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.ok()?;
    tokio::spawn(connection);
    let body = Full::new(bytes::Bytes::from(body));
    let request = hyper::Request::post("/add").header("host", "log").body(body).unwrap();
    let response = sender.send_request(request).await.ok()?;
    let status = response.status();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    (status == StatusCode::OK).then(|| Proved::read(&body))
}

#[test]
fn a_second_program_and_a_damaged_folder_are_refused_with_a_status() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, policy) = (temp.path().join("log"), temp.path().join("policy.json"));
    std::fs::write(&policy, Vendor::get().policy().to_json()).unwrap();
    init(&dir);
    let running = Program::start(&dir, &policy);
    for arguments in ["check", "repair"] {
        let refused = Command::new(PROGRAM).arg(arguments).arg("--dir").arg(&dir).output().unwrap();
        assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    }
    let second = command(&dir, &policy).output().unwrap();
    assert_eq!(second.status.code(), Some(3), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("(in_use)"));
    running.kill();
    std::fs::write(dir.join("log.sqlite"), "no database").unwrap();
    let damaged = command(&dir, &policy).output().unwrap();
    assert_eq!(damaged.status.code(), Some(4), "{damaged:?}");
    let said = String::from_utf8_lossy(&damaged.stderr);
    assert!(said.contains("log.sqlite") && said.contains("(database_damaged)"), "{said}");
}
