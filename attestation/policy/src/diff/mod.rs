//! What changes between two policies: what becomes acceptable that was not, and the reverse.
//!
//! Rules are compared by what they accept, not by how they are written: the order of a list, a comment, the
//! reason for ignoring something change nothing.

mod machine;
mod order;
mod references;

use serde::Serialize;
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::PolicyDocument;

use order::{any_of, at_most, demanded, entries};

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Something becomes acceptable that was not.
    Widens,
    /// Something is no longer acceptable that was.
    Narrows,
}

/// One change of meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which way it goes.
    pub direction: Direction,
    /// The rule.
    pub path: String,
    /// What changes, in a sentence.
    pub text: String,
}

/// Collects changes.
#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn widens(&mut self, path: &str, text: impl Into<String>) {
        self.add(Direction::Widens, path, text.into());
    }

    fn narrows(&mut self, path: &str, text: impl Into<String>) {
        self.add(Direction::Narrows, path, text.into());
    }

    fn add(&mut self, direction: Direction, path: &str, text: String) {
        self.0.push(Change { direction, path: path.into(), text });
    }
}

/// Every change of meaning from `old` to `new`: what widens first, then by path.
pub fn diff(old: &Policy, new: &Policy) -> Vec<Change> {
    let (old, new) = (old.document(), new.document());
    let mut changes = Changes::default();
    purpose(&mut changes, old, new);
    machine::compare(&mut changes, old, new);
    references::measurements(&mut changes, &old.measurements, &new.measurements);
    references::models(&mut changes, &old.models, &new.models);
    any_of(&mut changes, "operator.identities", &old.operator.identities, &new.operator.identities);
    any_of(&mut changes, "engine.identities", &old.engine.identities, &new.engine.identities);
    entries(&mut changes, "parameters.values", &old.parameters.values, &new.parameters.values);
    for (path, old, new) in [
        ("openings.request", &old.openings.request, &new.openings.request),
        ("openings.response", &old.openings.response, &new.openings.response),
        ("openings.execution", &old.openings.execution, &new.openings.execution),
        ("sessions.challenge", &old.sessions.challenge, &new.sessions.challenge),
        ("settlement.promised", &old.settlement.promised, &new.settlement.promised),
    ] {
        demanded(&mut changes, path, old, new);
    }
    let (was, is) = (&old.freshness, &new.freshness);
    at_most(&mut changes, "freshness.epoch_seconds_max", &was.epoch_seconds_max, &is.epoch_seconds_max);
    let path = "freshness.receipt_age_seconds_max";
    at_most(&mut changes, path, &was.receipt_age_seconds_max, &is.receipt_age_seconds_max);
    at_most(&mut changes, "settlement.bound", &old.settlement.bound, &new.settlement.bound);
    any_of(&mut changes, "log.inclusion", &old.log.inclusion, &new.log.inclusion);
    references::quorum(&mut changes, &old.witnesses.quorum, &new.witnesses.quorum);
    references::revocations(&mut changes, &old.revocations.list, &new.revocations.list);
    changes.0.sort_by(|a, b| (a.direction, &a.path, &a.text).cmp(&(b.direction, &b.path, &b.text)));
    changes.0
}

/// A policy for one purpose refuses what a policy for another is for.
fn purpose(changes: &mut Changes, old: &PolicyDocument, new: &PolicyDocument) {
    if old.purpose != new.purpose {
        changes.widens("purpose", format!("now judges for {}", new.purpose.as_str()));
        changes.narrows("purpose", format!("no longer judges for {}", old.purpose.as_str()));
    }
}
