//! Booting the simulated image under emulation, and trying everything on it.

use anyhow::Result;

use super::{Emulator, build_simulated};
use crate::{demo, tools};

/// Runs the tests of the VM.
pub(super) fn run() -> Result<()> {
    let emulator = Emulator::prepare()?;
    let image = build_simulated()?;
    let mut programs = demo::PROGRAMS.to_vec();
    programs.extend(["vouchsafe-processor", "vouchsafe-image", "vouchsafe-measure"]);
    tools::build_programs(&programs)?;
    let mut command = tools::cargo(["test", "--release", "--locked", "--package", "vouchsafe-e2e"]);
    command.args(["--test", "vm", "--", "--ignored", "--nocapture", "--test-threads", "1"]);
    command
        .env("VOUCHSAFE_PROGRAMS", tools::programs_dir())
        .env("VOUCHSAFE_IMAGE", image)
        .env("VOUCHSAFE_QEMU", emulator.qemu)
        .env("VOUCHSAFE_VSOCK_BACKEND", emulator.vsock_backend);
    tools::succeed(&mut command)
}
