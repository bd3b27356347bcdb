//! The folder of sockets between host and enclave, which only this user can enter.
//!
//! It is in the state folder, so that the next host removes what a killed one left, or finds what one
//! left running; or a temporary one where that path is too long for a socket.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Longest path of a Unix socket that every platform takes: 104 bytes on some, with the final zero.
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// The folder; removed when dropped, unless it is to be kept.
pub(crate) enum LinkFolder {
    InState(PathBuf),
    Kept(PathBuf),
    Temporary(TempDir),
}

impl LinkFolder {
    /// Makes the folder `name` anew, for sockets whose longest name is `socket`.
    pub(crate) fn make(state: &Path, name: &str, socket: &str) -> io::Result<Self> {
        let folder = std::path::absolute(state)?.join(name);
        if is_too_long(&folder, socket) {
            let private = Permissions::from_mode(0o700);
            let made = tempfile::Builder::new().prefix("vouchsafe-").permissions(private).tempdir()?;
            return Ok(Self::Temporary(made));
        }
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self::InState(folder))
    }

    /// The folder `name`, made if need be, and left behind.
    pub(crate) fn keep(state: &Path, name: &str, socket: &str) -> io::Result<Self> {
        let folder = std::path::absolute(state)?.join(name);
        if is_too_long(&folder, socket) {
            let path = folder.join(socket);
            return Err(io::Error::other(format!("{} is too long for a socket", path.display())));
        }
        DirBuilder::new().mode(0o700).recursive(true).create(&folder)?;
        Ok(Self::Kept(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::InState(path) | Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

impl Drop for LinkFolder {
    fn drop(&mut self) {
        if let Self::InState(path) = self {
            // What cannot be removed now is removed by the next host.
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn is_too_long(folder: &Path, socket: &str) -> bool {
    folder.join(socket).as_os_str().len() > SOCKET_PATH_BYTES_MAX
}
