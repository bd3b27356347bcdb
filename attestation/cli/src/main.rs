//! The `vouchsafe` program: verify receipts and evidence, talk to enclaves.
//!
//! Exit status of every verifying command: 0 accepted, 10 rejected, 20 a required check could not
//! run or is not supported, 30 input that is no evidence at all (an unreadable policy, a missing
//! file), 2 wrong usage, 1 our own failure.
//!
//! This program is a thin shell: files, clock and terminal here, every decision in
//! `vouchsafe-bundle`. Each subcommand is a module of [`command`].

mod command;
mod failure;
mod input;
mod log;
mod output;

use std::process::ExitCode;

use clap::Parser;

use command::Command;

/// Verify what a confidential model answered, and what machine answered it.
#[derive(Debug, Parser)]
#[command(name = "vouchsafe", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command.run() {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure);
            failure.exit_code()
        }
    }
}
