//! The requests that litewitness, an independent witness in Go, is tested with, and its answers.
//!
//! The fixture `vectors/witness/litewitness.txt` is the script `cmd/litewitness/testdata/litewitness.txt`
//! of filippo.io/torchwood at commit 341dc2f0f552a29816955d4834718cd741f1ca64, unchanged.

use std::path::PathBuf;

use vouchsafe_translog::note::{Algorithm, VerifierKey};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::from_hex;
use vouchsafe_witness::Witness;

use crate::common::{NOW, init};

/// Where our answer is another one on purpose: what the script says, what we say, and why.
const EXCEPTIONS: [(&str, u16, u16); 2] = [
    // The specification came to demand 404 for an unknown origin after the script was written.
    ("unknown log", 403, 404),
    // The script breaks the signature by its last character, whose low bits are then not zero. Go's
    // decoder ignores them; ours takes one text for one value, so that the request is malformed.
    ("invalid signature", 403, 400),
];

fn fixture() -> Option<String> {
    let root = std::env::var_os("VOUCHSAFE_FIXTURES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join("vectors/witness/litewitness.txt");
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            let vectors_there = root.join("vectors").is_dir();
            let is_ci = std::env::var("CI").as_deref() == Ok("true");
            assert!(vectors_there || !is_ci, "CI needs the vectors in {}", root.display());
            eprintln!("NOT RUN: {}: {error}", path.display());
            None
        }
    }
}

#[test]
fn litewitness_and_we_answer_alike() {
    let Some(script) = fixture() else { return };
    let public = script.split_once("add-sigsum-log -key=").unwrap().1.get(..64).unwrap();
    let mut answered = 0;
    let mut exceptions_used = 0;
    let mut witness: Option<Witness> = None;
    let folder = tempfile::tempdir().unwrap();
    for part in script.split("POST http://localhost:7380/add-checkpoint\n```\n").skip(1) {
        let (body, after) = part.split_once("```\nHTTP ").unwrap();
        let expected: u16 = after[..3].parse().unwrap();
        let words = after.split_once("body contains \"").map_or("", |(_, words)| words);
        let origin = body.split_once("\n\n").unwrap().1.lines().next().unwrap();
        // The first request is of the log that the script sets up.
        let witness = witness.get_or_insert_with(|| {
            let public = from_hex(public).unwrap();
            let key = VerifierKey::new(origin, Algorithm::Ed25519, public, &Ring).unwrap();
            Witness::new(init(folder.path()), &[key.to_string()]).unwrap()
        });
        let status = match witness.add_checkpoint(body.as_bytes(), NOW) {
            Ok(_) => 200,
            Err(refusal) => refusal.status(),
        };
        let exception =
            EXCEPTIONS.iter().find(|(what, theirs, _)| words.starts_with(what) && *theirs == expected);
        exceptions_used += usize::from(exception.is_some());
        assert_eq!(status, exception.map_or(expected, |(_, _, ours)| *ours), "{body}");
        answered += 1;
    }
    assert!(answered >= 8, "{answered} requests in the script");
    assert_eq!(exceptions_used, EXCEPTIONS.len(), "an exception that no request needs");
}
