//! The end of a shard: what it signed last is public, and its key is gone.
//!
//! A log without a key can be forked by nobody any more. What remains are static files, to be served for
//! as long as receipts are to be checked.

use std::fs::{File, OpenOptions};
use std::io::Write as _;

use vouchsafe_translog::{SignedCheckpoint, VerifierKey};
use vouchsafe_verifier::crypto::Ring;

use crate::check::{self, CheckReport};
use crate::log::damaged;
use crate::storage::{Storage, TreeHead};
use crate::{Error, Folder, Log, LogKey};

/// Retires the log in `folder`, whose lock the caller holds: reads all of it, sees that its newest head is
/// published, notes its verifier key, and destroys the signing key. Run again after it was interrupted, it
/// does what is left to do.
///
/// Overwriting a file does not reach copies and not every disk's spare blocks: backups of the key are the
/// operator's to destroy.
///
/// # Errors
/// [`Error::NotPublished`]; as [`check::full`] and storage fail. Nothing is destroyed then.
pub fn run(folder: &Folder, mut progress: impl FnMut(u64, u64)) -> Result<TreeHead, Error> {
    if let Some(retired) = retired(folder)? {
        // Another log's key that came to lie here is nothing to destroy.
        let is_other = |key: LogKey| *key.public() != retired;
        if !folder.key().exists() || LogKey::open(folder.key()).is_ok_and(is_other) {
            return Err(retired_error(folder, &retired));
        }
        // It was interrupted after it had noted the key, before the key was gone; or somebody put it back.
        destroy(folder)?;
        return Ok(folder.open()?.lock.head()?.head);
    }
    let key = folder.open_key()?;
    let storage = folder.open()?;
    let head = Log::open(storage.clone(), key.clone())?.head().head;
    let published = published(&storage, key.public())?;
    if published != Some(head) {
        return Err(Error::NotPublished {
            held: head.size,
            published: published.map_or(0, |head| head.size),
        });
    }
    check::full(&storage, &head, |done| progress(done, head.size))?;
    write_record(folder, key.public())?;
    destroy(folder)?;
    Ok(head)
}

/// Reads everything of a retired log: `None` where the log is not retired.
///
/// # Errors
/// As [`check::full`]; [`Error::Damaged`] for a published checkpoint that is not the newest head's.
pub fn check(
    folder: &Folder,
    mut progress: impl FnMut(u64, u64),
) -> Result<Option<(TreeHead, CheckReport)>, Error> {
    let Some(key) = retired(folder)? else { return Ok(None) };
    let storage = folder.open()?;
    let head = storage.lock.head()?.head;
    if published(&storage, &key)? != Some(head) {
        return Err(damaged("checkpoint", &"it is not the last one of this retired log"));
    }
    let report = check::full(&storage, &head, |done| progress(done, head.size))?;
    Ok(Some((head, report)))
}

/// The verifier key of a retired log.
///
/// # Errors
/// [`Error::Io`] or [`Error::Damaged`].
pub fn retired(folder: &Folder) -> Result<Option<VerifierKey>, Error> {
    let path = folder.retired();
    let Some(bytes) = crate::storage::read(&path)? else { return Ok(None) };
    let text = core::str::from_utf8(&bytes).unwrap_or_default();
    VerifierKey::parse(text.trim_end(), &Ring)
        .map(Some)
        .map_err(|error| damaged(&path.display().to_string(), &error))
}

pub(crate) fn retired_error(folder: &Folder, key: &VerifierKey) -> Error {
    Error::Retired { path: folder.retired().display().to_string(), key: key.to_string() }
}

fn published(storage: &Storage, key: &VerifierKey) -> Result<Option<TreeHead>, Error> {
    let Some(bytes) = storage.tiles.read("checkpoint")? else { return Ok(None) };
    let opened = SignedCheckpoint::open(&bytes, key.name(), core::slice::from_ref(key), &Ring)
        .map_err(|error| damaged("checkpoint", &error))?;
    Ok(Some(TreeHead { size: opened.checkpoint().size(), root: *opened.checkpoint().root() }))
}

fn write_record(folder: &Folder, key: &VerifierKey) -> Result<(), Error> {
    crate::storage::replace(&folder.retired(), format!("{key}\n").as_bytes())
}

fn destroy(folder: &Folder) -> Result<(), Error> {
    let path = folder.key();
    let length = std::fs::metadata(path).map_err(|error| Error::io(path, &error))?.len();
    let zeroes = vec![0; usize::try_from(length).unwrap_or(0)];
    let destroyed = OpenOptions::new().write(true).open(path).and_then(|mut file| {
        file.write_all(&zeroes)?;
        file.sync_all()?;
        std::fs::remove_file(path)?;
        // Gone is what the folder says after a crash, too.
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    });
    destroyed.map_err(|error| Error::io(path, &error))
}
