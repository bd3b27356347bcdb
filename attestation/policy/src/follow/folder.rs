//! Files that appear whole or not at all.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use vouchsafe_verifier::strict_json::{self, FromValue, Limits};

use super::FollowError;

/// Longest file of state, in bytes.
const STATE_BYTES_MAX: usize = 32 << 20;
const LIMITS: Limits = Limits { bytes_max: STATE_BYTES_MAX, depth_max: 8 };

/// A folder.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(folder: &Path) -> Result<Self, FollowError> {
        let state = |error: io::Error| FollowError::State { path: folder.into(), why: error.to_string() };
        fs::create_dir_all(folder).map_err(state)?;
        Ok(Self(folder.into()))
    }

    pub(super) fn unusable(&self, name: &str, why: &dyn ToString) -> FollowError {
        FollowError::State { path: self.0.join(name), why: why.to_string() }
    }

    /// A file of at most so many bytes; `None` where there is none.
    pub(super) fn read_bytes(&self, name: &str, max: usize) -> Result<Option<Vec<u8>>, FollowError> {
        let file = match fs::File::open(self.0.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unusable(name, &error)),
        };
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(|error| self.unusable(name, &error))?;
        match bytes.len() > max {
            true => Err(self.unusable(name, &format!("longer than {max} bytes"))),
            false => Ok(Some(bytes)),
        }
    }

    pub(super) fn read<T: FromValue>(&self, name: &str) -> Result<Option<T>, FollowError> {
        let Some(json) = self.read_bytes(name, STATE_BYTES_MAX)? else { return Ok(None) };
        strict_json::read(&json, LIMITS).map(Some).map_err(|error| self.unusable(name, &error))
    }

    pub(super) fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), FollowError> {
        let json = serde_json::to_vec_pretty(value).map_err(|error| self.unusable(name, &error))?;
        // What could not be read back is not written in the place of what can.
        if json.len() > STATE_BYTES_MAX {
            return Err(self.unusable(name, &format!("it would be longer than {STATE_BYTES_MAX} bytes")));
        }
        self.write(name, &json)
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FollowError> {
        write_whole(&self.0.join(name), bytes).map_err(|error| self.unusable(name, &error))
    }

    pub(super) fn forget(&self, name: &str) -> Result<(), FollowError> {
        match fs::remove_file(self.0.join(name)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.unusable(name, &error)),
        }
    }
}

/// Writes a file that is there whole or not at all, and still is after a crash.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".part");
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
