//! The leaves that wait, on disk: synced before anything is acknowledged, gone when they are proven.
//!
//! Lines of a digest and JSON, appended and synced; what is proven is left out when the file is next
//! written anew, so that it stays as long as what waits. A leaf that a crash brings back is submitted
//! again, which the log answers with the place it has. The digest tells a disk that changed a line: a
//! leaf changed into another would be refused by the log for ever, in the place of the one it was.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::to_hex;

use super::item::{Item, Key};
use crate::Error;
use crate::outbox::{FolderLock, lock};

const FILE_NAME: &str = "unsettled";
const LOCK_NAME: &str = "lock";
/// Longest line, in bytes: a boot record with its evidence, and room.
const LINE_BYTES_MAX: u64 = 2 << 20;
/// Dead lines beyond which the file is written anew, if they are also more than the live ones.
const DEAD_MAX: usize = 256;
/// Characters of a line's digest.
const DIGEST_CHARS: usize = 32;

/// The file. One host at a time.
#[derive(Debug)]
pub(crate) struct Queue {
    folder: PathBuf,
    file: File,
    length: u64,
    live: BTreeMap<Key, Item>,
    dead: usize,
    /// Bytes beyond `length` may be in the file: a write failed, and taking it back did too.
    is_torn: bool,
    _lock: FolderLock,
}

impl Queue {
    /// Opens the queue in `folder`, which is made where missing. A line that a crash left incomplete at
    /// the end was never acknowledged, and is removed.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::StateLocked`] or [`Error::OutboxDamaged`].
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(|error| Error::state(folder, &error))?;
        let lock = lock(&folder.join(LOCK_NAME))?;
        let path = folder.join(FILE_NAME);
        let (length, live, dead) = scan(&path)?;
        let failed = |error| Error::state(&path, &error);
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(failed)?;
        file.set_len(length).and_then(|()| file.sync_all()).map_err(failed)?;
        sync(folder).map_err(failed)?;
        Ok(Self { folder: folder.to_path_buf(), file, length, live, dead, is_torn: false, _lock: lock })
    }

    /// Everything that waits.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.live.values()
    }

    /// Stores items durably and gives those that were not there. After an error none of them counts as
    /// stored.
    pub(crate) fn append(&mut self, items: &[Item]) -> Result<Vec<Item>, Error> {
        let mut new = Vec::<Item>::new();
        for item in items {
            if !self.live.contains_key(&item.key) && new.iter().all(|other| other.key != item.key) {
                new.push(item.clone());
            }
        }
        let lines = lines(new.iter());
        if let Err(error) = self.write(&lines) {
            // What was written in part is taken back, now or before the next write.
            self.is_torn = self.file.set_len(self.length).is_err();
            return Err(Error::state(&self.folder.join(FILE_NAME), &error));
        }
        self.length = self.length.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        self.live.extend(new.iter().map(|item| (item.key.clone(), item.clone())));
        Ok(new)
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.length)?;
            self.is_torn = false;
        }
        self.file.write_all(lines)?;
        self.file.sync_data()
    }

    /// Forgets what is proven.
    pub(crate) fn remove(&mut self, keys: &[Key]) -> Result<(), Error> {
        for key in keys {
            if self.live.remove(key).is_some() {
                self.dead = self.dead.saturating_add(1);
            }
        }
        if self.dead <= DEAD_MAX || self.dead <= self.live.len() {
            return Ok(());
        }
        let path = self.folder.join(FILE_NAME);
        self.rewrite(&path).map_err(|error| Error::state(&path, &error))
    }

    /// Writes what lives into a file that takes the place of the old one whole.
    fn rewrite(&mut self, path: &Path) -> io::Result<()> {
        let next = self.folder.join(format!("{FILE_NAME}.new"));
        let lines = lines(self.live.values());
        let mut file = File::create(&next)?;
        file.write_all(&lines)?;
        file.sync_all()?;
        fs::rename(&next, path)?;
        sync(&self.folder)?;
        self.file = OpenOptions::new().append(true).open(path)?;
        self.length = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        self.dead = 0;
        self.is_torn = false;
        Ok(())
    }
}

fn lines<'a>(items: impl Iterator<Item = &'a Item>) -> Vec<u8> {
    let mut lines = Vec::new();
    for item in items {
        // Strings and integers: serialisation has no failing case but memory.
        let json = serde_json::to_vec(item).unwrap_or_default();
        lines.extend(digest(&json).into_bytes());
        lines.push(b' ');
        lines.extend(json);
        lines.push(b'\n');
    }
    lines
}

/// Half of an item's SHA-256, in hexadecimal.
fn digest(json: &[u8]) -> String {
    to_hex(&Ring.sha256(json)).chars().take(DIGEST_CHARS).collect()
}

/// An item, if the line is what was written.
fn item(line: &[u8]) -> Result<Item, String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let (written, json) = line.split_at_checked(DIGEST_CHARS).ok_or("a line without a digest")?;
    let json = json.strip_prefix(b" ").ok_or("a line without a digest")?;
    if digest(json).as_bytes() != written {
        return Err("a line that its digest does not fit".into());
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

/// A file's name is durable only with its folder.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The length of the whole lines, what they hold, and how many are repeated.
fn scan(path: &Path) -> Result<(u64, BTreeMap<Key, Item>, usize), Error> {
    let failed = |error| Error::state(path, &error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, BTreeMap::new(), 0)),
        Err(error) => return Err(failed(error)),
    };
    let mut reader = BufReader::new(file);
    let (mut offset, mut live, mut dead, mut line) = (0_u64, BTreeMap::new(), 0_usize, Vec::new());
    loop {
        line.clear();
        let damaged = |why: String| Error::OutboxDamaged { path: path.to_path_buf(), offset, why };
        let count =
            io::Read::take(&mut reader, LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)?;
        if line.last() != Some(&b'\n') {
            if u64::try_from(count).is_ok_and(|count| count >= LINE_BYTES_MAX) {
                return Err(damaged(format!("a line longer than {LINE_BYTES_MAX} bytes")));
            }
            return Ok((offset, live, dead));
        }
        let item = item(&line).map_err(damaged)?;
        if live.insert(item.key.clone(), item).is_some() {
            dead = dead.saturating_add(1);
        }
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settle::item::Kind;
    use vouchsafe_link::control::BootId;
    use vouchsafe_verifier::encoding::Base64;

    fn item(number: u64) -> Item {
        let boot = BootId::new(&"a".repeat(64)).unwrap();
        let key = Key { boot, kind: Kind::Receipt, number };
        Item { key, leaf: Base64(vec![1; 300]), blobs: Vec::new() }
    }

    fn numbers(queue: &Queue) -> Vec<u64> {
        queue.items().map(|item| item.key.number).collect()
    }

    #[test]
    fn what_waits_survives_a_restart_and_what_is_proven_does_not_grow_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(folder.path()).unwrap();
        for number in 0..600 {
            assert_eq!(queue.append(&[item(number), item(number)]).unwrap().len(), 1);
        }
        let full = queue.length;
        let proven: Vec<Key> = (0..597).map(|number| item(number).key).collect();
        queue.remove(&proven).unwrap();
        assert!(queue.length < full / 100, "{} of {full}", queue.length);
        assert_eq!(queue.append(&[item(598)]).unwrap(), []);
        queue.append(&[item(700)]).unwrap();
        drop(queue);
        let queue = Queue::open(folder.path()).unwrap();
        assert_eq!(numbers(&queue), [597, 598, 599, 700]);
        assert!(Queue::open(folder.path()).is_err(), "one host at a time");
    }

    #[test]
    fn a_crash_at_any_byte_loses_only_the_line_it_hit() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(folder.path()).unwrap();
        queue.append(&[item(0)]).unwrap();
        let whole = usize::try_from(queue.length).unwrap();
        queue.append(&[item(1)]).unwrap();
        drop(queue);
        let path = folder.path().join(FILE_NAME);
        let bytes = fs::read(&path).unwrap();
        for end in (whole..bytes.len()).step_by(17) {
            fs::write(&path, &bytes[..end]).unwrap();
            let mut queue = Queue::open(folder.path()).unwrap();
            assert_eq!(numbers(&queue), [0], "cut at {end}");
            queue.append(&[item(1)]).unwrap();
            drop(queue);
            assert_eq!(fs::read(&path).unwrap(), bytes, "cut at {end}");
        }
    }

    #[test]
    fn a_bit_that_flips_anywhere_in_a_line_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(folder.path()).unwrap();
        queue.append(&[item(0), item(1)]).unwrap();
        drop(queue);
        let path = folder.path().join(FILE_NAME);
        let bytes = fs::read(&path).unwrap();
        let first = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        for (at, bit) in (0..first).flat_map(|at| [(at, 0x01), (at, 0x20)]) {
            let mut bent = bytes.clone();
            bent[at] ^= bit;
            fs::write(&path, &bent).unwrap();
            let error = Queue::open(folder.path()).unwrap_err();
            assert_eq!(error.code(), "outbox_damaged", "byte {at} bit {bit:#x}");
        }
    }

    #[test]
    fn a_write_that_failed_in_part_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(folder.path()).unwrap();
        queue.append(&[item(0)]).unwrap();
        // As a full disk leaves it where taking it back fails too.
        (&queue.file).write_all(&lines([item(1)].iter())[..100]).unwrap();
        queue.is_torn = true;
        queue.append(&[item(2)]).unwrap();
        drop(queue);
        assert_eq!(numbers(&Queue::open(folder.path()).unwrap()), [0, 2]);
    }
}
