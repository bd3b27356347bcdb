//! `vouchsafe policy revokers`.

use std::path::PathBuf;
use std::process::ExitCode;

use vouchsafe_bundle::policy::POLICY_BYTES_MAX;
use vouchsafe_policy::template::with_revokers;

use super::sign::read_spki;
use super::{Failure, read};

const SECONDS_PER_HOUR: u64 = 3600;

/// Put into a policy who may revoke, and how old their newest list may be
///
/// The policy goes to standard output, comments included.
#[derive(Debug, clap::Args)]
pub(super) struct Revokers {
    /// The policy
    policy: PathBuf,
    /// A public key that may sign lists of revocations, PEM; several times for several
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// How many of them must have signed
    #[arg(long, value_name = "N")]
    threshold: u64,
    /// How old a list may be, in hours; without a newer one nothing is accepted then
    #[arg(long, value_name = "HOURS", default_value_t = 72)]
    age_hours: u64,
}

impl Revokers {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let json = read(&self.policy, POLICY_BYTES_MAX)?;
        let keys: Result<Vec<_>, _> = self.key.iter().map(|path| read_spki(path)).collect();
        let age_s = self.age_hours.saturating_mul(SECONDS_PER_HOUR);
        let text = with_revokers(&json, &keys?, self.threshold, age_s)
            .map_err(|error| Failure::Policy { path: self.policy.clone(), error })?;
        anstream::print!("{text}");
        Ok(ExitCode::SUCCESS)
    }
}
