//! `cargo xtask memcheck`: the engine's kernels, the only place with `unsafe` in it, under valgrind.
//!
//! Valgrind's Memcheck watches every read and write of the tests of the kernels: the scalar path, AVX2
//! where the processor has it, and AVX-512 over its model (valgrind knows no AVX-512 instruction, so those
//! of a processor that has them are left out). It takes some minutes, and is no part of the check.

use anyhow::{Context as _, Result};

use crate::tools;

/// `--fair-sched`: threads that look for work without sleeping must not keep the others from theirs.
const RUNNER: &str =
    r#"target."cfg(all())".runner = ["valgrind", "--error-exitcode=9", "--fair-sched=yes", "--quiet"]"#;

pub(crate) fn run() -> Result<()> {
    let version = tools::output(std::process::Command::new("valgrind").arg("--version"))
        .context("this wants valgrind, as Debian's package of that name has it")?;
    anstream::print!("{}", String::from_utf8_lossy(&version));
    let mut command = tools::cargo(["test", "--release", "--locked", "--config", RUNNER]);
    command.args(["-p", "vouchsafe-engine", "--lib", "--", "kernels::", "--test-threads", "1"]);
    tools::succeed(&mut command)
}
