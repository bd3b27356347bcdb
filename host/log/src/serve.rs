//! The running log: sequencer, publisher, server and alarm, and how they stop together.

use core::future::Future;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::admission::Admission;
use crate::alarm::{self, Promises};
use crate::blobs::BlobPool;
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::publish::{Publisher, WitnessSettings};
use crate::server::{Site, bind, serve as serve_http};
use crate::service::Service;
use crate::{Error, Log, sequencer};

/// Scrapers served at once.
const SCRAPERS_MAX: usize = 16;
/// How long answers that are ready get to leave when the log stops.
const ANSWERS_LEAVE: Duration = Duration::from_millis(300);

/// How to run a log.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where to serve metrics, apart from the public.
    pub metrics: Option<SocketAddr>,
    /// How long leaves are collected before they are sequenced together.
    pub pool: Duration,
    /// Who cosigns.
    pub witnesses: WitnessSettings,
    /// How long a submission may wait for its proofs.
    pub answer_max: Duration,
    /// How many seconds before a receipt's `settle_by` to raise the alarm.
    pub alarm_s: u64,
    /// Most connections at once.
    pub connections_max: usize,
}

/// Where a running log listens.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// The log itself.
    pub log: SocketAddr,
    /// Its metrics.
    pub metrics: Option<SocketAddr>,
}

/// Runs a log until `stop` resolves, or until it must not go on. Whoever calls holds the folder's lock.
///
/// # Errors
/// [`Error::Listen`]; [`Error::Behind`] where a witness shows that the folder is an old copy; what the
/// sequencer found wrong with the log's storage.
pub async fn serve(
    log: Log,
    admission: Arc<dyn Admission>,
    blobs: Arc<BlobPool>,
    config: ServeConfig,
    listening: impl FnOnce(Listening),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let (listener, log_address) = bind(config.listen).await?;
    let scraped = match config.metrics {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let names = config.witnesses.witnesses.iter().map(|witness| witness.key.name());
    let metrics = Arc::new(Metrics::new(names));
    let intake = Arc::new(Intake::default());
    let (heads, newest) = watch::channel(log.head().clone());
    let (publish, published) = watch::channel(None);
    let (stopping, is_stopping) = watch::channel(false);
    let promises = Arc::new(Promises::new(config.alarm_s, Arc::clone(&metrics)));
    let service = Arc::new(Service {
        storage: log.storage().clone(),
        edge: log.edge(),
        intake: Arc::clone(&intake),
        admission,
        blobs,
        promises,
        published,
        metrics: Arc::clone(&metrics),
        answer_max: config.answer_max,
        verifying: Service::verifying(),
    });
    let publisher = Publisher {
        storage: log.storage().clone(),
        key: log.key().clone(),
        settings: config.witnesses,
        metrics: Arc::clone(&metrics),
        heads: newest,
        published: publish,
    };
    // Everything that listens ends with this function.
    let mut sites = JoinSet::new();
    let site = Site::Log(Arc::clone(&service));
    sites.spawn(serve_http(listener, site, config.connections_max, Arc::clone(&metrics)));
    let scraped = scraped.map(|(listener, address)| {
        let site = Site::Metrics(Arc::clone(&metrics));
        sites.spawn(serve_http(listener, site, SCRAPERS_MAX, Arc::clone(&metrics)));
        address
    });
    sites.spawn(alarm::run(service));
    let sequencer = sequencer::run(log, intake, config.pool, heads, metrics, is_stopping);
    let (mut sequencer, mut publisher) = (tokio::spawn(sequencer), tokio::spawn(publisher.run()));
    listening(Listening { log: log_address, metrics: scraped });
    let ended = tokio::select! {
        () = stop => None,
        ended = &mut sequencer => Some(ended),
        ended = &mut publisher => Some(ended),
    };
    stopping.send_replace(true);
    let result = match ended {
        Some(ended) => ended.unwrap_or(Err(Error::Stopping)),
        None => {
            let sequenced = sequencer.await.unwrap_or(Err(Error::Stopping));
            sequenced.and(publisher.await.unwrap_or(Err(Error::Stopping)))
        }
    };
    sleep(ANSWERS_LEAVE).await;
    result
}
