//! `vouchsafe policy releasers`.

use std::path::PathBuf;
use std::process::ExitCode;

use vouchsafe_bundle::policy::POLICY_BYTES_MAX;
use vouchsafe_policy::template::with_releasers;

use super::sign::read_spki;
use super::{Failure, read};

/// Put into a policy who may release images, so that it accepts guests of released images alone
///
/// The policy has to name the logs that releases are in. It goes to standard output, comments included.
#[derive(Debug, clap::Args)]
pub(super) struct Releasers {
    /// The policy
    policy: PathBuf,
    /// A public key that may sign the manifests of images, PEM; several times for several
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// How many of them must have signed
    #[arg(long, value_name = "N")]
    threshold: u64,
}

impl Releasers {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let json = read(&self.policy, POLICY_BYTES_MAX)?;
        let keys: Result<Vec<_>, _> = self.key.iter().map(|path| read_spki(path)).collect();
        let text = with_releasers(&json, &keys?, self.threshold)
            .map_err(|error| Failure::Policy { path: self.policy.clone(), error })?;
        anstream::print!("{text}");
        Ok(ExitCode::SUCCESS)
    }
}
