//! Taking new releases with care: what narrows takes effect at once, what widens after a cool-down.
//!
//! Somebody who gets hold of enough signing keys can make everybody accept a machine of theirs. A cool-down
//! gives those who watch time to notice. A revocation must not wait, and only ever narrows.
//!
//! The folder of a follower holds `policy.json`, the policy in force; `seen.json`, the highest serial that
//! verified; and `pending.json`, a release that waits, with the moment at which it was first seen. For lists of
//! revocations these are `revocations.json`, with its signatures, `revocations-seen.json` and
//! `revocations-pending.json`. Each file appears whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::{Moment, POLICY_BYTES_MAX};
use vouchsafe_receipt::{SignedRevocations, VerifiedRevocations};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::diff::{Change, Direction, diff};
use crate::revocations;
use crate::signed::{Error, Seen, SignedPolicy, Signers};

const LIMITS: Limits = Limits { bytes_max: 4 * POLICY_BYTES_MAX, depth_max: 24 };

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
    /// It is in force from now on.
    Applied(Vec<Change>),
    /// It waits until this moment, since it accepts what was not accepted.
    Pending(Vec<Change>, UnixSeconds),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    first_seen: Moment,
    release: Hex<32>,
    signed: Value,
}

/// The files of what is followed.
struct Names {
    current: &'static str,
    seen: &'static str,
    pending: &'static str,
}

const POLICY: Names = Names { current: "policy.json", seen: "seen.json", pending: "pending.json" };
const REVOCATIONS: Names =
    Names { current: "revocations.json", seen: "revocations-seen.json", pending: "revocations-pending.json" };

/// A follower's folder.
pub struct Follower {
    folder: PathBuf,
}

impl Follower {
    /// Keeps its state in this folder, which is made if need be.
    ///
    /// # Errors
    /// [`FollowError::State`].
    pub fn new(folder: &Path) -> Result<Self, FollowError> {
        let state = |error: io::Error| FollowError::State { path: folder.into(), why: error.to_string() };
        fs::create_dir_all(folder).map_err(state)?;
        Ok(Self { folder: folder.into() })
    }

    /// Looks at a release for a moment: verifies it and takes it, or has it wait so many seconds.
    ///
    /// # Errors
    /// [`FollowError`]; then nothing changes.
    pub fn take(
        &self,
        signed: &[u8],
        trusted: &Signers,
        at: UnixSeconds,
        cool_down_seconds: u64,
    ) -> Result<Followed, FollowError> {
        let envelope = SignedPolicy::parse(signed)?;
        let seen: Option<Seen> = self.read(POLICY.seen)?;
        let verified = envelope.verify(trusted, at, seen.as_ref())?;
        let current = self.current()?;
        let changes = current.as_ref().map(|current| diff(current, verified.policy())).unwrap_or_default();
        if current.as_ref() == Some(verified.policy()) {
            self.remember(&POLICY, &verified.seen())?;
            return Ok(Followed::Current);
        }
        let widens = changes.iter().any(|change| change.direction == Direction::Widens);
        // The first policy is taken by whoever set up the keys, and there is none to compare it with.
        if current.is_some() && widens {
            let until = self.wait(&POLICY, signed, verified.seen(), at, cool_down_seconds)?;
            if at < until {
                self.remember(&POLICY, &verified.seen())?;
                return Ok(Followed::Pending(changes, until));
            }
        }
        self.write(POLICY.current, verified.document().as_bytes())?;
        self.remember(&POLICY, &verified.seen())?;
        self.forget(POLICY.pending)?;
        Ok(Followed::Applied(changes))
    }

    /// Looks at a signed list of revocations for a moment, by the same rules: what it revokes takes effect at
    /// once, and what it revokes no more waits.
    ///
    /// # Errors
    /// [`FollowError`]; then nothing changes.
    pub fn take_revocations(
        &self,
        signed: &[u8],
        trusted: &Signers,
        at: UnixSeconds,
        cool_down_seconds: u64,
    ) -> Result<Followed, FollowError> {
        let verified = SignedRevocations::parse(signed)
            .and_then(|envelope| envelope.verify(trusted, &Ring))
            .map_err(Error::Revocations)?;
        verified.list().check_dates(at).map_err(Error::Revocations)?;
        if let Some(seen) = self.read::<Seen>(REVOCATIONS.seen)? {
            seen.admits(&verified.seen()).map_err(Error::Revocations)?;
        }
        let current = self.current_revocations(trusted)?;
        if current.as_ref().is_some_and(|current| current.seen() == verified.seen()) {
            return Ok(Followed::Current);
        }
        let changes = current
            .as_ref()
            .map(|current| revocations::diff(current.list(), verified.list()))
            .unwrap_or_default();
        if changes.iter().any(|change| change.direction == Direction::Widens) {
            let until = self.wait(&REVOCATIONS, signed, verified.seen(), at, cool_down_seconds)?;
            if at < until {
                self.remember(&REVOCATIONS, &verified.seen())?;
                return Ok(Followed::Pending(changes, until));
            }
        }
        self.write(REVOCATIONS.current, signed)?;
        self.remember(&REVOCATIONS, &verified.seen())?;
        self.forget(REVOCATIONS.pending)?;
        Ok(Followed::Applied(changes))
    }

    /// The list in force, if the keys of today signed it: with new keys the next is taken as the first.
    fn current_revocations(&self, trusted: &Signers) -> Result<Option<VerifiedRevocations>, FollowError> {
        let path = self.folder.join(REVOCATIONS.current);
        let state = |why: String| FollowError::State { path: path.clone(), why };
        match fs::read(&path) {
            Ok(json) => {
                let signed = SignedRevocations::parse(&json).map_err(|error| state(error.to_string()))?;
                Ok(signed.verify(trusted, &Ring).ok())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(state(error.to_string())),
        }
    }

    /// The policy in force.
    ///
    /// # Errors
    /// [`FollowError::State`].
    pub fn current(&self) -> Result<Option<Policy>, FollowError> {
        let path = self.folder.join(POLICY.current);
        let state = |why: String| FollowError::State { path: path.clone(), why };
        match fs::read(&path) {
            Ok(json) => Policy::parse(&json).map(Some).map_err(|error| state(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(state(error.to_string())),
        }
    }

    /// The moment until which a release waits: from when it was first seen, so that looking again does not
    /// put it off, and another release begins anew.
    fn wait(
        &self,
        names: &Names,
        signed: &[u8],
        seen: Seen,
        at: UnixSeconds,
        cool_down_seconds: u64,
    ) -> Result<UnixSeconds, FollowError> {
        let pending: Option<Pending> = self.read(names.pending)?;
        // A clock that was set back does not shorten the wait.
        let known = pending.filter(|pending| pending.release == seen.release && pending.first_seen.0 <= at);
        let first_seen = match known {
            Some(pending) => pending.first_seen.0,
            None => {
                let signed = serde_json::from_slice(signed).unwrap_or_default();
                let pending = Pending { first_seen: Moment(at), release: seen.release, signed };
                self.write(names.pending, &serde_json::to_vec_pretty(&pending).unwrap_or_default())?;
                at
            }
        };
        Ok(UnixSeconds(first_seen.0.saturating_add(cool_down_seconds)))
    }

    fn remember(&self, names: &Names, seen: &Seen) -> Result<(), FollowError> {
        self.write(names.seen, &serde_json::to_vec(seen).unwrap_or_default())
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, FollowError> {
        let path = self.folder.join(name);
        let state = |why: String| FollowError::State { path: path.clone(), why };
        match fs::read(&path) {
            Ok(json) => strict_json::parse(&json, LIMITS).map(Some).map_err(|error| state(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(state(error.to_string())),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FollowError> {
        let path = self.folder.join(name);
        write_whole(&path, bytes)
            .map_err(|error| FollowError::State { path: path.clone(), why: error.to_string() })
    }

    fn forget(&self, name: &str) -> Result<(), FollowError> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(FollowError::State { path, why: error.to_string() }),
        }
    }
}

/// Writes a file that is there whole or not at all, and still is after a crash.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".part");
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
