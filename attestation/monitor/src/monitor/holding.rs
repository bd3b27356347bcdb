//! Receipts that somebody waits for: those that were handed in, and those of probes.
//!
//! A receipt that was handed in is looked for in every entry of a tree whose root came out. Where it is missing
//! it is offered to the log again; if a later checkpoint with its quorum lacks it still, and it was due,
//! that is a breach. Where it cannot be offered again, its absence is named, and nothing more.

use std::collections::HashSet;
use std::path::Path;

use vouchsafe_receipt::{Envelope, ReceiptKey, VerifiedReceipt, envelope_leaf, receipt_leaf_hash};
use vouchsafe_translog::VerifiedCheckpoint;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};

use super::{Held, Monitor, Report};
use crate::breach::{self, BreachFile};
use crate::search::search;
use crate::state::Resubmission;
use crate::{Error, Violation};

/// Seconds between two attempts at offering a receipt again, or at reading a tree that could not be read.
const RETRY_SECONDS: u64 = 10;
/// Seconds after which a receipt that is neither found nor a breach is named as absent.
const UNDECIDED_SECONDS_MAX: u64 = 60;
/// Resubmissions that are remembered.
const RESUBMITTED_MAX: usize = 1024;

/// A receipt that was handed in, and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sought {
    /// Its leaf hash.
    pub leaf: Hex<32>,
    /// In how many entries it was looked for, all of them under a signed root.
    pub scanned: u64,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a receipt that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in the log.
    InLog {
        /// Its index.
        index: u64,
    },
    /// It is not there, and a violation says so.
    Named,
    /// It is not there and was due: a later checkpoint decides.
    Pending,
    /// It is not there, and was not due.
    NotDue,
    /// No boot in this log signed it.
    OfNoBoot,
}

impl Monitor {
    /// Holds the log to a receipt: it must be there by its `settle_by`. What was read before is read
    /// again at the next look, so that its absence means something.
    ///
    /// # Errors
    /// That the file is no receipt.
    pub fn hold(&mut self, path: &Path, json: &[u8]) -> Result<(), Error> {
        let malformed = |problem: String| Error::Malformed { path: path.into(), problem };
        let envelope = Envelope::from_json(json).map_err(|error| malformed(error.to_string()))?;
        let bytes = envelope_leaf(&envelope).ok_or_else(|| malformed("it fits in no leaf".into()))?;
        let leaf = Hex(receipt_leaf_hash(&envelope, &Ring));
        self.held.push(Held { leaf, envelope, bytes, index: None, scanned: 0, is_named: false });
        Ok(())
    }

    /// What is known of the receipts that were handed in.
    pub fn sought(&self) -> Vec<Sought> {
        let sought = |held: &Held| {
            let time = self.state.checkpoint.as_ref().and_then(|seen| seen.time).unwrap_or(0);
            let due = || Some(self.signed(held)?.0.payload().settle_by.unwrap_or(u64::MAX));
            let fate = match (held.index, held.is_named) {
                (Some(index), _) => Fate::InLog { index },
                (None, true) => Fate::Named,
                (None, false) => match due() {
                    None => Fate::OfNoBoot,
                    Some(due) if due < time => Fate::Pending,
                    Some(_) => Fate::NotDue,
                },
            };
            Sought { leaf: held.leaf, scanned: held.scanned, fate }
        };
        self.held.iter().map(sought).collect()
    }

    /// Looks for the receipts that were handed in: reads the whole log again where that was not done, offers
    /// it what it lacks, and names what was due. With `is_last`, nobody will look again.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub fn seek(&mut self, now_s: u64, is_last: bool) -> Result<Report, Error> {
        let mut report = Report::default();
        self.seek_held(&mut report, now_s, is_last)?;
        Ok(report)
    }

    pub(super) fn seek_held(&mut self, report: &mut Report, now_s: u64, is_last: bool) -> Result<(), Error> {
        let Some(seen) = self.state.checkpoint.clone() else { return Ok(()) };
        if self.held.iter().all(|held| held.index.is_some() || held.is_named) {
            return Ok(());
        }
        let behind = |held: &Held| held.index.is_none() && held.scanned < seen.size;
        let waits = self.unread.is_some_and(|failed| now_s.abs_diff(failed) < RETRY_SECONDS);
        if self.held.iter().any(behind) && !waits {
            let tree = (seen.size, &seen.root.0);
            let wanted = self.held.iter().map(|held| held.leaf.0).collect();
            match search(&*self.parts.source, tree, &wanted, &*self.parts.progress) {
                Ok(found) => {
                    self.unread = None;
                    found.iter().for_each(|(hash, index)| self.found(hash, *index));
                    self.searched(0, seen.size);
                }
                Err(trouble) => {
                    self.unread = Some(now_s);
                    let violation = Result::<_, Error>::from(trouble)?;
                    self.alarm(report, violation, now_s);
                }
            }
        }
        self.resubmit(now_s);
        self.breaches(report, now_s, is_last)?;
        self.parts.store.save(&self.state)
    }

    /// Every entry from `start` up to `size` was looked at, and the root of that size came out.
    pub(super) fn searched(&mut self, start: u64, size: u64) {
        for held in self.held.iter_mut().filter(|held| held.scanned >= start) {
            held.scanned = held.scanned.max(size);
        }
    }

    /// Offers the log what it lacks.
    fn resubmit(&mut self, now_s: u64) {
        let Some(submit) = &self.parts.submit else { return };
        let witness_time = self.state.checkpoint.as_ref().and_then(|seen| seen.time).unwrap_or(0);
        for held in self.held.iter().filter(|held| held.index.is_none() && held.scanned > 0) {
            let leaf = held.leaf.to_string();
            let before = self.state.resubmitted.get(&leaf);
            let is_due = before
                .is_none_or(|before| !before.is_answered && now_s.abs_diff(before.last_s) >= RETRY_SECONDS);
            if !is_due || self.signed(held).is_none() {
                continue;
            }
            let (is_answered, answer) = match submit.add(&held.bytes) {
                Ok(answer) => (true, answer),
                Err(error) => (false, error.to_string()),
            };
            let first_s = before.map_or(now_s, |before| before.first_s);
            let last_s = now_s.max(witness_time);
            self.state.resubmitted.insert(leaf, Resubmission { first_s, last_s, is_answered, answer });
            while self.state.resubmitted.len() > RESUBMITTED_MAX {
                self.state.resubmitted.pop_first();
            }
        }
    }

    /// The receipt, if a boot in this log signed it: nobody else owes this log anything.
    fn signed(&self, held: &Held) -> Option<(VerifiedReceipt, Hex<32>)> {
        self.state.boots.values().find_map(|boot| {
            let Base64(spki) = boot.receipt_key.as_ref()?;
            let key = ReceiptKey::from_spki(spki, &Ring).ok()?;
            let verified = VerifiedReceipt::verify(&held.envelope, &key, &Ring).ok()?;
            Some((verified, boot.blobs.0))
        })
    }

    /// Receipts that somebody holds, that were due, and that the whole of a later tree lacks.
    fn breaches(&mut self, report: &mut Report, now_s: u64, is_last: bool) -> Result<(), Error> {
        let Some(seen) = &self.state.checkpoint else { return Ok(()) };
        // The note that is kept may lack its quorum: then it accuses nobody.
        let Ok(verified) = self.parts.trusted.verify(seen.note.as_bytes(), &Ring) else { return Ok(()) };
        let mut named = Vec::new();
        for held in &self.held {
            if held.index.is_some() || held.is_named || held.scanned < verified.size() {
                continue;
            }
            let Some((receipt, statement)) = self.signed(held) else { continue };
            if let Some(violation) = self.judge(held, &receipt, &statement.0, &verified, (now_s, is_last))? {
                named.push((held.leaf, violation));
            }
        }
        for (leaf, violation) in named {
            self.held.iter_mut().filter(|held| held.leaf == leaf).for_each(|held| held.is_named = true);
            self.alarm(report, violation, now_s);
        }
        Ok(())
    }

    /// What the absence of a receipt from a whole tree means; `None` where it may mean nothing yet.
    fn judge(
        &self,
        held: &Held,
        receipt: &VerifiedReceipt,
        statement: &[u8; 32],
        verified: &VerifiedCheckpoint,
        (now_s, is_last): (u64, bool),
    ) -> Result<Option<Violation>, Error> {
        let payload = receipt.payload();
        let (size, time) = (verified.size(), verified.time().0);
        let Some(due) = payload.settle_by.filter(|due| *due < time) else { return Ok(None) };
        let (boot, seq, leaf) = (payload.boot, payload.seq, held.leaf);
        let absent = |why: String| Violation::ReceiptAbsent { boot, seq, leaf, due, size, time, why };
        let log = self.parts.trusted.log().to_string();
        let Some(statement) = breach::statement(&*self.parts.source, statement)? else {
            return Ok(Some(absent("the statement of its boot is not to be had".into())));
        };
        if let Err(why) = breach::promised(&statement, &log, &Ring) {
            return Ok(Some(absent(why)));
        }
        let Some(resubmitted) = self.state.resubmitted.get(&leaf.to_string()) else {
            let why = "it could not be offered again: these files take no submissions";
            return Ok(self.parts.submit.is_none().then(|| absent(why.into())));
        };
        if resubmitted.is_answered && time > resubmitted.last_s {
            let file = BreachFile::new(log, &held.envelope, statement, verified, resubmitted.clone());
            let file = self.parts.store.keep(&format!("breach-{leaf}.json"), &file.to_json())?;
            let resubmitted = resubmitted.last_s;
            return Ok(Some(Violation::SettleByBreached {
                boot,
                seq,
                leaf,
                due,
                size,
                time,
                resubmitted,
                file,
            }));
        }
        let is_over = is_last || now_s.saturating_sub(resubmitted.first_s) >= UNDECIDED_SECONDS_MAX;
        let why = match resubmitted.is_answered {
            true => {
                format!("no checkpoint with its quorum came after it was offered at {}", resubmitted.last_s)
            }
            false => format!("the log did not take it when it was offered again: {}", resubmitted.answer),
        };
        Ok(is_over.then(|| absent(why)))
    }

    /// The leaves that somebody waits for.
    pub(super) fn wanted(&self) -> HashSet<[u8; 32]> {
        let held = self.held.iter().map(|held| held.leaf.0);
        held.chain(self.parts.probes.leaves()).collect()
    }

    /// A leaf that somebody holds the receipt of.
    pub(super) fn found(&mut self, hash: &[u8; 32], index: u64) {
        for held in self.held.iter_mut().filter(|held| held.leaf.0 == *hash) {
            held.index = Some(index);
        }
    }

    /// A probe whose receipt has come: `now_ms` is when its checkpoint was fetched.
    pub(super) fn probe(&mut self, hash: &[u8; 32], now_ms: u64) {
        let Some(probe) = self.parts.probes.take(hash) else { return };
        let audited_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let slot = self.state.gap.slot(probe.answered_ms / 1000);
        slot.answered.add(probe.answered_ms.saturating_sub(probe.asked_ms));
        slot.witnessed.add(now_ms.saturating_sub(probe.answered_ms));
        slot.audited.add(audited_ms);
    }
}
