//! The control connection: readiness, health, receipts in, acknowledgements out.
//!
//! It is made anew whenever it is lost. Receipts go through a worker that stores them in batches and
//! lets only stored ones be acknowledged; while it is behind, no further ones are read.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use vouchsafe_link::control::{BootId, EnclaveMessage, Health, Hello, HostMessage, Receiver, Sender};
use vouchsafe_link::{CONTROL_PORT, Endpoint, Error as LinkError, RawStream, dial};

use crate::metrics::{Metrics, Raised, add, set};
use crate::outbox::{ENVELOPE_BYTES_MAX, Outbox, Receipt};
use crate::{Error, Event, Events, forward};

/// Longest wait for the other side's first message.
const HELLO_MAX: Duration = Duration::from_secs(10);
/// How often the enclave is asked for its health.
const HEALTH_EVERY: Duration = Duration::from_secs(5);
/// An enclave that leaves a health request unanswered for so long is connected to anew.
const HEALTH_MAX: Duration = Duration::from_secs(30);
/// Pause between attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Receipts on their way to the disk.
const RECEIPTS_QUEUED_MAX: usize = 256;
/// Pause before a failed write is tried again.
const STORAGE_PAUSE: Duration = Duration::from_secs(1);

/// What the control connection needs, and what it learned.
pub(crate) struct Control {
    endpoint: Endpoint,
    events: Events,
    metrics: Arc<Metrics>,
    receipts: mpsc::Sender<Receipt>,
    stored: mpsc::UnboundedReceiver<Ack>,
    signals: Signals,
    ready: Option<BootId>,
    failure: Arc<Mutex<Option<String>>>,
}

/// What the host tells its control connection.
pub(crate) struct Signals {
    /// Whether sessions are to end.
    pub(crate) draining: watch::Receiver<bool>,
    /// Whether the enclave is to drain with them. One that this host did not start goes on without it.
    pub(crate) is_ours: bool,
    /// Set once no new connection is wanted after this one.
    pub(crate) last: watch::Receiver<bool>,
}

struct Ack {
    boot: BootId,
    seq: u64,
}

/// How one connection ended.
enum Ended {
    /// In order, by the enclave.
    Finished,
    /// Broken; worth another attempt.
    Lost(LinkError),
    /// With something that another attempt would only repeat.
    Fatal(Error),
}

impl From<LinkError> for Ended {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Protocol { .. } | LinkError::MessageMalformed(_) | LinkError::MessageLength { .. } => {
                Self::Fatal(Error::Control(error))
            }
            error => Self::Lost(error),
        }
    }
}

impl Control {
    /// Starts the worker that stores receipts, on a thread of its own because it waits for disks. It
    /// ends when the control connection is dropped and its queue is empty.
    pub(crate) fn new(
        endpoint: Endpoint,
        outbox: impl Outbox,
        events: Events,
        metrics: Arc<Metrics>,
        signals: Signals,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (receipts, queued) = mpsc::channel(RECEIPTS_QUEUED_MAX);
        let (acks, stored) = mpsc::unbounded_channel();
        let worker = Worker {
            outbox,
            queued,
            acks,
            events: events.clone(),
            metrics: Arc::clone(&metrics),
            pause: STORAGE_PAUSE,
        };
        let worker = tokio::task::spawn_blocking(move || worker.run());
        let control = Self {
            endpoint,
            events,
            metrics,
            receipts,
            stored,
            signals,
            ready: None,
            failure: Arc::default(),
        };
        (control, worker)
    }

    /// Where it is written down why the enclave cannot go on, if it says so.
    pub(crate) fn failure(&self) -> Arc<Mutex<Option<String>>> {
        Arc::clone(&self.failure)
    }

    /// Keeps a connection until it ends for good: `Ok` where it ended or was lost after the last one
    /// was asked for.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        loop {
            let connected = dial(&self.endpoint, CONTROL_PORT).await;
            let ended = match connected {
                Ok(stream) => self.serve(stream).await,
                Err(error) if error.is_transient() => {
                    if *self.signals.last.borrow() {
                        return Ok(());
                    }
                    sleep(RECONNECT_PAUSE).await;
                    continue;
                }
                Err(error) => return Err(Error::Control(error)),
            };
            set(&self.metrics.enclave_ready, 0);
            let why = match ended {
                Ended::Fatal(error) => return Err(error),
                Ended::Finished => "the enclave ended it".to_owned(),
                Ended::Lost(error) => error.to_string(),
            };
            if *self.signals.last.borrow() {
                return Ok(());
            }
            self.ready = None;
            self.events.tell(Event::ControlLost(why));
            sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn serve(&mut self, stream: RawStream) -> Ended {
        let metrics = Arc::clone(&self.metrics);
        let _connected = Raised::new(&metrics.control_connected);
        match self.exchange(stream).await {
            Ok(()) => Ended::Finished,
            Err(ended) => ended,
        }
    }

    async fn exchange(&mut self, stream: RawStream) -> Result<(), Ended> {
        let (reader, writer) = tokio::io::split(stream);
        let (mut receiver, mut sender) = (Receiver::new(reader), Sender::new(writer));
        sender.send(&HostMessage::Hello(Hello::new(SOFTWARE))).await?;
        let endpoint = self.endpoint.clone();
        let silent = || Ended::Lost(LinkError::Timeout { endpoint: endpoint.clone(), port: CONTROL_PORT });
        match timeout(HELLO_MAX, receiver.receive()).await.map_err(|_| silent())?? {
            Some(EnclaveMessage::Hello(hello)) => hello.check()?,
            Some(_) => {
                return Err(LinkError::MessageMalformed("the first message is not hello".into()).into());
            }
            None => return Ok(()),
        }
        let mut tick = interval(HEALTH_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = None::<Instant>;
        let mut draining = self.signals.draining.clone();
        let mut is_told_to_drain = !self.signals.is_ours;
        loop {
            let receipts = self.receipts.clone();
            tokio::select! {
                // No message is read while the disk is behind.
                message = async {
                    let place = receipts.reserve().await;
                    receiver.receive().await.map(|message| (message, place))
                } => {
                    let (Some(message), Ok(place)) = message? else { return Ok(()) };
                    match message {
                        EnclaveMessage::Receipt { boot, seq, envelope } => {
                            place.send(checked(Receipt { boot, seq, envelope })?);
                        }
                        EnclaveMessage::Health(health) => {
                            asked = None;
                            self.note(&health);
                        }
                        message => self.hear(message),
                    }
                }
                Some(ack) = self.stored.recv() => {
                    sender.send(&HostMessage::ReceiptAck { boot: ack.boot, seq: ack.seq }).await?;
                }
                () = forward::set(&mut draining), if !is_told_to_drain => {
                    is_told_to_drain = true;
                    sender.send(&HostMessage::Drain {}).await?;
                }
                _ = tick.tick() => match asked {
                    Some(since) if since.elapsed() > HEALTH_MAX => return Err(silent()),
                    Some(_) => {}
                    None => {
                        sender.send(&HostMessage::HealthRequest {}).await?;
                        asked = Some(Instant::now());
                    }
                },
            }
        }
    }

    fn hear(&mut self, message: EnclaveMessage) {
        match message {
            EnclaveMessage::Loading { done, total, .. } => self.events.tell(Event::Loading { done, total }),
            EnclaveMessage::Ready { boot } => self.now_ready(&boot),
            EnclaveMessage::Failed { code, message } => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                *failure = Some(format!("{message} ({code})"));
            }
            // A second hello says nothing new.
            _ => {}
        }
    }

    fn note(&mut self, health: &Health) {
        set(&self.metrics.enclave_active, health.active);
        set(&self.metrics.enclave_queued, health.queued);
        set(&self.metrics.enclave_unacknowledged, health.receipts_unacknowledged);
        set(&self.metrics.enclave_ready, u64::from(health.ready));
    }

    fn now_ready(&mut self, boot: &BootId) {
        set(&self.metrics.enclave_ready, 1);
        if self.ready.as_ref() != Some(boot) {
            self.ready = Some(boot.clone());
            self.events.tell(Event::Ready(boot.clone()));
        }
    }
}

const SOFTWARE: &str = concat!("vouchsafe-host ", env!("CARGO_PKG_VERSION"));

fn checked(receipt: Receipt) -> Result<Receipt, Ended> {
    let length = receipt.envelope.len();
    if length <= ENVELOPE_BYTES_MAX {
        return Ok(receipt);
    }
    let (boot, seq) = (receipt.boot, receipt.seq);
    Err(Ended::Fatal(Error::ReceiptTooLong { boot, seq, length, max: ENVELOPE_BYTES_MAX }))
}

/// Stores receipts and says which are stored.
struct Worker<O> {
    outbox: O,
    queued: mpsc::Receiver<Receipt>,
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
        while self.queued.blocking_recv_many(&mut batch, RECEIPTS_QUEUED_MAX) > 0 {
            if !self.store(&batch) {
                return;
            }
            let mut last = Vec::<Ack>::new();
            for Receipt { boot, seq, .. } in batch.drain(..) {
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
    fn store(&mut self, batch: &[Receipt]) -> bool {
        loop {
            match self.outbox.append(batch) {
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
    use crate::Stored;
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
    ) -> (Worker<Failing>, mpsc::Sender<Receipt>, mpsc::UnboundedReceiver<Ack>, mpsc::UnboundedReceiver<Event>)
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
            receipts.try_send(receipt(seq)).unwrap();
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
        receipts.try_send(receipt(0)).unwrap();
        drop((receipts, acks));
        worker.run();
    }
}
