//! What boots that have ended left behind: nobody is there to prove it to, so that the host verifies it itself.
//!
//! Such a leaf is the last copy of a receipt. It is let go of when it is in the log that the boot's own statement
//! names, under the witnesses that this names: the log's bare word would let it drop a receipt for good. The boot's
//! record, which holds the statement, stays in the queue until nothing of the boot is left.

use vouchsafe_link::control::{BootId, INCLUSIONS_MAX};
use vouchsafe_receipt::{BootStatement, Settlement};
use vouchsafe_translog::{TrustedLog, merkle};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::to_hex;

use super::{Client, Failure, Item, Key, PAUSE_MAX, Waiting, after};
use crate::Event;
use crate::metrics::add;

/// Where a boot's statement is among its record's blobs.
const STATEMENT: usize = 0;

impl Client {
    /// Verifies leaves of one ended boot, and forgets them. Those that do not verify are submitted again later;
    /// nobody else waits for them.
    pub(super) async fn settle_ended(&mut self) -> bool {
        let Some((present, _)) = self.enclave.clone() else { return false };
        let is_left = |waiting: &&Waiting| {
            waiting.place.is_some() && !waiting.is_proven && waiting.item.key.boot != present
        };
        let Some(boot) = self.waiting.values().find(is_left).map(|waiting| waiting.item.key.boot.clone())
        else {
            self.retire(&present).await;
            return false;
        };
        let of_boot = self.waiting.values().filter(is_left).filter(|waiting| waiting.item.key.boot == boot);
        let keys: Vec<Key> = of_boot.map(|waiting| waiting.item.key.clone()).take(INCLUSIONS_MAX).collect();
        match self.verify_ended(&boot, &keys).await {
            Ok(()) => self.forget(keys).await,
            Err(why) => {
                add(&self.metrics.settle_failures, 1);
                self.events.tell(Event::SettlingFailing(format!("boot {boot}, which has ended: {why}")));
                // It is made anew from the log's newest state.
                self.tree = None;
                for key in &keys {
                    if let Some(waiting) = self.waiting.get_mut(key) {
                        waiting.place = None;
                        waiting.retry_at = after(PAUSE_MAX);
                    }
                }
            }
        }
        true
    }

    /// Holds the places of an ended boot's leaves against the log and witnesses that the boot named.
    async fn verify_ended(&mut self, boot: &BootId, keys: &[Key]) -> Result<(), Failure> {
        let record = self.waiting.values().find(|waiting| waiting.is_boot && waiting.item.key.boot == *boot);
        let trusted = match record {
            Some(record) => trusted(&record.item)?,
            None => {
                return Err(
                    "there is no record of it here, which says what log and witnesses it named".into()
                );
            }
        };
        let mut tree = match self.tree.clone() {
            Some(tree) => tree,
            None => self.fetch().await?,
        };
        let checkpoint = trusted
            .verify(tree.note().as_bytes(), &Ring)
            .map_err(|error| format!("the log's checkpoint: {error} ({})", error.code()))?;
        for key in keys {
            let Some((hash, place)) = self.waiting.get(key).map(|it| (it.hash, it.place.clone())) else {
                continue;
            };
            let place = place.ok_or_else(|| String::from("a leaf has lost its place"))?;
            let path = match place.size == tree.size() {
                true => place.path,
                false => tree.inclusion(&self.log, place.index).await?,
            };
            merkle::verify_inclusion(&hash, place.index, tree.size(), &path, checkpoint.root(), &Ring)
                .map_err(|error| format!("leaf {} is not where the log says: {error}", to_hex(&hash)))?;
        }
        self.renew(tree);
        Ok(())
    }

    /// Lets go of the records of ended boots of which nothing is left.
    async fn retire(&mut self, present: &BootId) {
        let of = |boot: &BootId| self.waiting.keys().filter(|key| key.boot == *boot).count();
        let is_over = |waiting: &&Waiting| {
            let boot = &waiting.item.key.boot;
            waiting.is_boot && waiting.is_proven && boot != present && of(boot) == 1
        };
        let keys: Vec<Key> =
            self.waiting.values().filter(is_over).map(|waiting| waiting.item.key.clone()).collect();
        for key in &keys {
            self.waiting.remove(key);
        }
        self.drop_stored(keys).await;
    }
}

/// The log and witnesses that a boot's statement names. The record came from the boot itself, and was kept here.
fn trusted(record: &Item) -> Result<TrustedLog, Failure> {
    let statement = record.blobs.get(STATEMENT).ok_or("its record has no statement")?;
    let statement = BootStatement::parse(&statement.0, &Ring)
        .map_err(|error| format!("its statement: {error} ({})", error.code()))?;
    if to_hex(&statement.boot.0) != record.key.boot.as_str() {
        return Err("its record has another boot's statement".into());
    }
    let Settlement::Log(log) = &statement.settlement else { return Err("it named no log".into()) };
    let quorum = usize::try_from(log.quorum).unwrap_or(usize::MAX);
    TrustedLog::parse(&log.key, &log.witnesses, quorum, &Ring).map_err(|error| format!("its log: {error}"))
}
