//! Runs the program and finds its inputs.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// 2026-01-01T00:00:00Z: when the golden bundles were made.
pub(crate) const AT: &str = "2026-01-01T00:00:00Z";

/// What a run gave.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out, self.err))
    }

    /// Exit status, verdict and code of a JSON verdict.
    pub(crate) fn verdict(&self) -> (i32, String, String) {
        let json = self.json();
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        (self.code, text("verdict"), text("code"))
    }
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouchsafe"));
    // Colours and languages of whoever runs the tests must not matter.
    command.env_remove("CLICOLOR_FORCE").env("NO_COLOR", "1");
    command
}

pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Run {
    finish(command().args(arguments))
}

pub(crate) fn finish(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A golden file of the bundle crate.
pub(crate) fn golden(name: &str) -> String {
    path(&["../bundle/tests/data/v1", name])
}

/// A golden file of the bundle crate, of receipts that settle into a log.
pub(crate) fn settled(name: &str) -> String {
    path(&["../bundle/tests/data/v1-settled", name])
}

/// A shipped policy.
pub(crate) fn policy(name: &str) -> String {
    path(&["../../policies", &format!("{name}.json")])
}

fn path(parts: &[&str]) -> String {
    let start = Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf();
    let path = parts.iter().fold(start, |path, part| path.join(part));
    assert!(path.exists(), "{}", path.display());
    path.to_str().unwrap().to_owned()
}

/// A folder of the public vectors; `None` when they are not beside the checkout.
pub(crate) fn vectors(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("VOUCHSAFE_FIXTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let folder = root.join("vectors").join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", folder.display());
    eprintln!("NOT RUN: {} is missing", folder.display());
    None
}
