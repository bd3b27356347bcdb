//! `submit` against a log that answers what a test tells it to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use vouchsafe_receipt::{SignedImage, image_leaf};
use vouchsafe_translog::{Algorithm, Checkpoint, VerifierKey, cosignature, merkle};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use crate::images::unsigned;
use crate::program::{file, run};

/// Answers one request of each connection with this text, for as many as there are.
fn log_that_answers(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n", answer.len());
            write!(stream, "{head}\r\n{answer}").unwrap();
        }
    });
    format!("http://{at}")
}

fn key(name: &str, seed: u8, algorithm: Algorithm) -> (Ed25519KeyPair, VerifierKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public = pair.public_key().as_ref().try_into().unwrap();
    (pair, VerifierKey::new(name, algorithm, public, &Ring).unwrap())
}

/// The answer of a log whose only leaf has this hash, cosigned by its witness.
fn answer(
    root: [u8; 32],
    log: &(Ed25519KeyPair, VerifierKey),
    witness: &(Ed25519KeyPair, VerifierKey),
) -> Value {
    let sign = |text: &[u8]| log.0.sign(text).as_ref().try_into().unwrap();
    let mut note = Checkpoint::new(log.1.name(), 1, root).unwrap().sign(&log.1, sign).unwrap();
    let cosign = |text: &[u8]| witness.0.sign(text).as_ref().try_into().unwrap();
    let line = cosignature::cosign(note.text(), UnixSeconds(1_800_000_000), &witness.1, cosign).unwrap();
    note.add(line).unwrap();
    json!({"checkpoint": note.to_string(), "leaves": [{"hash": "", "index": 0, "path": []}]})
}

#[test]
fn a_logs_answer_is_verified_under_the_keys_that_are_named() {
    let own = tempfile::tempdir().unwrap();
    let text = unsigned();
    let leaf_hash = merkle::leaf_hash(&image_leaf(&SignedImage::parse(text.as_bytes()).unwrap()), &Ring);
    let image = file(own.path(), "image.json", text);
    let log = key("log.example/1", 1, Algorithm::Ed25519);
    let witness = key("witness.example/1", 2, Algorithm::CosignatureV1);
    let [log_key, witness_key] = [&log, &witness].map(|key| key.1.to_string());
    let stranger = key("log.example/1", 3, Algorithm::Ed25519).1.to_string();
    let other_witness = key("witness.example/2", 4, Algorithm::CosignatureV1).1.to_string();
    let good = answer(leaf_hash, &log, &witness);
    let other_tree = answer([7; 32], &log, &witness);
    let witnessed = ["--log-key", &log_key, "--witness", &witness_key, "--quorum", "1"];
    let cases: [(&Value, &[&str], i32, &str); 6] = [
        (&good, &witnessed, 0, ""),
        (&good, &["--log-key", &log_key], 0, ""),
        (&other_tree, &["--log-key", &log_key], 10, "inclusion"),
        (&other_tree, &witnessed, 10, "inclusion"),
        (&good, &["--log-key", &stranger], 10, "signature"),
        (&good, &["--log-key", &log_key, "--witness", &other_witness, "--quorum", "1"], 10, "quorum"),
    ];
    for (number, (answer, more, code, says)) in cases.into_iter().enumerate() {
        let out = own.path().join(number.to_string());
        let url = log_that_answers(vec![answer.to_string()]);
        let mut arguments = vec!["submit", &image, "--log", &url, "--out", out.to_str().unwrap()];
        arguments.extend(more);
        let submitted = run(&arguments);
        assert_eq!(submitted.code, code, "{more:?}: {}", submitted.err);
        assert!(submitted.err.contains(says), "{more:?}: {}", submitted.err);
        assert_eq!(out.exists(), code == 0, "{more:?}");
    }
    // Without a key it is the log's word.
    let url = log_that_answers(vec![other_tree.to_string()]);
    assert_eq!(run(&["submit", &image, "--log", &url]).code, 0);
    // Half of a quorum is none.
    assert_ne!(
        run(&["submit", &image, "--log", &url, "--log-key", &log_key, "--witness", &witness_key]).code,
        0
    );
}

#[test]
fn an_https_address_is_spoken_to_over_tls() {
    let own = tempfile::tempdir().unwrap();
    let image = file(own.path(), "image.json", unsigned());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let first = std::thread::spawn(move || {
        let mut byte = [0];
        listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
        byte[0]
    });
    let refused = run(&["submit", &image, "--log", &url]);
    assert_eq!(refused.code, 30, "{}", refused.err);
    // RFC 8446 section 5.1: a handshake record.
    assert_eq!(first.join().unwrap(), 22);
    assert_eq!(run(&["submit", &image, "--log", "ftp://127.0.0.1:1"]).code, 30);
}
