//! What a guest gives up for good: core dumps, tracing, further modules, another kernel; what it must not
//! have: swap, or a network; and the files that it may have open.

use std::fs;
use std::path::Path;

use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

use crate::InitError;

/// Settings of the running kernel. None can be undone while it runs, or by anything but this program.
const SETTINGS: [(&str, &str); 6] = [
    // Nobody traces anybody, root included, until the next boot.
    ("kernel/yama/ptrace_scope", "3"),
    // No further module and no other kernel.
    ("kernel/modules_disabled", "1"),
    ("kernel/kexec_load_disabled", "1"),
    // The host holds the other end of the serial line: no key combination on it does anything.
    ("kernel/sysrq", "0"),
    // A core dump has nowhere to go.
    ("kernel/core_pattern", "|/nonexistent"),
    ("fs/suid_dumpable", "0"),
];

/// Files open at once: the first process gets 1024 from the kernel, and each session is one. The server's own bounds
/// on sessions are far below this.
const FILES_MAX: u64 = 65_536;

/// Settings of this process, which its threads inherit.
pub(crate) fn process() -> Result<(), InitError> {
    set_dumpable(false).map_err(|errno| InitError::errno("forbid", "core dumps and tracing", errno))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .map_err(|errno| InitError::errno("forbid", "core dumps", errno))?;
    setrlimit(Resource::RLIMIT_NOFILE, FILES_MAX, FILES_MAX)
        .map_err(|errno| InitError::errno("raise", "the limit on open files", errno))
}

/// Settings of the kernel, after the modules are loaded.
pub(crate) fn system() -> Result<(), InitError> {
    SETTINGS.into_iter().try_for_each(|(name, value)| {
        let path = Path::new("/proc/sys").join(name);
        fs::write(&path, value).map_err(|error| InitError::io("write", path.display().to_string(), &error))
    })
}

/// Refuses a guest with swap, or with a network device besides the loopback.
pub(crate) fn check() -> Result<(), InitError> {
    let path = "/proc/swaps";
    let swaps = fs::read_to_string(path).map_err(|error| InitError::io("read", path, &error))?;
    no_swap(&swaps)?;
    let path = "/sys/class/net";
    let devices = fs::read_dir(path).map_err(|error| InitError::io("list", path, &error))?;
    let names = devices.flatten().map(|device| device.file_name().to_string_lossy().into_owned());
    no_network(names)
}

fn no_swap(swaps: &str) -> Result<(), InitError> {
    // The first line is the table's head.
    match swaps.lines().nth(1) {
        None => Ok(()),
        Some(line) => Err(InitError::Forbidden(format!("there is swap: {line}"))),
    }
}

fn no_network(names: impl Iterator<Item = String>) -> Result<(), InitError> {
    match names.into_iter().find(|name| name != "lo") {
        None => Ok(()),
        Some(name) => Err(InitError::Forbidden(format!("there is a network device: {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_and_networks_are_refused_by_name() {
        let head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert_eq!(no_swap(head), Ok(()));
        let error = no_swap(&format!("{head}/dev/vdb partition 1 0 -2\n")).unwrap_err();
        assert!(error.to_string().contains("/dev/vdb"), "{error}");
        let names = |names: &'static [&str]| names.iter().map(|name| (*name).to_owned());
        assert_eq!(no_network(names(&["lo"])), Ok(()));
        assert_eq!(no_network(names(&[])), Ok(()));
        let error = no_network(names(&["lo", "eth0"])).unwrap_err();
        assert!(error.to_string().contains("eth0"), "{error}");
    }
}
