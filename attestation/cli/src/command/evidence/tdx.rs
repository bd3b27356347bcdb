//! `vouchsafe evidence verify tdx`.

use std::path::PathBuf;
use std::process::ExitCode;

use vouchsafe_bundle::{BUNDLE_BYTES_MAX, parse_tdx_collateral, refuse};
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{Endorsements, Evidence};

use super::Common;
use crate::failure::Failure;
use crate::input::{self, EVIDENCE_BYTES_MAX};

/// Verify an Intel TDX quote
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The quote, version 4 or 5
    #[arg(long, value_name = "FILE")]
    quote: PathBuf,
    /// Intel's collateral as JSON, in the shape of the DCAP library's QuoteCollateralV3
    #[arg(long, value_name = "FILE")]
    collateral: Option<PathBuf>,
    /// The guest's event log: a CCEL area, or dstack's JSON
    #[arg(long, value_name = "FILE")]
    event_log: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (policy, at) = arguments.common.policy()?;
    let read = |path: &PathBuf| Ok::<_, Failure>(Base64(input::read_evidence(path, EVIDENCE_BYTES_MAX)?));
    let quote = read(&arguments.quote)?;
    let event_log = arguments.event_log.as_ref().map(read).transpose()?;
    let endorsements = match &arguments.collateral {
        None => None,
        Some(path) => {
            let json = input::read_evidence(path, BUNDLE_BYTES_MAX)?;
            match parse_tdx_collateral(&json) {
                Ok(collateral) => Some(Endorsements::Tdx(collateral)),
                Err(error) => return arguments.common.print(&refuse(&policy, at, &error)),
            }
        }
    };
    arguments.common.judge(&Evidence::Tdx { quote, event_log }, endorsements.as_ref(), &policy, at)
}
