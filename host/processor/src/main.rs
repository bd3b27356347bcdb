//! `vouchsafe-processor-sim`: what hardware does around a confidential guest, simulated.
//!
//! # Simulated. Not for production.
//!
//! It measures the bytes that a machine is about to be started from, as a TDX host's processor would,
//! and signs reports with that measurement for whoever asks on its socket, which is the guest alone. The
//! guest chooses REPORT_DATA and nothing else: a changed kernel, command line or initrd shows in every
//! report, as it would on hardware. Keys and certificates are the simulator's; a verifier believes them
//! only under a policy that names their root.
//!
//! What the registers cover is computed by `vouchsafe-measure`, by the code that computes a policy's
//! reference values. RTMR0, which on hardware covers what the host supplies, is zero here.

mod machine;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use machine::Launched;

/// SIMULATED: measures what a machine is started from, and signs its reports.
#[derive(Debug, Parser)]
#[command(name = "vouchsafe-processor-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer a guest's requests for reports until killed
    Serve(Serve),
    /// Print the SHA-256 of the simulated authority's root certificate, which a policy names
    Root {
        /// Folder of the simulated authority, made at the first use
        #[arg(long, value_name = "DIR")]
        authority: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// Folder of the simulated authority, made at the first use
    #[arg(long, value_name = "DIR")]
    authority: PathBuf,
    /// The Unix socket to listen on; made here
    #[arg(long, value_name = "PATH")]
    listen: PathBuf,
    /// Firmware that the machine starts from: OVMF built for TDX
    #[arg(long, value_name = "FILE")]
    firmware: PathBuf,
    /// Kernel that the machine starts from
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// Initial RAM disk that the machine starts from
    #[arg(long, value_name = "FILE")]
    initrd: PathBuf,
    /// Kernel command line that the machine starts from
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    append: String,
}

/// Why there is no simulated processor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum Error {
    /// A file or socket could not be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// What the machine is started from cannot be measured.
    #[error("{0} ({code})", code = .0.code())]
    Measure(#[from] vouchsafe_measure::Error),
    /// The simulated authority.
    #[error("simulated authority: {0}")]
    Authority(#[from] vouchsafe_simulator::Error),
    /// The answer could not be written down.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Root { authority } => machine::root_sha256(&authority).map(|root| println!("{root}")),
        Command::Serve(arguments) => serve(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vouchsafe-processor-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Serve) -> Result<(), Error> {
    let launched =
        Launched::measure(&arguments.firmware, &arguments.kernel, &arguments.initrd, &arguments.append)?;
    let authority = machine::authority(&arguments.authority)?;
    serve::run(&arguments.listen, |report_data| launched.attest(&authority, report_data))
}
