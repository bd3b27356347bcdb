//! The newest list of revocations, as a file that somebody keeps up to date.
//!
//! `vouchsafe policy pull` writes such a file. It is read before each request, and verified when it changed; one
//! that is gone, malformed, signed by too few, or older than what was read before, is an error, and then nobody is
//! asked anything.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use vouchsafe_bundle::Policy;
use vouchsafe_receipt::VerifiedRevocations;
use vouchsafe_receipt::revocation::{IN_FORCE_BYTES_MAX, RevocationsInForce};
use vouchsafe_receipt::threshold::Signers;
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use crate::{Error, now};

/// By how much a signer's clock may be ahead of this one, in seconds.
const SKEW_SECONDS_MAX: u64 = 300;

/// Whether a list that is used now was issued by now: one of a time to come would stay fresh for as much longer.
///
/// # Errors
/// [`vouchsafe_receipt::Error::FromFuture`].
pub fn check_issued(list: &VerifiedRevocations, now: UnixSeconds) -> Result<(), vouchsafe_receipt::Error> {
    let issued = list.list().issued.0;
    match issued.0 > now.0.saturating_add(SKEW_SECONDS_MAX) {
        true => Err(vouchsafe_receipt::Error::FromFuture(issued)),
        false => Ok(()),
    }
}

/// A file, and what was last read of it.
pub(crate) struct Feed {
    path: PathBuf,
    signers: Signers,
    /// The file's bytes, and the list that they hold.
    read: Mutex<Option<(Vec<u8>, VerifiedRevocations)>>,
}

impl Feed {
    /// A feed of lists that the policy's keys sign.
    ///
    /// # Errors
    /// [`Error::Revocations`] where the policy names nobody who may revoke.
    pub(crate) fn new(path: PathBuf, policy: &Policy) -> Result<Self, Error> {
        let nobody = || Error::Revocations {
            path: path.clone(),
            problem: "the policy names nobody who may revoke: revocations.list".into(),
        };
        let signers = policy.revocation_signers(&Ring).ok_or_else(nobody)?;
        Ok(Self { path, signers, read: Mutex::default() })
    }

    /// The list as the file has it now.
    ///
    /// # Errors
    /// [`Error::Revocations`].
    pub(crate) fn current(&self) -> Result<VerifiedRevocations, Error> {
        let failed = |problem: &dyn ToString| Error::Revocations {
            path: self.path.clone(),
            problem: problem.to_string(),
        };
        let mut json = Vec::new();
        let limit = u64::try_from(IN_FORCE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        let file = File::open(&self.path).map_err(|error| failed(&error))?;
        file.take(limit).read_to_end(&mut json).map_err(|error| failed(&error))?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, list)) = &*read
            && *known == json
        {
            return Ok(list.clone());
        }
        let list = RevocationsInForce::parse(&json)
            .and_then(|in_force| in_force.verify(&self.signers, &Ring))
            .map_err(|error| failed(&error))?;
        check_issued(&list, now()?).map_err(|error| failed(&error))?;
        if let Some((_, before)) = &*read {
            before.seen().admits(&list.seen()).map_err(|error| failed(&error))?;
        }
        *read = Some((json, list.clone()));
        Ok(list)
    }
}
