//! Chromium and npm packages for the tests of what people look at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools;

/// Chromium's program: the system's, or Debian's where it may be installed.
pub(crate) fn chromium() -> Result<PathBuf> {
    const NAMES: [&str; 2] = ["chromium", "chromium-browser"];
    let found = || NAMES.into_iter().find_map(in_path);
    if let Some(program) = found() {
        return Ok(program);
    }
    let install = || -> Result<()> {
        tools::output(Command::new("apt-get").arg("update"))?;
        tools::output(Command::new("apt-get").args([
            "install",
            "--yes",
            "--no-install-recommends",
            "chromium",
            "fonts-dejavu-core",
        ]))?;
        Ok(())
    };
    if let Err(error) = install() {
        bail!(
            "the tests of web pages need Chromium, which is missing here and could not be installed \
             ({error:#}); on Debian: apt-get install chromium"
        );
    }
    found().context("Chromium was installed and is not in the path")
}

/// Installs the packages that `manifest` names, exactly, or what a lock file beside it says, and gives the
/// folder `node_modules`.
pub(crate) fn node_modules(manifest: &Path, name: &str) -> Result<PathBuf> {
    let home = tools::target_dir().join("node").join(name);
    let manifest_text = fs::read(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let lock = fs::read(manifest.with_file_name("package-lock.json")).ok();
    let wanted = [manifest_text.as_slice(), lock.as_deref().unwrap_or_default()].concat();
    let stamp = home.join("installed");
    if fs::read(&stamp).ok().as_deref() != Some(&wanted) {
        fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        fs::write(home.join("package.json"), &manifest_text)?;
        let mut command = Command::new("npm");
        match &lock {
            Some(lock) => {
                fs::write(home.join("package-lock.json"), lock)?;
                command.arg("ci")
            }
            None => command.args(["install", "--no-package-lock"]),
        };
        let quiet = ["--no-audit", "--no-fund", "--ignore-scripts"];
        tools::output(command.current_dir(&home).args(quiet))?;
        fs::write(&stamp, &wanted)?;
    }
    Ok(home.join("node_modules"))
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}
