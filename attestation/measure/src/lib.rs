//! Computes what a confidential guest must measure to, before it is ever started.
//!
//! Firmware, kernel, initrd, command line and the machine's shape go in; reference values in the form
//! of a policy document come out. [`snp`] computes the launch digest, [`tdx`] MRTD and RTMR0 to RTMR2;
//! `docs/measure.md` says which register covers what, and what cannot be known without the machine.
//!
//! A firmware image is somebody else's file: [`firmware`] is total over it, bounds every size before it
//! is used, and refuses what QEMU refuses, so that a digest is never computed of something that could
//! not have been launched. Judging evidence against these values is left to `vouchsafe-bundle`.
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

mod bytes;
mod command_line;
mod error;
pub mod firmware;
pub mod reference;
mod sha;
pub mod snp;
pub mod tdx;

pub use command_line::{COMMAND_LINE_BYTES_MAX, CommandLine};
pub use error::Error;
pub use sha::{Digest384, sha384};

/// Largest kernel image read, in bytes.
pub const KERNEL_BYTES_MAX: usize = 256 << 20;
/// Largest initrd read, in bytes.
pub const INITRD_BYTES_MAX: usize = 1 << 30;

/// Something that `cargo xtask setup` prepared, by its environment variable; `None` when it is absent
/// and need not be there. Under `CI=true` it must.
#[cfg(test)]
fn prepared(variable: &str, test: &str) -> Option<std::ffi::OsString> {
    let value = std::env::var_os(variable);
    if value.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs {variable}: run `cargo xtask setup`");
        eprintln!("NOT RUN: {test}: {variable} is not set");
    }
    value
}
