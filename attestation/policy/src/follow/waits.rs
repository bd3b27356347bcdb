//! Since when each thing waits that a release accepts and that was not accepted.

use std::collections::BTreeMap;

use serde::Serialize;
use vouchsafe_bundle::policy::Moment;
use vouchsafe_verifier::{UnixSeconds, json_record};

use super::folder::Folder;
use super::{Clock, FollowError, Waiting};
use crate::diff::{Change, Direction};

/// The file.
#[derive(Debug, Default, Serialize)]
struct File {
    /// By what makes a change the same: when it was first seen, and asked for ever since.
    first_seen: BTreeMap<String, Moment>,
    /// The newest release, byte by byte.
    signed: String,
}

json_record!(File { first_seen, signed });

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Waits(File);

impl Waits {
    pub(super) fn read(folder: &Folder, name: &str) -> Result<Self, FollowError> {
        Ok(Self(folder.read(name)?.unwrap_or_default()))
    }

    /// The release that waits, as it was signed.
    pub(super) fn signed(&self) -> Option<&[u8]> {
        Some(self.0.signed.as_bytes()).filter(|signed| !signed.is_empty())
    }

    /// What is asked for now: what was asked for before keeps its moment, what no longer is loses it.
    pub(super) fn asked(self, changes: &[Change], clock: Clock) -> Self {
        let widening = changes.iter().filter(|change| change.direction == Direction::Widens);
        let since = |id: String| {
            // A clock that was set back does not shorten a wait.
            let known = self.0.first_seen.get(&id).copied().filter(|seen| seen.0 <= clock.at);
            (id, known.unwrap_or(Moment(clock.at)))
        };
        let first_seen = widening.map(|change| since(change.id())).collect();
        Self(File { first_seen, ..self.0 })
    }

    /// From when on a change may take effect. One that is not waited for never may.
    fn until(&self, change: &Change, clock: Clock) -> Option<UnixSeconds> {
        let seen = self.0.first_seen.get(&change.id())?;
        Some(UnixSeconds(seen.0.0.saturating_add(clock.cool_down_seconds)))
    }

    pub(super) fn has_waited(&self, change: &Change, clock: Clock) -> bool {
        self.until(change, clock).is_some_and(|until| until <= clock.at)
    }

    /// What is yet to take effect, each with its moment. What narrows and could not be put apart from what widens
    /// comes with the last of it.
    pub(super) fn waiting(&self, changes: Vec<Change>, clock: Clock) -> Vec<Waiting> {
        let last = changes.iter().filter_map(|change| self.until(change, clock)).max().unwrap_or(clock.at);
        let waiting = |change: Change| Waiting { until: self.until(&change, clock).unwrap_or(last), change };
        changes.into_iter().map(waiting).collect()
    }

    pub(super) fn write(&self, folder: &Folder, name: &str, signed: &[u8]) -> Result<(), FollowError> {
        let signed = String::from_utf8_lossy(signed).into_owned();
        folder.write_json(name, &File { first_seen: self.0.first_seen.clone(), signed })
    }
}
