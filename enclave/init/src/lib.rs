//! What the enclave program does first where it is the only program of a guest: process 1.
//!
//! Started by the kernel as `/init` of a measured initial RAM disk, [`prepare`] makes the guest fit to
//! serve: kernel interfaces mounted, the modules loaded and the door closed behind them, no swap, no
//! core dumps, no tracing, no network, randomness seeded, and the disk with model and configuration
//! opened under dm-verity. What is done is decided by the measured command line and the measured disk;
//! what the host can change otherwise is checked here or listed in `docs/operate.md`.
//!
//! Every step that fails ends the guest: [`power_off`] is the only way out of process 1. Serving is
//! others' business, and so is attesting.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

mod command_line;
mod device_mapper;
mod entropy;
mod error;
mod harden;
mod modules;
mod mounts;
mod reaper;
mod verity;

use std::path::PathBuf;

use nix::sys::reboot::{RebootMode, reboot};

pub use command_line::{BLOCK_BYTES, CommandLine};
pub use error::InitError;
pub use reaper::reap_orphans;

/// Where the measured disk is mounted.
const DISK_MOUNTED_AT: &str = "/disk";

/// A guest that is fit to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The folder of the measured disk, mounted read-only under dm-verity.
    pub disk: PathBuf,
}

/// Whether this program is the first of its machine.
pub fn is_init() -> bool {
    std::process::id() == 1
}

/// Makes the guest fit to serve. To be called once, before any other thread is started.
///
/// # Errors
/// [`InitError`]: the step that failed. Nothing is to be served then.
pub fn prepare() -> Result<Guest, InitError> {
    reap_orphans()?;
    harden::process()?;
    mounts::kernel_interfaces()?;
    let command_line = CommandLine::read()?;
    modules::load_all()?;
    mounts::configfs()?;
    harden::system()?;
    harden::check()?;
    entropy::wait()?;
    verity::open(&command_line)?;
    mounts::disk(DISK_MOUNTED_AT.as_ref())?;
    Ok(Guest { disk: DISK_MOUNTED_AT.into() })
}

/// Ends the machine. Where even that is refused, process 1 ends, upon which the kernel panics and the
/// command line's `panic=-1` ends the machine all the same.
pub fn power_off() -> ! {
    let _ = reboot(RebootMode::RB_POWER_OFF);
    std::process::exit(1)
}
