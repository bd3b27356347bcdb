//! The host from start to end.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::collateral::{self, Collateral, CollateralConfig};
use crate::control::{Control, Settling, Signals};
use crate::enclave::Enclave;
use crate::metrics::{self, Metrics};
use crate::settle::{Channels, Client, LogUrl, Queue, SettlingOutbox};
use crate::{EnclaveSource, Error, Event, Events, FileOutbox, forward};

/// How long to go on reading what an ended enclave sent last.
const LAST_RECEIPTS_MAX: Duration = Duration::from_secs(1);

/// How long an enclave that is told to end may take: longer than it allows itself, which is 30 s for answers in
/// progress and 15 s for those that it cuts off.
const STOP_MAX: Duration = Duration::from_secs(50);
/// The same, where its last receipts and its last word are to become public, for which it takes 10 s more.
const SETTLE_AND_STOP_MAX: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Which enclave they reach.
    pub enclave: EnclaveSource,
    /// Folder for what must outlive this program. Made where missing; one host at a time.
    pub state: PathBuf,
    /// Where to serve metrics, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The log that receipts settle into, if they do.
    pub log: Option<LogUrl>,
    /// Where endorsements come from, if they are fetched.
    pub collateral: Option<CollateralConfig>,
    /// Whether an enclave that ends by itself is started again, after a pause that grows.
    pub restarts: bool,
    /// Limits on sessions.
    pub limits: Limits,
}

/// Limits on sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most client connections at once; further ones are closed at once.
    pub connections_max: usize,
    /// Longest time without a byte in either direction.
    pub idle: Duration,
    /// Longest time until a client's first byte.
    pub first_byte: Duration,
    /// Longest time that sessions get to end when the host is asked to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            idle: Duration::from_secs(600),
            first_byte: Duration::from_secs(10),
            drain: Duration::from_secs(2),
        }
    }
}

/// Runs the host until `stop` resolves or something ends it. What it started is stopped in any case.
///
/// # Errors
/// [`Error`], where it was not asked to stop.
pub async fn run(config: Config, events: Events, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let (opened, stop_max) = match config.log {
        None => (Opened::Unpublished(FileOutbox::open(&config.state)?), STOP_MAX),
        Some(log) => (Opened::Settling(Queue::open(&config.state)?, log), SETTLE_AND_STOP_MAX),
    };
    let metrics = Arc::new(Metrics::default());
    let (listener, address) = metrics::bind(config.listen).await?;
    events.tell(Event::Listening(address));
    let _serving = match config.metrics {
        Some(address) => {
            let (listener, address) = metrics::bind(address).await?;
            events.tell(Event::Metrics(address));
            Some(AbortOnDrop(tokio::spawn(metrics::serve(listener, Arc::clone(&metrics)))))
        }
        None => None,
    };
    let mut enclave = Enclave::start(config.enclave, &config.state, config.restarts, &events)?;
    let endpoint = enclave.endpoint().clone();
    let (drain, draining) = watch::channel(false);
    let (last, is_last) = watch::channel(false);
    let is_ours = enclave.is_ours();
    let (end, is_to_end) = watch::channel(false);
    let signals = Signals { draining: draining.clone(), is_ours, end: is_to_end, last: is_last };
    let (mut control, storing, _settling) = match opened {
        Opened::Unpublished(outbox) => {
            let (control, storing) =
                Control::new(endpoint.clone(), outbox, events.clone(), Arc::clone(&metrics), signals);
            (control, storing, None)
        }
        Opened::Settling(queue, log) => {
            let (items, stored) = mpsc::unbounded_channel();
            let outbox = SettlingOutbox::new(queue, items);
            let (mut control, storing) =
                Control::new(endpoint.clone(), outbox, events.clone(), Arc::clone(&metrics), signals);
            let (reports, heard) = mpsc::unbounded_channel();
            let (to_enclave, messages) = mpsc::channel(1);
            control.settle(Settling { reports, messages });
            let channels =
                Channels { items: stored, reports: heard, messages: to_enclave, jobs: control.jobs() };
            let client = Client::new(log, channels, events.clone(), Arc::clone(&metrics));
            (control, storing, Some(AbortOnDrop(tokio::spawn(client.run()))))
        }
    };
    let failure = control.failure();
    let _fetching = config.collateral.map(|collateral| {
        let (evidence, named) = mpsc::unbounded_channel();
        let (found, endorsements) = watch::channel(None);
        control.staple(Collateral { evidence, endorsements });
        AbortOnDrop(tokio::spawn(collateral::run(collateral, named, found, events.clone())))
    });

    let mut result = {
        let mut control = pin!(control.run());
        let mut forwarding =
            Box::pin(forward::serve(listener, endpoint, config.limits, Arc::clone(&metrics), draining));
        let (result, control_ended) = tokio::select! {
            () = stop => {
                events.tell(Event::Stopping);
                drain.send_replace(true);
                // Sessions in progress get their time; whatever else ends meanwhile ends the wait.
                tokio::select! {
                    () = &mut forwarding => (Ok(()), false),
                    () = sleep(config.limits.drain) => (Ok(()), false),
                    _ = enclave.ended() => (Ok(()), false),
                    _ = &mut control => (Ok(()), true),
                }
            }
            error = enclave.ended() => (Err(error), false),
            ended = &mut control => (ended, true),
            () = &mut forwarding => (Ok(()), false),
        };
        drop(forwarding);
        // An enclave that is stopped hands over its last receipts first, and one that ended may have
        // left some unread: the control connection outlives both.
        last.send_replace(true);
        end.send_replace(enclave.is_told_to_end());
        if is_ours && !control_ended {
            let rest = async {
                enclave.stop(stop_max).await;
                sleep(LAST_RECEIPTS_MAX).await;
            };
            tokio::select! {
                () = rest => {}
                _ = &mut control => {}
            }
        }
        enclave.stop(stop_max).await;
        result
    };
    // Ends once its queue is stored, since the control connection is gone.
    let _ = storing.await;
    if let Err(Error::EnclaveEnded { last_words, .. }) = &mut result
        && let Some(failure) = failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    {
        *last_words = Some(failure);
    }
    result
}

/// Where receipts are stored.
enum Opened {
    /// For whoever reads the file.
    Unpublished(FileOutbox),
    /// Until the log has them.
    Settling(Queue, LogUrl),
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
