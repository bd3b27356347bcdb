//! Settling: leaves go to the log, proofs come back and go to the enclave.
//!
//! The queue on disk is the only durable copy outside the enclave, so a leaf stays there until the
//! enclave has verified its inclusion, or, where the boot that signed it is gone, until this host has. Everything
//! is submitted again as often as it takes: the log answers a leaf that it has with the place it has.
//!
//! A log answers a submission when its batch is public, so several are under way at once: a receipt does
//! not wait for the answer to the one before it. One message to the enclave is under way at a time.

mod ended;
mod hand_over;
mod http;
mod item;
mod queue;
mod store;
mod submit;
mod tree;

use core::time::Duration;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use vouchsafe_link::control::{BootId, HostMessage};
use vouchsafe_translog::Hash;

use http::LogClient;
pub use http::{LogUrl, LogUrlError};
pub(crate) use item::{Item, Key, Kind};
pub(crate) use queue::Queue;
pub(crate) use store::SettlingOutbox;
use submit::Submissions;
use tree::Tree;

use crate::metrics::{Metrics, add, set};
use crate::storing::Job;
use crate::{Event, Events};

/// Pause after the first failure; doubled after each further one.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Between two looks at the log's checkpoint while nothing waits.
const POLL: Duration = Duration::from_secs(5);
/// How long before a promise is missed the alarm is raised, seconds.
const ALARM_SECONDS: u64 = 20;

/// What the control connection tells of the enclave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// It verified up to this size: on connecting, and as the answer to a message.
    Verified { boot: BootId, size: u64 },
    /// It refused a message.
    Refused { boot: BootId, size: u64, code: String },
    /// The connection was lost.
    Lost,
}

/// The client's ends of its channels.
pub(crate) struct Channels {
    /// Leaves that are stored.
    pub(crate) items: mpsc::UnboundedReceiver<Item>,
    /// What the enclave says, each with the number of the connection.
    pub(crate) reports: mpsc::UnboundedReceiver<(u64, Report)>,
    /// To the enclave, each for one connection and no later one.
    pub(crate) messages: mpsc::Sender<(u64, HostMessage)>,
    /// To the queue.
    pub(crate) jobs: mpsc::WeakSender<Job>,
}

/// A leaf on its way.
struct Waiting {
    item: Item,
    hash: Hash,
    since: Instant,
    settle_by: Option<u64>,
    is_alarmed: bool,
    /// Not submitted before.
    retry_at: Instant,
    /// In a submission that has not been answered.
    is_submitted: bool,
    place: Option<Place>,
    /// The record that a boot begins with.
    is_boot: bool,
    /// Verified to be in the log. Only a boot's record stays after that.
    is_proven: bool,
}

/// Where the log put it.
#[derive(Clone)]
struct Place {
    index: u64,
    /// The path in the tree of this size.
    path: Vec<Hash>,
    size: u64,
}

/// Carries leaves and proofs.
pub(crate) struct Client {
    log: LogClient,
    channels: Channels,
    events: Events,
    metrics: Arc<Metrics>,
    waiting: BTreeMap<Key, Waiting>,
    submissions: Submissions,
    enclave: Option<(BootId, u64)>,
    connection: u64,
    tree: Option<Tree>,
    /// The note that the enclave was given last.
    handed: Option<String>,
    polled: Instant,
    pause: Duration,
}

/// Why a step failed: text for the operator.
type Failure = String;

impl Client {
    pub(crate) fn new(log: LogUrl, channels: Channels, events: Events, metrics: Arc<Metrics>) -> Self {
        Self {
            log: LogClient::new(log),
            channels,
            events,
            metrics,
            waiting: BTreeMap::new(),
            submissions: Submissions::default(),
            enclave: None,
            connection: 0,
            tree: None,
            handed: None,
            polled: Instant::now(),
            pause: PAUSE_MIN,
        }
    }

    /// Carries on until its channels are closed.
    pub(crate) async fn run(mut self) {
        loop {
            while let Ok(item) = self.channels.items.try_recv() {
                self.take(item);
            }
            while let Ok(report) = self.channels.reports.try_recv() {
                self.hear(report);
            }
            self.watch();
            let wake = match self.step().await {
                Ok(true) => {
                    self.pause = PAUSE_MIN;
                    continue;
                }
                Ok(false) => self.next_due(),
                Err(why) => {
                    self.falter(why).await;
                    continue;
                }
            };
            tokio::select! {
                item = self.channels.items.recv() => match item {
                    Some(item) => self.take(item),
                    None => return,
                },
                report = self.channels.reports.recv() => match report {
                    Some(report) => self.hear(report),
                    None => return,
                },
                Some(ended) = self.submissions.ended() => {
                    if let Err(why) = self.conclude(ended) {
                        self.falter(why).await;
                    }
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Tells of a failure and waits: new leaves would only meet the same sooner.
    async fn falter(&mut self, why: Failure) {
        add(&self.metrics.settle_failures, 1);
        self.events.tell(Event::SettlingFailing(why));
        sleep_until(after(self.pause)).await;
        self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
        // What failed meanwhile failed beside it, not after it: one pause is for all.
        while let Some(ended) = self.submissions.try_ended() {
            if self.conclude(ended).is_err() {
                add(&self.metrics.settle_failures, 1);
            }
        }
    }

    fn take(&mut self, item: Item) {
        let (hash, settle_by, now) = (item.hash(), item.settle_by(), Instant::now());
        let waiting = Waiting {
            hash,
            since: now,
            settle_by,
            is_alarmed: false,
            retry_at: now,
            is_submitted: false,
            place: None,
            is_boot: item.is_boot(),
            is_proven: false,
            item,
        };
        let key = waiting.item.key.clone();
        if let Entry::Vacant(entry) = self.waiting.entry(key) {
            self.metrics.gap_witnessed.begin();
            self.metrics.gap_verified.begin();
            entry.insert(waiting);
        }
    }

    fn hear(&mut self, (connection, report): (u64, Report)) {
        self.connection = connection;
        match report {
            Report::Verified { boot, size } | Report::Refused { boot, size, .. } => {
                self.enclave = Some((boot, size));
            }
            Report::Lost => {
                self.enclave = None;
                self.handed = None;
            }
        }
    }

    /// Gauges, and the alarm for promises that are about to be missed.
    fn watch(&mut self) {
        let unproven = || self.waiting.values().filter(|waiting| !waiting.is_proven);
        let count = u64::try_from(unproven().count()).unwrap_or(u64::MAX);
        set(&self.metrics.unsettled, count);
        let oldest = unproven().map(|waiting| waiting.since.elapsed().as_secs()).max();
        set(&self.metrics.unsettled_oldest_seconds, oldest.unwrap_or(0));
        // This host's own clock: an alarm, not evidence.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let alarm = now.saturating_add(ALARM_SECONDS);
        for waiting in self.waiting.values_mut().filter(|waiting| !waiting.is_alarmed) {
            if let Some(settle_by) = waiting.settle_by.filter(|settle_by| alarm >= *settle_by) {
                waiting.is_alarmed = true;
                add(&self.metrics.settle_alarms, 1);
                let Key { boot, number, .. } = waiting.item.key.clone();
                self.events.tell(Event::SettlementLate { boot, seq: number, settle_by });
            }
        }
    }

    /// When there may be something to do without being told.
    fn next_due(&self) -> Instant {
        let poll = self.polled.checked_add(POLL).unwrap_or(self.polled);
        // When a submission ends, that is told.
        let Some(free) = self.may_submit_at(Instant::now()) else { return poll };
        let due = self.waiting.values().filter(|waiting| waiting.place.is_none() && !waiting.is_submitted);
        due.map(|waiting| waiting.retry_at.max(free)).min().map_or(poll, |due| due.min(poll))
    }

    /// Does one thing, if there is one to do.
    async fn step(&mut self) -> Result<bool, Failure> {
        while let Some(ended) = self.submissions.try_ended() {
            self.conclude(ended)?;
        }
        if self.submit()? {
            return Ok(true);
        }
        if self.hand_over().await? || self.settle_ended().await {
            return Ok(true);
        }
        self.poll().await
    }

    fn renew(&mut self, tree: Tree) {
        if self.tree.as_ref().is_none_or(|known| known.size() <= tree.size()) {
            self.tree = Some(tree);
        }
    }

    /// Counts what is proven, and forgets it: a boot's record later, since it says how to verify what the boot may
    /// leave behind.
    async fn forget(&mut self, mut keys: Vec<Key>) {
        keys.retain(|key| {
            let Some(waiting) = self.waiting.get_mut(key) else { return false };
            if !waiting.is_proven {
                waiting.is_proven = true;
                add(&self.metrics.settled, 1);
                self.metrics.gap_verified.observe(waiting.since.elapsed());
            }
            let is_boot = waiting.is_boot;
            if !is_boot {
                self.waiting.remove(key);
            }
            !is_boot
        });
        self.drop_stored(keys).await;
    }

    /// Has the queue forget.
    async fn drop_stored(&mut self, keys: Vec<Key>) {
        // Without a queue the program is about to end; what is forgotten twice is harmless.
        if let (false, Some(jobs)) = (keys.is_empty(), self.channels.jobs.upgrade()) {
            let _ = jobs.send(Job::Proven(keys)).await;
        }
    }
}

fn after(pause: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(pause).unwrap_or(now)
}
