//! `vouchsafe attest`: judge a live enclave.

use std::process::ExitCode;
use std::time::Duration;

use super::{Format, enclave};
use crate::failure::Failure;
use crate::output::{self, DIM};

/// Have an enclave attest itself over a new connection, and judge it
///
/// The evidence covers a nonce of this very connection, and the connection's TLS key must be the
/// attested one. Exit status: 0 accepted, 10 rejected, 20 a required check could not run, 30 an
/// unreadable policy, 1 no enclave in reach.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the operator's host listens
    #[arg(value_name = "HOST:PORT")]
    to: String,
    #[command(flatten)]
    enclave: enclave::Enclave,
    /// How to print the verdict
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print every check, and every rule that the policy ignores
    #[arg(long, short)]
    verbose: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let client = arguments.enclave.client(&arguments.to)?;
    let attesting = enclave::attest(&client, arguments.format, arguments.verbose);
    let attested = match enclave::runtime()?.block_on(attesting)? {
        Ok(attested) => attested,
        Err(code) => return Ok(code),
    };
    output::verdict(attested.boot.verdict(), arguments.format, arguments.verbose);
    if arguments.format == Format::Text {
        let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        anstream::println!(
            "\n  {DIM}connected in {}, evidence in {}, judged in {}{DIM:#}",
            milliseconds(attested.connecting),
            milliseconds(attested.fetching),
            milliseconds(attested.judging)
        );
    }
    Ok(ExitCode::SUCCESS)
}
