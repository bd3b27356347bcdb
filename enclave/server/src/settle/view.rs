//! What the enclave knows of the log: the largest tree that it verified, and the latest time.
//!
//! Every checkpoint comes from the host and is believed only when the log signed it, a quorum cosigned
//! it, and it continues the largest tree verified before. Two of them are kept. The *tip* is the
//! largest tree, which the next one must continue. The *floor* has the latest witness time, which is
//! what receipts name: with witnesses whose clocks differ, a later tree can carry an earlier time.

use vouchsafe_receipt::CheckpointRef;
use vouchsafe_translog::merkle::verify_consistency;
use vouchsafe_translog::{Hash, SignedNote, TrustedLog, VerifiedCheckpoint};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

/// Longest note that is taken, in bytes, so that an epoch statement that carries one stays in bounds.
pub(super) const NOTE_BYTES_MAX: usize = 16 * 1024;

/// Why a message of the host changed nothing: a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RefusedCode(pub(crate) &'static str);

impl From<vouchsafe_translog::Error> for RefusedCode {
    fn from(error: vouchsafe_translog::Error) -> Self {
        Self(error.code())
    }
}

/// A checkpoint that was verified.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) at: CheckpointRef,
    /// The note with the signatures of trusted keys alone.
    pub(super) note: SignedNote,
}

/// What is known of the log.
#[derive(Debug, Default)]
pub(super) struct View {
    tip: Option<Seen>,
    floor: Option<Seen>,
}

impl View {
    /// Size of the largest tree verified.
    pub(super) fn size(&self) -> u64 {
        self.tip.as_ref().map_or(0, |tip| tip.at.size)
    }

    /// The checkpoint with the latest witness time.
    pub(super) fn floor(&self) -> Option<&Seen> {
        self.floor.as_ref()
    }

    /// Verifies a checkpoint. Changes nothing.
    pub(super) fn verify(
        &self,
        trusted: &TrustedLog,
        note: &str,
        from: u64,
        consistency: &[Hash],
    ) -> Result<Seen, RefusedCode> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(RefusedCode("checkpoint_too_long"));
        }
        let verified = trusted.verify(note.as_bytes(), &Ring)?;
        if verified.size() == 0 {
            return Err(RefusedCode("checkpoint_empty"));
        }
        if let Some(tip) = &self.tip {
            // What is smaller is a rollback, or was overtaken on its way.
            if verified.size() < tip.at.size {
                return Err(RefusedCode("checkpoint_smaller"));
            }
            if from != tip.at.size {
                return Err(RefusedCode("checkpoint_from_elsewhere"));
            }
            let (size, root) = (verified.size(), verified.root());
            verify_consistency(tip.at.size, &tip.at.root.0, size, root, consistency, &Ring)
                .map_err(|_| RefusedCode("consistency_invalid"))?;
        } else if from != 0 || !consistency.is_empty() {
            return Err(RefusedCode("checkpoint_from_elsewhere"));
        }
        let at =
            CheckpointRef { size: verified.size(), root: Hex(*verified.root()), time: verified.time().0 };
        Ok(Seen { at, note: without_strangers(trusted, &verified)? })
    }

    /// Takes a checkpoint that [`View::verify`] verified against this view. Says whether it is news: a
    /// larger tree or a later time.
    pub(super) fn accept(&mut self, seen: &Seen) -> bool {
        let is_larger = self.tip.as_ref().is_none_or(|tip| tip.at.size < seen.at.size);
        let is_later = self.floor.as_ref().is_none_or(|floor| floor.at.time < seen.at.time);
        let is_same_time = self.floor.as_ref().is_some_and(|floor| floor.at.time == seen.at.time);
        if is_larger {
            self.tip = Some(seen.clone());
        }
        if is_later || (is_larger && is_same_time) {
            self.floor = Some(seen.clone());
        }
        is_larger || is_later
    }
}

/// The note with one signature of each trusted key: what strangers added is the host's to choose, and
/// says nothing.
fn without_strangers(trusted: &TrustedLog, verified: &VerifiedCheckpoint) -> Result<SignedNote, RefusedCode> {
    let note = verified.signed().note();
    let cosigners = verified.cosigners().iter().map(vouchsafe_translog::Cosigner::key);
    let signatures = std::iter::once(trusted.log())
        .chain(cosigners)
        .filter_map(|key| note.signatures().iter().find(|signature| key.is_named_by(signature)).cloned())
        .collect();
    Ok(SignedNote::new(note.text(), signatures)?)
}
