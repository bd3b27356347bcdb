//! Randomness: keys are made from the first bytes that the kernel hands out, so it must be seeded.
//!
//! Confidential guests are seeded by the processor's own instructions, which the host cannot answer
//! for: Linux from 6.10 on refuses to boot one without them. The bootloader's seed is the host's, and
//! the command line says that it does not count (`random.trust_bootloader=off`).

use std::fs::File;
use std::io::Read as _;

use crate::InitError;

/// Unlike `/dev/urandom`, it gives nothing before the kernel is seeded.
const DEVICE: &str = "/dev/random";

/// Waits until the kernel's generator is seeded.
pub(crate) fn wait() -> Result<(), InitError> {
    let mut byte = [0; 1];
    let failed = |error| InitError::io("read", DEVICE, &error);
    File::open(DEVICE).map_err(failed)?.read_exact(&mut byte).map_err(failed)
}
