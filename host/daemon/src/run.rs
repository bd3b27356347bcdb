//! The host from start to end.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::control::Control;
use crate::enclave::Enclave;
use crate::metrics::{self, Metrics};
use crate::{EnclaveSource, Error, Event, Events, FileOutbox, forward};

/// How long to go on reading what an ended enclave sent last.
const LAST_RECEIPTS_MAX: Duration = Duration::from_secs(1);

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
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: 4096, idle: Duration::from_secs(600), first_byte: Duration::from_secs(10) }
    }
}

/// Runs the host until `stop` resolves or something ends it. What it started is stopped in any case.
///
/// # Errors
/// [`Error`], where it was not asked to stop.
pub async fn run(config: Config, events: Events, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let outbox = FileOutbox::open(&config.state)?;
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
    let mut enclave = Enclave::start(&config.enclave, &events)?;
    let endpoint = enclave.endpoint().clone();
    let (last, is_last) = watch::channel(false);
    let (control, storing) =
        Control::new(endpoint.clone(), outbox, events.clone(), Arc::clone(&metrics), is_last);
    let failure = control.failure();

    let mut result = {
        let mut control = pin!(control.run());
        let (result, control_ended) = tokio::select! {
            () = stop => {
                events.tell(Event::Stopping);
                (Ok(()), false)
            }
            error = enclave.ended() => (Err(error), false),
            ended = &mut control => (ended, true),
            () = forward::serve(&listener, &endpoint, config.limits, &metrics) => (Ok(()), false),
        };
        drop(listener);
        // An enclave that is stopped hands over its last receipts first, and one that ended may have
        // left some unread: the control connection outlives both.
        last.send_replace(true);
        if control_ended || !enclave.is_ours() {
            enclave.stop().await;
        } else {
            let rest = async {
                enclave.stop().await;
                sleep(LAST_RECEIPTS_MAX).await;
            };
            tokio::select! {
                () = rest => {}
                _ = &mut control => {}
            }
            enclave.stop().await;
        }
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

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
