//! The trust gap: how long after an answer everybody can see that it was given.
//!
//! Two figures, never mixed. The *log's own*: from the enclave's whole seconds in a receipt to the
//! witness time of the first checkpoint seen with it, each clock being somebody else's, precise to a
//! second or two. The *probes*: this monitor's own requests by its own clock, precise to the interval
//! between two looks at the log. What has not settled counts as longer than everything that has.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use vouchsafe_verifier::encoding::Hex;

use crate::Histogram;

/// One point of the plot: ten minutes.
pub const SLOT_SECONDS: u64 = 600;
/// Points kept: one week.
const SLOTS_MAX: usize = 1008;
/// Probes that wait for the log at once.
const PROBES_MAX: usize = 1024;

/// What was measured, by time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Slots by their beginning in Unix seconds.
    pub slots: BTreeMap<u64, Slot>,
}

/// What was measured in one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Enclave's seconds → witness time, of all receipts.
    pub log: Histogram,
    /// Asked → answered, of probes.
    pub answered: Histogram,
    /// Answered → in a checkpoint with its quorum, of probes.
    pub witnessed: Histogram,
    /// Seen in a checkpoint → verified by this monitor, of probes.
    pub audited: Histogram,
    /// Receipts that had not settled at the end of the slot, as later records prove.
    pub unsettled: u64,
    /// Probes whose receipts had not settled at the end of the slot.
    #[serde(default)]
    pub probes_unsettled: u64,
    /// Probes that got no acceptable answer.
    pub failed: u64,
}

impl Gap {
    /// The slot of a moment in Unix seconds.
    pub fn slot(&mut self, seconds: u64) -> &mut Slot {
        let start = seconds.saturating_sub(seconds % SLOT_SECONDS);
        self.slots.entry(start).or_default();
        while self.slots.len() > SLOTS_MAX {
            self.slots.pop_first();
        }
        self.slots.entry(start).or_default()
    }

    /// All slots as one.
    pub fn total(&self) -> Slot {
        let mut total = Slot::default();
        for slot in self.slots.values() {
            total.log.merge(&slot.log);
            total.answered.merge(&slot.answered);
            total.witnessed.merge(&slot.witnessed);
            total.audited.merge(&slot.audited);
            total.failed = total.failed.saturating_add(slot.failed);
        }
        if let Some(newest) = self.slots.values().next_back() {
            (total.unsettled, total.probes_unsettled) = (newest.unsettled, newest.probes_unsettled);
        }
        total
    }
}

/// A probe whose answer came and whose receipt is not in the log yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Leaf hash of its receipt.
    pub leaf: Hex<32>,
    /// When it was asked, Unix milliseconds by this machine's clock.
    pub asked_ms: u64,
    /// When the whole answer was there.
    pub answered_ms: u64,
}

/// Probes on their way, shared with whoever asks.
#[derive(Debug, Default)]
pub struct Probes {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Probe>,
    failed: u64,
}

impl Probes {
    /// An answer came with this receipt.
    pub fn answered(&self, probe: Probe) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.waiting.len() >= PROBES_MAX {
            inner.waiting.pop_front();
            inner.failed = inner.failed.saturating_add(1);
        }
        inner.waiting.push_back(probe);
    }

    /// No acceptable answer came.
    pub fn failed(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.failed = inner.failed.saturating_add(1);
    }

    /// Probes whose receipts are not in the log yet.
    pub fn waiting(&self) -> u64 {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        u64::try_from(inner.waiting.len()).unwrap_or(u64::MAX)
    }

    /// The leaf hashes that are waited for.
    pub(crate) fn leaves(&self) -> Vec<[u8; 32]> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.waiting.iter().map(|probe| probe.leaf.0).collect()
    }

    /// Takes the probe whose receipt has this leaf hash.
    pub(crate) fn take(&self, leaf: &[u8; 32]) -> Option<Probe> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let place = inner.waiting.iter().position(|probe| probe.leaf.0 == *leaf)?;
        inner.waiting.remove(place)
    }

    /// Takes the number of failures since it was asked last.
    pub(crate) fn take_failed(&self) -> u64 {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut inner.failed)
    }
}

/// This machine's clock in Unix milliseconds; 0 where it stands before 1970.
pub fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
