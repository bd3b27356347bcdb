//! The manifest: every file of an image, and what is inside, by digest.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use ring::digest::{Context, SHA256, digest};
use serde::Serialize;
use serde_json::Value;
use vouchsafe_verifier::encoding::to_hex;

use crate::packages::Package;

/// The manifest of one image.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest {
    /// Version of this format: 1.
    pub(crate) version: u32,
    /// The program that made the image.
    pub(crate) builder: &'static str,
    /// The compilers of the enclave program, as they name themselves: of Rust, and of its few C files.
    pub(crate) compiler: String,
    /// The Debian packages that parts of the image come from.
    pub(crate) packages: Vec<Package>,
    /// The kernel command line.
    pub(crate) command_line: String,
    /// The files of the image.
    pub(crate) files: Vec<Entry>,
    /// What the initial RAM disk holds.
    pub(crate) initrd: Vec<Entry>,
    /// What the model disk holds.
    pub(crate) disk: DiskManifest,
}

/// The model disk.
#[derive(Debug, Serialize)]
pub(crate) struct DiskManifest {
    /// Number of data blocks of 4096 bytes.
    pub(crate) blocks: usize,
    /// Root of the hash tree.
    pub(crate) root: String,
    /// Its files.
    pub(crate) files: Vec<Entry>,
    /// Every model with the digest that receipts name, computed by the enclave program from these files.
    pub(crate) models: Value,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    path: String,
    bytes: u64,
    sha256: String,
    /// File type and permissions, octal, as the archive states them.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
}

impl Entry {
    pub(crate) fn new(path: &str, content: &[u8]) -> Self {
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let sha256 = to_hex(digest(&SHA256, content).as_ref());
        Self { path: path.to_owned(), bytes, sha256, mode: None }
    }

    pub(crate) fn of_file(path: &str, file: &Path) -> Result<Self> {
        let bytes = file.metadata().with_context(|| file.display().to_string())?.len();
        Ok(Self { path: path.to_owned(), bytes, sha256: sha256_of_file(file)?, mode: None })
    }

    pub(crate) fn with_mode(mut self, mode: u32) -> Self {
        self.mode = Some(format!("{mode:o}"));
        self
    }
}

pub(crate) fn sha256_of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).with_context(|| path.display().to_string())? {
            0 => return Ok(to_hex(context.finish().as_ref())),
            count => context.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}
