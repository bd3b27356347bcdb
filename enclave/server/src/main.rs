//! `vouchsafe-enclave`: the production program. It runs inside a confidential VM or not at all.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use vouchsafe_enclave::{Endpoint, Options, ServeError, run};

/// Serves a language model from inside a confidential VM and signs every answer.
#[derive(Debug, Parser)]
#[command(name = "vouchsafe-enclave", version)]
struct Arguments {
    /// Where the host connects: `unix:PATH`, `tcp:ADDR:PORT` or `vsock:CID`
    #[arg(long, value_name = "ENDPOINT")]
    link: Endpoint,
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let Arguments { link, options } = Arguments::parse();
    run(&link, &options, None, |_| Ok(Arc::from(vouchsafe_platform::detect().map_err(ServeError::from)?)))
}
