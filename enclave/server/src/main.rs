//! `vouchsafe-enclave`: the production program. It runs inside a confidential VM or not at all.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use vouchsafe_enclave::{Endpoint, Options, ServeError, is_guest, print_disk, run, run_guest};
use vouchsafe_platform::Attester;

/// Serves a language model from inside a confidential VM and signs every answer.
#[derive(Debug, Parser)]
#[command(name = "vouchsafe-enclave", version)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where the host connects: `unix:PATH`, `tcp:ADDR:PORT` or `vsock:CID`
    #[arg(long, value_name = "ENDPOINT", required = true)]
    link: Option<Endpoint>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the digests of the models on a guest's disk, as JSON, computed from its folder
    Disk {
        /// The folder that the disk is made from
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    if is_guest() {
        run_guest(|_| hardware());
    }
    match Arguments::parse() {
        Arguments { command: Some(Command::Disk { folder }), .. } => print_disk(&folder),
        Arguments { link: Some(link), options, .. } => run(&link, &options, None, |_| hardware()),
        // clap demands it without a subcommand.
        Arguments { .. } => ExitCode::FAILURE,
    }
}

/// This machine's own attester; there is no other in this program.
fn hardware() -> Result<Arc<dyn Attester>, ServeError> {
    Ok(Arc::from(vouchsafe_platform::detect().map_err(ServeError::from)?))
}
