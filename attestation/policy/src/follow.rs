//! Taking new releases with care: what narrows takes effect at once, what widens after a cool-down.
//!
//! Somebody who gets hold of enough signing keys can make everybody accept a machine of theirs. A cool-down
//! gives those who watch time to notice. A revocation must not wait, and only ever narrows. So a release is
//! taken apart: what it refuses that was accepted holds from now on, and each thing that it accepts and that was
//! not waits from the moment on at which *that* was first seen. A later release that asks for the same does not
//! begin anew; one that no longer asks for it ends the wait.
//!
//! A follower's folder has two sets of files, of the policy and of the list of revocations:
//!
//! | | |
//! | --- | --- |
//! | `policy.json` | the policy in force: the release's document, or what it and the one before both accept |
//! | `policy.json.expires` | when the newest release expires: nothing is to be judged by the policy after it |
//! | `seen.json` | the highest serial that verified |
//! | `waiting.json` | the newest release and what of it waits, since when |
//! | `revocations.json` | the list in force: the newest one's own bytes, with what an older one revoked beside it |
//! | `revocations-seen.json`, `revocations-waiting.json` | the same for lists |
//!
//! Each file appears whole or not at all.

mod folder;
mod waits;

use std::path::{Path, PathBuf};

use serde::Serialize;
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::{POLICY_BYTES_MAX, PolicyDocument};
use vouchsafe_receipt::revocation::{IN_FORCE_BYTES_MAX, Revocation, RevocationsInForce};
use vouchsafe_receipt::{SignedRevocations, VerifiedRevocations};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use crate::diff::{Change, compare, diff};
use crate::revocations;
use crate::signed::{Error, Seen, SignedPolicy, Signers, VerifiedRelease};

use folder::Folder;
use waits::Waits;

/// What the name of a policy's file is followed by in the name of the file that says when it expires.
const EXPIRES_SUFFIX: &str = ".expires";

/// Why following failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The release is refused.
    #[error("{error} ({code})", code = .error.code())]
    Refused {
        /// Why.
        #[from]
        error: Error,
    },
    /// The follower's own folder can't be read, written or understood.
    #[error("{path}: {why}", path = path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// What came of looking at a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// It is the one in force.
    Current,
    /// It is in force, and the first: there was nothing to compare it with. Of a list, what it revokes.
    First(Vec<Change>),
    /// It is in force from now on.
    Applied(Vec<Change>),
    /// What it narrows is in force from now on; the rest waits.
    Pending {
        /// What changed.
        applied: Vec<Change>,
        /// What did not yet.
        waiting: Vec<Waiting>,
    },
}

/// A change that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// From when on it may take effect.
    #[serde(serialize_with = "rfc3339")]
    pub until: UnixSeconds,
}

fn rfc3339<S: serde::Serializer>(at: &UnixSeconds, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// When something is looked at, and how long what widens waits.
#[derive(Debug, Clone, Copy)]
struct Clock {
    at: UnixSeconds,
    cool_down_seconds: u64,
}

/// The files of what is followed.
struct Names {
    current: &'static str,
    seen: &'static str,
    waiting: &'static str,
}

const POLICY: Names = Names { current: "policy.json", seen: "seen.json", waiting: "waiting.json" };
const REVOCATIONS: Names =
    Names { current: "revocations.json", seen: "revocations-seen.json", waiting: "revocations-waiting.json" };

/// A follower's folder.
pub struct Follower {
    folder: Folder,
}

impl Follower {
    /// Keeps its state in this folder, which is made if need be.
    ///
    /// # Errors
    /// [`FollowError::State`].
    pub fn new(folder: &Path) -> Result<Self, FollowError> {
        Ok(Self { folder: Folder::new(folder)? })
    }

    /// Looks at a release for a moment: verifies it, takes what narrows, and has the rest wait so many seconds.
    ///
    /// # Errors
    /// [`FollowError`]; then nothing that is in force changes.
    pub fn take(
        &self,
        signed: &[u8],
        trusted: &Signers,
        at: UnixSeconds,
        cool_down_seconds: u64,
    ) -> Result<Followed, FollowError> {
        let clock = Clock { at, cool_down_seconds };
        let envelope = SignedPolicy::parse(signed)?;
        let seen: Option<Seen> = self.folder.read(POLICY.seen)?;
        let verified = envelope.verify(trusted, at, seen.as_ref())?;
        let Some(current) = self.current()? else {
            // The first policy is taken by whoever set up the keys, and there is none to compare it with.
            self.put_policy(&verified.document(), &verified)?;
            self.folder.forget(POLICY.waiting)?;
            return Ok(Followed::First(Vec::new()));
        };
        let waits = Waits::read(&self.folder, POLICY.waiting)?;
        let asked = diff(&current, verified.policy());
        let asked = waits.asked(&asked, clock);
        let (_, holds) = compare(&current, verified.policy(), &|change| asked.has_waited(change, clock));
        if holds == *verified.policy().document() {
            let is_known = seen == Some(verified.seen());
            self.put_policy(&verified.document(), &verified)?;
            self.folder.forget(POLICY.waiting)?;
            let changes = diff(&current, verified.policy());
            let is_current = is_known && changes.is_empty();
            return Ok(if is_current { Followed::Current } else { Followed::Applied(changes) });
        }
        let in_force = between(&current, verified.policy(), holds);
        asked.write(&self.folder, POLICY.waiting, signed)?;
        let applied = diff(&current, &in_force);
        // What is in force already keeps its text, and with it its comments.
        match applied.is_empty() {
            true => self.remember_policy(&verified)?,
            false => self.put_policy(&text_of(&in_force), &verified)?,
        }
        let waiting = asked.waiting(diff(&in_force, verified.policy()), clock);
        Ok(Followed::Pending { applied, waiting })
    }

    /// Looks at a signed list of revocations for a moment, by the same rules: what it revokes takes effect at
    /// once, and what it revokes no more stays revoked while that waits.
    ///
    /// # Errors
    /// [`FollowError`]; then nothing that is in force changes.
    pub fn take_revocations(
        &self,
        signed: &[u8],
        trusted: &Signers,
        at: UnixSeconds,
        cool_down_seconds: u64,
    ) -> Result<Followed, FollowError> {
        let clock = Clock { at, cool_down_seconds };
        let verified = verified_list(signed, trusted, at)?;
        let list = &verified.list().revocations;
        let seen: Option<Seen> = self.folder.read(REVOCATIONS.seen)?;
        if let Some(seen) = &seen {
            seen.admits(&verified.seen()).map_err(Error::Revocations)?;
        }
        let Some(current) = self.current_revocations()? else {
            self.put_list(signed, Vec::new(), &verified)?;
            self.folder.forget(REVOCATIONS.waiting)?;
            return Ok(Followed::First(revocations::diff(&[], list)));
        };
        // Whoever signed the one in force, and whoever may sign today: what it revokes stays revoked.
        let before: Vec<&Revocation> = current.unverified_revocations().collect();
        let before = revocations::effective(&before);
        let changes = revocations::diff(before.iter().copied(), list);
        let asked = Waits::read(&self.folder, REVOCATIONS.waiting)?.asked(&changes, clock);
        let new: Vec<&Revocation> = list.iter().collect();
        let waits = |one: &&&Revocation| {
            revocations::withdrawn(one, &new).is_some_and(|change| !asked.has_waited(&change, clock))
        };
        let held: Vec<Revocation> = before.iter().filter(waits).map(|one| (*one).clone()).collect();
        if held.is_empty() {
            self.put_list(signed, held, &verified)?;
            self.folder.forget(REVOCATIONS.waiting)?;
            let is_current = seen == Some(verified.seen()) && changes.is_empty();
            return Ok(if is_current { Followed::Current } else { Followed::Applied(changes) });
        }
        asked.write(&self.folder, REVOCATIONS.waiting, signed)?;
        let now: Vec<&Revocation> = list.iter().chain(&held).collect();
        let applied = revocations::diff(before, now.iter().copied());
        let waiting = asked.waiting(revocations::diff(now, list), clock);
        self.put_list(signed, held, &verified)?;
        Ok(Followed::Pending { applied, waiting })
    }

    /// Looks again at the policy that waits, as it was when it was pulled: whoever can't be reached can't put off
    /// what was seen in time. `None` where nothing waits.
    ///
    /// # Errors
    /// As [`Follower::take`].
    pub fn resume(
        &self,
        trusted: &Signers,
        at: UnixSeconds,
        cool_down_seconds: u64,
    ) -> Result<Option<Followed>, FollowError> {
        let waits = Waits::read(&self.folder, POLICY.waiting)?;
        waits.signed().map(|signed| self.take(signed, trusted, at, cool_down_seconds)).transpose()
    }

    /// The same for the list of revocations.
    ///
    /// # Errors
    /// As [`Follower::take_revocations`].
    pub fn resume_revocations(
        &self,
        trusted: &Signers,
        at: UnixSeconds,
        cool_down_seconds: u64,
    ) -> Result<Option<Followed>, FollowError> {
        let waits = Waits::read(&self.folder, REVOCATIONS.waiting)?;
        waits.signed().map(|signed| self.take_revocations(signed, trusted, at, cool_down_seconds)).transpose()
    }

    /// The policy in force.
    ///
    /// # Errors
    /// [`FollowError::State`].
    pub fn current(&self) -> Result<Option<Policy>, FollowError> {
        let Some(json) = self.folder.read_bytes(POLICY.current, POLICY_BYTES_MAX)? else { return Ok(None) };
        Policy::parse(&json).map(Some).map_err(|error| self.folder.unusable(POLICY.current, &error))
    }

    /// The list in force, whoever signed it.
    fn current_revocations(&self) -> Result<Option<RevocationsInForce>, FollowError> {
        let name = REVOCATIONS.current;
        let Some(json) = self.folder.read_bytes(name, IN_FORCE_BYTES_MAX)? else { return Ok(None) };
        RevocationsInForce::parse(&json).map(Some).map_err(|error| self.folder.unusable(name, &error))
    }

    fn put_policy(&self, text: &str, verified: &VerifiedRelease) -> Result<(), FollowError> {
        self.folder.write(POLICY.current, text.as_bytes())?;
        self.remember_policy(verified)
    }

    fn remember_policy(&self, verified: &VerifiedRelease) -> Result<(), FollowError> {
        let expires = format!("{}\n", verified.release().expires.0);
        self.folder.write(&format!("{}{EXPIRES_SUFFIX}", POLICY.current), expires.as_bytes())?;
        self.folder.write_json(POLICY.seen, &verified.seen())
    }

    fn put_list(
        &self,
        signed: &[u8],
        held: Vec<Revocation>,
        verified: &VerifiedRevocations,
    ) -> Result<(), FollowError> {
        let in_force = RevocationsInForce::new(signed, held).map_err(Error::Revocations)?;
        self.folder.write(REVOCATIONS.current, &in_force.to_bytes())?;
        self.folder.write_json(REVOCATIONS.seen, &verified.seen())
    }
}

fn verified_list(
    signed: &[u8],
    trusted: &Signers,
    at: UnixSeconds,
) -> Result<VerifiedRevocations, FollowError> {
    let envelope = SignedRevocations::parse(signed).map_err(Error::Revocations)?;
    let verified = envelope.verify(trusted, &Ring).map_err(Error::Revocations)?;
    verified.list().check_dates(at).map_err(Error::Revocations)?;
    Ok(verified)
}

/// The policy between two: with what has waited long enough, else with nothing but what narrows, else, where
/// even that contradicts itself, the old one.
fn between(current: &Policy, next: &Policy, holds: PolicyDocument) -> Policy {
    let (_, narrowed) = compare(current, next, &|_| false);
    let usable =
        |document| Policy::new(document).ok().filter(|policy| text_of(policy).len() <= POLICY_BYTES_MAX);
    usable(holds).or_else(|| usable(narrowed)).unwrap_or_else(|| current.clone())
}

/// A policy's text, which can be read again: indented, or in one line where that would be too long.
fn text_of(policy: &Policy) -> String {
    let indented = policy.to_json();
    match indented.len() <= POLICY_BYTES_MAX {
        true => String::from_utf8_lossy(&indented).into_owned(),
        false => serde_json::to_string(policy.document()).unwrap_or_default(),
    }
}
