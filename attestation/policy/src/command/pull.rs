//! `vouchsafe policy pull`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use vouchsafe_policy::explain::explain;
use vouchsafe_policy::follow::{FollowError, Followed, Follower};
use vouchsafe_policy::signed::SIGNED_BYTES_MAX;

use super::sign::SignedBy;
use super::{Failure, Format, OBJECTION, moment_or_now, print, read};

const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Fetch a release, show what changes, and take it
///
/// What narrows takes effect at once; each thing that is accepted and was not waits for the cool-down, from when it
/// was first seen. The policy in force is STATE/policy.json, the list of revocations in force
/// STATE/revocations.json. What waits and can't be fetched again takes effect all the same when its time has come.
/// Exit status 0 when all of the release is in force, 10 when it is refused or something of it waits, 30 when it
/// can't be fetched.
#[derive(Debug, clap::Args)]
pub(super) struct Pull {
    /// The signed policy, or with --revocations the list: a file, or its address, http://…. Left out: only what
    /// waits is looked at again
    from: Option<String>,
    /// It is a list of revocations
    #[arg(long)]
    revocations: bool,
    /// Folder with the policy in force and what was seen
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// How long a change waits that accepts what was not accepted, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 48)]
    cool_down: u64,
    #[command(flatten)]
    signers: SignedBy,
    /// How to print the changes
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Pull {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let trusted = self.signers.trusted()?;
        let at = moment_or_now(self.signers.at)?;
        let cool_down = self.cool_down.saturating_mul(3600);
        let follower = Follower::new(&self.state)?;
        let resume = || match self.revocations {
            true => follower.resume_revocations(&trusted, at, cool_down),
            false => follower.resume(&trusted, at, cool_down),
        };
        let take = |signed: &[u8]| match self.revocations {
            true => follower.take_revocations(signed, &trusted, at, cool_down),
            false => follower.take(signed, &trusted, at, cool_down),
        };
        let Some(from) = &self.from else {
            return match resume()? {
                Some(followed) => self.report(&follower, &followed),
                None => {
                    anstream::eprintln!("nothing waits");
                    Ok(ExitCode::SUCCESS)
                }
            };
        };
        match fetch(from).and_then(|signed| Ok(take(&signed)?)) {
            Ok(followed) => self.report(&follower, &followed),
            Err(failure) => {
                // Whoever serves nothing, or something that is refused, holds up nothing that was seen in time.
                match resume() {
                    Ok(Some(followed)) => drop(self.report(&follower, &followed)?),
                    Ok(None) | Err(FollowError::Refused { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                Err(failure)
            }
        }
    }

    fn report(&self, follower: &Follower, followed: &Followed) -> Result<ExitCode, Failure> {
        let name = if self.revocations { "revocations.json" } else { "policy.json" };
        print::followed(followed, self.format);
        if let (Followed::First(_), false, Format::Text) = (followed, self.revocations, self.format)
            && let Some(policy) = follower.current()?
        {
            print::explanation(&explain(&policy), self.format);
        }
        let path = self.state.join(name);
        match followed {
            Followed::Current => anstream::eprintln!("this release is in force"),
            Followed::First(_) | Followed::Applied(_) => anstream::eprintln!("in force: {}", path.display()),
            Followed::Pending { waiting, .. } => {
                anstream::eprintln!("in force but for what waits: {}", path.display());
                for one in waiting {
                    let change = print::clean(&format!("{} {}", one.change.path, one.change.text));
                    anstream::eprintln!("waits until {}: {change}", one.until);
                }
                return Ok(ExitCode::from(OBJECTION));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Its signatures are verified, so that a plain connection does.
fn fetch(from: &str) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| Failure::Input { path: PathBuf::from(from), why };
    if from.starts_with("https://") {
        let why = "https:// is not supported: a release is verified anyway, so that http:// or a file does";
        return Err(failed(why.into()));
    }
    if !from.starts_with("http://") {
        return read(Path::new(from), SIGNED_BYTES_MAX);
    }
    let config = ureq::Agent::config_builder().timeout_global(Some(FETCH_TIMEOUT)).build();
    let mut answer =
        ureq::Agent::new_with_config(config).get(from).call().map_err(|error| failed(error.to_string()))?;
    let limit = u64::try_from(SIGNED_BYTES_MAX).unwrap_or(u64::MAX);
    let bytes = answer.body_mut().with_config().limit(limit).read_to_vec();
    bytes.map_err(|error| failed(error.to_string()))
}
