//! Receipts that somebody holds: what the log owes, what it is accused of, and what it must not be accused of.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use vouchsafe_monitor::{Breach, Fate, Fetch, Source, Violation};
use vouchsafe_receipt::{CheckpointRef, Envelope, receipt_leaf_hash};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::enclave::{BOUND, Enclave, GOOD, leaf};
use crate::honest::followed;
use crate::log::{Files, Log, T, Watching, codes, note, trusted};

/// A followed log that withholds its newest receipt, which was due before the newest checkpoint.
fn withholding(count: usize) -> (Log, Watching, Envelope) {
    let (mut log, mut enclave, mut watching) = followed(count);
    let checkpoint = log.checkpoint();
    let receipt = enclave.receipt(checkpoint);
    log.publish(checkpoint.time + BOUND + 1);
    assert_eq!(watching.poll(&log), [""; 0]);
    (log, watching, receipt)
}

fn hold(watching: &mut Watching, receipt: &Envelope) {
    watching.monitor.hold("receipt.json".as_ref(), &receipt.to_json()).unwrap();
}

fn fates(watching: &Watching) -> Vec<Fate> {
    watching.monitor.sought().iter().map(|sought| sought.fate).collect()
}

#[test]
fn a_breach_needs_the_receipt_offered_again_a_later_checkpoint_and_the_whole_log() {
    let (mut log, mut enclave, mut watching) = followed(300);
    let checkpoint = log.checkpoint();
    let receipt = enclave.receipt(checkpoint);
    log.publish(checkpoint.time + BOUND);
    // Held by its client before it is due: offered, and no breach yet.
    hold(&mut watching, &receipt);
    assert_eq!(watching.poll(&log), [""; 0]);
    assert_eq!(*watching.offers.0.lock().unwrap(), [leaf(&receipt)]);
    assert_eq!(fates(&watching), [Fate::NotDue]);
    // Without its quorum a checkpoint accuses nobody, however late it is.
    log.put("checkpoint", note(CheckpointRef { time: T + 9000, ..log.checkpoint() }, 1).into_bytes());
    assert_eq!(watching.poll(&log), ["quorum_missing"]);
    log.publish(checkpoint.time + BOUND + 1);
    let report = watching.monitor.poll(log.time * 1000).unwrap();
    let expected = Hex(receipt_leaf_hash(&receipt, &Ring));
    let [Violation::SettleByBreached { leaf, seq: 300, file, .. }] = report.violations.as_slice() else {
        panic!("{:?}", report.violations);
    };
    assert_eq!((*leaf, fates(&watching)), (expected, vec![Fate::Named]));

    // The account of it: what is signed verifies offline, and anyone with the tree repeats the scan.
    let json = std::fs::read(watching.folder.path().join(file)).unwrap();
    let breach = Breach::verify(&json, &trusted(), &Ring).unwrap();
    assert_eq!(breach.receipt(), (Hex(enclave.id), 300, expected, checkpoint.time + BOUND));
    assert_eq!(breach.scan(&log.files).unwrap(), Ok(()));
    let text = String::from_utf8(json.clone()).unwrap();
    let last = format!("\"last_s\": {}", checkpoint.time + BOUND);
    for (from, to, code) in [
        ("\"version\": 1", "\"version\": 2", "breach_malformed"),
        ("\"log\": \"log.example", "\"log\": \"log2.example", "breach_of_other_log"),
        ("\"scanned\": 302", "\"scanned\": 301", "breach_malformed"),
        (&last, "\"last_s\": 9000000000", "breach_checkpoint_too_early"),
    ] {
        assert!(text.contains(from), "{from} {text}");
        let error = Breach::verify(text.replace(from, to).as_bytes(), &trusted(), &Ring).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    // A tree that holds it, or that is not the signed one, is no breach.
    log.remove("tile/entries/000");
    assert_eq!(breach.scan(&log.files).unwrap().unwrap_err().code(), "file_missing");
}

#[test]
fn a_log_that_takes_the_receipt_when_it_is_offered_again_breaches_nothing() {
    let (mut log, mut watching, receipt) = withholding(20);
    hold(&mut watching, &receipt);
    assert_eq!(watching.poll(&log), [""; 0]);
    assert_eq!(fates(&watching), [Fate::Pending]);
    let offered = watching.offers.0.lock().unwrap().pop().unwrap();
    log.add(offered);
    log.publish(log.time + 100);
    assert_eq!(watching.poll(&log), [""; 0]);
    assert_eq!(fates(&watching), [Fate::InLog { index: 22 }]);
}

#[test]
fn what_is_held_after_a_restart_or_midway_is_judged_by_an_unchanged_checkpoint() {
    let (log, watching, receipt) = withholding(20);
    // Files that take no submissions: a retired shard, a mirror. The checkpoint never changes again.
    let source = || Box::new(log.files.clone());
    let mut watching = Watching::with(watching.folder, source(), None, None);
    assert_eq!(watching.poll(&log), [""; 0]);
    hold(&mut watching, &receipt);
    let report = watching.monitor.poll(log.time * 1000).unwrap();
    assert!(
        matches!(report.violations.as_slice(), [Violation::ReceiptAbsent { seq: 20, size: 22, .. }]),
        "{:?}",
        report.violations
    );
    assert_eq!(watching.poll(&log), [""; 0], "once");
    // With a state of its own, from the start and after a restart.
    let mut fresh = Watching::with(tempfile::tempdir().unwrap(), source(), None, None);
    hold(&mut fresh, &receipt);
    assert_eq!(fresh.poll(&log), ["receipt_absent"]);
    let mut fresh = Watching::with(tempfile::tempdir().unwrap(), source(), None, None);
    assert_eq!(fresh.poll(&log), [""; 0]);
    let mut again = Watching::with(fresh.folder, source(), None, None);
    hold(&mut again, &receipt);
    assert_eq!(again.poll(&log), ["receipt_absent"]);
}

#[test]
fn the_same_tree_cosigned_again_after_the_offer_shows_the_breach() {
    let (mut log, mut watching, receipt) = withholding(20);
    hold(&mut watching, &receipt);
    assert_eq!(watching.poll(&log), [""; 0]);
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), ["settle_by_breached"]);
}

#[test]
fn a_log_that_takes_no_submission_is_named_without_being_accused_of_a_breach() {
    let (mut log, mut watching, receipt) = withholding(20);
    watching.offers.1.store(true, Ordering::Relaxed);
    hold(&mut watching, &receipt);
    assert_eq!(watching.poll(&log), [""; 0]);
    for (seconds, expected) in [(5, vec![]), (54, vec![]), (1, vec!["receipt_absent"])] {
        log.publish(log.time + seconds);
        assert_eq!(watching.poll(&log), expected, "{seconds}");
    }
    assert_eq!(watching.offers.0.lock().unwrap().len(), 2, "not with every look");
    // Nobody looks again: then it is named at once.
    let (log, mut watching, receipt) = withholding(20);
    hold(&mut watching, &receipt);
    assert_eq!(watching.poll(&log), [""; 0]);
    assert_eq!(codes(&watching.monitor.seek(log.time, true).unwrap()), ["receipt_absent"]);
}

#[test]
fn nobody_is_accused_for_entries_that_could_not_be_read() {
    let (mut log, mut enclave, mut watching) = followed(600);
    let checkpoint = log.checkpoint();
    let held = enclave.receipt(checkpoint);
    log.add(leaf(&held));
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), [""; 0]);
    let saved = log.files.0.lock().unwrap().clone();
    for (path, bytes, expected) in
        [("tile/entries/001", None, "file_missing"), ("tile/entries/001", Some(vec![1; 9]), "file_malformed")]
    {
        let mut watching = Watching::in_folder(tempfile::tempdir().unwrap(), &log, None);
        assert_eq!(watching.poll(&log), [""; 0]);
        match bytes {
            None => log.remove(path),
            Some(bytes) => log.put(path, bytes),
        }
        hold(&mut watching, &held);
        assert_eq!(watching.poll(&log), [expected]);
        // A later checkpoint is in order, and what could not be read is still not known.
        for seconds in [BOUND + 1, 100] {
            let checkpoint = log.checkpoint();
            log.time += seconds;
            log.put("checkpoint", note(CheckpointRef { time: log.time, ..checkpoint }, 2).into_bytes());
            assert_eq!(watching.poll(&log), [""; 0]);
        }
        assert!(watching.offers.0.lock().unwrap().is_empty(), "it is not known to be missing");
        log.files.0.lock().unwrap().clone_from(&saved);
        log.put("checkpoint", note(CheckpointRef { time: log.time, ..log.checkpoint() }, 2).into_bytes());
        assert_eq!(watching.monitor.poll((log.time + 20) * 1000).unwrap().violations, []);
        assert_eq!(fates(&watching), [Fate::InLog { index: 602 }]);
    }
}

#[test]
fn receipts_in_the_log_are_found_and_those_of_strangers_owed_nothing() {
    let (mut log, mut enclave, mut watching) = followed(20);
    let checkpoint = log.checkpoint();
    let old = enclave.receipt(checkpoint);
    log.add(leaf(&old));
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), [""; 0]);
    let new = enclave.receipt(checkpoint);
    let stranger = Enclave::new().receipt(checkpoint);
    for receipt in [&old, &new, &stranger] {
        hold(&mut watching, receipt);
    }
    assert_eq!(watching.poll(&log), [""; 0]);
    log.add(leaf(&new));
    log.publish(checkpoint.time + BOUND + 100);
    assert_eq!(watching.poll(&log), [""; 0]);
    let found = |index| Fate::InLog { index };
    assert_eq!(fates(&watching), [found(22), found(23), Fate::OfNoBoot]);
    assert_eq!(watching.offers.0.lock().unwrap().len(), 1, "a stranger's is not offered");
}

/// Files of which one is out of reach for a while.
#[derive(Clone, Default)]
struct Failing {
    files: Files,
    away: Arc<Mutex<HashSet<String>>>,
    looked: Arc<AtomicBool>,
}

impl Source for Failing {
    fn get(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, Fetch> {
        if self.away.lock().unwrap().contains(path) {
            self.looked.store(true, Ordering::Relaxed);
            return Err(Fetch::Failed("no answer".into()));
        }
        self.files.get(path, bytes_max)
    }

    fn name(&self) -> String {
        "failing".into()
    }
}

/// A catch-up that is cut off is taken up where it was saved, comes out as if it had not been, and leaves no
/// entry unread for a receipt that is handed in after the restart.
#[test]
fn a_catch_up_that_is_cut_off_goes_on_and_accuses_nobody_of_what_it_read_before() {
    let (mut log, mut enclave, mut watching) = followed(100);
    let mut held = None;
    for place in 0..1500 {
        let receipt = enclave.receipt(log.checkpoint());
        log.add(leaf(&receipt));
        if place == 300 {
            held = Some(receipt);
        }
    }
    log.publish(log.time + BOUND + 9);
    let source = Failing { files: log.files.clone(), ..Failing::default() };
    source.away.lock().unwrap().insert("tile/entries/004".into());
    let folder = tempfile::tempdir().unwrap();
    let state = std::fs::read(watching.folder.path().join("state.json")).unwrap();
    std::fs::write(folder.path().join("state.json"), state).unwrap();
    let mut cut = Watching::of(folder, Box::new(source.clone()), None);
    assert_eq!(cut.monitor.poll(log.time * 1000).unwrap_err().code(), "unreachable");
    assert!(source.looked.load(Ordering::Relaxed));
    assert!(cut.folder.path().join("progress.json").exists());

    source.away.lock().unwrap().clear();
    let mut resumed = Watching::of(cut.folder, Box::new(source), None);
    hold(&mut resumed, &held.unwrap());
    let report = resumed.monitor.poll(log.time * 1000).unwrap();
    assert_eq!((report.entries, report.violations), (1602 - 1024, Vec::new()));
    assert_eq!(fates(&resumed), [Fate::InLog { index: 402 }]);
    // The same as one that was never cut off.
    assert_eq!(watching.monitor.poll(log.time * 1000).unwrap().entries, 1500);
    let (one, other) = (watching.monitor.state(), resumed.monitor.state());
    assert!((one.frontier(), one.boots()) == (other.frontier(), other.boots()));
    log.publish(log.time + 100);
    assert_eq!(resumed.poll(&log), [""; 0]);
    assert!(!resumed.folder.path().join("progress.json").exists());
}

#[test]
fn a_catch_up_of_a_checkpoint_that_grew_meanwhile_ends_what_was_begun_first() {
    let (mut log, mut enclave) = (Log::new(), Enclave::new());
    let boot = enclave.boot(GOOD);
    log.add_logged(&boot);
    log.add_logged(&enclave.epoch(&boot, 0));
    log.time = T;
    let checkpoint = log.checkpoint();
    log.add(b"\x07no leaf".to_vec());
    (0..999).for_each(|_| log.add(leaf(&enclave.receipt(checkpoint))));
    log.publish(T + 1);
    let source = Failing { files: log.files.clone(), ..Failing::default() };
    source.away.lock().unwrap().insert("tile/entries/002".into());
    let mut watching = Watching::of(tempfile::tempdir().unwrap(), Box::new(source.clone()), None);
    assert_eq!(watching.monitor.poll(log.time * 1000).unwrap_err().code(), "unreachable");
    (0..100).for_each(|_| log.add(leaf(&enclave.receipt(checkpoint))));
    log.publish(T + 2);
    source.away.lock().unwrap().clear();
    let mut watching = Watching::of(watching.folder, Box::new(source), None);
    let report = watching.monitor.poll(log.time * 1000).unwrap();
    // What was wrong with entries that were read before is told now.
    assert_eq!((report.entries, codes(&report)), (1102 - 512, vec!["leaf_malformed"]));
    assert_eq!(watching.monitor.state().size(), 1102);
}
