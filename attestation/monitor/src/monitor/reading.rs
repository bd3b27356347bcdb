//! Reading up to a checkpoint, and saying why it does not come out.

use std::collections::BTreeMap;

use rayon::prelude::*;
use vouchsafe_translog::tile::TILE_WIDTH;
use vouchsafe_translog::{SignedCheckpoint, Tile, merkle};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use super::{Monitor, Report};
use crate::compare::{self, Compared};
use crate::files::{self, Trouble};
use crate::leaf::{Looked, look};
use crate::ledger::{Ledger, NAMED_MAX};
use crate::{Error, Violation};

/// Entry bundles read and verified as one batch.
const BATCH_BUNDLES: u64 = 64;
/// Entries after which a catch-up is saved, where nothing else is wanted: some seconds' worth.
pub const SAVE_ENTRIES: u64 = 1 << 17;
/// A log whose previous checkpoint is at most this old was followed without a pause, in seconds.
const TAILING_SECONDS_MAX: u64 = 15;
/// Trees of enclaves that are remembered as known.
const TREES_MAX: usize = 4096;
/// How long a tree that an enclave named may stay without being looked up before that is an alarm of its own, in
/// seconds by the monitor's clock.
const UNJUDGED_SECONDS_MAX: u64 = 300;

impl Monitor {
    /// Reads everything up to a larger checkpoint, and takes it into account if it comes out.
    pub(super) fn read(
        &mut self,
        signed: &SignedCheckpoint,
        time: Option<u64>,
        now_ms: u64,
        report: &mut Report,
    ) -> Result<(), Trouble> {
        let (size, root) = (signed.checkpoint().size(), *signed.checkpoint().root());
        let note = signed.note().to_string();
        // What was begun before a restart may not have been copied.
        let is_mirrored = self.unconfirmed.is_none() && self.is_mirrored(self.state.checkpoint.as_ref());
        let begun = self.unconfirmed.take().filter(|begun| begun.size() <= size);
        let mut work = begun.map_or_else(|| self.state.clone(), |begun| begun.since(&self.state));
        work.target = Some(note.clone());
        let newest = self.state.checkpoint.as_ref().and_then(|seen| seen.time).unwrap_or(0);
        let time_or_now = time.unwrap_or(now_ms / 1000);
        let mut ledger = Ledger {
            source: &*self.parts.source,
            appraise: &*self.parts.appraise,
            time: time_or_now,
            tailing: time.is_some_and(|time| time.saturating_sub(newest) <= TAILING_SECONDS_MAX),
            mirror: self.parts.mirror.as_ref(),
            trusted: &self.parts.trusted,
            times: BTreeMap::new(),
            waiting: work.boots.values().map(|boot| boot.chain.waiting()).fold(0, usize::saturating_add),
            named_max: NAMED_MAX,
            is_unfollowed: false,
            violations: Vec::new(),
        };
        let mut frontier = work.frontier().unwrap_or_default();
        let start = frontier.size();
        let (mut keys, mut saved, mut found) = (Ledger::keys(&work), start, Vec::new());
        let wanted = self.wanted();
        let save_entries = self.parts.save_entries;
        let batch_bundles = (save_entries / TILE_WIDTH).clamp(1, BATCH_BUNDLES);
        let bundles: Vec<Tile> = files::bundles(start, size).collect();
        for batch in bundles.chunks(usize::try_from(batch_bundles).unwrap_or(1)) {
            let source = &*self.parts.source;
            let fetched: Vec<Result<Vec<Vec<u8>>, Trouble>> = self
                .fetching
                .install(|| batch.par_iter().map(|tile| files::leaves(source, *tile, size)).collect());
            let first = frontier.size();
            let mut leaves = Vec::new();
            for (tile, bundle) in batch.iter().zip(fetched) {
                let bundle = bundle?;
                if let Some(mirror) = &self.parts.mirror {
                    mirror.bundle(*tile, &bundle)?;
                }
                let skip = usize::try_from(first.saturating_sub(tile.first_leaf())).unwrap_or(usize::MAX);
                leaves.extend(bundle.into_iter().skip(skip));
            }
            ledger.boots(&mut work, &mut keys, first, &leaves)?;
            let looked: Vec<Looked> = (leaves.par_iter().enumerate())
                .map(|(place, leaf)| {
                    look(first.saturating_add(u64::try_from(place).unwrap_or(u64::MAX)), leaf, &keys)
                })
                .collect();
            for looked in looked {
                frontier.push(looked.hash, &Ring);
                if wanted.contains(&looked.hash) {
                    found.push((looked.index, looked.hash));
                }
                ledger.apply(&mut work, looked)?;
            }
            (self.parts.progress)(frontier.size(), size);
            work.set_frontier(&frontier);
            // They are saved with what they were found in.
            for violation in ledger.violations.drain(..) {
                work.alarm(violation, now_ms / 1000);
            }
            if frontier.size().saturating_sub(saved) >= save_entries {
                saved = frontier.size();
                self.parts.store.save_progress(Some(&work))?;
            }
        }
        report.entries = report.entries.saturating_add(size.saturating_sub(start));
        if frontier.root(&Ring) != root {
            self.parts.store.save_progress(None)?;
            return self.diagnose(signed, report, now_ms / 1000);
        }
        ledger.appraise(&mut work)?;
        for violation in ledger.violations {
            work.alarm(violation, now_ms / 1000);
        }
        work.target = None;
        let before = std::mem::replace(&mut self.state, work);
        let is_new = |violation: &Violation| !before.alarms.iter().any(|known| known.violation == *violation);
        let found_here = self.state.alarms.iter().map(|alarm| &alarm.violation).filter(|found| is_new(found));
        report.violations.extend(found_here.cloned());
        let old = before.size();
        self.parts.store.save(&self.state)?;
        self.parts.store.save_progress(None)?;
        if let Some(mirror) = self.parts.mirror.as_ref().filter(|_| is_mirrored) {
            mirror.finish(old, size, &note)?;
        }
        // What was begun before a restart may leave out entries that nobody looked at for these receipts.
        self.searched(start, size);
        for (index, hash) in found {
            self.found(&hash, index);
            self.probe(&hash, now_ms);
        }
        self.confirm(signed, time, now_ms, report);
        self.named(size, &root, report, now_ms / 1000)
    }

    /// Says why what was read does not make the signed tree.
    pub(super) fn diagnose(
        &mut self,
        signed: &SignedCheckpoint,
        report: &mut Report,
        now_s: u64,
    ) -> Result<(), Trouble> {
        let source = &*self.parts.source;
        let (size, root) = (signed.checkpoint().size(), *signed.checkpoint().root());
        let mismatch = Violation::TilesMismatch { size, expected: Hex(root) };
        if compare::tiles_root(source, size, &root)? != root {
            return Err(mismatch.into());
        }
        if let Some(known) = self.state.checkpoint.clone() {
            let ours = self.open(known.note.as_bytes()).map_err(Error::from)?;
            let compared = compare::compare(source, self.parts.trusted.log(), &ours, signed)?;
            if matches!(compared, Compared::Contradiction { .. }) {
                self.compared(compared, &ours, signed, report, now_s)?;
                return Ok(());
            }
        }
        let wrong = compare::wrong_entry(source, self.state.size(), size, &root)?;
        Err(wrong.unwrap_or(mismatch).into())
    }

    /// Looks up the trees that enclaves named in this log's tree. One that cannot be looked up stays, with those
    /// behind it: whoever shows enclaves another view would else only have to withhold a tile to have them
    /// forgotten.
    pub(super) fn named(
        &mut self,
        size: u64,
        root: &[u8; 32],
        report: &mut Report,
        now_s: u64,
    ) -> Result<(), Trouble> {
        let mut violations = Vec::new();
        let judged = self.judge_named(size, root, &mut violations);
        while self.state.trees.len() > TREES_MAX {
            self.state.trees.pop_first();
        }
        for violation in violations {
            self.alarm(report, violation, now_s);
        }
        if judged.is_ok() {
            (self.state.unjudged_since, self.state.unfollowed_tree) = (None, None);
        } else {
            let since = *self.state.unjudged_since.get_or_insert(now_s);
            if since.saturating_add(UNJUDGED_SECONDS_MAX) <= now_s {
                self.alarm(report, Violation::TreesUnjudged { since }, now_s);
            }
        }
        judged
    }

    /// Takes out each named tree that it could judge, up to the first that it could not.
    fn judge_named(
        &mut self,
        size: u64,
        root: &[u8; 32],
        violations: &mut Vec<Violation>,
    ) -> Result<(), Trouble> {
        let source = &*self.parts.source;
        let mut tiles = compare::reader(source, size, size);
        while let Some(entry) = self.state.named.first_entry() {
            let old = *entry.key();
            let mut here = Vec::new();
            for other in entry.get() {
                let (index, boot, named) = (other.index, other.boot, other.root);
                let consistent = old <= size && {
                    let proof =
                        tiles.consistency(old).map_err(|error| compare::trouble(error, size, root))?;
                    merkle::verify_consistency(old, &named.0, size, root, &proof, &Ring).is_ok()
                };
                if consistent {
                    self.state.trees.insert(old, named);
                    continue;
                }
                // An enclave that is ahead of what is published was shown something else, too.
                let found = match old <= size {
                    false => Hex([0; 32]),
                    true => match compare::prefix(source, old, &named.0, size, root)? {
                        Some((found, _)) => Hex(found),
                        None => continue,
                    },
                };
                here.push(Violation::EnclaveOtherView { index, boot, size: old, named, found });
            }
            violations.extend(here);
            entry.remove();
        }
        Ok(())
    }
}
