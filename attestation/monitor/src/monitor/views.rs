//! The same log as others see it: another monitor's copy, or what a witness holds.
//!
//! Two checkpoints are compared by the larger tree's tiles. A view may be ahead and have none, as a witness has: then
//! its checkpoint is kept until this log has come as far, so that a fork cannot hide by being larger.

use vouchsafe_translog::SignedCheckpoint;
use vouchsafe_translog::note::NOTE_BYTES_MAX;

use super::{Monitor, Report};
use crate::compare;
use crate::source::{Fetch, Source};
use crate::state::Ahead;
use crate::{Error, Violation};

/// Views whose checkpoints are kept. There are as many as were given on the command line.
const VIEWS_MAX: usize = 256;

impl Monitor {
    /// Compares the log's checkpoint in another view: another monitor's copy, or what a witness holds.
    ///
    /// # Errors
    /// That the other view cannot be reached.
    pub fn compare(&mut self, other: &dyn Source, now_s: u64) -> Result<Report, Error> {
        let mut report = Report::default();
        let compared = self.compare_views(other, &mut report, now_s);
        self.parts.store.save(&self.state)?;
        match compared {
            Ok(()) => Ok(report),
            Err(error) => {
                self.unreported.append(&mut report.violations);
                Err(error)
            }
        }
    }

    fn compare_views(&mut self, other: &dyn Source, report: &mut Report, now_s: u64) -> Result<(), Error> {
        self.compare_ahead(&other.name(), report, now_s)?;
        let Some(ours) = self.state.checkpoint.clone() else { return Ok(()) };
        let note = match other.get("checkpoint", NOTE_BYTES_MAX) {
            Ok(note) => note,
            // A witness that never cosigned has none.
            Err(Fetch::Missing) => return Ok(()),
            Err(error) => {
                return Err(Error::Unreachable { url: other.name(), problem: error.to_string() });
            }
        };
        let theirs = match self.open(&note) {
            Ok(theirs) => theirs,
            Err(error) => {
                let why = format!("{}: {error}", other.name());
                self.alarm(report, Violation::CheckpointUnsigned { why }, now_s);
                return Ok(());
            }
        };
        let ours = self.open(ours.note.as_bytes())?;
        if theirs.checkpoint().size() <= ours.checkpoint().size() {
            return self.compare_smaller(&ours, &theirs, report, now_s).map(drop);
        }
        match compare::compare(other, self.parts.trusted.log(), &ours, &theirs) {
            Ok(compared) => self.compared(compared, &ours, &theirs, report, now_s),
            Err(_) => {
                let (name, note) = (other.name(), theirs.note().to_string());
                if self.state.ahead.len() < VIEWS_MAX {
                    // The first one stays until it is compared: a view cannot run from it by growing.
                    let ahead = Ahead { note, size: theirs.checkpoint().size(), since: now_s };
                    self.state.ahead.entry(name).or_insert(ahead);
                }
                Ok(())
            }
        }
    }

    /// Compares what a view said before, when this log has come as far; names a log that does not come.
    fn compare_ahead(&mut self, name: &str, report: &mut Report, now_s: u64) -> Result<(), Error> {
        let (Some(seen), Some(ahead)) = (self.state.checkpoint.clone(), self.state.ahead.get(name).cloned())
        else {
            return Ok(());
        };
        if ahead.size > seen.size {
            let is_late = |max_s: u64| ahead.since.saturating_add(max_s) < now_s;
            if self.parts.stale_s_max.is_some_and(is_late) {
                let (view, since) = (name.to_owned(), ahead.since);
                let (size, theirs) = (seen.size, ahead.size);
                self.alarm(report, Violation::ViewAhead { view, size, theirs, since }, now_s);
            }
            return Ok(());
        }
        let ours = self.open(seen.note.as_bytes())?;
        // It was opened before it was kept: a state that somebody changed is no reason to stop.
        let is_done = match self.open(ahead.note.as_bytes()) {
            Ok(theirs) => self.compare_smaller(&ours, &theirs, report, now_s)?,
            Err(_) => true,
        };
        if is_done {
            self.state.ahead.remove(name);
        }
        Ok(())
    }

    /// Compares by this log's own tiles; whether they could be read.
    fn compare_smaller(
        &mut self,
        ours: &SignedCheckpoint,
        theirs: &SignedCheckpoint,
        report: &mut Report,
        now_s: u64,
    ) -> Result<bool, Error> {
        match compare::compare(&*self.parts.source, self.parts.trusted.log(), ours, theirs) {
            Ok(compared) => self.compared(compared, ours, theirs, report, now_s).map(|()| true),
            Err(trouble) => {
                let violation = Result::<_, Error>::from(trouble)?;
                self.alarm(report, violation, now_s);
                Ok(false)
            }
        }
    }
}
