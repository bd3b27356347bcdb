//! Keeping the copy whole: one that was begun later than the state, or lost files, is made again from the beginning.

use std::collections::HashSet;

use vouchsafe_translog::{Frontier, merkle};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::Hex;

use super::{Monitor, Report};
use crate::files::{self, Trouble};
use crate::mirror::Mirror;
use crate::search::search;
use crate::state::Seen;
use crate::{Error, Violation, leaf};

/// Seconds until a copy that could not be made is tried again.
const RETRY_SECONDS: u64 = 60;

impl Monitor {
    /// Whether the copy is of this tree, so that what is new can be added to it.
    pub(super) fn is_mirrored(&self, seen: Option<&Seen>) -> bool {
        let (Some(mirror), Some(seen)) = (&self.parts.mirror, seen) else { return true };
        let copied = mirror.note().and_then(|note| self.open(&note).ok());
        copied.is_some_and(|copied| {
            (copied.checkpoint().size(), copied.checkpoint().root()) == (seen.size, &seen.root.0)
        })
    }

    /// Copies the log from its beginning where the copy is not of the newest tree.
    pub(super) fn mirror_whole(&mut self, report: &mut Report, now_s: u64) -> Result<(), Error> {
        let (Some(mirror), Some(seen)) = (self.parts.mirror.clone(), self.state.checkpoint.clone()) else {
            return Ok(());
        };
        if self.is_mirrored(Some(&seen)) {
            return match mirror.note().is_some_and(|note| note == seen.note.as_bytes()) {
                true => Ok(()),
                false => mirror.cosigned_again(&seen.note),
            };
        }
        if self.unmirrored.is_some_and(|failed| now_s.abs_diff(failed) < RETRY_SECONDS) {
            return Ok(());
        }
        self.unmirrored = Some(now_s);
        match self.copy(&mirror, &seen) {
            Ok(violations) => {
                self.unmirrored = None;
                violations.into_iter().for_each(|violation| self.alarm(report, violation, now_s));
            }
            Err(trouble) => {
                let violation = Result::<_, Error>::from(trouble)?;
                self.alarm(report, violation, now_s);
            }
        }
        self.parts.store.save(&self.state)
    }

    /// Copies every bundle and every blob that an entry names. What the copy has is not touched before the whole
    /// tree came out.
    fn copy(&self, mirror: &Mirror, seen: &Seen) -> Result<Vec<Violation>, Trouble> {
        let (source, size) = (&*self.parts.source, seen.size);
        search(source, (size, &seen.root.0), &HashSet::new(), &*self.parts.progress)?;
        let (mut frontier, mut violations) = (Frontier::new(), Vec::new());
        for bundle in files::bundles(0, size) {
            let leaves = files::leaves(source, bundle, size)?;
            mirror.bundle(bundle, &leaves)?;
            for bytes in &leaves {
                for digest in leaf::blobs(bytes) {
                    match files::blob(source, &digest.0)?.filter(|bytes| Ring.sha256(bytes) == digest.0) {
                        Some(bytes) => mirror.blob(&digest.0, &bytes)?,
                        None => violations.push(Violation::Blob {
                            index: frontier.size(),
                            digest,
                            problem: "missing".into(),
                        }),
                    }
                }
                frontier.push(merkle::leaf_hash(bytes, &Ring), &Ring);
            }
            (self.parts.progress)(frontier.size(), size);
        }
        if frontier.root(&Ring) != seen.root.0 {
            return Err(Violation::TilesMismatch { size, expected: Hex(seen.root.0) }.into());
        }
        mirror.finish(0, size, &seen.note)?;
        Ok(violations)
    }
}
