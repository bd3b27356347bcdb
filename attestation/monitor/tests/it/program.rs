//! The program against logs that lie: a breach from the receipt to the account that anyone can check, a log that is
//! waited for, and two monitors that were shown different logs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use vouchsafe_receipt::Envelope;

use crate::enclave::{BOUND, leaf};
use crate::honest::followed;
use crate::log::{Files, Log, trusted};
use crate::lying::other_view;

const BIN: &str = env!("CARGO_BIN_EXE_vouchsafe-monitor");
const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/simulated.json");

/// What a log does when it is asked for its checkpoint, and when it is offered a leaf: the test's own.
type Whim = Box<dyn FnMut(&mut Log, &str) + Send>;

/// Serves a log until the test ends; `whim` is told each method and path before it is answered.
fn serve(log: Log, whim: Whim) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let shared = Arc::new(Mutex::new((log, whim)));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || answer(stream.unwrap(), &shared));
        }
    });
    address
}

fn answer(mut stream: TcpStream, shared: &Mutex<(Log, Whim)>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    if reader.read_line(&mut head).is_err() || head.is_empty() {
        return;
    }
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    let request = head.trim_end().trim_end_matches(" HTTP/1.1");
    let mut held = shared.lock().unwrap();
    let (log, whim) = &mut *held;
    whim(log, request);
    let found = match request.split_once(" /") {
        Some(("POST", _)) => Some(br#"{"checkpoint":"","leaves":[{"hash":"","error":"busy"}]}"#.to_vec()),
        Some((_, path)) => log.files.0.lock().unwrap().get(path).cloned(),
        None => None,
    };
    let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // Whoever hung up is not told.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

fn monitor(log: &str, folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(BIN);
    command.args(["run", "--once", "--stale-max", "0", "--quorum", "2", "--policy", POLICY, "--log", log]);
    keys(&mut command);
    command.arg("--state").arg(folder.join("state")).args(more);
    command.output().unwrap()
}

fn keys(command: &mut Command) {
    let trusted = trusted();
    command.args(["--key", &trusted.log().to_string()]);
    for witness in trusted.quorum().witnesses() {
        command.args(["--witness", &witness.to_string()]);
    }
}

/// What a program said on both streams.
fn said(output: &Output) -> String {
    [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat()
}

fn written(files: &Files, folder: &Path) -> String {
    for (path, bytes) in files.0.lock().unwrap().iter() {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder.display().to_string()
}

/// The only file of kept evidence whose name begins so.
fn evidence(folder: &Path, name: &str) -> PathBuf {
    let files = std::fs::read_dir(folder.join("state/evidence")).unwrap();
    let mut found = files.map(|file| file.unwrap().path());
    found.find(|path| path.file_name().unwrap().to_string_lossy().starts_with(name)).unwrap()
}

fn now_s() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// A log whose newest receipt was withheld and is overdue, and that receipt in a file.
fn withholding(folder: &Path) -> (Log, Envelope, String) {
    let (mut log, mut enclave, _) = followed(20);
    let checkpoint = log.checkpoint();
    let receipt = enclave.receipt(checkpoint);
    log.publish(checkpoint.time + BOUND + 1);
    let path = folder.join("receipt.json");
    std::fs::write(&path, receipt.to_json()).unwrap();
    (log, receipt, path.display().to_string())
}

/// A moment by which no program of this test has offered anything yet, however slow the machine is.
fn later() -> u64 {
    now_s() + 86_400
}

#[test]
fn a_breach_is_found_and_its_account_checked_by_anyone() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _, receipt) = withholding(folder.path());
    let files = log.files.clone();
    // Offered the receipt, it goes on without it.
    let address = serve(
        log,
        Box::new(|log, request| {
            if request == "POST /add" {
                log.publish(later());
            }
        }),
    );
    let found = monitor(&address, folder.path(), &["--receipt", &receipt, "--receipt-wait", "600"]);
    let text = said(&found);
    assert_eq!(found.status.code(), Some(10), "{text}");
    assert!(text.contains("VIOLATION settle_by_breached: breach of settle_by: receipt 20"), "{text}");
    assert!(text.contains("not among 22 entries, and due"), "{text}");

    let account = evidence(folder.path(), "breach-");
    let check = |file: &Path, more: &[&str]| {
        let mut command = Command::new(BIN);
        command.arg("check-breach").arg(file).args(["--quorum", "2"]).args(more);
        keys(&mut command);
        command.output().unwrap()
    };
    // Offline the signatures, with any copy of the tree the absence.
    let offline = check(&account, &[]);
    assert_eq!(offline.status.code(), Some(0), "{}", said(&offline));
    assert!(said(&offline).contains("signed: receipt 20") && said(&offline).contains("not checked"));
    let copy = written(&files, &folder.path().join("copy"));
    let whole = check(&account, &["--log", &copy]);
    assert_eq!(whole.status.code(), Some(0), "{}", said(&whole));
    assert!(said(&whole).contains("checked: all 22 entries"), "{}", said(&whole));
    // An account that was changed, and one of another tree, show nothing.
    let bent = folder.path().join("bent.json");
    let json = std::fs::read_to_string(&account).unwrap();
    std::fs::write(&bent, json.replace("\"scanned\": 22", "\"scanned\": 21")).unwrap();
    let refused = check(&bent, &[]);
    assert_eq!(refused.status.code(), Some(30), "{}", said(&refused));
    let (other, _, _) = followed(21);
    let other = written(&other.files, &folder.path().join("other"));
    let refused = check(&account, &["--log", &other]);
    assert_eq!(refused.status.code(), Some(30), "{}", said(&refused));
    let stranger = Command::new(BIN)
        .arg("check-breach")
        .arg(&account)
        .args(["--quorum", "1", "--key", &trusted().log().to_string()])
        .args(["--witness", "w.example+9d5b1ffc+BAMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD"])
        .output()
        .unwrap();
    assert_eq!(stranger.status.code(), Some(30), "{}", said(&stranger));
}

/// A log that was slow and then keeps its word is waited for; one that says nothing more is not accused.
#[test]
fn a_receipt_that_was_offered_again_is_waited_for_as_long_as_one_says() {
    let folder = tempfile::tempdir().unwrap();
    let (log, receipt, path) = withholding(folder.path());
    let (mut offered, mut asked) = (false, 0);
    let address = serve(
        log,
        Box::new(move |log, request| {
            offered |= request == "POST /add";
            // Not at the next look, nor at the one after it.
            asked += u32::from(offered && request == "GET /checkpoint");
            if asked == 3 && request == "GET /checkpoint" {
                log.add(leaf(&receipt));
                log.publish(later());
            }
        }),
    );
    let waited = monitor(&address, folder.path(), &["--receipt", &path, "--receipt-wait", "600"]);
    assert!(said(&waited).contains("receipt.json: in the log, entry 22"), "{}", said(&waited));
    assert!(!said(&waited).contains("settle_by_breached"), "{}", said(&waited));

    let impatient = tempfile::tempdir().unwrap();
    let (log, _, path) = withholding(impatient.path());
    let address = serve(log, Box::new(|_, _| ()));
    let given_up = monitor(&address, impatient.path(), &["--receipt", &path, "--receipt-wait", "0"]);
    let text = said(&given_up);
    assert_eq!(given_up.status.code(), Some(10), "{text}");
    assert!(text.contains("VIOLATION receipt_absent") && text.contains("this is no breach yet"), "{text}");
    assert!(!text.contains("settle_by_breached") && text.contains("entries, and due"), "{text}");
}

#[test]
fn two_monitors_that_were_shown_different_logs_prove_it_by_comparing() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _, _) = followed(300);
    let forked = other_view(&log, |leaves| leaves[290] = leaves[291].clone());
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let mirror = |place: &Path| place.join("mirror").display().to_string();
    for (log, place) in [(&log, &one), (&forked, &two)] {
        let served = written(&log.files, &place.join("log"));
        let looked = monitor(&served, place, &["--mirror", &mirror(place)]);
        assert!(!said(&looked).contains("equivocation"), "alone it sees nothing: {}", said(&looked));
    }
    // The same view again is no news; the other's is.
    let log = one.join("log").display().to_string();
    let same = monitor(&log, &one, &["--compare", &mirror(&one)]);
    assert!(!said(&same).contains("VIOLATION equivocation"), "{}", said(&same));
    let compared = monitor(&log, &one, &["--compare", &mirror(&one), "--compare", &mirror(&two)]);
    assert_eq!(compared.status.code(), Some(10), "{}", said(&compared));
    assert!(said(&compared).contains("VIOLATION equivocation: the log signed two trees of size 302"));
    let proof = evidence(&one, "equivocation-");
    let check = |key: &str| {
        let check = Command::new(BIN).arg("check-equivocation").arg(&proof).args(["--key", key]).output();
        check.unwrap()
    };
    let proved = check(&trusted().log().to_string());
    assert_eq!(proved.status.code(), Some(0), "{}", said(&proved));
    assert!(said(&proved).contains("signed two trees that contradict each other"));
    assert_eq!(check("log.example/other+00000000+AQ==").status.code(), Some(30), "of another log");
}
