//! The program `vouchsafe-policy`, run as `vouchsafe policy`: policies themselves.
//!
//! Exit status: 0 nothing to object; 10 a finding, a difference or a case that the caller asked to be told
//! of; 30 a file that can't be read or is no policy; 2 wrong usage; 1 our own failure.

mod command;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match command::Arguments::parse().run() {
        Ok(code) => code,
        Err(failure) => {
            anstream::eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}
