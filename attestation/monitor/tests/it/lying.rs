//! A log that rewrites history, forks, drops entries, shows two views, or serves broken files: each is
//! detected and named.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vouchsafe_monitor::{Equivocation, Fetch, Source, Violation};
use vouchsafe_receipt::CheckpointRef;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::enclave::leaf;
use crate::honest::followed;
use crate::log::{Files, Log, T, Watching, codes, note, trusted};

/// The proof that was kept, which anyone can verify.
fn kept(watching: &Watching, violation: &Violation) -> Equivocation {
    let (Violation::Equivocation { file, .. } | Violation::HistoryRewritten { file, .. }) = violation else {
        panic!("{violation}");
    };
    let json = std::fs::read(watching.folder.path().join(file)).unwrap();
    let proved = Equivocation::verify(&json, &Ring).unwrap();
    assert_eq!(proved.log(), trusted().log());
    // Nothing of it can be changed without the proof failing.
    let text = String::from_utf8(json).unwrap();
    for (from, to) in
        [("\"version\": 1", "\"version\": 2"), ("\"prefix_root\": null", "\"prefix_root\": \"00\"")]
    {
        if text.contains(from) {
            assert!(Equivocation::verify(text.replace(from, to).as_bytes(), &Ring).is_err());
        }
    }
    let swapped =
        text.replace("\"first\"", "\"x\"").replace("\"second\"", "\"first\"").replace("\"x\"", "\"second\"");
    if proved.first().checkpoint().size() != proved.second().checkpoint().size() {
        assert!(Equivocation::verify(swapped.as_bytes(), &Ring).is_err());
    }
    proved
}

pub(crate) fn other_view(log: &Log, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Log {
    let mut other = Log::new();
    other.leaves = log.leaves.clone();
    other.files.0.lock().unwrap().extend(log.files.0.lock().unwrap().clone());
    change(&mut other.leaves);
    other.publish(log.time);
    other
}

#[test]
fn rewritten_history_is_proved() {
    let (mut log, mut enclave, mut watching) = followed(300);
    // An old receipt is replaced, and the tree signed anew with more entries.
    log.leaves[20] = log.leaves[21].clone();
    for _ in 0..9 {
        let checkpoint = log.checkpoint();
        log.add(leaf(&enclave.receipt(checkpoint)));
    }
    log.publish(log.time + 1);
    let report = watching.monitor.poll(log.time * 1000).unwrap();
    assert_eq!(codes(&report), ["history_rewritten"]);
    let proved = kept(&watching, &report.violations[0]);
    assert_eq!((proved.first().checkpoint().size(), proved.second().checkpoint().size()), (302, 311));
    // The state stays where the history was one, and the alarm is raised once.
    assert_eq!(watching.monitor.state().size(), 302);
    assert_eq!(watching.poll(&log), [""; 0]);
    assert_eq!(watching.restart(&log).monitor.state().alarms().len(), 1);
}

#[test]
fn a_dropped_entry_is_rewritten_history() {
    let (mut log, mut enclave, mut watching) = followed(300);
    log.leaves.remove(100);
    for _ in 0..3 {
        let checkpoint = log.checkpoint();
        log.add(leaf(&enclave.receipt(checkpoint)));
    }
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), ["history_rewritten"]);
}

#[test]
fn two_trees_of_one_size_are_proved() {
    let (log, _, mut watching) = followed(300);
    let forked = other_view(&log, |leaves| leaves[7] = b"something else".to_vec());
    log.files.0.lock().unwrap().extend(forked.files.0.lock().unwrap().clone());
    let report = watching.monitor.poll(log.time * 1000).unwrap();
    assert_eq!(codes(&report), ["equivocation"]);
    kept(&watching, &report.violations[0]);
}

#[test]
fn a_checkpoint_that_goes_back_is_named_and_held_against_history() {
    let (log, _, mut watching) = followed(300);
    // An honest older one, and one that never was.
    let older = other_view(&log, |leaves| leaves.truncate(200));
    log.put("checkpoint", older.note().into_bytes());
    assert_eq!(watching.poll(&log), ["checkpoint_rolled_back"]);
    let never = CheckpointRef { size: 150, root: Hex([7; 32]), time: log.time };
    log.put("checkpoint", note(never, 2).into_bytes());
    let report = watching.monitor.poll(log.time * 1000).unwrap();
    assert_eq!(codes(&report), ["checkpoint_rolled_back", "history_rewritten"]);
    kept(&watching, &report.violations[1]);
}

#[test]
fn two_views_are_told_apart_by_comparing() {
    let (log, _, mut watching) = followed(300);
    let now = log.time;
    let honest = other_view(&log, |leaves| leaves.truncate(250));
    assert_eq!(codes(&watching.monitor.compare(&honest.files, now).unwrap()), [""; 0]);
    let same_size = other_view(&log, |leaves| leaves[7] = b"one".to_vec());
    assert_eq!(codes(&watching.monitor.compare(&same_size.files, now).unwrap()), ["equivocation"]);
    let smaller = other_view(&log, |leaves| {
        leaves[7] = b"two".to_vec();
        leaves.truncate(120);
    });
    assert_eq!(codes(&watching.monitor.compare(&smaller.files, now).unwrap()), ["history_rewritten"]);
    let larger = other_view(&log, |leaves| {
        leaves[7] = b"three".to_vec();
        leaves.push(b"more".to_vec());
    });
    let report = watching.monitor.compare(&larger.files, now).unwrap();
    assert_eq!(codes(&report), ["history_rewritten"]);
    kept(&watching, &report.violations[0]);
    // A view of somebody else's log proves nothing of this one.
    larger.put("checkpoint", b"no note at all".to_vec());
    assert_eq!(codes(&watching.monitor.compare(&larger.files, now).unwrap()), ["checkpoint_unsigned"]);
}

#[test]
fn an_enclave_that_was_shown_another_view_gives_it_away() {
    let (mut log, mut enclave, mut watching) = followed(50);
    let elsewhere = CheckpointRef { size: 40, root: Hex([9; 32]), time: log.time };
    log.add(leaf(&enclave.receipt(elsewhere)));
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), ["enclave_other_view"]);
    // A tree that the log never had at all.
    let ahead = CheckpointRef { size: 4000, root: Hex([9; 32]), time: log.time };
    log.add(leaf(&enclave.receipt(ahead)));
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), ["enclave_other_view"]);
}

/// A log that answers hash tiles with an error while it is told to.
struct Faltering(Files, Arc<AtomicBool>);

impl Source for Faltering {
    fn get(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, Fetch> {
        let is_hashes = path.starts_with("tile/") && !path.starts_with("tile/entries/");
        match is_hashes && self.1.load(Ordering::Relaxed) {
            true => Err(Fetch::Failed("HTTP status 500".into())),
            false => self.0.get(path, bytes_max),
        }
    }

    fn name(&self) -> String {
        "faltering".into()
    }
}

#[test]
fn a_log_that_withholds_tiles_does_not_have_another_view_forgotten() {
    let (mut log, mut enclave, watching) = followed(50);
    let falters = Arc::new(AtomicBool::new(true));
    let source = || Box::new(Faltering(log.files.clone(), Arc::clone(&falters)));
    let mut watching = Watching::of(watching.folder, source(), None);
    let elsewhere = CheckpointRef { size: 40, root: Hex([9; 32]), time: log.time };
    log.add(leaf(&enclave.receipt(elsewhere)));
    log.publish(log.time + 1);
    // The entries came out, and are not read again; the tree that was named waits.
    let now_ms = log.time * 1000;
    assert_eq!(watching.monitor.poll(now_ms).unwrap_err().code(), "unreachable");
    assert_eq!(watching.monitor.state().size(), 53);
    // A log that stays so is named for it, once, also across a restart.
    let source = || Box::new(Faltering(log.files.clone(), Arc::clone(&falters)));
    let mut watching = Watching::of(watching.folder, source(), None);
    for (later_s, named) in [(299, 0), (300, 1), (310, 0)] {
        assert_eq!(watching.monitor.poll(now_ms + later_s * 1000).unwrap_err().code(), "unreachable");
        let found = codes(&watching.monitor.take_unreported());
        assert_eq!(found.iter().filter(|code| **code == "trees_unjudged").count(), named, "{later_s} s");
    }
    // As soon as it can be looked up, with or without a newer checkpoint, it is.
    falters.store(false, Ordering::Relaxed);
    let found = codes(&watching.monitor.poll(now_ms).unwrap());
    assert_eq!(found, ["enclave_other_view"]);
    assert_eq!(codes(&watching.monitor.poll(now_ms).unwrap()), [""; 0]);
}

#[test]
fn broken_files_are_named() {
    let (log, _, _) = followed(600);
    let fresh = || Watching::new(&log);
    let saved = log.files.0.lock().unwrap().clone();
    let restore = || log.files.0.lock().unwrap().clone_from(&saved);
    let cut = |path: &str, bytes: usize| {
        let mut file = saved[path].clone();
        file.truncate(file.len() - bytes);
        log.put(path, file);
    };

    cut("tile/entries/001", 1);
    assert_eq!(fresh().poll(&log), ["file_malformed"], "a truncated bundle");
    restore();

    log.remove("tile/entries/001");
    assert_eq!(fresh().poll(&log), ["file_missing"], "a bundle that is not there");
    restore();

    let mut changed = saved["tile/entries/001"].clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    log.put("tile/entries/001", changed);
    let mut watching = fresh();
    let report = watching.monitor.poll(log.time * 1000).unwrap();
    assert!(
        matches!(report.violations.as_slice(), [Violation::EntryMismatch { index: 511, .. }]),
        "{:?}",
        report.violations
    );
    // Corrupt tiles besides: the tiles are at fault.
    cut("tile/0/001", 32);
    assert_eq!(watching.poll(&log), ["file_malformed"]);
    log.put("tile/0/001", vec![0; 256 * 32]);
    assert_eq!(watching.poll(&log), ["tiles_mismatch"]);
    restore();
    // What was found does not stop it once the files are right again.
    assert_eq!(watching.poll(&log), [""; 0]);
    assert_eq!(watching.monitor.state().size(), 602);
}

#[test]
fn checkpoints_of_strangers_without_quorum_and_stale_ones_are_named() {
    let (mut log, mut enclave, mut watching) = followed(10);
    log.put("checkpoint", b"hello\n".to_vec());
    assert_eq!(watching.poll(&log), ["checkpoint_unsigned"]);
    let checkpoint = log.checkpoint();
    log.add(leaf(&enclave.receipt(checkpoint)));
    log.publish(log.time + 1);
    log.put("checkpoint", note(log.checkpoint(), 1).into_bytes());
    assert_eq!(watching.poll(&log), ["quorum_missing"]);
    log.put("checkpoint", log.note().into_bytes());
    assert_eq!(watching.poll(&log), [""; 0]);
    // A log that restarts is out of reach for a moment; one that stays away is stale.
    log.remove("checkpoint");
    assert_eq!(watching.monitor.poll(log.time * 1000).unwrap_err().code(), "unreachable");
    assert_eq!(codes(&watching.monitor.poll((T + 1000) * 1000).unwrap()), ["checkpoint_stale"]);
}

/// What a witness serves: a checkpoint, and no tiles.
fn without_tiles(log: &Log) -> Files {
    let files = Files::default();
    files.0.lock().unwrap().insert("checkpoint".into(), log.note().into_bytes());
    files
}

#[test]
fn a_fork_that_is_kept_larger_is_compared_when_this_view_has_come_as_far() {
    let (mut log, mut enclave, mut watching) = followed(20);
    let checkpoint = log.checkpoint();
    let mut next = || leaf(&enclave.receipt(checkpoint));
    let honest: Vec<_> = (0..8).map(|_| next()).collect();
    // The same log, further on: nothing to say, now or later.
    let further = without_tiles(&other_view(&log, |leaves| leaves.extend(honest[..3].to_vec())));
    // Another history, which is always ahead.
    let forked = |ahead: usize| {
        without_tiles(&other_view(&log, |leaves| {
            leaves[7] = leaves[8].clone();
            leaves.extend(honest[..ahead].to_vec());
        }))
    };
    let (smaller, larger, largest, grown) = (forked(5), forked(6), forked(7), forked(8));
    let now_s = log.time;
    for other in [&further, &smaller, &largest] {
        let named = Named(other.clone(), "view");
        assert_eq!(codes(&watching.monitor.compare(&named, now_s).unwrap()), [""; 0]);
    }
    // The first that was seen is what is kept, and it is honest; a fork that another view shows is kept beside it.
    assert_eq!(codes(&watching.monitor.compare(&Named(larger, "witness"), now_s).unwrap()), [""; 0]);
    // It is kept across a restart, and compared even if the view is silent then.
    let mut watching = watching.restart(&log);
    log.leaves.extend(honest);
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), [""; 0]);
    let silent = Files::default();
    let report = watching.monitor.compare(&Named(silent.clone(), "witness"), now_s).unwrap();
    assert_eq!(codes(&report), ["history_rewritten"]);
    let proved = kept(&watching, &report.violations[0]);
    assert_eq!((proved.first().checkpoint().size(), proved.second().checkpoint().size()), (28, 30));
    assert_eq!(codes(&watching.monitor.compare(&Named(silent, "view"), now_s).unwrap()), [""; 0]);
    // Later on the view that forked is ahead again.
    assert_eq!(codes(&watching.monitor.compare(&Named(grown, "view"), now_s).unwrap()), ["equivocation"]);
}

#[test]
fn a_view_that_stays_ahead_is_named() {
    let (log, mut enclave, mut watching) = followed(20);
    let receipt = leaf(&enclave.receipt(log.checkpoint()));
    let other = without_tiles(&other_view(&log, |leaves| leaves.push(receipt)));
    let later = log.time + 301;
    assert_eq!(codes(&watching.monitor.compare(&other, log.time).unwrap()), [""; 0]);
    assert_eq!(codes(&watching.monitor.compare(&other, later - 1).unwrap()), [""; 0]);
    assert_eq!(codes(&watching.monitor.compare(&other, later).unwrap()), ["view_ahead"]);
}

/// Files under a name of their own.
struct Named(Files, &'static str);

impl Source for Named {
    fn get(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, Fetch> {
        self.0.get(path, bytes_max)
    }

    fn name(&self) -> String {
        self.1.into()
    }
}
