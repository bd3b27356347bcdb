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
use crate::{Error, Event, Events};

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
    /// Set once no new connection is wanted after this one.
    last: watch::Receiver<bool>,
    ready: Option<BootId>,
    failure: Arc<Mutex<Option<String>>>,
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
        last: watch::Receiver<bool>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (receipts, queued) = mpsc::channel(RECEIPTS_QUEUED_MAX);
        let (acks, stored) = mpsc::unbounded_channel();
        let worker = Worker { outbox, queued, acks, events: events.clone(), metrics: Arc::clone(&metrics) };
        let worker = tokio::task::spawn_blocking(move || worker.run());
        let control =
            Self { endpoint, events, metrics, receipts, stored, last, ready: None, failure: Arc::default() };
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
                    if *self.last.borrow() {
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
            if *self.last.borrow() {
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
            std::thread::sleep(STORAGE_PAUSE);
        }
    }
}
