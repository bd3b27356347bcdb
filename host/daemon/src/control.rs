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
use vouchsafe_verifier::encoding::{Base64, from_base64};

use crate::collateral::{Collateral, Stapled};
use crate::endorsing::{Endorsing, Taken};
use crate::metrics::{Metrics, Raised, set};
use crate::outbox::ENVELOPE_BYTES_MAX;
use crate::settle::{Item, Key, Kind, Report};
use crate::storing::{self, Ack, Job};
use crate::{Error, Event, Events, Outbox, Receipt, forward};

/// Longest wait for the other side's first message.
const HELLO_MAX: Duration = Duration::from_secs(10);
/// How often the enclave is asked for its health.
const HEALTH_EVERY: Duration = Duration::from_secs(5);
/// An enclave that leaves a health request unanswered for so long is connected to anew; so is one that does not
/// take a message for so long.
const HEALTH_MAX: Duration = Duration::from_secs(30);
/// Pause between attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// What the control connection needs, and what it learned.
pub(crate) struct Control {
    endpoint: Endpoint,
    events: Events,
    metrics: Arc<Metrics>,
    jobs: mpsc::Sender<Job>,
    settling: Option<Settling>,
    collateral: Option<Collateral>,
    /// Number of the connection.
    connection: u64,
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
    /// Set once the enclave is to be told to end.
    pub(crate) end: watch::Receiver<bool>,
    /// Set once no new connection is wanted after this one.
    pub(crate) last: watch::Receiver<bool>,
}

/// The control connection's ends of the settling client's channels.
pub(crate) struct Settling {
    /// What the enclave says, each with the number of the connection.
    pub(crate) reports: mpsc::UnboundedSender<(u64, Report)>,
    /// To the enclave, each for one connection and no later one.
    pub(crate) messages: mpsc::Receiver<(u64, HostMessage)>,
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
        let (storing::Ends { jobs, stored }, worker) =
            storing::start(outbox, events.clone(), Arc::clone(&metrics));
        let control = Self {
            endpoint,
            events,
            metrics,
            jobs,
            settling: None,
            collateral: None,
            connection: 0,
            stored,
            signals,
            ready: None,
            failure: Arc::default(),
        };
        (control, worker)
    }

    /// Where the settling client leaves what it wants forgotten. Does not keep the queue alive.
    pub(crate) fn jobs(&self) -> mpsc::WeakSender<Job> {
        self.jobs.downgrade()
    }

    /// Joins the connection to the settling client.
    pub(crate) fn settle(&mut self, settling: Settling) {
        self.settling = Some(settling);
    }

    /// Has the enclave's evidence endorsed.
    pub(crate) fn staple(&mut self, collateral: Collateral) {
        self.collateral = Some(collateral);
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
        self.connection = self.connection.saturating_add(1);
        let ended = self.exchange(stream).await;
        self.report(Report::Lost);
        match ended {
            Ok(()) => Ended::Finished,
            Err(ended) => ended,
        }
    }

    async fn exchange(&mut self, stream: RawStream) -> Result<(), Ended> {
        let (reader, writer) = tokio::io::split(stream);
        let (mut receiver, mut sender) = (Receiver::new(reader), Sender::new(writer));
        let endpoint = self.endpoint.clone();
        let silent = || Ended::Lost(LinkError::Timeout { endpoint: endpoint.clone(), port: CONTROL_PORT });
        let mut send = async |message: HostMessage| match timeout(HEALTH_MAX, sender.send(&message)).await {
            Ok(sent) => sent.map_err(Ended::from),
            Err(_) => Err(silent()),
        };
        send(HostMessage::Hello(Hello::new(SOFTWARE))).await?;
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
        let mut endorsements = self.collateral.as_ref().map(|collateral| collateral.endorsements.clone());
        // Before it has booted, an enclave has nothing to be endorsed.
        let mut has_booted = false;
        let mut endorsing = Endorsing::default();
        let mut is_told_to_drain = !self.signals.is_ours;
        let (mut end, mut is_told_to_end) = (self.signals.end.clone(), false);
        loop {
            let jobs = self.jobs.clone();
            let settling = &mut self.settling;
            let to_enclave = async {
                match settling {
                    Some(settling) => settling.messages.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // No message is read while the disk is behind.
                message = async {
                    let place = jobs.reserve().await;
                    receiver.receive().await.map(|message| (message, place))
                } => {
                    let (Some(message), Ok(place)) = message? else { return Ok(()) };
                    match message {
                        EnclaveMessage::Receipt { boot, seq, envelope } => {
                            let receipt = checked(Receipt { boot, seq, envelope }, self.settling.is_some())?;
                            place.send(Job::Receipt(receipt));
                        }
                        EnclaveMessage::Record { boot, number, leaf, blobs } => {
                            if self.settling.is_none() {
                                self.events.tell(Event::LogMissing);
                                continue;
                            }
                            let item = record(boot, number, &leaf, &blobs)?;
                            let Some(collateral) = &self.collateral else {
                                place.send(Job::Record(item));
                                continue;
                            };
                            has_booted = true;
                            let stapled = collateral.endorsements.borrow().clone();
                            match endorsing.take(item, stapled.as_ref())? {
                                Taken::Goes(item) => place.send(Job::Record(item)),
                                Taken::Waits(evidence) => {
                                    // Without a fetching task the program is about to end.
                                    let _ = evidence.map(|json| collateral.evidence.send(json));
                                }
                            }
                        }
                        EnclaveMessage::Health(health) => {
                            asked = None;
                            self.note(&health);
                        }
                        EnclaveMessage::Evidence { json, .. } => {
                            if let Some(collateral) = &self.collateral {
                                // Without a fetching task the program is about to end.
                                let _ = collateral.evidence.send(json);
                            }
                        }
                        message => {
                            let says_ready = matches!(message, EnclaveMessage::Ready { .. });
                            self.hear(message);
                            if let (true, Some(endorsements)) = (says_ready, &mut endorsements) {
                                has_booted = true;
                                endorsements.mark_changed();
                                send(HostMessage::EvidenceRequest {}).await?;
                            }
                        }
                    }
                }
                Some((connection, message)) = to_enclave => {
                    // What was meant for a connection before would be answered out of turn.
                    if connection == self.connection {
                        send(message).await?;
                    }
                }
                Some(ack) = self.stored.recv() => {
                    send(HostMessage::ReceiptAck { boot: ack.boot, seq: ack.seq }).await?;
                }
                () = forward::set(&mut draining), if !is_told_to_drain => {
                    is_told_to_drain = true;
                    send(HostMessage::Drain {}).await?;
                }
                stapled = newest(&mut endorsements), if has_booted => {
                    let Some(stapled) = stapled else { continue };
                    for item in endorsing.release(&stapled) {
                        let Ok(()) = jobs.send(Job::Record(item)).await else { return Ok(()) };
                    }
                    if let Ok(json) = serde_json::to_string(&stapled.endorsements) {
                        send(HostMessage::Endorsements { json }).await?;
                    }
                }
                () = forward::set(&mut end), if !is_told_to_end => {
                    is_told_to_end = true;
                    send(HostMessage::End {}).await?;
                }
                _ = tick.tick() => match asked {
                    Some(since) if since.elapsed() > HEALTH_MAX => return Err(silent()),
                    Some(_) => {}
                    None => {
                        send(HostMessage::HealthRequest {}).await?;
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
            EnclaveMessage::Verified { boot, size } => self.report(Report::Verified { boot, size }),
            EnclaveMessage::Refused { boot, size, code } => {
                self.report(Report::Refused { boot, size, code });
            }
            // A second hello says nothing new.
            _ => {}
        }
    }

    fn report(&self, report: Report) {
        if let Some(settling) = &self.settling {
            // Without a client the program is about to end.
            let _ = settling.reports.send((self.connection, report));
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

/// Endorsements that the enclave was not sent yet. Cancel-safe.
async fn newest(endorsements: &mut Option<watch::Receiver<Option<Stapled>>>) -> Option<Stapled> {
    if let Some(endorsements) = endorsements
        && endorsements.changed().await.is_ok()
    {
        return endorsements.borrow_and_update().clone();
    }
    std::future::pending().await
}

const SOFTWARE: &str = concat!("vouchsafe-host ", env!("CARGO_PKG_VERSION"));

fn checked(receipt: Receipt, settles: bool) -> Result<Receipt, Ended> {
    let length = receipt.envelope.len();
    if length > ENVELOPE_BYTES_MAX {
        let (boot, seq) = (receipt.boot, receipt.seq);
        return Err(Ended::Fatal(Error::ReceiptTooLong { boot, seq, length, max: ENVELOPE_BYTES_MAX }));
    }
    if settles && Item::of_receipt(&receipt).is_none() {
        let what = format!("receipt {} is not an envelope", receipt.seq);
        return Err(LinkError::MessageMalformed(what).into());
    }
    Ok(receipt)
}

fn record(boot: BootId, number: u64, leaf: &str, blobs: &[String]) -> Result<Item, Ended> {
    let decode = |text: &str| {
        let malformed = || LinkError::MessageMalformed(format!("record {number} is not base64"));
        from_base64(text).map(Base64).ok_or_else(malformed)
    };
    let key = Key { boot, kind: Kind::Record, number };
    let blobs: Result<Vec<_>, _> = blobs.iter().map(|blob| decode(blob)).collect();
    Ok(Item { key, leaf: decode(leaf)?, blobs: blobs? })
}
