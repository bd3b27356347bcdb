//! `cargo demo`: build the programs, then hand over to `vouchsafe-up`.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tools;

/// What the demo starts.
pub(crate) const PROGRAMS: [&str; 6] = [
    "vouchsafe-cli",
    "vouchsafe-host",
    "vouchsafe-enclave-sim",
    "vouchsafe-log",
    "vouchsafe-witness",
    "vouchsafe-up",
];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Keep running after the start: an OpenAI-compatible endpoint on 127.0.0.1 until Ctrl-C.
    #[arg(long)]
    stay: bool,
    /// Further arguments for `vouchsafe-up`, such as `--model FILE.gguf`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    tools::build_programs(&PROGRAMS)?;
    let program = tools::programs_dir().join("vouchsafe-up");
    let mut command = Command::new(&program);
    if !arguments.stay {
        command.arg("--demo");
    }
    command.args(&arguments.rest);
    let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
    std::process::exit(status.code().unwrap_or(1));
}
