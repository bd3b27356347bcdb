//! Kernel modules: those of the initial RAM disk, in the order of their names, and then no more.

use std::ffi::CStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use crate::InitError;

/// The folder of modules in the initial RAM disk: `NN-name.ko`.
const FOLDER: &str = "/modules";
/// Modules whose hardware a machine may lack: attestation's, of which it has one at most, and faster
/// arithmetic. A machine without any attestation hardware is refused later, by name.
const OPTIONAL: [&str; 4] = ["sev-guest", "tdx-guest", "crc32c-intel", "sha256-ssse3"];
const NO_PARAMETERS: &CStr = c"";

/// Loads every module of the initial RAM disk.
pub(crate) fn load_all() -> Result<(), InitError> {
    in_order(FOLDER.as_ref())?.iter().try_for_each(|file| load(file))
}

fn load(file: &Path) -> Result<(), InitError> {
    let shown = || file.display().to_string();
    let module = File::open(file).map_err(|error| InitError::io("open", shown(), &error))?;
    match finit_module(&module, NO_PARAMETERS, ModuleInitFlags::empty()) {
        Ok(()) => Ok(()),
        Err(Errno::ENODEV) if OPTIONAL.contains(&name(file)) => Ok(()),
        Err(errno) => Err(InitError::errno("load the module", shown(), errno)),
    }
}

/// The modules by the number that begins their names.
fn in_order(folder: &Path) -> Result<Vec<PathBuf>, InitError> {
    let failed = |error| InitError::io("list", folder.display().to_string(), &error);
    let files: Result<Vec<_>, _> =
        fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = files.map_err(failed)?;
    files.sort();
    Ok(files)
}

/// `vsock` of `00-vsock.ko`.
fn name(file: &Path) -> &str {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    stem.split_once('-').map_or(stem, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_ordered_by_number_and_named_without_it() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["10-dm-verity.ko", "00-vsock.ko", "02-sev-guest.ko"] {
            fs::write(folder.path().join(file), b"").unwrap();
        }
        let files = in_order(folder.path()).unwrap();
        let names: Vec<_> = files.iter().map(|file| name(file)).collect();
        assert_eq!(names, ["vsock", "sev-guest", "dm-verity"]);
        assert!(OPTIONAL.contains(&names[1]) && !OPTIONAL.contains(&names[2]));
    }

    #[test]
    fn a_module_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("00-vsock.ko");
        fs::write(&file, b"no module").unwrap();
        assert_eq!(load(&file).unwrap_err().code(), "init_system");
        assert_eq!(in_order(&folder.path().join("none")).unwrap_err().code(), "init_system");
    }
}
