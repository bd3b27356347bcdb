//! The program `vouchsafe-measure`, run as `vouchsafe measure`: what a guest must measure to.
//!
//! Exit status: 0 measured; 10 an observed boot that contradicts the inputs; 30 an input that cannot
//! be read or measured; 2 wrong usage; 1 our own failure. JSON on standard output, complaints on
//! standard error.

mod arguments;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match arguments::Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}
