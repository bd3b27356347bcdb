//! Writing bundles, each with its request and response beside it.
//!
//! They hold what was asked and answered, and the salts that open the receipt: files are for this user
//! alone, and each appears whole or not at all.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use vouchsafe_bundle::VerifiedBoot;

use crate::Answer;

/// Writes `BOOT-SEQ-request.json`, `BOOT-SEQ-response.json` or `.sse`, and `BOOT-SEQ-bundle.json`,
/// whose path it gives. The names of a stream that was cut off have `cut-NUMBER` for the sequence
/// number that they lack.
pub(super) async fn save(
    folder: PathBuf,
    number: u64,
    answer: &Answer,
    boot: &VerifiedBoot,
) -> io::Result<PathBuf> {
    let bundle = answer.bundle(boot).map_err(io::Error::other)?.to_json();
    let id: String = boot.boot_statement().boot.to_string().chars().take(16).collect();
    let place = match answer.verdict.as_ref().and_then(|verdict| verdict.receipt()) {
        Some(receipt) => format!("{:06}", receipt.seq),
        None => format!("cut-{number:06}"),
    };
    let response = if answer.stream.is_some() { "response.sse" } else { "response.json" };
    // The bundle comes last: where it is, the others are.
    let files: [(&str, Bytes); 3] = [
        ("request.json", answer.request.clone()),
        (response, answer.response.clone()),
        ("bundle.json", bundle.into()),
    ];
    let write = move || {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut path = folder.clone();
        for (suffix, bytes) in files {
            path = folder.join(format!("{id}-{place}-{suffix}"));
            write_whole(&path, &bytes)?;
        }
        Ok(path)
    };
    tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
}

/// Puts other bytes in a file's place.
pub(super) async fn replace(path: PathBuf, bytes: Vec<u8>) -> io::Result<()> {
    tokio::task::spawn_blocking(move || write_whole(&path, &bytes)).await.map_err(io::Error::other)?
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".part");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn files_are_whole_replaced_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x-bundle.json");
        write_whole(&path, b"first, and longer").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
