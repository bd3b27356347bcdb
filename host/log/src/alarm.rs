//! The alarm before a promise is missed: receipts that wait here while their `settle_by` comes near.
//!
//! It changes nothing about what the log does; it tells the operator in time.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use vouchsafe_verifier::UnixSeconds;

use crate::metrics::{Metrics, add, set};
use crate::publish::Published;
use crate::service::now;

/// Promises of receipts that wait.
#[derive(Debug)]
pub(crate) struct Promises {
    /// How many receipts are to be in the log by when.
    waiting: Mutex<BTreeMap<u64, usize>>,
    margin_s: u64,
    metrics: Arc<Metrics>,
}

/// Receipts that wait for as long as this lives.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    promises: &'a Promises,
    settle_by: Vec<u64>,
}

impl Promises {
    /// Alarms so many seconds before a promise.
    pub(crate) fn new(margin_s: u64, metrics: Arc<Metrics>) -> Self {
        Self { waiting: Mutex::default(), margin_s, metrics }
    }

    /// Watches over promises until the result is dropped.
    pub(crate) fn watch(&self, settle_by: Vec<u64>, now: UnixSeconds) -> Waiting<'_> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for by in &settle_by {
            let count = waiting.entry(*by).or_default();
            *count = count.saturating_add(1);
        }
        let late = settle_by.iter().filter(|by| **by <= self.horizon(now)).count();
        add(&self.metrics.settlement_late, late);
        drop(waiting);
        Waiting { promises: self, settle_by }
    }

    /// How many receipts' promises are near or broken.
    fn near(&self, now: UnixSeconds) -> usize {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.range(..=self.horizon(now)).map(|(_, count)| *count).sum()
    }

    fn horizon(&self, now: UnixSeconds) -> u64 {
        now.0.saturating_add(self.margin_s)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.promises.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for by in &self.settle_by {
            if let Some(count) = waiting.get_mut(by) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    waiting.remove(by);
                }
            }
        }
    }
}

/// Looks every second, until dropped.
pub(crate) async fn run(
    promises: Arc<Promises>,
    metrics: Arc<Metrics>,
    published: watch::Receiver<Option<Published>>,
) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_near = false;
    loop {
        ticks.tick().await;
        let Some(now) = published.borrow().as_ref().map(now) else { continue };
        let near = promises.near(now);
        set(&metrics.settlement_alarm, u64::try_from(near).unwrap_or(u64::MAX));
        if near > 0 && !was_near {
            eprintln!(
                "vouchsafe-log: ALARM: {near} receipts wait whose settle_by is less than {} s away or has passed",
                promises.margin_s
            );
        }
        was_near = near > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::Ordering::Relaxed;

    #[test]
    fn a_promise_counts_from_its_margin_on_until_it_is_kept() {
        let metrics = Arc::new(Metrics::default());
        let promises = Promises::new(10, Arc::clone(&metrics));
        let waiting = promises.watch(vec![1_000, 1_000, 1_060], UnixSeconds(940));
        assert_eq!(promises.near(UnixSeconds(989)), 0);
        assert_eq!(promises.near(UnixSeconds(990)), 2);
        assert_eq!(promises.near(UnixSeconds(1_200)), 3);
        assert_eq!(metrics.settlement_late.load(Relaxed), 0);
        let late = promises.watch(vec![1_000], UnixSeconds(995));
        assert_eq!(metrics.settlement_late.load(Relaxed), 1);
        drop(waiting);
        assert_eq!(promises.near(UnixSeconds(1_200)), 1);
        drop(late);
        assert_eq!(promises.near(UnixSeconds(u64::MAX)), 0);
    }
}
