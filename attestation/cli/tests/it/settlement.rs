//! `vouchsafe bundle` and `vouchsafe verify` on receipts that settle into a log.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use crate::common::*;
use crate::verify::without_ids;

/// Half a minute after the golden receipt was signed.
const AT: &str = "2026-01-01T00:00:30Z";

fn verify(bundle: &str, more: &[&str]) -> Run {
    let policy = settled("policy.json");
    let (request, response) = (settled("request.json"), settled("response.json"));
    let mut arguments = vec!["verify", bundle, "--policy", &policy];
    arguments.extend(["--request", &request, "--response", &response]);
    arguments.extend(more);
    run(&arguments)
}

fn log_folder() -> String {
    settled("log")
}

/// Serves the golden log's files for as many requests as come.
fn serve_log() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap().trim_start_matches("/log/").to_owned();
            let (status, body) = match std::fs::read(format!("{}/{path}", log_folder())) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        }
    });
    format!("http://{address}/log/")
}

#[test]
fn a_settled_receipt_shows_both_judgements() {
    let run = verify(&settled("settled.json"), &["--at", AT]);
    assert_eq!(run.code, 0, "{}\n{}", run.out, run.err);
    insta::assert_snapshot!("settled", without_ids(&run.out));
    let json = verify(&settled("settled.json"), &["--at", AT, "--format", "json"]).json();
    assert_eq!(json["assurance"], "settled");
    assert_eq!(json["as_logged"]["verdict"], "accepted");
    assert_eq!(json["as_logged"]["at"], "2026-01-01T00:00:03Z");
    assert_eq!(json["as_of_now"]["verdict"], "accepted");
    assert_eq!(json["as_of_now"]["at"], AT);
}

#[test]
fn the_judgement_as_logged_decides_where_asked() {
    let late = ["--at", "2050-01-01T00:00:00Z"];
    let bundle = settled("settled.json");
    let now = verify(&bundle, &late);
    assert_eq!(now.code, 10, "{}", now.out);
    assert!(now.out.contains("as logged  2026-01-01T00:00:03Z  accepted"), "{}", now.out);
    assert!(now.out.contains("as of now  2050-01-01T00:00:00Z  rejected"), "{}", now.out);
    assert_eq!(verify(&bundle, &[late.as_slice(), &["--as-logged"]].concat()).code, 0);
    let unsettled = settled("unsettled.json");
    assert_eq!(verify(&unsettled, &["--at", AT]).code, 20);
    assert_eq!(verify(&unsettled, &["--at", AT, "--as-logged"]).code, 20);
    assert_eq!(verify(&unsettled, &[late.as_slice(), &["--as-logged"]].concat()).code, 10);
}

#[test]
fn a_proof_is_put_in_from_a_folder_and_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json").display().to_string();
    let unsettled = settled("unsettled.json");
    let expected = std::fs::read_to_string(settled("settled.json")).unwrap();
    for log in [log_folder(), serve_log()] {
        let written = run(&["bundle", &unsettled, "--log", &log, "--out", &out]);
        assert_eq!(written.code, 0, "{log}: {}", written.err);
        assert_eq!(std::fs::read_to_string(&out).unwrap(), expected, "{log}");
        assert_eq!(verify(&out, &["--at", AT]).code, 0);
        let printed = run(&["bundle", &unsettled, "--log", &log]);
        assert_eq!((printed.code, printed.out), (0, expected.clone()));
    }
}

#[test]
fn a_log_that_cannot_prove_is_named_and_exits_20() {
    let unsettled = settled("unsettled.json");
    let folder = tempfile::tempdir().unwrap();
    let copy = |change: &dyn Fn(&std::path::Path)| {
        let log = folder.path().join("log");
        let _ = std::fs::remove_dir_all(&log);
        std::fs::create_dir_all(log.join("tile/0")).unwrap();
        let tile = "tile/0/000.p";
        std::fs::create_dir_all(log.join(tile)).unwrap();
        for file in ["checkpoint".into(), format!("{tile}/13")] {
            std::fs::copy(format!("{}/{file}", log_folder()), log.join(&file)).unwrap();
        }
        change(&log);
        let failed = run(&["bundle", &unsettled, "--log", &log.display().to_string()]);
        assert_eq!(failed.code, 20, "{}", failed.err);
        failed.err
    };
    let bend = |path: std::path::PathBuf, at: usize| {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    let tile = |log: &std::path::Path| log.join("tile/0/000.p/13");
    assert!(copy(&|log| std::fs::remove_file(log.join("checkpoint")).unwrap()).contains("checkpoint"));
    assert!(copy(&|log| bend(log.join("checkpoint"), 20)).contains("checkpoint"));
    assert!(copy(&|log| std::fs::remove_file(tile(log)).unwrap()).contains("tile/0/000.p/13"));
    assert!(copy(&|log| std::fs::write(tile(log), b"short").unwrap()).contains("tile/0/000.p/13"));
    // The receipt's own leaf, and another.
    assert!(copy(&|log| bend(tile(log), 5 * 32)).contains("not in the log"));
    assert!(copy(&|log| bend(tile(log), 0)).contains("inclusion_invalid"));
    let gone = run(&["bundle", &unsettled, "--log", "http://127.0.0.1:1/"]);
    assert_eq!(gone.code, 20, "{}", gone.err);
    let secure = run(&["bundle", &unsettled, "--log", "https://log.example"]);
    assert!(secure.code == 20 && secure.err.contains("https:// is not supported"), "{}", secure.err);
}

#[test]
fn what_no_log_could_prove_exits_10() {
    for (bundle, why) in [
        (golden("plain.json"), "its boot names no log"),
        (golden("cut-off.json"), "cut off"),
        (golden("policy.json"), "bundle"),
    ] {
        let failed = run(&["bundle", &bundle, "--log", &log_folder()]);
        assert_eq!(failed.code, 10, "{}", failed.err);
        assert!(failed.err.contains(why), "{}", failed.err);
    }
    let missing = run(&["bundle", "no-such-file", "--log", &log_folder()]);
    assert_eq!(missing.code, 30, "{}", missing.err);
}

/// A list that is given and can't be believed is not passed over.
#[test]
fn a_list_of_revocations_that_nobody_vouches_for_gives_no_verdict() {
    let list = settled("policy.json");
    let nobody = verify(&settled("settled.json"), &["--at", AT, "--revocations", &list]);
    assert_eq!(nobody.code, 30, "{}", nobody.out);
    assert!(nobody.err.contains("names nobody who may revoke"), "{}", nobody.err);
    let policy: serde_json::Value = serde_json::from_slice(&std::fs::read(&list).unwrap()).unwrap();
    let mut requiring = policy;
    // A key by its form; the list is none, whoever is to sign it.
    let key = format!("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE{}==", "A".repeat(86));
    requiring["revocations"]["list"] =
        serde_json::json!({"require": {"keys": [key], "threshold": 1, "age_seconds_max": 60}});
    let own = tempfile::tempdir().unwrap();
    let path = own.path().join("policy.json");
    std::fs::write(&path, requiring.to_string()).unwrap();
    let (bundle, path) = (settled("settled.json"), path.to_str().unwrap());
    let none = run(&["verify", &bundle, "--policy", path, "--at", AT, "--revocations", &list]);
    assert_eq!(none.code, 30, "{}", none.out);
    assert!(none.err.contains("envelope_malformed"), "{}", none.err);
    let missing = run(&["verify", &bundle, "--policy", path, "--at", AT, "--revocations", "/nonexistent"]);
    assert_eq!(missing.code, 30);
    let without = run(&["verify", &bundle, "--policy", path, "--at", AT]);
    assert_eq!(without.code, 20, "{}", without.out);
    assert!(without.out.contains("revocations_missing"), "{}", without.out);
}
