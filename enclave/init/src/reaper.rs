//! Process 1 inherits every orphan and has to take note of its end. The enclave program starts no other
//! programs, so there should be none; one that there is all the same must not stay as a zombie.

use std::thread;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::InitError;

/// Starts a thread that takes note of every child's end. To be called before any other thread is
/// started, since it blocks SIGCHLD for them; a program that waits for children of its own cannot use it.
///
/// # Errors
/// [`InitError::System`].
pub fn reap_orphans() -> Result<(), InitError> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block().map_err(|errno| InitError::errno("block", "SIGCHLD", errno))?;
    let reaper = thread::Builder::new().name("reaper".into());
    reaper
        .spawn(move || {
            // Waiting fails only for sets that hold no signal.
            while signals.wait().is_ok() {
                reap_all();
            }
        })
        .map(drop)
        .map_err(|error| InitError::io("start", "the reaper", &error))
}

/// One signal can stand for several ends.
fn reap_all() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}
