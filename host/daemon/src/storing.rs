//! The worker that keeps receipts and records on disk, away from the thread that copies ciphertext.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::mpsc;
use vouchsafe_link::control::BootId;

use crate::metrics::{Metrics, add};
use crate::settle::{Item, Key};
use crate::{Error, Event, Events, Outbox, Receipt, Stored};

/// Receipts and records on their way to the disk.
const JOBS_QUEUED_MAX: usize = 256;
/// Pause before a failed write is tried again.
const STORAGE_PAUSE: Duration = Duration::from_secs(1);

/// What is to be done on the disk.
#[derive(Debug)]
pub(crate) enum Job {
    /// Store a receipt, then acknowledge it.
    Receipt(Receipt),
    /// Store what a boot says of itself.
    Record(Item),
    /// Forget what is in the log.
    Proven(Vec<Key>),
}

/// Receipts that are stored.
pub(crate) struct Ack {
    /// The boot that signed them.
    pub(crate) boot: BootId,
    /// The last of them.
    pub(crate) seq: u64,
}

/// The other ends of the worker's channels.
pub(crate) struct Ends {
    /// What is to be done.
    pub(crate) jobs: mpsc::Sender<Job>,
    /// What was stored.
    pub(crate) stored: mpsc::UnboundedReceiver<Ack>,
}

/// Starts the worker, on a thread of its own because it waits for disks. It ends when nobody has
/// anything for it any more.
pub(crate) fn start(
    outbox: impl Outbox,
    events: Events,
    metrics: Arc<Metrics>,
) -> (Ends, tokio::task::JoinHandle<()>) {
    let (jobs, queued) = mpsc::channel(JOBS_QUEUED_MAX);
    let (acks, stored) = mpsc::unbounded_channel();
    let worker = Worker { outbox, queued, acks, events, metrics, pause: STORAGE_PAUSE };
    (Ends { jobs, stored }, tokio::task::spawn_blocking(move || worker.run()))
}

/// Stores receipts and says which are stored.
struct Worker<O> {
    outbox: O,
    queued: mpsc::Receiver<Job>,
    acks: mpsc::UnboundedSender<Ack>,
    events: Events,
    metrics: Arc<Metrics>,
    /// Before a failed write is tried again.
    pause: Duration,
}

impl<O: Outbox> Worker<O> {
    fn run(mut self) {
        let mut batch = Vec::new();
        // One sync serves all that is there.
        while self.queued.blocking_recv_many(&mut batch, JOBS_QUEUED_MAX) > 0 {
            let (mut receipts, mut records, mut proven) = (Vec::new(), Vec::new(), Vec::new());
            for job in batch.drain(..) {
                match job {
                    Job::Receipt(receipt) => receipts.push(receipt),
                    Job::Record(record) => records.push(record),
                    Job::Proven(keys) => proven.extend(keys),
                }
            }
            // Records first: the log admits nothing of a boot that it does not know.
            let is_stored = self
                .until_stored(|outbox| outbox.append_records(&records).map(|()| Stored::default()))
                && self.until_stored(|outbox| outbox.append(&receipts))
                && self.until_stored(|outbox| outbox.remove(&proven).map(|()| Stored::default()));
            if !is_stored {
                return;
            }
            let mut last = Vec::<Ack>::new();
            for Receipt { boot, seq, .. } in receipts {
                match last.iter_mut().find(|ack| ack.boot == boot) {
                    Some(ack) => ack.seq = ack.seq.max(seq),
                    None => last.push(Ack { boot, seq }),
                }
            }
            for ack in last {
                // Without a control connection the enclave will send them again.
                let _ = self.acks.send(ack);
            }
        }
    }

    /// Tries until it succeeds, or until nobody would be told of it any more.
    fn until_stored(&mut self, store: impl Fn(&mut O) -> Result<Stored, Error>) -> bool {
        loop {
            match store(&mut self.outbox) {
                Ok(stored) => {
                    add(&self.metrics.receipts_stored, stored.new);
                    add(&self.metrics.receipts_repeated, stored.repeated);
                    return true;
                }
                Err(error) => {
                    add(&self.metrics.storage_failures, 1);
                    self.events.tell(Event::StorageFailing(error.to_string()));
                }
            }
            if self.acks.is_closed() {
                return false;
            }
            std::thread::sleep(self.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::Ordering::Relaxed;

    /// Fails so many times, then stores.
    struct Failing {
        failures: usize,
        stored: Arc<Mutex<Vec<u64>>>,
    }

    impl Outbox for Failing {
        fn append(&mut self, receipts: &[Receipt]) -> Result<Stored, Error> {
            if self.failures > 0 {
                self.failures -= 1;
                return Err(Error::State {
                    path: "outbox".into(),
                    message: "no space left on device".into(),
                });
            }
            self.stored.lock().unwrap().extend(receipts.iter().map(|receipt| receipt.seq));
            Ok(Stored { new: u64::try_from(receipts.len()).unwrap(), repeated: 0 })
        }
    }

    fn worker(
        outbox: Failing,
    ) -> (Worker<Failing>, mpsc::Sender<Job>, mpsc::UnboundedReceiver<Ack>, mpsc::UnboundedReceiver<Event>)
    {
        let (receipts, queued) = mpsc::channel(8);
        let (acks, stored) = mpsc::unbounded_channel();
        let (events, told) = Events::channel();
        let metrics = Arc::default();
        (Worker { outbox, queued, acks, events, metrics, pause: Duration::ZERO }, receipts, stored, told)
    }

    fn receipt(seq: u64) -> Receipt {
        Receipt { boot: BootId::new(&"1".repeat(64)).unwrap(), seq, envelope: "{}".into() }
    }

    #[test]
    fn a_full_disk_delays_acknowledgements_and_loses_nothing() {
        let stored = Arc::default();
        let (worker, receipts, mut acks, mut told) =
            worker(Failing { failures: 3, stored: Arc::clone(&stored) });
        let metrics = Arc::clone(&worker.metrics);
        for seq in 0..5 {
            receipts.try_send(Job::Receipt(receipt(seq))).unwrap();
        }
        drop(receipts);
        worker.run();
        assert_eq!(*stored.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(acks.try_recv().unwrap().seq, 4, "one acknowledgement, for the last");
        assert!(acks.try_recv().is_err());
        let failures: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        assert_eq!(failures.len(), 3);
        assert!(failures[0].to_string().contains("storage-failing outbox: no space left"), "{failures:?}");
        assert_eq!((metrics.storage_failures.load(Relaxed), metrics.receipts_stored.load(Relaxed)), (3, 5));
    }

    #[test]
    fn a_disk_that_stays_full_does_not_hold_up_the_end() {
        let (worker, receipts, acks, _told) =
            worker(Failing { failures: usize::MAX, stored: Arc::default() });
        receipts.try_send(Job::Receipt(receipt(0))).unwrap();
        drop((receipts, acks));
        worker.run();
    }
}
