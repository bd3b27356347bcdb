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
    /// From this position on, receipts were too many to wait for an earlier one: nothing is said of them.
    #[serde(default)]
    unfollowed: Option<u64>,
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
            unfollowed: None,
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
        let followed = self.unfollowed.unwrap_or(u64::MAX);
        after_last.max(claimed).min(followed).saturating_sub(self.next).saturating_sub(here)
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
            // Which one it was is no longer remembered here: the same again, or a fork.
            found.push(Violation::ReceiptPositionReused { boot, seq, leaf, index });
            return found;
        }
        if self.unfollowed.is_some_and(|from| seq >= from) {
            return found;
        }
        let due = due(receipt.settle_by, receipt.checkpoint.map(|checkpoint| checkpoint.time));
        self.waiting.insert(seq, Waiting { leaf, previous: receipt.previous, due });
        self.advance(&mut found);
        found.extend(self.trim(WAITING_MAX, index));
        found
    }

    /// Lets go of receipts that wait beyond so many. The oldest hole is what counts, and what is nearest to it is
    /// kept. To accuse anybody for what was let go of would be wrong, and to say nothing would be, too.
    pub(crate) fn trim(&mut self, waiting_max: usize, index: u64) -> Option<Violation> {
        let mut from = None;
        while self.waiting.len() > waiting_max {
            from = self.waiting.pop_last().map(|(seq, _)| seq);
        }
        let from = from?;
        let is_first = self.unfollowed.replace(from).is_none();
        is_first.then_some(Violation::ReceiptsUnfollowed { boot: self.boot, seq: from, index })
    }

    /// Whether nothing is known to be missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.waiting.is_empty() && self.claims.is_empty()
    }

    /// Forgets which receipts there were, but for the last, of a boot that signs no more: what comes of it late is
    /// told apart by its position alone.
    pub(crate) fn retire(&mut self) {
        while self.recent.len() > 1 {
            self.recent.pop_front();
        }
        self.recent.shrink_to_fit();
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
        if let Some(before) = self.claims.get(&word.seq_next).filter(|claim| claim.head != said) {
            found.push(self.contradiction(index, word.seq_next, said, before.head));
            return found;
        }
        self.claims.entry(word.seq_next).or_insert(Claim { head: said, due, index });
        while self.claims.len() > RECENT_MAX {
            // The largest count says most.
            self.claims.pop_first();
        }
        found
    }

    /// What was due before the witness time `time` of a tree of `size` leaves, all of which were seen,
    /// and is not there: whole ranges, each reported once. A boot may name any number it likes, so that work
    /// and memory are bounded by what it logged, never by the numbers.
    pub fn settle(&mut self, size: u64, time: u64) -> Vec<Violation> {
        let from = self.next.max(self.reported);
        let unfollowed = self.unfollowed.unwrap_or(u64::MAX);
        // Everything below a mark was signed before it: by position, the leaf before it and its due moment.
        let waiting = self.waiting.range(from..).map(|(seq, it)| (*seq, it.previous, it.due, true));
        let claims = self.claims.range(from..).map(|(seq, it)| (*seq, Some(it.head), it.due, false));
        let mut marks: Vec<_> = waiting.chain(claims).filter(|mark| mark.0 <= unfollowed).collect();
        marks.sort_unstable_by_key(|(seq, _, _, here)| (*seq, *here));
        let Some(top) = marks.iter().filter(|mark| mark.2 < time).map(|mark| mark.0).max() else {
            return Vec::new();
        };
        marks.retain(|mark| mark.0 <= top);
        // What proves a later receipt proves the earlier ones: the earliest promise counts.
        let mut earliest = u64::MAX;
        for mark in marks.iter_mut().rev() {
            earliest = earliest.min(mark.2);
            mark.2 = earliest;
        }
        let (mut found, mut first) = (Vec::new(), from);
        for (seq, leaf, due, here) in marks {
            if let Some(last) = seq.checked_sub(1).filter(|last| first <= *last) {
                let (boot, seq) = (self.boot, first);
                found.push(Violation::ReceiptWithheld { boot, seq, last, leaf, due, size, time });
            }
            first = if here { seq.saturating_add(1) } else { seq };
        }
        self.reported = self.reported.max(top);
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
mod tests;
