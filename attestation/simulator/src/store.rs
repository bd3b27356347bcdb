//! A folder of small files that appears under its name complete or not at all.
//!
//! Two programs that start at once must not mix their authorities: everything is written beside the
//! final place and moved there in one step, and whoever comes second takes what the first one left.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

use crate::Error;

/// Nothing an authority stores is longer, bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// One file of a folder to be.
pub(crate) struct StoredFile {
    name: &'static str,
    mode: u32,
    content: Zeroizing<Vec<u8>>,
}

impl StoredFile {
    /// For everybody to read.
    pub(crate) fn public(name: &'static str, content: &[u8]) -> Self {
        Self { name, mode: 0o644, content: Zeroizing::new(content.to_vec()) }
    }

    /// For its owner alone.
    pub(crate) fn private(name: &'static str, content: &[u8]) -> Self {
        Self { name, mode: 0o600, content: Zeroizing::new(content.to_vec()) }
    }
}

/// Writes the folder `dir`, which must not exist. Missing parents are made.
pub(crate) fn save(dir: &Path, files: &[StoredFile]) -> Result<(), Error> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(at(parent))?;
    let mut name = OsString::from(".");
    name.push(dir.file_name().unwrap_or_default());
    name.push(format!(".{:016x}.tmp", OsRng.next_u64()));
    let temporary = parent.join(name);
    let result = write_folder(&temporary, files).and_then(|()| publish(&temporary, dir));
    if result.is_err() {
        // Best effort: the error that matters is the one already in hand.
        let _ = fs::remove_dir_all(&temporary);
    }
    result?;
    sync(parent)
}

/// Loads what is in `dir`, or makes and saves it if `dir` does not exist.
pub(crate) fn load_or_generate<T>(
    dir: &Path,
    load: impl FnOnce(&Path) -> Result<T, Error>,
    generate: impl FnOnce() -> Result<T, Error>,
    save: impl FnOnce(&T, &Path) -> Result<(), Error>,
) -> Result<T, Error> {
    if !dir.try_exists().map_err(at(dir))? {
        let generated = generate()?;
        match save(&generated, dir) {
            Ok(()) => return Ok(generated),
            // Another program was quicker: what it made counts.
            Err(Error::AlreadyExists { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    load(dir)
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let length = fs::metadata(path).map_err(at(path))?.len();
    if length > FILE_BYTES_MAX {
        return Err(damaged(path, "is too long"));
    }
    fs::read(path).map_err(at(path))
}

/// Reads a file that none but its owner may have had access to.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mode = fs::metadata(path).map_err(at(path))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Permissions { path: path.to_owned(), mode });
    }
    read(path).map(Zeroizing::new)
}

/// Reads a secret of exactly `N` bytes.
pub(crate) fn read_secret<const N: usize>(path: &Path) -> Result<Zeroizing<[u8; N]>, Error> {
    <[u8; N]>::try_from(read_private(path)?.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| damaged(path, "has the wrong length"))
}

/// Reads text that none but its owner may have had access to.
pub(crate) fn read_private_text(path: &Path) -> Result<Zeroizing<String>, Error> {
    core::str::from_utf8(&read_private(path)?)
        .map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| damaged(path, "is not text"))
}

/// The error for a file that is not one `save` wrote.
pub(crate) fn damaged(path: &Path, detail: &str) -> Error {
    Error::Stored { path: path.to_owned(), detail: detail.to_owned() }
}

fn write_folder(folder: &Path, files: &[StoredFile]) -> Result<(), Error> {
    DirBuilder::new().mode(0o700).create(folder).map_err(at(folder))?;
    for StoredFile { name, mode, content } in files {
        let path = folder.join(name);
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(*mode).open(&path)?;
            file.write_all(content)?;
            file.sync_all()
        };
        write().map_err(at(&path))?;
    }
    sync(folder)
}

fn publish(temporary: &Path, dir: &Path) -> Result<(), Error> {
    fs::rename(temporary, dir).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => {
            Error::AlreadyExists { path: dir.to_owned() }
        }
        _ => Error::Io { path: dir.to_owned(), source },
    })
}

fn sync(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = PathBuf::from(path);
    move |source| Error::Io { path, source }
}
