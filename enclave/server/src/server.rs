//! One boot of the enclave: what it is made of, and how it begins and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vouchsafe_platform::Attester;
use vouchsafe_verifier::encoding::to_hex;

use crate::api::{Budgets, Context};
use crate::attestation::Challenger;
use crate::boot::{Boot, Epochs, TlsKey};
use crate::config::milliseconds;
use crate::gauges::Gauges;
use crate::issue::{IssueError, Issuer, ReceiptSigner};
use crate::models::Models;
use crate::session::Sessions;
use crate::settle::{Settlement, SettlementConfig};
use crate::stapled::Stapled;
use crate::{Config, ServeError, http, report};

/// How long answers that were cut off get to write their receipts.
const CUT_WAIT_MAX: Duration = Duration::from_secs(15);
/// Pause before a failed renewal of the epoch is tried again.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);
/// How long the last receipts and the last word get to become public.
const LAST_PROOFS_MAX: Duration = Duration::from_secs(10);

/// A booted enclave that serves sessions.
pub struct Server {
    context: Arc<Context>,
    sessions: Arc<Sessions>,
    /// Places for sessions.
    places: Arc<Semaphore>,
    draining: watch::Sender<bool>,
    /// Ends every connection at once.
    cut: CancellationToken,
    renewal: CancellationToken,
    attester: Arc<dyn Attester>,
    /// Whether sessions are served: from the start, or once the boot is public.
    is_serving: AtomicBool,
}

impl Server {
    /// Makes this boot's keys, states and attests them, and begins epoch 0.
    ///
    /// # Errors
    /// [`ServeError`]: the configuration cannot work, a key could not be made, or the machine does not
    /// attest.
    pub async fn start(
        config: Config,
        attester: Arc<dyn Attester>,
        models: Models,
    ) -> Result<Self, ServeError> {
        config.check()?;
        // Keys and reports take the hardware's time, not a serving thread's.
        let made = tokio::task::spawn_blocking({
            let (config, models, attester) = (config.clone(), models.clone(), Arc::clone(&attester));
            move || make(&config, &models, &attester)
        });
        let Made { signer, tls, boot, epochs } =
            made.await.map_err(|_| ServeError::Stopped("the start"))??;
        let limits = &config.limits;
        let settlement = match &config.settlement {
            SettlementConfig::None => None,
            SettlementConfig::Log(log) => Some(Arc::new(Settlement::new(log)?)),
        };
        let is_serving = AtomicBool::new(settlement.is_none());
        let issuer = Arc::new(Issuer::new(signer, &boot, Arc::clone(&epochs), settlement, limits));
        issuer
            .record_boot(&boot)
            .and_then(|()| issuer.record_epoch(&epochs.current(), None))
            .map_err(unsigned)?;
        let challenger = Challenger::start(Arc::clone(&attester), Arc::clone(&epochs), limits);
        let sessions = Arc::new(Sessions::new(tls, milliseconds(limits.handshake_ms_max))?);
        let places = Arc::new(Semaphore::new(limits.sessions_max.min(Semaphore::MAX_PERMITS)));
        let (draining, is_draining) = watch::channel(false);
        let budgets = Budgets::new(&config);
        let context = Arc::new(Context {
            config,
            models,
            boot,
            epochs,
            issuer,
            challenger,
            stapled: Stapled::default(),
            gauges: Gauges::default(),
            draining: is_draining,
            tasks: TaskTracker::new(),
            budgets,
        });
        let renewal = CancellationToken::new();
        tokio::spawn(renewal.clone().run_until_cancelled_owned(renew(
            Arc::clone(&context),
            Arc::clone(&attester),
            Arc::clone(&sessions),
        )));
        if let Some(settlement) = context.issuer.settlement() {
            let beat = beat(Arc::clone(&context.issuer), settlement.heartbeat_interval());
            tokio::spawn(renewal.clone().run_until_cancelled_owned(beat));
        }
        let cut = CancellationToken::new();
        Ok(Self { context, sessions, places, draining, cut, renewal, attester, is_serving })
    }

    /// Waits, where receipts settle, until the log has proved that it holds the boot record; then begins
    /// an epoch that names the log's checkpoint, and serves from there on.
    pub async fn settle(&self) {
        let Some(settlement) = self.context.issuer.settlement() else { return };
        settlement.public().await;
        while !renew_once(&self.context, &self.attester).await {
            sleep(RENEWAL_PAUSE).await;
        }
        self.is_serving.store(true, Ordering::Release);
    }

    /// Whether receipts settle into a log.
    pub fn settles(&self) -> bool {
        self.context.issuer.settlement().is_some()
    }

    /// Whether sessions are served.
    pub(crate) fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Acquire)
    }

    /// The boot id: SHA-256 of the receipt key's SPKI, in lower-case hexadecimal.
    pub fn boot_id(&self) -> String {
        to_hex(&self.context.boot.id)
    }

    /// Serves a session over a byte stream from the host, in a task of its own. Beyond the bound on
    /// sessions, before the boot is public, and while draining, the stream is closed at once.
    pub fn session<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        if *self.draining.borrow() || !self.is_serving() {
            return;
        }
        let (context, sessions) = (Arc::clone(&self.context), Arc::clone(&self.sessions));
        let (counted, drain) = (context.gauges.session(), self.draining.subscribe());
        let served = async move {
            let _held = (place, counted);
            if let Some(stream) = sessions.accept(stream).await {
                http::serve(stream, context, drain).await;
            }
        };
        self.context.tasks.spawn(self.cut.clone().run_until_cancelled_owned(served));
    }

    /// Accepts no further requests; those in progress go on.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Drains, waits for what is in progress as long as configured, cuts what is left, and returns
    /// when every admitted request has its receipt. Where receipts settle, it then signs the last word
    /// and waits a bounded time for the proofs.
    pub async fn stop(&self) {
        self.drain();
        self.renewal.cancel();
        let tasks = &self.context.tasks;
        tasks.close();
        if timeout(milliseconds(self.context.config.limits.drain_ms_max), tasks.wait()).await.is_err() {
            self.cut.cancel();
            if timeout(CUT_WAIT_MAX, tasks.wait()).await.is_err() {
                report::note("some requests did not end in time");
            }
        }
        let issuer = &self.context.issuer;
        let Some(settlement) = issuer.settlement().filter(|_| self.is_serving()) else { return };
        if let Err(error) = issuer.close() {
            report::note(&format!("no close record: {error}"));
        }
        if timeout(LAST_PROOFS_MAX, settlement.settled()).await.is_err() {
            report::note(&format!("{} leaves are not proved to be in the log", settlement.unproven()));
        }
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

struct Made {
    signer: ReceiptSigner,
    tls: TlsKey,
    boot: Boot,
    epochs: Arc<Epochs>,
}

fn make(config: &Config, models: &Models, attester: &Arc<dyn Attester>) -> Result<Made, ServeError> {
    let signer = ReceiptSigner::generate()
        .map_err(|error| ServeError::Key { role: "receipt", problem: error.to_string() })?;
    let tls = TlsKey::generate()?;
    let boot = Boot::attest(config, models, &signer, &tls, attester)?;
    let epochs = Epochs::begin(boot.statement_digest, config.epoch_seconds, attester.as_ref())?;
    Ok(Made { signer, tls, boot, epochs: Arc::new(epochs) })
}

/// Begins a new epoch when half of the current one is over, for ever.
async fn renew(context: Arc<Context>, attester: Arc<dyn Attester>, sessions: Arc<Sessions>) {
    loop {
        sleep(context.epochs.renewal_interval()).await;
        while !renew_once(&context, &attester).await {
            sleep(RENEWAL_PAUSE).await;
        }
        if let Err(error) = sessions.forget_tickets() {
            report::failure(&error);
        }
    }
}

async fn renew_once(context: &Context, attester: &Arc<dyn Attester>) -> bool {
    let settlement = context.issuer.settlement();
    if settlement.is_some_and(|settlement| !settlement.has_room_for_record()) {
        report::note("the log is too far behind for another epoch");
        return false;
    }
    let checkpoint = settlement.and_then(|settlement| settlement.note());
    let (epochs, attester) = (Arc::clone(&context.epochs), Arc::clone(attester));
    match tokio::task::spawn_blocking(move || epochs.renew(checkpoint, attester.as_ref())).await {
        Ok(Ok(epoch)) => {
            let endorsements = context.stapled.get(context.boot.endorsements.as_ref());
            match context.issuer.record_epoch(&epoch, endorsements.as_ref()) {
                Ok(()) => true,
                Err(error) => {
                    report::failure(&unsigned(error));
                    false
                }
            }
        }
        Ok(Err(error)) => {
            report::failure(&error.into());
            false
        }
        Err(_) => {
            report::failure(&ServeError::Stopped("the attester"));
            false
        }
    }
}

/// Says how far the receipts have come, for ever.
async fn beat(issuer: Arc<Issuer>, interval: Duration) {
    loop {
        sleep(interval).await;
        if let Err(error) = issuer.heartbeat() {
            report::failure(&unsigned(error));
        }
    }
}

fn unsigned(error: IssueError) -> ServeError {
    ServeError::Key { role: "receipt", problem: error.to_string() }
}
