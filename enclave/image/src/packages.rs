//! The pinned Debian packages: taken by SHA-256, unpacked, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::manifest::sha256_of_file;

/// The pins.
pub(crate) const PINNED: &str = include_str!("../inputs.json");

/// One pinned package.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Package {
    /// What it is for: `kernel`, `erofs`, `firmware-snp` or `firmware-tdx`.
    #[serde(rename = "use")]
    pub(crate) usage: String,
    pub(crate) package: String,
    pub(crate) version: String,
    /// Path on a Debian mirror.
    pub(crate) path: String,
    pub(crate) sha256: String,
}

#[derive(Deserialize)]
struct Pins {
    packages: Vec<Package>,
}

/// The packages' contents, in a folder that goes with this.
pub(crate) struct Unpacked {
    pub(crate) packages: Vec<Package>,
    folder: TempDir,
}

impl Unpacked {
    /// Checks every package in `folder` against its pin and unpacks it.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let Pins { packages } = serde_json::from_str(PINNED).context("the pinned packages")?;
        let unpacked = tempfile::Builder::new().prefix("vouchsafe-image-").tempdir()?;
        for package in &packages {
            let name = Path::new(&package.path).file_name().context("a package has a name")?;
            let file = folder.join(name);
            let found = sha256_of_file(&file)?;
            if found != package.sha256 {
                bail!("{} has SHA-256 {found}, where {} is pinned", file.display(), package.sha256);
            }
            let mut command = Command::new("dpkg-deb");
            command.arg("--extract").arg(&file).arg(unpacked.path().join(&package.usage));
            run(&mut command)?;
        }
        Ok(Self { packages, folder: unpacked })
    }

    /// A file of a package.
    pub(crate) fn file(&self, usage: &str, path: &str) -> Result<PathBuf> {
        let file = self.folder.path().join(usage).join(path);
        if !file.is_file() {
            bail!("the package for {usage} has no {path}");
        }
        Ok(file)
    }

    /// The kernel, and the folder of its modules.
    pub(crate) fn kernel(&self) -> Result<(PathBuf, PathBuf)> {
        let kernel = self.folder.path().join("kernel");
        let only = |folder: PathBuf, prefix: &str| -> Result<PathBuf> {
            let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
            let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            found.retain(|path| name(path).starts_with(prefix));
            match <[PathBuf; 1]>::try_from(found) {
                Ok([path]) => Ok(path),
                Err(found) => bail!("{} files {prefix}* in {}", found.len(), folder.display()),
            }
        };
        let modules = only(kernel.join("lib/modules"), "")?;
        Ok((only(kernel.join("boot"), "vmlinuz-")?, modules.join("kernel")))
    }
}

/// Runs a program to its end; what it says shows only where it fails.
pub(crate) fn run(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("{program} failed with {}: {said}", output.status);
    }
    Ok(output.stdout)
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
