//! A folder's files, read within bounds and digested.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::LoadError;

/// A file that was read, and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDigest {
    /// The file's path within its folder.
    pub file: String,
    /// SHA-256 of the bytes that were read; serialises as lower-case hexadecimal.
    #[serde(serialize_with = "crate::identity::hex")]
    pub sha256: [u8; 32],
}

/// A folder, and the digests of what was read from it.
pub(crate) struct Folder {
    path: PathBuf,
    digests: BTreeMap<String, [u8; 32]>,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Self {
        Self { path: path.to_owned(), digests: BTreeMap::new() }
    }

    /// A file's bytes; `None` where there is no such file.
    pub(crate) fn optional(&mut self, file: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, LoadError> {
        let path = self.path.join(file);
        let opened = match File::open(&path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LoadError::Open { path: path.display().to_string(), source }),
        };
        let mut bytes = Vec::new();
        // One more than the bound shows that the file is beyond it, whatever its metadata say.
        opened
            .take(bytes_max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|source| LoadError::Read { source })?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length > bytes_max {
            return Err(LoadError::TooLarge {
                what: format!("the length of {file}"),
                value: length,
                max: bytes_max,
            });
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, &bytes).as_ref());
        self.note(file.to_owned(), digest);
        Ok(Some(bytes))
    }

    pub(crate) fn required(&mut self, file: &str, bytes_max: u64) -> Result<Vec<u8>, LoadError> {
        let path = self.path.join(file);
        self.optional(file, bytes_max)?.ok_or_else(|| LoadError::Open {
            path: path.display().to_string(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// Opens a file that is read and digested by others: see [`Self::note`].
    pub(crate) fn open_file(&self, file: &str) -> Result<File, LoadError> {
        let path = self.path.join(file);
        File::open(&path).map_err(|source| LoadError::Open { path: path.display().to_string(), source })
    }

    /// Notes the digest of a file.
    pub(crate) fn note(&mut self, file: String, sha256: [u8; 32]) {
        self.digests.insert(file, sha256);
    }

    /// Every file that was read, in ascending order of path.
    pub(crate) fn into_digests(self) -> Vec<FileDigest> {
        self.digests.into_iter().map(|(file, sha256)| FileDigest { file, sha256 }).collect()
    }
}
