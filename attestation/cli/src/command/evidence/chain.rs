//! The certificates in a folder.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::input;

/// Most files looked at in one folder.
const FILES_MAX: usize = 256;

/// Reads every certificate in `folder`, in DER.
pub(super) fn read(folder: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let mut files = list(folder)?;
    // Two runs on one folder find the same certificates.
    files.sort();
    files.iter().map(|path| input::read_certificate(path)).collect()
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| Failure::Unreadable { path: folder.into(), error };
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)?.take(FILES_MAX) {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_file() && matches!(extension, Some("der" | "pem" | "crt" | "cer" | "cert")) {
            files.push(path);
        }
    }
    Ok(files)
}
