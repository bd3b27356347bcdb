//! Files in a folder: the public tree, the staging file, the high-water record, the folder's lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use vouchsafe_verifier::encoding::{from_hex, to_hex};

use super::{Blobs, HighWater, Tiles, TreeHead};
use crate::Error;

/// The public folder and the staging file beside it.
#[derive(Debug)]
pub struct Files {
    public: PathBuf,
    staged: PathBuf,
}

impl Files {
    /// Files under `public`, which any web server may serve, and `staging`, which none should.
    ///
    /// # Errors
    /// [`Error::Io`] where the folders cannot be made.
    pub fn open(public: PathBuf, staging: PathBuf) -> Result<Self, Error> {
        for folder in [&public, &staging] {
            fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
        }
        Ok(Self::at(public, staging))
    }

    /// The same, of folders that are made when they are first needed.
    pub fn at(public: PathBuf, staging: PathBuf) -> Self {
        Self { public, staged: staging.join("batch") }
    }
}

impl Tiles for Files {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        read(&self.public.join(path))
    }

    fn len(&self, path: &str) -> Result<Option<u64>, Error> {
        let path = self.public.join(path);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(Error::io(&path, &error)),
        }
    }

    fn write(&self, files: &[(String, Vec<u8>)]) -> Result<(), Error> {
        files.iter().try_for_each(|(path, bytes)| replace(&self.public.join(path), bytes))
    }

    fn remove_partials(&self, tile: &str) -> Result<(), Error> {
        let folder = self.public.join(format!("{tile}.p"));
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(&folder, &error)),
            _ => Ok(()),
        }
    }

    fn stage(&self, record: &[u8]) -> Result<(), Error> {
        replace(&self.staged, record)
    }

    fn staged(&self) -> Result<Option<Vec<u8>>, Error> {
        read(&self.staged)
    }

    fn unstage(&self) -> Result<(), Error> {
        match fs::remove_file(&self.staged) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(&self.staged, &error)),
            // Not synced: a staged batch that comes back is recognised as done.
            _ => Ok(()),
        }
    }

    fn publish(&self, checkpoint: &[u8]) -> Result<(), Error> {
        replace(&self.public.join("checkpoint"), checkpoint)
    }
}

impl Blobs for Files {
    fn read(&self, sha256: &[u8; 32]) -> Result<Option<Vec<u8>>, Error> {
        read(&self.public.join("blob").join(to_hex(sha256)))
    }

    fn write(&self, sha256: &[u8; 32], bytes: &[u8]) -> Result<(), Error> {
        replace(&self.public.join("blob").join(to_hex(sha256)), bytes)
    }
}

/// The high-water record as a small text file: `size root-in-hex`.
#[derive(Debug)]
pub struct HighWaterFile(PathBuf);

impl HighWaterFile {
    /// The record at `path`. It protects best where no backup of the log's folder restores it too.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl HighWater for HighWaterFile {
    fn read(&self) -> Result<Option<TreeHead>, Error> {
        let Some(bytes) = read(&self.0)? else { return Ok(None) };
        let parsed = core::str::from_utf8(&bytes).ok().and_then(|text| {
            let (size, root) = text.strip_suffix('\n')?.split_once(' ')?;
            Some(TreeHead { size: size.parse().ok()?, root: from_hex(root)? })
        });
        let damaged =
            || Error::Damaged { path: self.0.display().to_string(), why: "not a size and a root".into() };
        parsed.map(Some).ok_or_else(damaged)
    }

    fn write(&self, head: &TreeHead) -> Result<(), Error> {
        replace(&self.0, format!("{} {}\n", head.size, to_hex(&head.root)).as_bytes())
    }
}

/// Keeps a second program off a folder for as long as it lives.
#[derive(Debug)]
pub struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing it would do, but for a child that was forked meanwhile and has not become its program yet: it holds
        // a copy of the file, and with it the lock.
        let _ = self.0.unlock();
    }
}

impl FolderLock {
    /// Takes the lock file at `path`.
    ///
    /// # Errors
    /// [`Error::InUse`] where another program holds it, [`Error::Io`].
    pub fn take(path: &Path) -> Result<Self, Error> {
        let failed = |error: &std::io::Error| Error::io(path, error);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.display().to_string() }),
            Err(TryLockError::Error(error)) => Err(failed(&error)),
        }
    }
}

/// Reads a file that may be absent.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Error::io(path, &error)),
    }
}

/// Whether there is no such file: a folder on the way may itself be missing, or a file.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

/// Puts a file in place, whole and durable: written beside it, synced, renamed, folder synced.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::io(path, &error);
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    make_folder(folder)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    let written = File::create(&beside)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        // What is left would only take room that is short already.
        let _ = fs::remove_file(&beside);
        return Err(failed(error));
    }
    sync_folder(folder)
}

/// Makes a folder and its parents, durably.
fn make_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or_else(|| Path::new("."));
    if !parent.as_os_str().is_empty() {
        make_folder(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::io(folder, &error)),
        _ if parent.as_os_str().is_empty() => Ok(()),
        _ => sync_folder(parent),
    }
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Error::io(folder, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FolderLock::take(&path).unwrap();
        assert!(matches!(FolderLock::take(&path), Err(Error::InUse { .. })));
        drop(held);
        FolderLock::take(&path).unwrap();
    }

    #[test]
    fn a_damaged_high_water_record_is_refused_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let record = HighWaterFile::new(folder.path().join("high-water"));
        assert_eq!(record.read(), Ok(None));
        let head = TreeHead { size: 77, root: [7; 32] };
        record.write(&head).unwrap();
        assert_eq!(record.read(), Ok(Some(head)));
        let text = fs::read(folder.path().join("high-water")).unwrap();
        for cut in 0..text.len() {
            fs::write(folder.path().join("high-water"), &text[..cut]).unwrap();
            assert!(matches!(record.read(), Err(Error::Damaged { .. })), "cut to {cut} bytes");
        }
    }

    #[test]
    fn partial_tiles_go_and_the_full_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path().join("public"), folder.path().join("staging")).unwrap();
        let put = |path: &str| Tiles::write(&files, &[(path.to_owned(), vec![1])]).unwrap();
        put("tile/0/000.p/5");
        put("tile/0/000");
        put("tile/0/001.p/5");
        files.remove_partials("tile/0/000").unwrap();
        files.remove_partials("tile/0/007").unwrap();
        assert_eq!(Tiles::read(&files, "tile/0/000.p/5"), Ok(None));
        assert_eq!(Tiles::read(&files, "tile/0/000"), Ok(Some(vec![1])));
        assert_eq!(files.len("tile/0/001.p/5"), Ok(Some(1)));
        assert_eq!(Tiles::read(&files, "tile/0/000/7"), Ok(None), "below a file is nothing");
    }
}
