//! One boot's receipts in their order: `seq` and `previous`, what heartbeats and the close record say
//! of them, and which are missing.
//!
//! Anyone may submit a receipt, so the log's order need not be the boot's: a later receipt waits here
//! until those before it have come. A receipt is withheld when a later one, or a heartbeat, proves that
//! it was signed, and witness time has passed the moment by which it was due. The receipt after it
//! was promised at least as late, since a boot's trusted time never decreases: that is the due moment.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use vouchsafe_receipt::{Heartbeat, ReceiptPayload};
use vouchsafe_verifier::encoding::Hex;

use crate::Violation;

/// Receipts whose hashes are remembered, so that a late heartbeat can be held against them.
const RECENT_MAX: usize = 1024;
/// Receipts that may wait for earlier ones. An enclave has at most some hundreds unsettled.
const WAITING_MAX: usize = 65_536;
/// Due moment of what carries no promise of its own, in seconds after its checkpoint's time.
const BOUND_DEFAULT_SECONDS: u64 = 60;

/// What the monitor knows of a boot's receipts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    boot: Hex<32>,
    /// The position of the next receipt in order.
    next: u64,
    /// Leaf hash of the receipt before it.
    head: Option<Hex<32>>,
    /// The newest receipts in order, by position.
    recent: VecDeque<(u64, Hex<32>)>,
    /// Receipts that came before an earlier one.
    waiting: BTreeMap<u64, Waiting>,
    /// Counts that heartbeats state and the log has not reached.
    claims: BTreeMap<u64, Claim>,
    closed: Option<u64>,
    /// Positions below this were reported as withheld.
    reported: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    leaf: Hex<32>,
    previous: Option<Hex<32>>,
    due: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    head: Hex<32>,
    due: u64,
    index: u64,
}

impl Chain {
    /// Nothing is known of the boot's receipts yet.
    pub fn new(boot: Hex<32>) -> Self {
        Self {
            boot,
            next: 0,
            head: None,
            recent: VecDeque::new(),
            waiting: BTreeMap::new(),
            claims: BTreeMap::new(),
            closed: None,
            reported: 0,
        }
    }

    /// The boot.
    pub fn boot(&self) -> Hex<32> {
        self.boot
    }

    /// How many receipts are in the log without a gap.
    pub fn complete(&self) -> u64 {
        self.next
    }

    /// Receipts that are in the log, while an earlier one is not.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Receipts that were signed, as later records prove, and are not in the log.
    pub fn missing(&self) -> u64 {
        let after_last = self.waiting.last_key_value().map_or(0, |(seq, _)| seq.saturating_add(1));
        let claimed = self.claims.last_key_value().map_or(0, |(seq_next, _)| *seq_next);
        let here = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        after_last.max(claimed).saturating_sub(self.next).saturating_sub(here)
    }

    /// Whether the boot has said its last word.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// A verified receipt with its leaf hash, at `index` of the log.
    pub fn receipt(&mut self, index: u64, leaf: Hex<32>, receipt: &ReceiptPayload) -> Vec<Violation> {
        let mut found = Vec::new();
        let (boot, seq) = (self.boot, receipt.seq);
        if let Some(seq_next) = self.closed.filter(|seq_next| seq >= *seq_next) {
            found.push(Violation::AfterClose { boot, seq, index, seq_next });
        }
        if let Some(first) = self.known(seq) {
            found.push(match first == leaf {
                true => Violation::ReceiptRepeated { boot, seq, index },
                false => Violation::ReceiptForked { boot, seq, first, second: leaf, index },
            });
            return found;
        }
        if seq < self.next {
            // Which one it was is no longer remembered here; the log holds one of each position.
            found.push(Violation::ReceiptRepeated { boot, seq, index });
            return found;
        }
        if self.waiting.len() >= WAITING_MAX {
            // The oldest hole is what counts, and it is known already.
            return found;
        }
        let due = due(receipt.settle_by, receipt.checkpoint.map(|checkpoint| checkpoint.time));
        self.waiting.insert(seq, Waiting { leaf, previous: receipt.previous, due });
        self.advance(&mut found);
        found
    }

    /// A verified heartbeat or, where `closing`, the close record, at `index` of the log. `bound_s` is
    /// the boot's promise in seconds.
    pub fn word(
        &mut self,
        index: u64,
        word: &Heartbeat,
        closing: bool,
        bound_s: Option<u64>,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        if closing {
            self.closed = Some(word.seq_next);
        }
        let Some(said) = word.head else { return found };
        let last = word.seq_next.saturating_sub(1);
        if word.seq_next <= self.next {
            if let Some(leaf) = self.known(last).filter(|leaf| *leaf != said) {
                found.push(self.contradiction(index, word.seq_next, said, leaf));
            }
            return found;
        }
        let due = word.checkpoint.time.saturating_add(bound_s.unwrap_or(BOUND_DEFAULT_SECONDS));
        self.claims.insert(word.seq_next, Claim { head: said, due, index });
        while self.claims.len() > RECENT_MAX {
            // The largest count says most.
            self.claims.pop_first();
        }
        found
    }

    /// What was due before the witness time `time` of a tree of `size` leaves, all of which were seen,
    /// and is not there. Each is reported once.
    pub fn settle(&mut self, size: u64, time: u64) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut missing: BTreeMap<u64, (Option<Hex<32>>, u64)> = BTreeMap::new();
        let mut from = self.next.max(self.reported);
        for (seq, waiting) in self.waiting.range(from..) {
            if waiting.due < time {
                for seq in from..*seq {
                    missing.insert(seq, (None, waiting.due));
                }
                if let Some(last) = seq.checked_sub(1).filter(|last| missing.contains_key(last)) {
                    missing.insert(last, (waiting.previous, waiting.due));
                }
            }
            from = seq.saturating_add(1);
        }
        for (seq_next, claim) in &self.claims {
            if claim.due < time {
                for seq in from.max(self.reported)..*seq_next {
                    let leaf = (seq.saturating_add(1) == *seq_next).then_some(claim.head);
                    missing.entry(seq).or_insert((leaf, claim.due));
                }
            }
        }
        for (seq, (leaf, due)) in missing {
            self.reported = self.reported.max(seq.saturating_add(1));
            found.push(Violation::ReceiptWithheld { boot: self.boot, seq, leaf, due, size, time });
        }
        found
    }

    /// The leaf hash of a receipt that is remembered.
    fn known(&self, seq: u64) -> Option<Hex<32>> {
        if let Some(waiting) = self.waiting.get(&seq) {
            return Some(waiting.leaf);
        }
        let (first, _) = self.recent.front()?;
        let place = usize::try_from(seq.checked_sub(*first)?).ok()?;
        self.recent.get(place).map(|(_, leaf)| *leaf)
    }

    /// Moves receipts that have come to be in order into the chain.
    fn advance(&mut self, found: &mut Vec<Violation>) {
        while let Some(Waiting { leaf, previous, .. }) = self.waiting.remove(&self.next) {
            if let (Some(named), Some(head)) = (previous, self.head)
                && named != head
            {
                found.push(Violation::ChainBroken { boot: self.boot, seq: self.next, named, found: head });
            }
            self.recent.push_back((self.next, leaf));
            if self.recent.len() > RECENT_MAX {
                self.recent.pop_front();
            }
            self.head = Some(leaf);
            self.next = self.next.saturating_add(1);
            if let Some(claim) = self.claims.remove(&self.next)
                && claim.head != leaf
            {
                found.push(self.contradiction(claim.index, self.next, claim.head, leaf));
            }
        }
    }

    fn contradiction(&self, index: u64, seq_next: u64, said: Hex<32>, found: Hex<32>) -> Violation {
        Violation::HeadMismatch { index, boot: self.boot, seq_next, said, found }
    }
}

fn due(settle_by: Option<u64>, checkpoint_time: Option<u64>) -> u64 {
    settle_by.unwrap_or_else(|| checkpoint_time.unwrap_or(0).saturating_add(BOUND_DEFAULT_SECONDS))
}

#[cfg(test)]
mod tests {
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
        let of =
            |seq, leaf| Violation::ReceiptWithheld { boot: BOOT, seq, leaf, due: 120, size: 2, time: 121 };
        assert_eq!(withheld, [of(1, None), of(2, Some(leaf(2)))]);
        assert_eq!(chain.settle(2, 122), [], "once");
    }

    #[test]
    fn a_heartbeat_names_the_tail_that_is_withheld() {
        let mut chain = Chain::new(BOOT);
        chain.receipt(0, leaf(0), &receipt(0, 100));
        assert_eq!(chain.word(1, &heartbeat(2, Some(leaf(1)), 200), false, Some(60)), []);
        assert_eq!(chain.settle(2, 260), []);
        let expected = Violation::ReceiptWithheld {
            boot: BOOT,
            seq: 1,
            leaf: Some(leaf(1)),
            due: 260,
            size: 2,
            time: 261,
        };
        assert_eq!(chain.settle(2, 261), [expected]);
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
}
