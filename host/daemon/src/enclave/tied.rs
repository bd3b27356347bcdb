//! A child that does not outlive its parent, even one that was killed.
//!
//! The host starts the enclave through itself: the intermediate process asks the kernel to kill it
//! when its parent ends, and then becomes the enclave program, which inherits that. This needs no
//! code between fork and exec, hence nothing unsafe.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Becomes `program`, tied to `parent`, the process id of the caller's parent. Returns only on
/// failure. Where the kernel cannot tie processes (all but Linux), the program runs untied.
pub fn tie_to_parent_and_exec(parent: u32, program: OsString, arguments: Vec<OsString>) -> io::Error {
    if let Err(error) = tie(parent) {
        return error;
    }
    Command::new(program).args(arguments).exec()
}

#[cfg(target_os = "linux")]
fn tie(parent: u32) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // The parent may have ended before the call above took effect.
    if std::os::unix::process::parent_id() == parent {
        return Ok(());
    }
    Err(io::Error::other("the parent process has ended"))
}

#[cfg(not(target_os = "linux"))]
fn tie(_parent: u32) -> io::Result<()> {
    Ok(())
}
