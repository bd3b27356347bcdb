//! What is mounted: the kernel's interfaces, and the measured disk.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::InitError;
use crate::verity::MAPPED_DEVICE;

/// The kernel's interfaces, each with the folder it is mounted at.
const INTERFACES: [(&str, &str); 3] = [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")];
/// Where the kernel's configfs belongs.
const CONFIGFS: &str = "/sys/kernel/config";

/// Mounts proc, sysfs and devtmpfs.
pub(crate) fn kernel_interfaces() -> Result<(), InitError> {
    INTERFACES.into_iter().try_for_each(|(kind, folder)| {
        // Device nodes are of no use in the first two, and are what the third is for.
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        let flags = if kind == "devtmpfs" { flags } else { flags | MsFlags::MS_NODEV };
        attach(kind, kind, folder.as_ref(), flags)
    })
}

/// Mounts configfs, through which reports are read, once its module is loaded.
pub(crate) fn configfs() -> Result<(), InitError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    attach("configfs", "configfs", CONFIGFS.as_ref(), flags)
}

/// Mounts the measured disk, which [`crate::verity::open`] opened.
pub(crate) fn disk(folder: &Path) -> Result<(), InitError> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    attach(MAPPED_DEVICE, "erofs", folder, flags)
}

fn attach(source: &str, kind: &str, folder: &Path, flags: MsFlags) -> Result<(), InitError> {
    let shown = || format!("{kind} at {}", folder.display());
    fs::create_dir_all(folder).map_err(|error| InitError::io("make the folder of", shown(), &error))?;
    mount(Some(source), folder, Some(kind), flags, None::<&str>)
        .map_err(|errno| InitError::errno("mount", shown(), errno))
}
