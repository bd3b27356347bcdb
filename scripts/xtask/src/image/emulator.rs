//! What boots an image where there is no hardware: QEMU 10 or later, and a vsock backend in user space.
//!
//! Debian 12's own QEMU 7.2 fails one boot in three under emulation; its backports have a newer one. It is
//! unpacked with the libraries that this machine lacks, not installed: installing it would upgrade half
//! of the system.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::folder;
use crate::{debian, tools};

/// The oldest QEMU that boots every time.
const QEMU_MAJOR_MIN: u32 = 10;
const QEMU: &str = "qemu-system-x86_64";
/// Crate, version and program of the vsock backend.
const VSOCK_BACKEND: (&str, &str) = ("vhost-device-vsock", "0.3.0");

/// The programs that boot a guest.
pub(crate) struct Emulator {
    pub(crate) qemu: PathBuf,
    pub(crate) vsock_backend: PathBuf,
}

impl Emulator {
    /// Finds them, or makes them.
    pub(crate) fn prepare() -> Result<Self> {
        Ok(Self { qemu: qemu()?, vsock_backend: vsock_backend()? })
    }
}

fn qemu() -> Result<PathBuf> {
    if is_new_enough(QEMU.as_ref()) {
        return Ok(QEMU.into());
    }
    let home = folder().join("qemu");
    let program = home.join(QEMU);
    if !is_new_enough(&program) {
        unpack(&home).context("QEMU 10 or later is neither here nor to be had from Debian's backports")?;
    }
    if !is_new_enough(&program) {
        bail!("{} does not run here", program.display());
    }
    Ok(program)
}

fn is_new_enough(program: &Path) -> bool {
    let Ok(printed) = Command::new(program).arg("--version").output() else { return false };
    major(&String::from_utf8_lossy(&printed.stdout)).is_some_and(|major| major >= QEMU_MAJOR_MIN)
}

/// The 10 of `QEMU emulator version 10.0.2 (…)`.
fn major(printed: &str) -> Option<u32> {
    printed.split_once("version ")?.1.split('.').next()?.parse().ok()
}

/// Unpacks QEMU and whatever libraries of it this machine lacks, by a package index of its own.
fn unpack(home: &Path) -> Result<()> {
    if home.exists() {
        fs::remove_dir_all(home)?;
    }
    let apt = home.join("apt");
    for folder in ["lists/partial", "cache/archives/partial", "parts"] {
        fs::create_dir_all(apt.join(folder))?;
    }
    let suites = ["bookworm", "bookworm-updates", "bookworm-backports"];
    let sources: String =
        suites.iter().map(|suite| format!("deb {} {suite} main\n", debian::MIRROR)).collect();
    fs::write(apt.join("sources.list"), sources)?;
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        for (option, path) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::Etc::sourceparts", "parts"),
            ("Dir::Etc::preferencesparts", "parts"),
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            command.arg("-o").arg(format!("{option}={}", apt.join(path).display()));
        }
        // Without root there is nobody to become for the download.
        command.args(["-o", "Dir::Etc::preferences=/dev/null", "-o", "APT::Sandbox::User="]).args(arguments);
        command
    };
    tools::output(&mut apt_get(&["update"]))?;
    let install = ["install", "--yes", "--no-install-recommends", "--print-uris"];
    let mut arguments = install.to_vec();
    arguments.extend(["--target-release", "bookworm-backports", "qemu-system-x86"]);
    let printed = tools::output(&mut apt_get(&arguments))?;
    let tree = home.join("tree");
    for url in uris(&String::from_utf8_lossy(&printed)) {
        let package = home.join("package.deb");
        debian::fetch(&url, &package)?;
        debian::unpack(&package, &tree)?;
        fs::remove_file(package)?;
    }
    fs::remove_dir_all(apt)?;
    let tree = tree.display();
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH={tree}/usr/lib/x86_64-linux-gnu:{tree}/lib/x86_64-linux-gnu \\\n  \
         exec {tree}/usr/bin/{QEMU} -L {tree}/usr/share/qemu -L {tree}/usr/share/seabios \"$@\"\n"
    );
    let program = home.join(QEMU);
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The addresses that `apt-get --print-uris` prints: `'ADDRESS' FILE LENGTH DIGEST`.
fn uris(printed: &str) -> Vec<String> {
    let lines = printed.lines().filter_map(|line| line.strip_prefix('\''));
    lines.filter_map(|line| line.split_once('\'')).map(|(url, _)| url.to_owned()).collect()
}

fn vsock_backend() -> Result<PathBuf> {
    let (name, version) = VSOCK_BACKEND;
    let home = tools::target_dir().join("tools");
    let program = home.join("bin").join(name);
    let is_wanted = |program: &Path| {
        let printed = Command::new(program).arg("--version").output();
        printed.is_ok_and(|printed| String::from_utf8_lossy(&printed.stdout).trim().ends_with(version))
    };
    if is_wanted(name.as_ref()) {
        return Ok(name.into());
    }
    if !is_wanted(&program) {
        let mut command = tools::cargo(["install", name, "--locked", "--quiet", "--version", version]);
        tools::succeed(command.arg("--root").arg(&home).arg("--target-dir").arg(home.join("target")))?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_addresses_are_read_as_printed() {
        assert_eq!(major("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright"), Some(10));
        assert_eq!(major("QEMU emulator version 7.2.22"), Some(7));
        assert_eq!(major("command not found"), None);
        let printed = "Reading package lists...\n'http://a/b.deb' b.deb 12 SHA256:ab\nThe following\n";
        assert_eq!(uris(printed), ["http://a/b.deb"]);
    }
}
