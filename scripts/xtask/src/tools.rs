//! Running other programs from the workspace root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The workspace root, from where this program was built.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The folder of the release programs.
pub(crate) fn programs_dir() -> PathBuf {
    target_dir().join("release")
}

/// A `cargo` command in the workspace root, with the cargo that started this program.
pub(crate) fn cargo<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// Runs a command to its end and fails unless it succeeds.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs a command to its end and gives its standard output.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Has rustup install a target of the toolchain in use, unless it is there.
pub(crate) fn add_target(target: &str) -> Result<()> {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    if installed.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).lines().any(|line| line == target)) {
        return Ok(());
    }
    succeed(Command::new("rustup").args(["target", "add", target]))
}

/// Builds every test, and the programs that they run, with the features that the two have together: what the one
/// and the other depend on is compiled once.
pub(crate) fn build_tests() -> Result<()> {
    succeed(&mut cargo(["build", "--release", "--workspace", "--locked", "--bins", "--tests", "--examples"]))
}

/// Builds the programs that users run, in release mode.
pub(crate) fn build_programs(packages: &[&str]) -> Result<()> {
    let mut arguments = vec!["build", "--release", "--bins"];
    for package in packages {
        arguments.extend(["--package", package]);
    }
    succeed(&mut cargo(arguments))
}

pub(crate) fn cargo_home() -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .context("neither CARGO_HOME nor HOME is set")
}

/// A program of cargo's ecosystem in this version: the system's if it is, or else installed under the target folder.
pub(crate) fn installed(name: &str, version: &str) -> Result<PathBuf> {
    let home = target_dir().join("tools");
    let program = home.join("bin").join(name);
    // Such programs are cargo's subcommands, and some answer as nothing else.
    let subcommand = name.strip_prefix("cargo-").unwrap_or(name);
    let is_wanted = |program: &Path| {
        let out = Command::new(program).args([subcommand, "--version"]).output();
        out.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).trim().ends_with(version))
    };
    if is_wanted(name.as_ref()) {
        return Ok(name.into());
    }
    if !is_wanted(&program) {
        let mut command = cargo(["install", name, "--locked", "--quiet", "--version", version]);
        succeed(command.arg("--root").arg(&home).arg("--target-dir").arg(home.join("target")))?;
    }
    Ok(program)
}
