//! The static enclave program, without a trace of where it was built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tools;

pub(crate) const TARGET: &str = "x86_64-unknown-linux-musl";
/// Compilers for the few C files of `ring`, the preferred one first. They include no header of a C
/// library, so that Debian's ordinary compiler serves where there is no package `musl-tools`.
const C_COMPILERS: [&str; 2] = ["musl-gcc", "gcc"];

/// Builds a program of `package` from the source at `root` into `build`, and gives its file.
pub(super) fn build(root: &Path, build: &Path, package: &str, program: &str) -> Result<PathBuf> {
    add_target()?;
    let mut command = tools::cargo(["build", "--release", "--locked", "--target", TARGET]);
    command.current_dir(root).args(["--package", package, "--bin", program]).arg("--target-dir").arg(build);
    command.env("CC_x86_64_unknown_linux_musl", c_compiler()?);
    // Later prefixes win, and the build folder may be inside the source's.
    let places = [(root, "/vouchsafe"), (&tools::cargo_home()?, "/cargo"), (build, "/target")];
    let flags = places.map(|(place, name)| format!("--remap-path-prefix={}={name}", place.display()));
    // Flags of this user's own would end up in the program.
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env_remove("RUSTFLAGS");
    for flags in
        ["CFLAGS", "TARGET_CFLAGS", "CFLAGS_x86_64_unknown_linux_musl", "CFLAGS_x86_64-unknown-linux-musl"]
    {
        command.env_remove(flags);
    }
    tools::succeed(&mut command)?;
    Ok(build.join(TARGET).join("release").join(program))
}

/// What the compilers say that they are: the program depends on both.
pub(super) fn compiler() -> Result<String> {
    let version = |program: &std::ffi::OsStr| -> Result<String> {
        let printed = tools::output(Command::new(program).arg("--version"))?;
        Ok(String::from_utf8_lossy(&printed).lines().next().unwrap_or_default().trim().to_owned())
    };
    Ok(format!("{}; {}", version(&rustc())?, version(c_compiler()?.as_ref())?))
}

fn c_compiler() -> Result<&'static str> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    C_COMPILERS.into_iter().find(is_there).context("there is no C compiler: gcc")
}

fn add_target() -> Result<()> {
    let printed = tools::output(Command::new(rustc()).args(["--print", "sysroot"]))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&printed).trim());
    if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    tools::succeed(Command::new("rustup").args(["target", "add", TARGET]))
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}
