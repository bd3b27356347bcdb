//! The outbox of a host with a log: what is stored goes on to be settled.

use tokio::sync::mpsc;

use super::{Item, Key, Queue};
use crate::{Error, Outbox, Receipt, Stored};

/// A queue on disk and the way from it to the log.
pub(crate) struct SettlingOutbox {
    queue: Queue,
    items: mpsc::UnboundedSender<Item>,
}

impl SettlingOutbox {
    /// Sends on what waited before this program started.
    pub(crate) fn new(queue: Queue, items: mpsc::UnboundedSender<Item>) -> Self {
        for item in queue.items() {
            // Without a receiver the program is about to end.
            let _ = items.send(item.clone());
        }
        Self { queue, items }
    }

    fn store(&mut self, items: &[Item]) -> Result<Stored, Error> {
        let new = self.queue.append(items)?;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let stored = Stored { new: count(new.len()), repeated: count(items.len().saturating_sub(new.len())) };
        for item in new {
            let _ = self.items.send(item);
        }
        Ok(stored)
    }
}

impl Outbox for SettlingOutbox {
    fn append(&mut self, receipts: &[Receipt]) -> Result<Stored, Error> {
        // What is no receipt was refused before it came here.
        let items: Vec<Item> = receipts.iter().filter_map(Item::of_receipt).collect();
        self.store(&items)
    }

    fn append_records(&mut self, records: &[Item]) -> Result<(), Error> {
        self.store(records).map(drop)
    }

    fn remove(&mut self, keys: &[Key]) -> Result<(), Error> {
        self.queue.remove(keys)
    }
}
