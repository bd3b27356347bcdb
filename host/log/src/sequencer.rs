//! The sequencer: every pool interval, what waits becomes one batch of the log.

use core::time::Duration;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use vouchsafe_translog::Hash;

use crate::edge::Edge;
use crate::intake::Intake;
use crate::log::{build_error, tree_reader};
use crate::metrics::{Metrics, add, set};
use crate::storage::{SignedHead, Storage, leaf_key};
use crate::{Error, Log, NewLeaf};

/// Sequences until `stop`, or until the log must not go on.
///
/// # Errors
/// What is wrong with the log: its storage contradicts what was signed. A full disk is not an error
/// here: its batch is refused and the next one tries again.
pub(crate) async fn run(
    mut log: Log,
    intake: Arc<Intake>,
    every: Duration,
    heads: watch::Sender<SignedHead>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let mut ticks = interval(every);
    // A batch that took longer than the interval is followed by the next at once, not by several.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_sound = true;
    set(&metrics.tree_size, log.head().head.size);
    loop {
        let is_stopping = tokio::select! {
            _ = ticks.tick() => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        let pool = intake.take();
        if !pool.is_empty() {
            let (leaves, outcome) = pool.into_parts();
            let batch = tokio::task::spawn_blocking(move || {
                let ready = if is_sound { Ok(()) } else { log.reopen() };
                let result = ready.and_then(|()| sequence(&mut log, &leaves));
                (log, result)
            });
            let result;
            (log, result) = batch.await.map_err(|_| Error::Stopping)?;
            is_sound = result.is_ok();
            heads.send_replace(log.head().clone());
            set(&metrics.tree_size, log.head().head.size);
            match &result {
                Ok(batch) => {
                    add(&metrics.batches, 1);
                    add(&metrics.leaves_new, batch.new_count);
                    add(&metrics.leaves_known, batch.places.len().saturating_sub(batch.new_count));
                }
                Err(error) => {
                    add(&metrics.batches_failed, 1);
                    eprintln!("vouchsafe-log: a batch was not committed: {error} ({})", error.code());
                }
            }
            let fatal = result.as_ref().err().filter(|error| !error.is_passing()).cloned();
            outcome.tell(result.map(|batch| batch.places));
            if let Some(error) = fatal {
                return Err(error);
            }
        }
        if is_stopping {
            return Ok(());
        }
    }
}

/// Where a batch's leaves are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The index of each leaf, in the order given.
    pub places: Vec<u64>,
    /// How many of them were new.
    pub new_count: usize,
}

/// Appends the leaves that the log does not have, no leaf being given twice, and says where all of them
/// are.
///
/// # Errors
/// As [`Log::append`].
pub fn sequence(log: &mut Log, leaves: &[NewLeaf]) -> Result<Batch, Error> {
    let edge = log.edge();
    let mut next = log.head().head.size;
    let (mut fresh, mut places) = (Vec::new(), Vec::with_capacity(leaves.len()));
    for leaf in leaves {
        if let Some(index) = find(log.storage(), &edge, &leaf.hash)? {
            places.push(index);
        } else {
            places.push(next);
            next = next.saturating_add(1);
            fresh.push(leaf.clone());
        }
    }
    log.append(&fresh)?;
    Ok(Batch { places, new_count: fresh.len() })
}

/// Where the log has a leaf.
pub(crate) fn find(storage: &Storage, edge: &RwLock<Edge>, hash: &Hash) -> Result<Option<u64>, Error> {
    let Some(index) = storage.lock.find(&leaf_key(hash))? else { return Ok(None) };
    // The index knows half of each hash; the tree knows all of it.
    let held = edge.read().unwrap_or_else(PoisonError::into_inner).leaf(index);
    let held = match held {
        Some(held) => held,
        None => {
            let size = storage.lock.head()?.head.size;
            tree_reader(storage.tiles.as_ref(), size).leaf(index).map_err(build_error)?
        }
    };
    Ok((held == *hash).then_some(index))
}
