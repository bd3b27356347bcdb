//! The subcommands, one module each.

mod attest;
mod bundle;
mod chat;
mod enclave;
mod evidence;
mod external;
mod proxy;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use vouchsafe_bundle::Verdict;

use crate::failure::Failure;
use crate::output;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Verify a receipt bundle, offline
    Verify(verify::Arguments),
    /// Assemble a bundle that holds its proof: of a saved bundle, or by a receipt's token
    Bundle(bundle::Arguments),
    /// Verify or show a raw attestation report or quote
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// Have an enclave attest itself over a new connection, and judge it
    Attest(attest::Arguments),
    /// Serve an OpenAI-compatible endpoint on this machine in front of a verified enclave
    Proxy(proxy::Arguments),
    /// Talk to a verified enclave in the terminal
    Chat(chat::Arguments),
    /// Run the program vouchsafe-NAME, from this program's folder or PATH
    #[command(external_subcommand)]
    External(Vec<OsString>),
}

impl Command {
    /// Runs it; gives the exit status of a command that came to a result.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Verify(arguments) => verify::run(&arguments),
            Self::Bundle(arguments) => bundle::run(&arguments),
            Self::Evidence(command) => evidence::run(&command),
            Self::Attest(arguments) => attest::run(&arguments),
            Self::Proxy(arguments) => proxy::run(&arguments),
            Self::Chat(arguments) => chat::run(&arguments),
            Self::External(words) => external::run(&words),
        }
    }
}

/// Whether a verdict is printed as an EAT attestation result.
#[derive(Debug, clap::Args)]
pub(crate) struct Ear {
    /// Print the verdict as an EAT attestation result (draft-ietf-rats-ear), a claims-set in JSON
    #[arg(long, conflicts_with = "format")]
    ear: bool,
    /// Sign that as a JWT (ES256) with this P-256 key, PKCS#8 in PEM
    #[arg(long, value_name = "FILE", requires = "ear")]
    ear_key: Option<PathBuf>,
}

impl Ear {
    /// Prints a verdict in the form that was asked for.
    fn print(&self, verdict: &Verdict, format: Format, verbose: bool) -> Result<(), Failure> {
        if self.ear {
            return output::ear(verdict, self.ear_key.as_deref());
        }
        output::verdict(verdict, format, verbose);
        Ok(())
    }
}

/// How a verdict is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A readable table
    Text,
    /// The whole verdict as JSON
    Json,
}
