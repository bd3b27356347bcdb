//! One look at the log: its checkpoint, everything in it since the last one, and what was due.

mod holding;
mod mirroring;
mod reading;
mod views;

pub use holding::{Fate, Sought};
pub use reading::SAVE_ENTRIES;

use std::sync::Arc;
use std::time::Instant;

use vouchsafe_receipt::Envelope;
use vouchsafe_translog::note::NOTE_BYTES_MAX;
use vouchsafe_translog::{SignedCheckpoint, TrustedLog, VerifiedCheckpoint};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::appraise::Appraise;
use crate::compare::{self, Compared};
use crate::files::Trouble;
use crate::gap::Probes;
use crate::ledger;
use crate::mirror::Mirror;
use crate::source::{Source, Submit};
use crate::state::{Seen, State, Store};
use crate::{Error, Violation};

/// What a monitor is made of.
pub struct Parts {
    /// The log, its witnesses and their quorum.
    pub trusted: TrustedLog,
    /// Where the log's files come from.
    pub source: Box<dyn Source>,
    /// Where receipts are offered to the log again; `None` where its files take no submissions.
    pub submit: Option<Box<dyn Submit>>,
    /// What boots must satisfy.
    pub appraise: Box<dyn Appraise>,
    /// Where state and evidence are kept.
    pub store: Store,
    /// Where a copy of the log goes.
    pub mirror: Option<Mirror>,
    /// Probes on their way.
    pub probes: Arc<Probes>,
    /// Entries after which a catch-up is saved; [`SAVE_ENTRIES`] does.
    pub save_entries: u64,
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
    /// When the whole log could not be read for them, in Unix seconds.
    unread: Option<u64>,
    /// When the mirror could not be made whole, in Unix seconds.
    unmirrored: Option<u64>,
    /// Violations of a look that ended early.
    unreported: Vec<Violation>,
    /// When the present look began, for how long verifying takes.
    began: Instant,
    /// Fetching waits for the network, not for cores.
    fetching: rayon::ThreadPool,
}

/// A receipt that somebody holds and that must be in the log.
#[derive(Debug)]
struct Held {
    leaf: Hex<32>,
    envelope: Envelope,
    bytes: Vec<u8>,
    index: Option<u64>,
    /// Every entry below was searched, and led to a signed root.
    scanned: u64,
    /// Whether its absence was named.
    is_named: bool,
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
        Ok(Self {
            parts,
            state,
            unconfirmed,
            held: Vec::new(),
            unread: None,
            unmirrored: None,
            unreported: Vec::new(),
            began: Instant::now(),
            fetching,
        })
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

    /// Looks at the log once. `now_ms`: Unix milliseconds by this machine's clock.
    ///
    /// # Errors
    /// [`Error`] where nothing can be said of the log; what it did wrong is in the report.
    pub fn poll(&mut self, now_ms: u64) -> Result<Report, Error> {
        self.began = Instant::now();
        let mut report = Report { violations: std::mem::take(&mut self.unreported), entries: 0 };
        let looked = self.look(&mut report, now_ms);
        match looked {
            Ok(()) => Ok(report),
            Err(error) => {
                // What was found before the look failed is told with the next report.
                self.unreported = report.violations;
                Err(error)
            }
        }
    }

    /// Violations that were found before a look failed.
    pub fn take_unreported(&mut self) -> Report {
        Report { violations: std::mem::take(&mut self.unreported), entries: 0 }
    }

    fn look(&mut self, report: &mut Report, now_ms: u64) -> Result<(), Error> {
        let now_s = now_ms / 1000;
        let signed = match self.fetch_checkpoint(report, now_s) {
            Ok(Some(signed)) => signed,
            Ok(None) => return Ok(()),
            Err(error) => {
                // A log that restarts is out of reach for a moment. One that stays away gets stale.
                self.stale(report, now_s);
                self.parts.store.save(&self.state)?;
                return if report.violations.is_empty() { Err(error) } else { Ok(()) };
            }
        };
        if let Some(target) = self.unconfirmed.as_ref().and_then(|progress| progress.target.clone())
            && let Ok(target) = self.open(target.as_bytes())
            && target.checkpoint().size() < signed.checkpoint().size()
        {
            // What was begun is ended first: its checkpoint is what it has to come out as.
            self.follow(&target, now_ms, report)?;
        }
        self.follow(&signed, now_ms, report)?;
        self.mirror_whole(report, now_s)?;
        self.seek_held(report, now_s, false)
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
        let contradicts = size == known_size && known_root.is_some_and(|known| known != root);
        let done = if size < known_size || contradicts {
            self.smaller(signed, &known, report, now_s)
        } else if size == known_size && known.is_some() {
            self.confirm(signed, time, now_ms, report);
            // What could not be looked up before.
            self.named(size, &root, report, now_s)
        } else {
            self.read(signed, time, now_ms, report)
        };
        match done {
            Ok(()) => {}
            Err(Trouble::Violation(violation)) => self.alarm(report, *violation, now_s),
            Err(Trouble::Error(error)) => {
                // What was judged before is not lost with it, and nobody hides behind it.
                self.stale(report, now_s);
                self.parts.store.save(&self.state)?;
                return Err(error);
            }
        }
        self.stale(report, now_s);
        let (missing, waiting) = (self.state.missing(), self.parts.probes.waiting());
        let failed = self.parts.probes.take_failed();
        let slot = self.state.gap.slot(now_s);
        (slot.unsettled, slot.probes_unsettled) = (missing, waiting);
        slot.failed = slot.failed.saturating_add(failed);
        self.parts.store.save(&self.state)
    }

    /// Whether the log has published nothing newer for too long.
    fn stale(&mut self, report: &mut Report, now_s: u64) {
        if let (Some(max_s), Some(time)) =
            (self.parts.stale_s_max, self.state.checkpoint.as_ref().and_then(|seen| seen.time))
            && time.saturating_add(max_s) < now_s
        {
            self.alarm(report, Violation::CheckpointStale { time, max_s }, now_s);
        }
    }

    /// The checkpoint's witness time, and what its cosignatures say of the witnesses.
    fn witnessed(&mut self, signed: &SignedCheckpoint, report: &mut Report, now_s: u64) -> Option<u64> {
        let quorum = self.parts.trusted.quorum().clone();
        let verified = quorum.verify(signed.clone(), &Ring);
        let cosigners = verified.as_ref().map(VerifiedCheckpoint::cosigners).unwrap_or_default();
        // The same note again says nothing new of anybody.
        let note = signed.note().to_string();
        let is_new = self.state.checkpoint.as_ref().is_none_or(|seen| seen.note != note);
        for key in quorum.witnesses().iter().filter(|_| is_new) {
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
    }

    fn alarm(&mut self, report: &mut Report, violation: Violation, now_s: u64) {
        if self.state.alarm(violation.clone(), now_s) {
            report.violations.push(violation);
        }
    }
}
