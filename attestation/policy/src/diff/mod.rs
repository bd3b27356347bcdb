//! What changes between two policies: what becomes acceptable that was not, and the reverse; and what of a
//! change may hold while the rest of it waits.
//!
//! Rules are compared by what they accept, not by how they are written: the order of a list, a comment, the
//! reason for ignoring something change nothing. Where what is accepted can't be compared exactly (unions of
//! many TDX references), a change is said to widen that may not.

mod machine;
mod order;
mod references;
mod region;

use serde::Serialize;
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::PolicyDocument;

use order::{any_of, at_most, demanded, entries};
pub(crate) use region::meet;

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
    /// What it changes to, whatever was before: the same for as long as the same is asked for.
    #[serde(skip)]
    to: String,
}

impl Change {
    /// A change, which is another where its sentence is another.
    pub(crate) fn new(direction: Direction, path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { direction, path: path.into(), to: text.clone(), text }
    }

    /// What makes it the same change, in whichever release it is asked for.
    pub fn id(&self) -> String {
        format!("{}: {}", self.path, self.to)
    }
}

/// Collects changes, and says which of those that widen may hold already.
struct Changes<'a> {
    found: Vec<Change>,
    holds: &'a dyn Fn(&Change) -> bool,
}

impl Changes<'_> {
    /// Notes what becomes acceptable; gives whether it may hold already.
    fn widens(&mut self, path: &str, text: impl Into<String>) -> bool {
        self.add(Change::new(Direction::Widens, path, text))
    }

    /// The same where the sentence also says what was before.
    fn widens_to(&mut self, path: &str, to: &str, text: impl Into<String>) -> bool {
        self.add(Change { to: to.into(), ..Change::new(Direction::Widens, path, text) })
    }

    fn narrows(&mut self, path: &str, text: impl Into<String>) {
        self.add(Change::new(Direction::Narrows, path, text));
    }

    fn add(&mut self, change: Change) -> bool {
        let holds = (self.holds)(&change);
        self.found.push(change);
        holds
    }
}

/// Every change of meaning from `old` to `new`: what widens first, then by path.
pub fn diff(old: &Policy, new: &Policy) -> Vec<Change> {
    compare(old, new, &|_| true).0
}

/// Every change of meaning from `old` to `new`, and the decisions of `new` without the widening changes that
/// may not hold yet: what it narrows is in them. What may not hold yet is never in them, with one exception
/// to the rest: of a rule that demands one value exactly, the old value stays.
pub fn compare(old: &Policy, new: &Policy, holds: &dyn Fn(&Change) -> bool) -> (Vec<Change>, PolicyDocument) {
    let (old, mut new) = (old.document(), new.document().clone());
    let mut changes = Changes { found: Vec::new(), holds };
    purpose(&mut changes, old, &mut new);
    machine::compare(&mut changes, old, &mut new);
    references::measurements(&mut changes, &old.measurements, &mut new.measurements);
    references::models(&mut changes, &old.models, &mut new.models);
    any_of(&mut changes, "operator.identities", &old.operator.identities, &mut new.operator.identities);
    any_of(&mut changes, "engine.identities", &old.engine.identities, &mut new.engine.identities);
    entries(&mut changes, "parameters.values", &old.parameters.values, &mut new.parameters.values);
    for (path, old, new) in [
        ("openings.request", &old.openings.request, &mut new.openings.request),
        ("openings.response", &old.openings.response, &mut new.openings.response),
        ("openings.execution", &old.openings.execution, &mut new.openings.execution),
        ("sessions.challenge", &old.sessions.challenge, &mut new.sessions.challenge),
        ("settlement.promised", &old.settlement.promised, &mut new.settlement.promised),
    ] {
        demanded(&mut changes, path, old, new);
    }
    let (was, is) = (&old.freshness, &mut new.freshness);
    at_most(&mut changes, "freshness.epoch_seconds_max", &was.epoch_seconds_max, &mut is.epoch_seconds_max);
    let path = "freshness.receipt_age_seconds_max";
    at_most(&mut changes, path, &was.receipt_age_seconds_max, &mut is.receipt_age_seconds_max);
    at_most(&mut changes, "settlement.bound", &old.settlement.bound, &mut new.settlement.bound);
    any_of(&mut changes, "log.inclusion", &old.log.inclusion, &mut new.log.inclusion);
    references::quorum(&mut changes, &old.witnesses.quorum, &mut new.witnesses.quorum);
    references::releases(&mut changes, &old.images.released, &mut new.images.released);
    references::revocations(&mut changes, &old.revocations.list, &mut new.revocations.list);
    let mut found = changes.found;
    found.sort_by(|a, b| (a.direction, &a.path, &a.text).cmp(&(b.direction, &b.path, &b.text)));
    found.dedup();
    (found, new)
}

/// A policy for one purpose refuses what a policy for another is for.
fn purpose(changes: &mut Changes<'_>, old: &PolicyDocument, new: &mut PolicyDocument) {
    if old.purpose != new.purpose {
        changes.narrows("purpose", format!("no longer judges for {}", old.purpose.as_str()));
        if !changes.widens("purpose", format!("now judges for {}", new.purpose.as_str())) {
            new.purpose = old.purpose;
        }
    }
}
