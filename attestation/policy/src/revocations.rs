//! Lists of revocations as people write and compare them; what a verifier reads is `vouchsafe-receipt`'s.

use serde::Serialize;
use vouchsafe_bundle::policy::Moment;
use vouchsafe_receipt::revocation::{REVOCATIONS_BYTES_MAX, Revocation};
use vouchsafe_receipt::{RevocationList, SignedRevocations};
use vouchsafe_verifier::strict_json::{self, Limits};
use vouchsafe_verifier::{UnixSeconds, json_record};

use crate::diff::{Change, Direction};
use crate::signed::{Error, SigningKey};

const LIMITS: Limits = Limits { bytes_max: 4 * REVOCATIONS_BYTES_MAX, depth_max: 5 };
const VERSION: u64 = 1;

/// What people write: the revocations, without serial number and dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    /// Version of this format: 1.
    pub version: u64,
    /// What is revoked.
    pub revocations: Vec<Revocation>,
}

json_record!(Document { version, revocations });

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
        let document: Self = strict_json::read(json, LIMITS).map_err(|error| malformed(error.to_string()))?;
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
pub fn diff<'a>(
    old: impl IntoIterator<Item = &'a Revocation>,
    new: impl IntoIterator<Item = &'a Revocation>,
) -> Vec<Change> {
    let (old, new): (Vec<_>, Vec<_>) = (old.into_iter().collect(), new.into_iter().collect());
    let mut changes = Vec::new();
    for one in &new {
        let what = one.revokes.describe();
        match earliest(&old, one) {
            None => {
                let text = format!("{what} is revoked from {} on: {}", one.at.0, one.reason);
                changes.push(Change::new(Direction::Narrows, path(one), text));
            }
            Some(before) if one.at < before => {
                let text = format!("{what} is revoked earlier, from {} on", one.at.0);
                changes.push(Change::new(Direction::Narrows, path(one), text));
            }
            Some(_) => {}
        }
    }
    changes.extend(effective(&old).into_iter().filter_map(|one| withdrawn(one, &new)));
    changes.sort_by(|a, b| (a.direction, &a.path, &a.text).cmp(&(b.direction, &b.path, &b.text)));
    changes.dedup();
    changes
}

/// The entries that decide: of several about the same, the one that revokes it the earliest.
pub fn effective<'a>(list: &[&'a Revocation]) -> Vec<&'a Revocation> {
    let mut found: Vec<&Revocation> = Vec::new();
    for one in list.iter().filter(|one| earliest(list, one) == Some(one.at)) {
        if !found.iter().any(|known| known.revokes == one.revokes) {
            found.push(one);
        }
    }
    found
}

/// That something is revoked no more, or only later; `None` where a list still revokes it as early.
pub fn withdrawn(one: &Revocation, new: &[&Revocation]) -> Option<Change> {
    let what = one.revokes.describe();
    let text = match earliest(new, one) {
        Some(at) if at <= one.at => return None,
        Some(at) => format!("{what} is revoked only from {} on, before from {}", at.0, one.at.0),
        None => format!("{what} is no longer revoked"),
    };
    Some(Change::new(Direction::Widens, path(one), text))
}

fn path(one: &Revocation) -> String {
    format!("revocations.{}", one.name)
}

/// From when on a list revokes what an entry does.
fn earliest(list: &[&Revocation], one: &Revocation) -> Option<Moment> {
    list.iter().filter(|other| other.revokes == one.revokes).map(|other| other.at).min()
}
