//! One look at the log: its checkpoint, everything in it since the last one, and what was due.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use vouchsafe_receipt::{Envelope, ReceiptKey, VerifiedReceipt, receipt_leaf_hash};
use vouchsafe_translog::note::NOTE_BYTES_MAX;
use vouchsafe_translog::{Frontier, SignedCheckpoint, Tile, TrustedLog, VerifiedCheckpoint, merkle};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};

use crate::appraise::Appraise;
use crate::compare::{self, Compared};
use crate::files::{self, Trouble};
use crate::gap::{self, Probes};
use crate::leaf::{Looked, look};
use crate::ledger::{self, Ledger};
use crate::mirror::Mirror;
use crate::source::{Fetch, Source};
use crate::state::{Seen, State, Store};
use crate::{Error, Violation};

/// Entry bundles read and verified as one batch.
const BATCH_BUNDLES: usize = 64;
/// Entries after which a catch-up is saved.
const SAVE_ENTRIES: u64 = 1 << 17;
/// A log whose previous checkpoint is at most this old was followed without a pause, in seconds.
const TAILING_SECONDS_MAX: u64 = 15;
/// Trees of enclaves that are remembered as known.
const TREES_MAX: usize = 4096;

/// What a monitor is made of.
pub struct Parts {
    /// The log, its witnesses and their quorum.
    pub trusted: TrustedLog,
    /// Where the log's files come from.
    pub source: Box<dyn Source>,
    /// What boots must satisfy.
    pub appraise: Box<dyn Appraise>,
    /// Where state and evidence are kept.
    pub store: Store,
    /// Where a copy of the log goes.
    pub mirror: Option<Mirror>,
    /// Probes on their way.
    pub probes: Arc<Probes>,
    /// The longest time without a newer checkpoint, in seconds; `None` for any.
    pub stale_s_max: Option<u64>,
    /// Told how many entries were read, and how many there are.
    pub progress: Box<dyn Fn(u64, u64) + Send + Sync>,
}

/// Watches one log.
pub struct Monitor {
    parts: Parts,
    state: State,
    /// What was read of an unconfirmed checkpoint before a restart.
    unconfirmed: Option<State>,
    held: Vec<Held>,
    /// Fetching waits for the network, not for cores.
    fetching: rayon::ThreadPool,
}

/// A receipt that somebody holds and that must be in the log.
#[derive(Debug)]
struct Held {
    leaf: Hex<32>,
    envelope: Envelope,
    index: Option<u64>,
}

/// What one look brought.
#[derive(Debug, Default)]
pub struct Report {
    /// Violations that were not known before.
    pub violations: Vec<Violation>,
    /// Entries that were read.
    pub entries: u64,
}

impl Monitor {
    /// Takes up where the state in the store ends.
    ///
    /// # Errors
    /// That the state cannot be read, or is another log's.
    pub fn new(parts: Parts) -> Result<Self, Error> {
        let (state, unconfirmed) = parts.store.load(&parts.trusted.log().to_string())?;
        let fetching = rayon::ThreadPoolBuilder::new()
            .num_threads(16)
            .build()
            .map_err(|error| Error::Io { path: "threads".into(), problem: std::io::Error::other(error) })?;
        Ok(Self { parts, state, unconfirmed, held: Vec::new(), fetching })
    }

    /// What is known.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The log and its witnesses.
    pub fn trusted(&self) -> &TrustedLog {
        &self.parts.trusted
    }

    /// Probes on their way.
    pub fn probes(&self) -> &Probes {
        &self.parts.probes
    }

    /// Holds the log to a receipt: it must be there by its `settle_by`. What was read before is read
    /// again, so that its absence means something.
    ///
    /// # Errors
    /// That the file is no receipt.
    pub fn hold(&mut self, path: &Path, json: &[u8]) -> Result<(), Error> {
        let envelope = Envelope::from_json(json)
            .map_err(|error| Error::Malformed { path: path.into(), problem: error.to_string() })?;
        let leaf = Hex(receipt_leaf_hash(&envelope, &Ring));
        self.held.push(Held { leaf, envelope, index: None });
        Ok(())
    }

    /// Reads again, for the receipts that were given, what was verified before.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub fn scan(&mut self, now_s: u64) -> Result<Report, Error> {
        let mut report = Report::default();
        let Some(seen) = self.state.checkpoint.clone().filter(|_| !self.held.is_empty()) else {
            return Ok(report);
        };
        let mut frontier = Frontier::new();
        for bundle in files::bundles(0, seen.size) {
            let leaves = match files::leaves(&*self.parts.source, bundle, seen.size) {
                Ok(leaves) => leaves,
                Err(trouble) => {
                    let violation = Result::<_, Error>::from(trouble)?;
                    self.alarm(&mut report, violation, now_s);
                    return Ok(report);
                }
            };
            let hashes: Vec<_> = leaves.par_iter().map(|leaf| merkle::leaf_hash(leaf, &Ring)).collect();
            for hash in hashes {
                self.found(&hash, frontier.size());
                frontier.push(hash, &Ring);
            }
            (self.parts.progress)(frontier.size(), seen.size);
        }
        report.entries = frontier.size();
        if frontier.root(&Ring) != seen.root.0 {
            let (size, expected) = (seen.size, seen.root);
            self.alarm(&mut report, Violation::TilesMismatch { size, expected }, now_s);
        }
        Ok(report)
    }

    /// Looks at the log once. `now_ms`: Unix milliseconds by this machine's clock.
    ///
    /// # Errors
    /// [`Error`] where nothing can be said of the log; what it did wrong is in the report.
    pub fn poll(&mut self, now_ms: u64) -> Result<Report, Error> {
        let now_s = now_ms / 1000;
        let mut report = Report::default();
        let Some(signed) = self.fetch_checkpoint(&mut report, now_s)? else { return Ok(report) };
        if let Some(target) = self.unconfirmed.as_ref().and_then(|progress| progress.target.clone())
            && let Ok(target) = self.open(target.as_bytes())
            && target.checkpoint().size() < signed.checkpoint().size()
        {
            // What was begun is ended first: its checkpoint is what it has to come out as.
            self.follow(&target, now_ms, &mut report)?;
        }
        self.follow(&signed, now_ms, &mut report)?;
        Ok(report)
    }

    /// Compares the log's checkpoint in another view: another monitor's copy, or what a witness holds.
    ///
    /// # Errors
    /// That the other view cannot be reached.
    pub fn compare(&mut self, other: &dyn Source, now_s: u64) -> Result<Report, Error> {
        let mut report = Report::default();
        let Some(ours) = self.state.checkpoint.clone() else { return Ok(report) };
        let note = match other.get("checkpoint", NOTE_BYTES_MAX) {
            Ok(note) => note,
            // A witness that never cosigned has none.
            Err(Fetch::Missing) => return Ok(report),
            Err(error) => {
                return Err(Error::Unreachable { url: other.name(), problem: error.to_string() });
            }
        };
        let theirs = match self.open(&note) {
            Ok(theirs) => theirs,
            Err(error) => {
                let why = format!("{}: {error}", other.name());
                self.alarm(&mut report, Violation::CheckpointUnsigned { why }, now_s);
                return Ok(report);
            }
        };
        let ours = self.open(ours.note.as_bytes())?;
        // The larger tree's tiles decide: ours come from our view, theirs from theirs.
        let source: &dyn Source =
            if theirs.checkpoint().size() > ours.checkpoint().size() { other } else { &*self.parts.source };
        match compare::compare(source, self.parts.trusted.log(), &ours, &theirs) {
            Ok(compared) => self.compared(compared, &ours, &theirs, &mut report, now_s)?,
            // A view without tiles that is ahead of ours is compared when ours has come as far.
            Err(_) if theirs.checkpoint().size() > ours.checkpoint().size() => {}
            Err(trouble) => {
                let violation = Result::<_, Error>::from(trouble)?;
                self.alarm(&mut report, violation, now_s);
            }
        }
        self.parts.store.save(&self.state)?;
        Ok(report)
    }

    fn open(&self, note: &[u8]) -> Result<SignedCheckpoint, vouchsafe_translog::Error> {
        let log = self.parts.trusted.log();
        SignedCheckpoint::open(note, log.name(), std::slice::from_ref(log), &Ring)
    }

    fn fetch_checkpoint(
        &mut self,
        report: &mut Report,
        now_s: u64,
    ) -> Result<Option<SignedCheckpoint>, Error> {
        let source = &*self.parts.source;
        let note = match source.get("checkpoint", NOTE_BYTES_MAX) {
            Ok(note) => note,
            Err(Fetch::Missing) if self.state.checkpoint.is_some() => {
                let size = self.state.size();
                let violation = Violation::FileMissing { path: "checkpoint".into(), size };
                self.alarm(report, violation, now_s);
                return Ok(None);
            }
            Err(error) => {
                let url = format!("{}/checkpoint", source.name());
                return Err(Error::Unreachable { url, problem: error.to_string() });
            }
        };
        match self.open(&note) {
            Ok(signed) => Ok(Some(signed)),
            Err(error) => {
                let violation = Violation::CheckpointUnsigned { why: error.to_string() };
                self.alarm(report, violation, now_s);
                self.parts.store.save(&self.state)?;
                Ok(None)
            }
        }
    }

    /// Takes a signed checkpoint into account.
    fn follow(&mut self, signed: &SignedCheckpoint, now_ms: u64, report: &mut Report) -> Result<(), Error> {
        let now_s = now_ms / 1000;
        let (size, root) = (signed.checkpoint().size(), *signed.checkpoint().root());
        let time = self.witnessed(signed, report, now_s);
        let known = self.state.checkpoint.clone();
        let (known_size, known_root) =
            known.as_ref().map_or((0, None), |known| (known.size, Some(known.root.0)));
        let done = if size < known_size {
            self.smaller(signed, &known, report, now_s)
        } else if size == known_size && known_root.is_some_and(|known| known != root) {
            self.smaller(signed, &known, report, now_s)
        } else if size == known_size && known.is_some() {
            self.confirm(signed, time, now_ms, report);
            Ok(())
        } else {
            self.read(signed, time, now_ms, report)
        };
        match done {
            Ok(()) => {}
            Err(Trouble::Violation(violation)) => self.alarm(report, violation, now_s),
            Err(Trouble::Error(error)) => return Err(error),
        }
        if let (Some(max_s), Some(newest)) =
            (self.parts.stale_s_max, self.state.checkpoint.as_ref().and_then(|seen| seen.time))
            && newest.saturating_add(max_s) < now_s
        {
            self.alarm(report, Violation::CheckpointStale { time: newest, max_s }, now_s);
        }
        let (unsettled, failed) = (self.unsettled(), self.parts.probes.take_failed());
        let slot = self.state.gap.slot(now_s);
        slot.unsettled = unsettled;
        slot.failed = slot.failed.saturating_add(failed);
        self.parts.store.save(&self.state)
    }

    /// Receipts that are known to exist and not in the log, and probes without their receipt.
    fn unsettled(&self) -> u64 {
        let missing = self.state.boots.values().map(|boot| boot.chain.missing()).sum::<u64>();
        missing.saturating_add(self.parts.probes.waiting())
    }

    /// The checkpoint's witness time, and what its cosignatures say of the witnesses.
    fn witnessed(&mut self, signed: &SignedCheckpoint, report: &mut Report, now_s: u64) -> Option<u64> {
        let quorum = self.parts.trusted.quorum().clone();
        let verified = quorum.verify(signed.clone(), &Ring);
        let cosigners = verified.as_ref().map(VerifiedCheckpoint::cosigners).unwrap_or_default();
        for key in quorum.witnesses() {
            let health = self.state.witnesses.entry(key.name().into()).or_default();
            health.seen = health.seen.saturating_add(1);
            if let Some(cosigner) = cosigners.iter().find(|cosigner| cosigner.key() == key) {
                health.cosigned = health.cosigned.saturating_add(1);
                health.time = health.time.max(Some(cosigner.time().0));
            }
        }
        match verified {
            Ok(verified) => Some(verified.time().0),
            Err(error) => {
                let size = signed.checkpoint().size();
                let violation = Violation::QuorumMissing { size, why: error.to_string() };
                self.alarm(report, violation, now_s);
                None
            }
        }
    }

    /// A checkpoint that is smaller than one before, or of the same size with another root.
    fn smaller(
        &mut self,
        signed: &SignedCheckpoint,
        known: &Option<Seen>,
        report: &mut Report,
        now_s: u64,
    ) -> Result<(), Trouble> {
        let Some(known) = known else { return Ok(()) };
        let ours = self.open(known.note.as_bytes()).map_err(Error::from)?;
        let compared = compare::compare(&*self.parts.source, self.parts.trusted.log(), &ours, signed);
        let (from, to) = (known.size, signed.checkpoint().size());
        if to < from {
            self.alarm(report, Violation::CheckpointRolledBack { from, to }, now_s);
        }
        self.compared(compared?, &ours, signed, report, now_s)?;
        Ok(())
    }

    /// Keeps the proof where two checkpoints contradict each other.
    fn compared(
        &mut self,
        compared: Compared,
        one: &SignedCheckpoint,
        other: &SignedCheckpoint,
        report: &mut Report,
        now_s: u64,
    ) -> Result<(), Error> {
        let Compared::Contradiction { file, found } = compared else { return Ok(()) };
        let (small, large) = match one.checkpoint().size() <= other.checkpoint().size() {
            true => (one.checkpoint(), other.checkpoint()),
            false => (other.checkpoint(), one.checkpoint()),
        };
        let (first, second) = (Hex(*small.root()), Hex(*large.root()));
        let name = format!("equivocation-{}-{}-{second}.json", small.size(), large.size());
        let file = self.parts.store.keep(&name, &file.to_json())?;
        let violation = match small.size() == large.size() {
            true => Violation::Equivocation { size: small.size(), first, second, file },
            false => Violation::HistoryRewritten {
                prefix: small.size(),
                signed: first,
                found: Hex(found),
                size: large.size(),
                file,
            },
        };
        self.alarm(report, violation, now_s);
        Ok(())
    }

    /// Reads everything up to a larger checkpoint, and takes it into account if it comes out.
    fn read(
        &mut self,
        signed: &SignedCheckpoint,
        time: Option<u64>,
        now_ms: u64,
        report: &mut Report,
    ) -> Result<(), Trouble> {
        let (size, root) = (signed.checkpoint().size(), *signed.checkpoint().root());
        let note = signed.note().to_string();
        let begun = self.unconfirmed.take().filter(|begun| begun.size() <= size);
        let mut work = begun.unwrap_or_else(|| self.state.clone());
        work.target = Some(note.clone());
        let newest = self.state.checkpoint.as_ref().and_then(|seen| seen.time).unwrap_or(0);
        let time_or_now = time.unwrap_or(now_ms / 1000);
        let mut ledger = Ledger {
            source: &*self.parts.source,
            appraise: &*self.parts.appraise,
            time: time_or_now,
            tailing: time.is_some_and(|time| time.saturating_sub(newest) <= TAILING_SECONDS_MAX),
            mirror: self.parts.mirror.as_ref(),
            violations: Vec::new(),
        };
        let mut frontier = work.frontier().unwrap_or_default();
        let start = frontier.size();
        let (mut keys, mut saved, mut found) = (Ledger::keys(&work), start, Vec::new());
        let wanted = self.wanted();
        let bundles: Vec<Tile> = files::bundles(start, size).collect();
        for batch in bundles.chunks(BATCH_BUNDLES) {
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
            if frontier.size().saturating_sub(saved) >= SAVE_ENTRIES {
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
        let violations = ledger.violations;
        work.target = None;
        let old = self.state.size();
        self.state = work;
        self.parts.store.save_progress(None)?;
        for violation in violations {
            self.alarm(report, violation, now_ms / 1000);
        }
        if let Some(mirror) = &self.parts.mirror {
            mirror.finish(old, size, &note)?;
        }
        for (index, hash) in found {
            self.found(&hash, index);
            self.probe(&hash, now_ms);
        }
        self.confirm(signed, time, now_ms, report);
        self.named(size, &root, report, now_ms / 1000)
    }

    /// A checkpoint whose tree is known: its time, what was due by then, and that it was audited.
    fn confirm(&mut self, signed: &SignedCheckpoint, time: Option<u64>, now_ms: u64, report: &mut Report) {
        let (size, root) = (signed.checkpoint().size(), Hex(*signed.checkpoint().root()));
        let known = self.state.checkpoint.as_ref();
        let is_new = known.is_none_or(|known| known.size != size);
        let time_known = known.and_then(|known| known.time);
        if !is_new && time <= time_known {
            return;
        }
        if is_new {
            self.state.checkpoints = self.state.checkpoints.saturating_add(1);
        }
        let note = signed.note().to_string();
        let time = time.max(time_known);
        self.state.checkpoint = Some(Seen { note, size, root, time, audited_ms: now_ms });
        let Some(time) = time else { return };
        for violation in ledger::settle(&mut self.state, size, time) {
            self.alarm(report, violation, now_ms / 1000);
        }
        self.breaches(size, time, report, now_ms / 1000);
    }

    /// Receipts that somebody holds, that were due, and that a scan of everything did not find.
    fn breaches(&mut self, size: u64, time: u64, report: &mut Report, now_s: u64) {
        let mut breaches = Vec::new();
        for held in self.held.iter().filter(|held| held.index.is_none()) {
            let keys = self.state.boots.values().filter_map(|boot| {
                let Base64(spki) = boot.receipt_key.as_ref()?;
                ReceiptKey::from_spki(spki, &Ring).ok()
            });
            // Only a boot of this log owes this log anything.
            let verified =
                keys.filter_map(|key| VerifiedReceipt::verify(&held.envelope, &key, &Ring).ok()).next();
            let Some(receipt) = verified.as_ref().map(VerifiedReceipt::payload) else { continue };
            if let Some(due) = receipt.settle_by.filter(|due| *due < time) {
                let (boot, seq, leaf) = (receipt.boot, receipt.seq, held.leaf);
                breaches.push(Violation::SettleByBreached { boot, seq, leaf, due, size, time });
            }
        }
        for violation in breaches {
            self.alarm(report, violation, now_s);
        }
    }

    /// Says why what was read does not make the signed tree.
    fn diagnose(
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

    /// Looks up the trees that enclaves named in this log's tree.
    fn named(&mut self, size: u64, root: &[u8; 32], report: &mut Report, now_s: u64) -> Result<(), Trouble> {
        let named = std::mem::take(&mut self.state.named);
        let mut tiles = compare::reader(&*self.parts.source, size, size);
        let mut violations = Vec::new();
        for (old, others) in named {
            for other in others {
                let (index, boot, claimed) = (other.index, other.boot, other.root);
                let consistent = old <= size && {
                    let proof =
                        tiles.consistency(old).map_err(|error| compare::trouble(error, size, root))?;
                    merkle::verify_consistency(old, &claimed.0, size, root, &proof, &Ring).is_ok()
                };
                if consistent {
                    self.state.trees.insert(old, claimed);
                    continue;
                }
                // An enclave that is ahead of what is published was shown something else, too.
                let found = match old <= size {
                    false => Hex([0; 32]),
                    true => match compare::prefix(&*self.parts.source, old, &claimed.0, size, root)? {
                        Some((found, _)) => Hex(found),
                        None => continue,
                    },
                };
                violations.push(Violation::EnclaveOtherView {
                    index,
                    boot,
                    size: old,
                    named: claimed,
                    found,
                });
            }
        }
        drop(tiles);
        while self.state.trees.len() > TREES_MAX {
            self.state.trees.pop_first();
        }
        for violation in violations {
            self.alarm(report, violation, now_s);
        }
        Ok(())
    }

    /// The leaves that somebody waits for.
    fn wanted(&self) -> HashSet<[u8; 32]> {
        let held = self.held.iter().map(|held| held.leaf.0);
        held.chain(self.parts.probes.leaves()).collect()
    }

    /// A leaf that somebody holds the receipt of.
    fn found(&mut self, hash: &[u8; 32], index: u64) {
        for held in self.held.iter_mut().filter(|held| held.leaf.0 == *hash) {
            held.index = Some(index);
        }
    }

    /// A probe whose receipt has come: `now_ms` is when its checkpoint was fetched.
    fn probe(&mut self, hash: &[u8; 32], now_ms: u64) {
        let Some(probe) = self.parts.probes.take(hash) else { return };
        let audited_ms = gap::unix_ms();
        let slot = self.state.gap.slot(probe.answered_ms / 1000);
        slot.answered.add(probe.answered_ms.saturating_sub(probe.asked_ms));
        slot.witnessed.add(now_ms.saturating_sub(probe.answered_ms));
        slot.audited.add(audited_ms.saturating_sub(now_ms));
    }

    fn alarm(&mut self, report: &mut Report, violation: Violation, now_s: u64) {
        if self.state.alarm(violation.clone(), now_s) {
            report.violations.push(violation);
        }
    }
}
