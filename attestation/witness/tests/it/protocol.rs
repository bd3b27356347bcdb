//! Every status of c2sp.org/tlog-witness, and what each leaves behind.

use vouchsafe_translog::note::VerifierKey;
use vouchsafe_translog::{SignedCheckpoint, SignedNote, cosignature, note};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_witness::{Refusal, Witness};

use crate::common::{Log, NOW, ORIGIN, leaves, request, root, witness};

fn text(log: &Log, branch: u8, size: usize, old: usize) -> Vec<u8> {
    request(log, &leaves(branch, 0, size), old).to_string().into_bytes()
}

/// The code of a refusal, and that it changed nothing.
fn refused(witness: &Witness, body: &[u8], status: u16) -> &'static str {
    let before = witness.latest_note(&Ring.sha256(ORIGIN.as_bytes())).unwrap();
    let refusal = witness.add_checkpoint(body, NOW).unwrap_err();
    assert_eq!(refusal.status(), status, "{refusal}");
    assert_eq!(witness.latest_note(&Ring.sha256(ORIGIN.as_bytes())).unwrap(), before);
    refusal.code()
}

#[test]
fn a_growing_log_is_cosigned_and_what_was_cosigned_is_served() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let witness = witness(folder.path(), &[&log]);
    let key = VerifierKey::parse(&witness.verifier_key(), &Ring).unwrap();
    let mut old = 0;
    for size in [0, 0, 1, 1, 5, 256, 300] {
        let body = request(&log, &leaves(0, 0, size), old);
        let now = UnixSeconds(NOW.0 + u64::try_from(size).unwrap());
        let cosigned = witness.add_checkpoint(body.to_string().as_bytes(), now).unwrap();
        let [line] = note::parse_signatures(cosigned.lines()).unwrap().try_into().unwrap();
        let by = cosignature::verify(body.note().text(), &line, &key, &Ring).unwrap();
        assert_eq!(by.time(), now);
        let served = witness.latest_note(&Ring.sha256(ORIGIN.as_bytes())).unwrap().unwrap();
        let keys = std::slice::from_ref(&log.key);
        let opened = SignedCheckpoint::open(served.as_bytes(), ORIGIN, keys, &Ring).unwrap();
        assert_eq!(opened.note().signatures().last(), Some(&line));
        old = size;
    }
}

#[test]
fn malformed_requests_are_400() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let witness = witness(folder.path(), &[&log]);
    let good = String::from_utf8(text(&log, 0, 3, 0)).unwrap();
    for body in [
        String::new(),
        "old 0\n".into(),
        good.replacen("old 0", "old 00", 1),
        good.replacen("old 0", "old -1", 1),
        good.replacen("old 0", "new 0", 1),
        good.replacen("old 0\n", "old 0\r\n", 1),
        good.replacen("old 0\n", "old 0\nAAAA\n", 1),
        good.replacen("old 0\n", &format!("old 0\n{}", format!("{}\n", "A".repeat(43) + "=").repeat(64)), 1),
        good.trim_end().into(),
        good.replacen("\n\n", "\n", 1),
    ] {
        assert_eq!(refused(&witness, body.as_bytes(), 400), "request_malformed", "{body}");
    }
    assert_eq!(refused(&witness, b"\xff\xfe", 400), "request_malformed");
    assert_eq!(refused(&witness, &text(&log, 0, 3, 0).repeat(4000), 400), "request_malformed");
    // The old size exceeds the new one.
    let larger = good.replacen("old 0", "old 4", 1);
    assert_eq!(refused(&witness, larger.as_bytes(), 400), "old_size_exceeds_size");
    witness.add_checkpoint(good.as_bytes(), NOW).unwrap();
}

#[test]
fn unknown_logs_are_404_and_signatures_of_others_403() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let witness = witness(folder.path(), &[&log]);
    assert_eq!(refused(&witness, &text(&Log::new("log.example/two", 1), 0, 3, 0), 404), "log_unknown");
    assert_eq!(refused(&witness, &text(&Log::new(ORIGIN, 2), 0, 3, 0), 403), "log_signature_invalid");
    // A line that claims to be the log's and does not verify, beside nothing else.
    let forged = String::from_utf8(text(&log, 0, 3, 0)).unwrap();
    let other = String::from_utf8(text(&log, 0, 4, 0)).unwrap();
    let (body, _) = forged.split_once("\u{2014}").unwrap();
    let (_, line) = other.split_once("\u{2014}").unwrap();
    assert_eq!(refused(&witness, format!("{body}\u{2014}{line}").as_bytes(), 403), "log_signature_invalid");
    // Lines of strangers beside the log's are ignored.
    let mut note = SignedNote::parse(log.sign(3, root(&leaves(0, 0, 3))).to_string().as_bytes()).unwrap();
    let stranger = Log::new(ORIGIN, 9).sign(3, root(&leaves(0, 0, 3)));
    note.add(stranger.signatures()[0].clone()).unwrap();
    witness.add_checkpoint(format!("old 0\n\n{note}").as_bytes(), NOW).unwrap();
}

#[test]
fn another_old_size_is_409_with_the_right_one() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let witness = witness(folder.path(), &[&log]);
    let conflict = |body: &[u8]| match witness.add_checkpoint(body, NOW).unwrap_err() {
        refusal @ Refusal::Conflict { latest, .. } => {
            assert_eq!(refusal.status(), 409);
            latest
        }
        refusal => panic!("{refusal}"),
    };
    assert_eq!(conflict(&text(&log, 0, 3, 2)), 0);
    witness.add_checkpoint(&text(&log, 0, 3, 0), NOW).unwrap();
    for old in [0, 2, 5] {
        assert_eq!(conflict(&text(&log, 0, 5, old)), 3);
    }
    // The conflict comes before the proof: a smaller size is not looked at any further.
    assert_eq!(conflict(&text(&log, 0, 2, 2)), 3);
    witness.add_checkpoint(&text(&log, 0, 5, 3), NOW).unwrap();
}

#[test]
fn forks_are_409_at_the_same_size_and_422_beyond_it() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let witness = witness(folder.path(), &[&log]);
    let nothing = format!("old 0\n\n{}", log.sign(0, [7; 32]));
    assert_eq!(refused(&witness, nothing.as_bytes(), 422), "empty_root_mismatch");
    let proof = format!("old 0\n{}=\n\n{}", "A".repeat(43), log.sign(3, root(&leaves(0, 0, 3))));
    assert_eq!(refused(&witness, proof.as_bytes(), 422), "inconsistent");
    witness.add_checkpoint(&text(&log, 0, 3, 0), NOW).unwrap();
    // The same size with another root is a conflict, whatever proof is given.
    assert_eq!(refused(&witness, &text(&log, 1, 3, 3), 409), "forked");
    let other = log.sign(3, root(&leaves(1, 0, 3)));
    let proved = format!("old 3\n{}=\n\n{other}", "A".repeat(43));
    assert_eq!(refused(&witness, proved.as_bytes(), 409), "forked");
    // And the same root with a proof, where there is nothing to prove.
    let proved = format!("old 3\n{}=\n\n{}", "A".repeat(43), log.sign(3, root(&leaves(0, 0, 3))));
    assert_eq!(refused(&witness, proved.as_bytes(), 422), "inconsistent");
    // A larger tree that begins otherwise; a proof left out.
    assert_eq!(refused(&witness, &text(&log, 1, 6, 3), 422), "inconsistent");
    let bare = format!("old 3\n\n{}", log.sign(6, root(&leaves(0, 0, 6))));
    assert_eq!(refused(&witness, bare.as_bytes(), 422), "inconsistent");
    witness.add_checkpoint(&text(&log, 0, 6, 3), NOW).unwrap();
}

#[test]
fn logs_do_not_share_state_and_a_log_may_have_two_keys() {
    let folder = tempfile::tempdir().unwrap();
    let (one, next) = (Log::new(ORIGIN, 1), Log::new(ORIGIN, 3));
    let two = Log::new("log.example/two", 2);
    let witness = witness(folder.path(), &[&one, &two, &next]);
    witness.add_checkpoint(&text(&one, 0, 3, 0), NOW).unwrap();
    witness.add_checkpoint(&text(&two, 1, 9, 0), NOW).unwrap();
    witness.add_checkpoint(&text(&next, 0, 4, 3), NOW).unwrap();
    // Another key of the same log does not begin another history.
    assert!(matches!(
        witness.add_checkpoint(&text(&next, 1, 5, 0), NOW),
        Err(Refusal::Conflict { latest: 4, .. })
    ));
}

#[test]
fn times_never_decrease() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let witness = witness(folder.path(), &[&log]);
    let at = |seconds: u64, size, old| {
        witness
            .add_checkpoint(&text(&log, 0, size, old), UnixSeconds(seconds))
            .map(|cosigned| cosigned.time().0)
    };
    assert_eq!(at(1000, 1, 0), Ok(1000));
    assert_eq!(at(990, 2, 1), Ok(1000), "a small step back repeats the last time");
    assert_eq!(at(939, 3, 2), Err(Refusal::Clock { now: 939, last: 1000 }));
    assert_eq!(at(0, 3, 2), Err(Refusal::Clock { now: 0, last: 1000 }));
    assert_eq!(at(2000, 3, 2), Ok(2000));
}
