//! Receipts on disk: stored before they are acknowledged, each once.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vouchsafe_link::control::BootId;

use crate::Error;
use crate::settle::{Item, Key};

/// Longest envelope that is stored, in bytes. Receipts are at most 4 KiB.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 16 * 1024;
/// Longest record of a file, in bytes: an envelope with every character escaped, and room.
const RECORD_BYTES_MAX: u64 = 128 * 1024;
const FILE_NAME: &str = "receipts.jsonl";
const LOCK_NAME: &str = "lock";

/// A receipt as the enclave hands it over. The host does not interpret it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The boot that signed it.
    pub boot: BootId,
    /// Its position in that boot's sequence.
    pub seq: u64,
    /// The DSSE envelope's JSON text.
    pub envelope: String,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stored {
    /// Receipts that are new.
    pub(crate) new: u64,
    /// Receipts that were there before.
    pub(crate) repeated: u64,
}

/// Where receipts wait until they are published.
pub(crate) trait Outbox: Send + 'static {
    /// Stores receipts durably, in this order, leaving out those that are stored already. After an
    /// error none of the batch counts as stored, and the same batch can be given again.
    ///
    /// # Errors
    /// When the storage fails.
    fn append(&mut self, receipts: &[Receipt]) -> Result<Stored, Error>;

    /// As [`Outbox::append`], for what a boot says of itself. Without a log nobody would read it.
    fn append_records(&mut self, _records: &[Item]) -> Result<(), Error> {
        Ok(())
    }

    /// Forgets what is in the log for good.
    fn remove(&mut self, _keys: &[Key]) -> Result<(), Error> {
        Ok(())
    }
}

/// An append-only file of JSON lines, synced after each batch, in a folder of which this has
/// exclusive use.
#[derive(Debug)]
pub(crate) struct FileOutbox {
    path: PathBuf,
    file: File,
    /// Bytes of the file that hold whole, synced records. What is behind them was not acknowledged.
    length: u64,
    /// The lowest sequence number that is not stored, for each boot.
    next: HashMap<BootId, u64>,
    _lock: FolderLock,
}

impl FileOutbox {
    /// Opens the outbox in `folder`, which is made where missing. A record that a crash left
    /// incomplete at the end was never acknowledged, and is removed.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::StateLocked`] or [`Error::OutboxDamaged`].
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(|error| Error::state(folder, &error))?;
        let lock = lock(&folder.join(LOCK_NAME))?;
        let path = folder.join(FILE_NAME);
        let failed = |error| Error::state(&path, &error);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        let (length, next) = scan(&path, &file)?;
        file.set_len(length).and_then(|()| file.sync_all()).map_err(failed)?;
        // The file's name is durable only with its folder.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(Self { path, file, length, next, _lock: lock })
    }

    /// How many bytes of receipts are stored.
    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.length
    }

    fn write(&mut self, records: &[u8]) -> io::Result<()> {
        self.file.write_all(records)?;
        self.file.sync_data()
    }
}

impl Outbox for FileOutbox {
    fn append(&mut self, receipts: &[Receipt]) -> Result<Stored, Error> {
        let mut records = Vec::new();
        let mut next = HashMap::<&BootId, u64>::new();
        let mut stored = Stored::default();
        for receipt in receipts {
            let known = next.get(&receipt.boot).or_else(|| self.next.get(&receipt.boot)).copied();
            if known.is_some_and(|next| receipt.seq < next) {
                stored.repeated = stored.repeated.saturating_add(1);
                continue;
            }
            stored.new = stored.new.saturating_add(1);
            next.insert(&receipt.boot, receipt.seq.saturating_add(1));
            // Strings and an integer: serialisation has no failing case but memory.
            serde_json::to_writer(&mut records, receipt)
                .map_err(|error| Error::State { path: self.path.clone(), message: error.to_string() })?;
            records.push(b'\n');
        }
        if let Err(error) = self.write(&records) {
            // Whatever part was written is taken back, so that the next attempt does not follow half a
            // record. If that fails too, opening the file again removes it.
            let _ = self.file.set_len(self.length);
            return Err(Error::state(&self.path, &error));
        }
        self.length = self.length.saturating_add(u64::try_from(records.len()).unwrap_or(u64::MAX));
        self.next.extend(next.into_iter().map(|(boot, next)| (boot.clone(), next)));
        Ok(stored)
    }
}

/// Keeps other programs off a folder for as long as it lives.
#[derive(Debug)]
pub(crate) struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing it would do, but for a child that was forked meanwhile and has not become its program yet: it holds
        // a copy of the file, and with it the lock.
        let _ = self.0.unlock();
    }
}

/// Takes the lock file at `path`.
pub(crate) fn lock(path: &Path) -> Result<FolderLock, Error> {
    let failed = |error| Error::state(path, &error);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(FolderLock(file)),
        Err(TryLockError::WouldBlock) => Err(Error::StateLocked { path: path.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Reads every record. Gives the length of the whole records and the next sequence number per boot.
fn scan(path: &Path, file: &File) -> Result<(u64, HashMap<BootId, u64>), Error> {
    let failed = |error| Error::state(path, &error);
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(0)).map_err(failed)?;
    let (mut offset, mut next) = (0_u64, HashMap::new());
    let mut record = Vec::new();
    loop {
        record.clear();
        let damaged = |why: String| Error::OutboxDamaged { path: path.to_path_buf(), offset, why };
        let count =
            io::Read::take(&mut reader, RECORD_BYTES_MAX).read_until(b'\n', &mut record).map_err(failed)?;
        if record.last() != Some(&b'\n') {
            if u64::try_from(count).is_ok_and(|count| count >= RECORD_BYTES_MAX) {
                return Err(damaged(format!("a record longer than {RECORD_BYTES_MAX} bytes")));
            }
            return Ok((offset, next));
        }
        let receipt: Receipt = serde_json::from_slice(&record).map_err(|error| damaged(error.to_string()))?;
        let seq = receipt.seq.saturating_add(1);
        next.entry(receipt.boot).and_modify(|next: &mut u64| *next = seq.max(*next)).or_insert(seq);
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(boot: char, seq: u64) -> Receipt {
        let boot = BootId::new(&boot.to_string().repeat(64)).unwrap();
        Receipt { boot, seq, envelope: format!("{{\"payload\":\"{seq}\"}}") }
    }

    fn stored(folder: &Path) -> Vec<Receipt> {
        let text = fs::read_to_string(folder.join(FILE_NAME)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_receipt_is_stored_once_across_batches_and_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = FileOutbox::open(folder.path()).unwrap();
        let first = [receipt('a', 0), receipt('a', 1), receipt('b', 7), receipt('a', 1)];
        assert_eq!(outbox.append(&first).unwrap(), Stored { new: 3, repeated: 1 });
        drop(outbox);
        let mut outbox = FileOutbox::open(folder.path()).unwrap();
        let again = [receipt('a', 1), receipt('b', 7), receipt('b', 8)];
        assert_eq!(outbox.append(&again).unwrap(), Stored { new: 1, repeated: 2 });
        let all = [receipt('a', 0), receipt('a', 1), receipt('b', 7), receipt('b', 8)];
        assert_eq!(stored(folder.path()), all);
        assert_eq!(outbox.bytes(), fs::metadata(folder.path().join(FILE_NAME)).unwrap().len());
    }

    #[test]
    fn a_crash_at_any_byte_loses_only_the_record_it_hit() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = FileOutbox::open(folder.path()).unwrap();
        outbox.append(&[receipt('a', 0)]).unwrap();
        let whole = outbox.bytes();
        outbox.append(&[receipt('a', 1)]).unwrap();
        drop(outbox);
        let path = folder.path().join(FILE_NAME);
        let bytes = fs::read(&path).unwrap();
        for end in usize::try_from(whole).unwrap()..bytes.len() {
            fs::write(&path, &bytes[..end]).unwrap();
            let mut outbox = FileOutbox::open(folder.path()).unwrap();
            assert_eq!(outbox.bytes(), whole, "cut at {end}");
            assert_eq!(outbox.append(&[receipt('a', 1)]).unwrap().new, 1, "cut at {end}");
            drop(outbox);
            assert_eq!(fs::read(&path).unwrap(), bytes, "cut at {end}");
        }
    }

    #[test]
    fn damage_in_the_middle_is_named_and_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = FileOutbox::open(folder.path()).unwrap();
        outbox.append(&[receipt('a', 0), receipt('a', 1)]).unwrap();
        let half = outbox.bytes() / 2;
        drop(outbox);
        let path = folder.path().join(FILE_NAME);
        let mut bytes = fs::read(&path).unwrap();
        bytes[usize::try_from(half).unwrap()] = b'#';
        fs::write(&path, &bytes).unwrap();
        let error = FileOutbox::open(folder.path()).unwrap_err();
        assert!(matches!(error, Error::OutboxDamaged { offset, .. } if offset == half), "{error}");
        fs::write(&path, vec![b'x'; 200 * 1024]).unwrap();
        let error = FileOutbox::open(folder.path()).unwrap_err();
        assert!(matches!(error, Error::OutboxDamaged { offset: 0, .. }), "{error}");
    }

    #[test]
    fn a_second_host_on_the_same_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = FileOutbox::open(folder.path()).unwrap();
        let error = FileOutbox::open(folder.path()).unwrap_err();
        assert_eq!(error, Error::StateLocked { path: folder.path().join(LOCK_NAME) });
        drop(first);
        FileOutbox::open(folder.path()).unwrap();
    }
}
