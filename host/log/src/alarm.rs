//! The alarm before a promise is missed: receipts that are not public yet while their `settle_by` comes near.
//!
//! A promise is watched from the first submission of its receipt until a published checkpoint covers it, whatever
//! becomes of the submission: its submitter is told to come again long before a promise is near. It changes nothing
//! about what the log does; it tells the operator in time.

use core::time::Duration;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{MissedTickBehavior, interval};
use vouchsafe_translog::Hash;
use vouchsafe_verifier::UnixSeconds;

use crate::metrics::{Metrics, add, set};
use crate::sequencer::find;
use crate::service::{Service, now};

/// Most receipts that are watched. The alarm for those counts when there are more: they came first.
const WATCHED_MAX: usize = 1 << 18;
/// How long after its promise a receipt is watched that is not even in the log: nobody submits it any more.
const FORGOTTEN_AFTER_S: u64 = 3_600;

/// A receipt that promises to be in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    /// Its leaf hash.
    pub(crate) leaf: Hash,
    /// The witness time by which it is to be in the log.
    pub(crate) settle_by: u64,
    /// Where it is in the log, once it is.
    pub(crate) index: Option<u64>,
}

/// Promises of receipts that are not public yet.
#[derive(Debug)]
pub(crate) struct Promises {
    /// By leaf hash: by when, and where in the log if that is known.
    waiting: Mutex<HashMap<Hash, (u64, Option<u64>)>>,
    margin_s: u64,
    metrics: Arc<Metrics>,
}

impl Promises {
    /// Alarms so many seconds before a promise.
    pub(crate) fn new(margin_s: u64, metrics: Arc<Metrics>) -> Self {
        Self { waiting: Mutex::default(), margin_s, metrics }
    }

    /// Watches over promises until they are [kept](Self::kept); those that are watched already only once.
    pub(crate) fn watch(&self, promises: &[Promise], now: UnixSeconds) {
        let mut waiting = self.waiting();
        let mut late: usize = 0;
        for Promise { leaf, settle_by, index } in promises {
            let is_full = waiting.len() >= WATCHED_MAX;
            match waiting.entry(*leaf) {
                Entry::Occupied(mut watched) => watched.get_mut().1 = watched.get().1.or(*index),
                Entry::Vacant(_) if is_full => {}
                Entry::Vacant(place) => {
                    place.insert((*settle_by, *index));
                    late = late.saturating_add(usize::from(*settle_by <= self.horizon(now)));
                }
            }
        }
        add(&self.metrics.settlement_late, late);
    }

    /// Says where receipts are in the log.
    pub(crate) fn placed(&self, places: impl IntoIterator<Item = (Hash, u64)>) {
        let mut waiting = self.waiting();
        for (leaf, place) in places {
            if let Some((_, index)) = waiting.get_mut(&leaf) {
                *index = Some(place);
            }
        }
    }

    /// Forgets what a published checkpoint of this size covers.
    fn kept(&self, size: u64) {
        self.waiting().retain(|_, (_, index)| index.is_none_or(|index| index >= size));
    }

    /// How many receipts' promises are near or broken.
    fn near(&self, now: UnixSeconds) -> usize {
        let horizon = self.horizon(now);
        self.waiting().values().filter(|(settle_by, _)| *settle_by <= horizon).count()
    }

    /// Those of them of which it is not known whether they are in the log: their submission ended before.
    fn near_unplaced(&self, now: UnixSeconds) -> Vec<Hash> {
        let horizon = self.horizon(now);
        let is_meant = |(settle_by, index): &(u64, Option<u64>)| index.is_none() && *settle_by <= horizon;
        self.waiting().iter().filter(|(_, it)| is_meant(it)).map(|(leaf, _)| *leaf).collect()
    }

    /// Forgets receipts that never came in and whose promise is long broken.
    fn forget_abandoned(&self, now: UnixSeconds) {
        let is_abandoned = |settle_by: u64| settle_by.saturating_add(FORGOTTEN_AFTER_S) < now.0;
        self.waiting().retain(|_, (settle_by, index)| index.is_some() || !is_abandoned(*settle_by));
    }

    fn horizon(&self, now: UnixSeconds) -> u64 {
        now.0.saturating_add(self.margin_s)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Hash, (u64, Option<u64>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks every second, until dropped.
pub(crate) async fn run(service: Arc<Service>) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_near = false;
    loop {
        ticks.tick().await;
        let looking = Arc::clone(&service);
        let looked = tokio::task::spawn_blocking(move || look(&looking)).await;
        let Ok(Some(near)) = looked else { continue };
        set(&service.metrics.settlement_alarm, u64::try_from(near).unwrap_or(u64::MAX));
        if near > 0 && !was_near {
            eprintln!(
                "vouchsafe-log: ALARM: {near} receipts wait whose settle_by is less than {} s away or has passed",
                service.promises.margin_s
            );
        }
        was_near = near > 0;
    }
}

/// How many promises are near; `None` before anything was published, when there is no time to tell by.
fn look(service: &Service) -> Option<usize> {
    let (now, size) = service.published.borrow().as_ref().map(|it| (now(it), it.head.size))?;
    let promises = &service.promises;
    promises.kept(size);
    for leaf in promises.near_unplaced(now) {
        // A log that cannot be read now says nothing of the receipt: it goes on waiting.
        if let Ok(Some(index)) = find(&service.storage, &service.edge, &leaf) {
            promises.placed([(leaf, index)]);
        }
    }
    promises.kept(size);
    promises.forget_abandoned(now);
    Some(promises.near(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::Ordering::Relaxed;

    fn promise(leaf: u8, settle_by: u64) -> Promise {
        Promise { leaf: [leaf; 32], settle_by, index: None }
    }

    #[test]
    fn a_promise_counts_from_its_margin_on_until_it_is_kept() {
        let metrics = Arc::new(Metrics::default());
        let promises = Promises::new(10, Arc::clone(&metrics));
        let three = [promise(1, 1_000), promise(2, 1_000), promise(3, 1_060)];
        promises.watch(&three, UnixSeconds(940));
        assert_eq!(promises.near(UnixSeconds(989)), 0);
        assert_eq!(promises.near(UnixSeconds(990)), 2);
        assert_eq!(promises.near(UnixSeconds(1_200)), 3);
        assert_eq!(metrics.settlement_late.load(Relaxed), 0);
        promises.watch(&[promise(4, 1_000)], UnixSeconds(995));
        // Submitted again, as whoever was told to come again does.
        promises.watch(&three, UnixSeconds(995));
        assert_eq!(metrics.settlement_late.load(Relaxed), 1);
        assert_eq!(promises.near(UnixSeconds(1_200)), 4);
        // In the log, and not public yet.
        promises.placed([([1; 32], 7), ([2; 32], 8), ([9; 32], 9)]);
        promises.kept(7);
        assert_eq!(promises.near(UnixSeconds(1_200)), 4);
        promises.kept(8);
        assert_eq!(promises.near(UnixSeconds(1_200)), 3);
        promises.kept(9);
        assert_eq!(promises.near(UnixSeconds(1_200)), 2);
    }

    #[test]
    fn what_nobody_submits_any_more_is_forgotten_after_an_hour_and_what_is_in_the_log_is_not() {
        let promises = Promises::new(10, Arc::default());
        promises.watch(&[promise(1, 1_000), promise(2, 1_000)], UnixSeconds(900));
        promises.placed([([2; 32], 5)]);
        let later = UnixSeconds(1_000 + FORGOTTEN_AFTER_S);
        promises.forget_abandoned(later);
        assert_eq!((promises.near(later), promises.near_unplaced(later)), (2, vec![[1; 32]]));
        let later = UnixSeconds(later.0 + 1);
        promises.forget_abandoned(later);
        assert_eq!((promises.near(later), promises.near_unplaced(later)), (1, vec![]));
    }
}
