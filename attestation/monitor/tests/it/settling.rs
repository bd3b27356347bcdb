//! Receipts that are withheld, forked, too late, or not what they should be.

use vouchsafe_monitor::Violation;
use vouchsafe_receipt::{CheckpointRef, receipt_leaf_hash};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::enclave::{BOUND, EXPIRES, Enclave, GOOD, leaf};
use crate::honest::followed;
use crate::log::{Log, T, Watching, codes, note};

#[test]
fn a_withheld_receipt_is_named_by_the_one_after_it() {
    let (mut log, mut enclave, mut watching) = followed(5);
    let checkpoint = log.checkpoint();
    let withheld = enclave.receipt(checkpoint);
    log.add(leaf(&enclave.receipt(checkpoint)));
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), [""; 0], "it may still come");
    assert_eq!(watching.monitor.state().boots().values().next().unwrap().chain.missing(), 1);
    log.publish(checkpoint.time + BOUND + 1);
    let report = watching.monitor.poll(log.time * 1000).unwrap();
    let [Violation::ReceiptWithheld { seq: 5, leaf: Some(named), boot, .. }] = report.violations.as_slice()
    else {
        panic!("{:?}", report.violations);
    };
    assert_eq!((boot.0, named.0), (enclave.id, receipt_leaf_hash(&withheld, &Ring)));
}

#[test]
fn a_withheld_tail_is_named_by_the_heartbeat() {
    let (mut log, mut enclave, mut watching) = followed(5);
    enclave.receipt(log.checkpoint());
    log.add(enclave.word(log.checkpoint(), false));
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), [""; 0]);
    log.publish(log.time + BOUND + 1);
    assert_eq!(watching.poll(&log), ["receipt_withheld"]);
}

/// An operator can log a boot of its own and sign any number under it, whatever the policy says of it.
#[test]
fn huge_numbers_of_a_refused_boot_are_one_violation() {
    for evidence in [GOOD, b"evidence of another image".as_slice()] {
        let (mut log, enclave) = (Log::new(), Enclave::new());
        let mut watching = Watching::new(&log);
        log.add_logged(&enclave.boot(evidence));
        log.publish(T);
        assert_eq!(watching.poll(&log), [""; 0]);
        let checkpoint = CheckpointRef { time: T - 100, ..log.checkpoint() };
        let far = enclave.receipt_with(checkpoint, |payload| {
            (payload.seq, payload.previous, payload.settle_by) = (1 << 52, Some(Hex([7; 32])), Some(T - 9));
        });
        log.add(leaf(&far));
        log.publish(T + 1);
        let report = watching.monitor.poll(log.time * 1000).unwrap();
        let withheld = report.violations.iter().find(|found| found.code() == "receipt_withheld").unwrap();
        assert!(
            matches!(withheld, Violation::ReceiptWithheld { seq: 0, last, .. } if *last == (1 << 52) - 1),
            "{withheld}"
        );
        assert!(report.violations.len() <= 3, "{:?}", report.violations);
        // What is remembered is small, and is read again.
        let state = watching.folder.path().join("state.json");
        assert!(std::fs::metadata(state).unwrap().len() < 20_000);
        assert_eq!(watching.restart(&log).poll(&log), [""; 0]);
    }
}

#[test]
fn forks_repetitions_and_broken_chains_are_named() {
    let (mut log, mut enclave, mut watching) = followed(5);
    let checkpoint = log.checkpoint();
    let other = enclave.receipt_with(checkpoint, |payload| payload.request = Hex([1; 32]));
    log.add(leaf(&enclave.receipt(checkpoint)));
    log.add(leaf(&other));
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), ["receipt_forked"]);
    let again = log.leaves[4].clone();
    log.add(again);
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), ["receipt_repeated"]);
    let checkpoint = log.checkpoint();
    log.add(leaf(&enclave.receipt_with(checkpoint, |payload| payload.previous = Some(Hex([3; 32])))));
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), ["chain_broken"]);
}

#[test]
fn leaves_that_nobody_could_have_put_there_are_named() {
    let (mut log, enclave, mut watching) = followed(5);
    let checkpoint = log.checkpoint();
    log.add(leaf(&Enclave::new().receipt(checkpoint)));
    log.add(b"\x07no leaf".to_vec());
    let mut forged = leaf(&enclave.receipt_with(checkpoint, |_| {}));
    let last = forged.len() - 1;
    forged[last] ^= 1;
    log.add(forged);
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), ["boot_unknown", "leaf_malformed", "leaf_signature"]);
}

/// A boot begins once: whatever a second record says, its evidence would be judged by nobody.
#[test]
fn a_second_record_of_a_boot_is_verified_and_named() {
    let (mut log, enclave, mut watching) = followed(5);
    let second = enclave.boot(b"evidence of another image");
    let mut forged = second.leaf.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    log.add_logged(&second);
    log.add(forged);
    log.publish(log.time + 1);
    let found = watching.monitor.poll(log.time * 1000).unwrap();
    assert_eq!(codes(&found), ["boot_repeated", "leaf_signature"]);
    let named = "entry 7 is another record of boot";
    assert!(found.violations[0].to_string().starts_with(named), "{}", found.violations[0]);
    // Read in one batch with the first, it is the same.
    assert_eq!(Watching::new(&log).poll(&log), ["boot_repeated", "leaf_signature"]);
}

/// What is read together is in an order all the same.
#[test]
fn a_leaf_before_its_boots_record_is_named_however_much_is_read_at_once() {
    let (mut log, mut enclave) = (Log::new(), Enclave::new());
    let boot = enclave.boot(GOOD);
    log.add(enclave.endorsements(b"{}").leaf);
    log.add_logged(&enclave.epoch(&boot, 0));
    log.add_logged(&boot);
    log.add_logged(&enclave.epoch(&boot, 0));
    let checkpoint = log.checkpoint();
    log.add(leaf(&enclave.receipt(checkpoint)));
    log.publish(T);
    assert_eq!(Watching::new(&log).poll(&log), ["boot_unknown", "boot_unknown"]);
}

#[test]
fn boots_that_the_policy_refuses_and_blobs_that_are_missing_are_named() {
    let (mut log, mut enclave) = (Log::new(), Enclave::new());
    let mut watching = Watching::new(&log);
    log.add_logged(&enclave.boot(b"evidence of another image"));
    log.publish(T);
    assert_eq!(watching.poll(&log), [""; 0], "endorsements may still come");
    let checkpoint = log.checkpoint();
    log.add(leaf(&enclave.receipt(checkpoint)));
    log.publish(T + 61);
    let report = watching.monitor.poll(log.time * 1000).unwrap();
    assert_eq!(codes(&report), ["boot_refused", "epoch_missing"]);

    let mut log = Log::new();
    let mut watching = Watching::new(&log);
    let boot = Enclave::new().boot(GOOD);
    log.add(boot.leaf.clone());
    log.publish(T);
    assert_eq!(watching.poll(&log).first(), Some(&"blob"));
    // Another blob under the right name is no better.
    let mut log = Log::new();
    let mut watching = Watching::new(&log);
    log.add_logged(&boot);
    let paths: Vec<String> = log.files.0.lock().unwrap().keys().cloned().collect();
    for path in paths {
        log.put(&path, b"{}".to_vec());
    }
    log.publish(T);
    assert_eq!(watching.poll(&log).first(), Some(&"blob"));
}

#[test]
fn an_epoch_that_the_policy_refuses_is_named_like_its_boot() {
    let (mut log, enclave) = (Log::new(), Enclave::new());
    let mut watching = Watching::new(&log);
    let boot = enclave.boot(GOOD);
    log.add_logged(&boot);
    log.add_logged(&enclave.epoch_with(&boot, 0, b"evidence of another machine", None));
    log.publish(T);
    assert_eq!(watching.poll(&log), [""; 0], "endorsements may still come");
    log.add(enclave.word(log.checkpoint(), false));
    log.publish(T + 61);
    assert_eq!(watching.poll(&log), ["boot_refused"]);
}

/// Evidence is judged for the time by which witnesses saw it in the log, not for the day of the reading:
/// what was good then stays good. An entry's own word for an earlier time does not count.
#[test]
fn old_boots_are_judged_for_the_time_at_which_they_were_logged() {
    for (proved, expected) in [(true, Vec::new()), (false, vec!["boot_refused", "boot_refused"])] {
        let (mut log, enclave) = (Log::new(), Enclave::new());
        let boot = enclave.boot(EXPIRES);
        log.add_logged(&boot);
        log.time = T;
        let note = if proved { log.note() } else { note(log.checkpoint(), 1) };
        log.add_logged(&enclave.epoch_with(&boot, 0, EXPIRES, Some(note)));
        log.add(enclave.word(log.checkpoint(), false));
        log.publish(T + 1_000_000);
        assert_eq!(Watching::new(&log).poll(&log), expected, "{proved}");
    }
}
