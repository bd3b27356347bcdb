//! Debian packages by pinned digest: downloaded, checked, unpacked, never installed.
//!
//! Debian's mirrors drop a package when the next one comes; its archive of snapshots keeps all of them.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::tools;

pub(crate) const MIRROR: &str = "http://deb.debian.org/debian";
/// The archive as it was on a day when every pinned package was in it.
const SNAPSHOT: &str = "https://snapshot.debian.org/archive/debian/20261121T000000Z";

/// Fetches the package at `path` of the archive from the first place that has the pinned bytes.
pub(crate) fn download(path: &str, sha256: &str, to: &Path) -> Result<()> {
    let mut faults = Vec::new();
    for base in [MIRROR, SNAPSHOT] {
        let url = format!("{base}/{path}");
        match fetch(&url, to) {
            Ok(()) if has_sha256(to, sha256)? => return Ok(()),
            Ok(()) => faults.push(format!("{url} is not the pinned package")),
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    bail!("{}", faults.join("; "))
}

/// Fetches whatever is at an address.
pub(crate) fn fetch(url: &str, to: &Path) -> Result<()> {
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location", "--retry", "2", "--max-time", "300"]);
    tools::output(curl.arg("--output").arg(to).arg(url)).map(drop)
}

/// Unpacks a package into a folder.
pub(crate) fn unpack(package: &Path, folder: &Path) -> Result<()> {
    tools::output(Command::new("dpkg-deb").arg("--extract").arg(package).arg(folder)).map(drop)
}

pub(crate) fn has_sha256(file: &Path, expected: &str) -> Result<bool> {
    let printed = tools::output(Command::new("sha256sum").arg("--binary").arg(file))?;
    Ok(String::from_utf8_lossy(&printed).split_whitespace().next() == Some(expected))
}
