//! Lists of revocations as people write and compare them; what a verifier reads is `vouchsafe-receipt`'s.

use serde::{Deserialize, Serialize};
use vouchsafe_bundle::policy::Moment;
use vouchsafe_receipt::revocation::{REVOCATIONS_BYTES_MAX, Revocation};
use vouchsafe_receipt::{RevocationList, SignedRevocations};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::diff::{Change, Direction};
use crate::signed::{Error, SigningKey};

const LIMITS: Limits = Limits { bytes_max: 4 * REVOCATIONS_BYTES_MAX, depth_max: 5 };
const VERSION: u64 = 1;

/// What people write: the revocations, without serial number and dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Version of this format: 1.
    pub version: u64,
    /// What is revoked.
    pub revocations: Vec<Revocation>,
}

impl Document {
    /// Nothing is revoked.
    pub fn empty() -> Self {
        Self { version: VERSION, revocations: Vec::new() }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`Error::Revocations`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let malformed = |why: String| {
            let what = "document of revocations";
            Error::Revocations(vouchsafe_receipt::Error::PayloadMalformed { what, why })
        };
        let document: Self =
            strict_json::parse(json, LIMITS).map_err(|error| malformed(error.to_string()))?;
        if document.version != VERSION {
            return Err(malformed(format!("version {}, this program knows {VERSION}", document.version)));
        }
        Ok(document)
    }

    /// The document as indented JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// A list with this number and these dates, without signatures yet.
    ///
    /// # Errors
    /// [`Error::Revocations`], where it could never be good.
    pub fn release(
        self,
        serial: u64,
        issued: UnixSeconds,
        expires: UnixSeconds,
    ) -> Result<SignedRevocations, Error> {
        let (issued, expires, revocations) = (Moment(issued), Moment(expires), self.revocations);
        let list = RevocationList { version: VERSION, serial, issued, expires, revocations };
        SignedRevocations::unsigned(list).map_err(Error::Revocations)
    }
}

/// Adds a signature.
///
/// # Errors
/// [`Error::Key`].
pub fn sign(list: &mut SignedRevocations, key: &SigningKey) -> Result<(), Error> {
    let signature = key.sign(&list.pae())?;
    list.add(signature);
    Ok(())
}

/// What is revoked that was not, and the reverse: what widens first.
pub fn diff(old: &RevocationList, new: &RevocationList) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut add = |direction, name: &str, text| {
        changes.push(Change { direction, path: format!("revocations.{name}"), text });
    };
    let of = |list: &RevocationList, one: &Revocation| {
        list.revocations.iter().find(|other| other.revokes == one.revokes).map(|other| other.at)
    };
    for one in &new.revocations {
        let what = one.revokes.describe();
        match of(old, one) {
            None => add(
                Direction::Narrows,
                &one.name,
                format!("{what} is revoked from {} on: {}", one.at.0, one.reason),
            ),
            Some(before) if one.at < before => {
                add(
                    Direction::Narrows,
                    &one.name,
                    format!("{what} is revoked earlier, from {} on", one.at.0),
                );
            }
            Some(before) if before < one.at => {
                add(Direction::Widens, &one.name, format!("{what} is revoked only from {} on", one.at.0));
            }
            Some(_) => {}
        }
    }
    for one in old.revocations.iter().filter(|one| of(new, one).is_none()) {
        add(Direction::Widens, &one.name, format!("{} is no longer revoked", one.revokes.describe()));
    }
    changes.sort_by(|a, b| (a.direction, &a.path, &a.text).cmp(&(b.direction, &b.path, &b.text)));
    changes
}
