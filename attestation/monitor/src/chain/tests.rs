//! One boot's receipts in every order, and every way of not being one chain.

use super::*;
use vouchsafe_receipt::{Assurance, CheckpointRef};

const BOOT: Hex<32> = Hex([9; 32]);

fn leaf(seq: u64) -> Hex<32> {
    Hex([u8::try_from(seq).unwrap() + 1; 32])
}

fn receipt(seq: u64, settle_by: u64) -> ReceiptPayload {
    let zero = Hex([0; 32]);
    ReceiptPayload {
        version: 1,
        boot: BOOT,
        epoch: 0,
        seq,
        previous: seq.checked_sub(1).map(leaf),
        model: None,
        engine: zero,
        request: zero,
        response: zero,
        execution: zero,
        assurance: Assurance::Attested,
        checkpoint: Some(CheckpointRef { size: 1, root: zero, time: settle_by - 60 }),
        settle_by: Some(settle_by),
        unattested_time: 0,
    }
}

fn heartbeat(seq_next: u64, head: Option<Hex<32>>, time: u64) -> Heartbeat {
    let checkpoint = CheckpointRef { size: 1, root: Hex([0; 32]), time };
    Heartbeat { version: 1, boot: BOOT, epoch: 0, seq_next, head, checkpoint, unattested_time: 0 }
}

fn range(seq: u64, last: u64, leaf: Option<Hex<32>>, due: u64, (size, time): (u64, u64)) -> Violation {
    Violation::ReceiptWithheld { boot: BOOT, seq, last, leaf, due, size, time }
}

fn codes(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(Violation::code).collect()
}

#[test]
fn receipts_in_any_order_make_one_chain() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let mut chain = Chain::new(BOOT);
        for seq in order {
            assert_eq!(chain.receipt(seq, leaf(seq), &receipt(seq, 100)), []);
        }
        assert_eq!((chain.complete(), chain.waiting()), (4, 0));
        assert_eq!(chain.settle(4, 1_000), []);
        assert_eq!(chain.word(4, &heartbeat(4, Some(leaf(3)), 100), true, Some(60)), []);
    }
}

#[test]
fn a_withheld_receipt_is_named_once_when_it_was_due() {
    let mut chain = Chain::new(BOOT);
    chain.receipt(0, leaf(0), &receipt(0, 100));
    chain.receipt(1, leaf(3), &receipt(3, 120));
    assert_eq!(chain.settle(2, 120), [], "not before it was due");
    let withheld = chain.settle(2, 121);
    assert_eq!(withheld, [range(1, 2, Some(leaf(2)), 120, (2, 121))]);
    assert_eq!(chain.settle(2, 122), [], "once");
}

#[test]
fn a_heartbeat_names_the_tail_that_is_withheld() {
    let mut chain = Chain::new(BOOT);
    chain.receipt(0, leaf(0), &receipt(0, 100));
    assert_eq!(chain.word(1, &heartbeat(2, Some(leaf(1)), 200), false, Some(60)), []);
    assert_eq!(chain.settle(2, 260), []);
    let expected = range(1, 1, Some(leaf(1)), 260, (2, 261));
    assert_eq!(chain.settle(2, 261), [expected]);
}

/// Whoever runs a boot of his own can sign any number. None of them makes the monitor count.
#[test]
fn huge_numbers_cost_one_range_each() {
    const HUGE: u64 = (1 << 53) - 1;
    let mut chain = Chain::new(BOOT);
    let mut far = receipt(3, 100);
    (far.seq, far.previous) = (HUGE, Some(leaf(5)));
    assert_eq!(chain.receipt(0, leaf(6), &far), []);
    assert_eq!(chain.settle(1, 101), [range(0, HUGE - 1, Some(leaf(5)), 100, (1, 101))]);
    assert_eq!(chain.settle(1, 102), [], "once");
    assert_eq!(chain.missing(), HUGE);

    let mut chain = Chain::new(BOOT);
    chain.receipt(0, leaf(1), &receipt(1, 100));
    assert_eq!(chain.word(1, &heartbeat(u64::MAX, Some(leaf(7)), 200), true, Some(60)), []);
    let expected =
        [range(0, 0, Some(leaf(0)), 100, (2, 261)), range(2, u64::MAX - 1, Some(leaf(7)), 260, (2, 261))];
    assert_eq!(chain.settle(2, 261), expected);
    assert_eq!(chain.settle(2, 262), [], "once");
}

#[test]
fn every_hole_below_what_was_due_is_named_in_order() {
    let mut chain = Chain::new(BOOT);
    // A promise that comes later than that of a later receipt delays nothing.
    for (index, (seq, due)) in (0..).zip([(2, 900), (5, 100), (8, 900)]) {
        chain.receipt(index, leaf(seq), &receipt(seq, due));
    }
    let named = [range(0, 1, Some(leaf(1)), 100, (3, 101)), range(3, 4, Some(leaf(4)), 100, (3, 101))];
    assert_eq!(chain.settle(3, 101), named);
    assert_eq!(chain.settle(3, 901), [range(6, 7, Some(leaf(7)), 900, (3, 901))]);
}

#[test]
fn two_words_of_one_count_with_two_heads_are_named() {
    let mut chain = Chain::new(BOOT);
    assert_eq!(chain.word(0, &heartbeat(2, Some(leaf(1)), 200), false, Some(60)), []);
    assert_eq!(codes(&chain.word(1, &heartbeat(2, Some(leaf(7)), 200), false, None)), ["head_mismatch"]);
}

#[test]
fn a_position_of_long_ago_is_not_called_a_repetition() {
    let mut chain = Chain::new(BOOT);
    let plain = |seq| ReceiptPayload { previous: None, seq, ..receipt(0, 100) };
    for seq in 0..u64::try_from(RECENT_MAX).unwrap() + 2 {
        assert_eq!(chain.receipt(seq, leaf(seq % 200), &plain(seq)), []);
    }
    assert_eq!(codes(&chain.receipt(9, leaf(2), &plain(2))), ["receipt_repeated"]);
    assert_eq!(codes(&chain.receipt(9, leaf(3), &plain(2))), ["receipt_forked"]);
    for forked in [leaf(1), leaf(7)] {
        assert_eq!(codes(&chain.receipt(9, forked, &plain(1))), ["receipt_position_reused"]);
    }
}

#[test]
fn receipts_beyond_what_can_wait_are_said_to_be_unfollowed_and_nobody_is_accused_for_them() {
    let mut chain = Chain::new(BOOT);
    let plain = |seq| ReceiptPayload { previous: None, seq, ..receipt(0, 100) };
    let max = u64::try_from(WAITING_MAX).unwrap();
    for seq in 1..=max {
        assert_eq!(chain.receipt(seq, leaf(0), &plain(seq)), []);
    }
    assert_eq!(codes(&chain.receipt(9, leaf(0), &plain(max + 2))), ["receipts_unfollowed"]);
    assert_eq!(chain.receipt(9, leaf(0), &plain(max + 1)), [], "once");
    chain.word(9, &heartbeat(max + 9, Some(leaf(0)), 1), false, Some(60));
    assert_eq!(chain.settle(9, 101), [range(0, 0, None, 100, (9, 101))]);
    assert_eq!(chain.receipt(9, leaf(0), &plain(0)), []);
    assert_eq!((chain.complete(), chain.waiting()), (max + 1, 0));
    assert_eq!(chain.settle(9, 1_000), [], "those that were let go of are in the log");
}

#[test]
fn a_tail_that_comes_after_its_heartbeat_is_held_against_it() {
    let mut chain = Chain::new(BOOT);
    chain.word(0, &heartbeat(2, Some(leaf(7)), 200), false, Some(60));
    assert_eq!(chain.receipt(1, leaf(0), &receipt(0, 100)), []);
    assert_eq!(codes(&chain.receipt(2, leaf(1), &receipt(1, 100))), ["head_mismatch"]);
}

#[test]
fn forks_repetitions_broken_links_and_words_after_the_last_are_named() {
    let mut chain = Chain::new(BOOT);
    for seq in 0..3 {
        chain.receipt(seq, leaf(seq), &receipt(seq, 100));
    }
    assert_eq!(codes(&chain.receipt(3, leaf(9), &receipt(1, 100))), ["receipt_forked"]);
    assert_eq!(codes(&chain.receipt(4, leaf(1), &receipt(1, 100))), ["receipt_repeated"]);
    let mut broken = receipt(3, 100);
    broken.previous = Some(leaf(8));
    assert_eq!(codes(&chain.receipt(5, leaf(3), &broken)), ["chain_broken"]);
    assert_eq!(codes(&chain.word(6, &heartbeat(3, Some(leaf(8)), 100), false, None)), ["head_mismatch"]);
    chain.word(7, &heartbeat(4, Some(leaf(3)), 100), true, None);
    assert_eq!(codes(&chain.receipt(8, leaf(4), &receipt(4, 100))), ["after_close"]);
}

#[test]
fn the_state_survives_being_written() {
    let mut chain = Chain::new(BOOT);
    chain.receipt(0, leaf(0), &receipt(0, 100));
    chain.receipt(1, leaf(2), &receipt(2, 100));
    chain.word(2, &heartbeat(5, Some(leaf(4)), 100), false, None);
    let text = serde_json::to_string(&chain).unwrap();
    assert_eq!(serde_json::from_str::<Chain>(&text).unwrap(), chain);
}

#[test]
fn a_chain_that_is_trimmed_says_so_once_and_accuses_nobody_beyond() {
    let mut chain = Chain::new(BOOT);
    for seq in [1, 2, 5, 7] {
        assert_eq!(chain.receipt(seq, leaf(seq), &receipt(seq, 100)), []);
    }
    let named = Violation::ReceiptsUnfollowed { boot: BOOT, seq: 5, index: 9 };
    assert_eq!(chain.trim(2, 9), Some(named));
    assert_eq!((chain.waiting(), chain.trim(2, 9)), (2, None));
    assert_eq!(chain.receipt(10, leaf(6), &receipt(6, 100)), []);
    assert_eq!(chain.trim(1, 11), None);
    // What is nearest to the hole is kept, and the hole is named.
    assert_eq!(chain.settle(12, 1_000), [range(0, 0, Some(leaf(0)), 100, (12, 1_000))]);
}

#[test]
fn a_chain_that_is_over_remembers_its_last_receipt() {
    let mut chain = Chain::new(BOOT);
    for seq in 0..5 {
        assert_eq!(chain.receipt(seq, leaf(seq), &receipt(seq, 100)), []);
    }
    chain.word(5, &heartbeat(5, Some(leaf(4)), 100), true, None);
    assert!(chain.is_whole());
    chain.retire();
    assert_eq!(chain.recent.len(), 1);
    assert_eq!(codes(&chain.receipt(6, leaf(4), &receipt(4, 100))), ["receipt_repeated"]);
    assert_eq!(codes(&chain.receipt(7, leaf(3), &receipt(3, 100))), ["receipt_position_reused"]);
    assert_eq!(codes(&chain.word(8, &heartbeat(5, Some(leaf(0)), 100), false, None)), ["head_mismatch"]);
    assert_eq!(codes(&chain.receipt(9, leaf(5), &receipt(5, 100))), ["after_close"]);
}
