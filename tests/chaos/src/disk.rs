//! A disk that can be filled.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Largest file system that is filled: nobody's own disk.
const BYTES_MAX: u64 = 2 << 30;
static PART: [u8; 1 << 16] = [0; 1 << 16];

/// A small file system that holds nothing else than what runs here.
#[derive(Debug)]
pub(crate) struct Disk {
    ballast: PathBuf,
}

impl Disk {
    /// The file system of `folder`, if it is small enough to be filled without harm.
    pub(crate) fn of_its_own(folder: &Path) -> Result<Self> {
        let about = nix::sys::statvfs::statvfs(folder)
            .with_context(|| format!("cannot look at {}", folder.display()))?;
        let bytes = about.blocks().saturating_mul(about.fragment_size());
        ensure!(
            bytes <= BYTES_MAX,
            "{} is on a file system of {bytes} bytes: too large to be filled",
            folder.display()
        );
        Ok(Self { ballast: folder.join("ballast") })
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut file = File::create(&self.ballast).context("the ballast")?;
        loop {
            match file.write(&PART) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("the ballast"),
            }
        }
    }

    /// Gives the room back.
    pub(crate) fn free(&self) -> Result<()> {
        match std::fs::remove_file(&self.ballast) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("the ballast"),
            _ => Ok(()),
        }
    }
}
