//! The command line.

mod compare;
mod corim;
mod init;
mod print;
mod pull;
mod releasers;
mod revoke;
mod revokers;
mod sign;
mod submit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand, ValueEnum};
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::POLICY_BYTES_MAX;
use vouchsafe_policy::check::{Severity, check};
use vouchsafe_policy::diff::{Direction, diff};
use vouchsafe_policy::follow::FollowError;
use vouchsafe_policy::{cases, explain, signed};
use vouchsafe_verifier::UnixSeconds;

/// Write, check, explain, compare and test policies
#[derive(Debug, Parser)]
#[command(name = "vouchsafe policy", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a first policy: a strict template with measurements, models, log and witnesses put in
    Init(init::Arguments),
    /// Say what is wrong with a policy that is well formed: it accepts nothing, or too much, or is out of date
    ///
    /// Exit status 10 for errors, and with --strict for warnings.
    Check {
        /// The policy
        policy: PathBuf,
        /// For this moment, as 2026-11-21T12:00:00Z; default: now by this machine's clock
        #[arg(long, value_name = "RFC3339", value_parser = parse_moment)]
        at: Option<UnixSeconds>,
        /// Object to warnings as well
        #[arg(long)]
        strict: bool,
        /// How to print the findings
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Say in plain words what a policy accepts and what it leaves open
    Explain {
        /// The policy
        policy: PathBuf,
        /// How to print it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Say what becomes acceptable between two policies that was not, and the reverse
    ///
    /// Exit status 10 when something becomes acceptable that was not.
    Diff {
        /// The policy as it was
        old: PathBuf,
        /// The policy as it is to be
        new: PathBuf,
        /// How to print the changes
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Judge a folder of recorded cases, each with the verdict that is expected
    ///
    /// Exit status 10 when a case is judged otherwise.
    Test {
        /// The policy
        policy: PathBuf,
        /// The folder with *.case.json and the files that they name
        folder: PathBuf,
        /// How to print the outcomes
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    Keygen(sign::Keygen),
    Sign(sign::Sign),
    Verify(sign::Verify),
    Pull(pull::Pull),
    Revokers(revokers::Revokers),
    Releasers(releasers::Releasers),
    Revoke(Box<revoke::Revoke>),
    Submit(submit::Submit),
    Compare(compare::Compare),
    #[command(subcommand)]
    Corim(corim::Corim),
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("can't read {path}: {error}", path = path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{path} is longer than {max} bytes", path = path.display())]
    TooLong { path: PathBuf, max: usize },
    #[error("{path}: {error} ({code})", path = path.display(), code = error.code())]
    Policy { path: PathBuf, error: vouchsafe_bundle::Error },
    #[error("{path}: {why}", path = path.display())]
    Input { path: PathBuf, why: String },
    #[error("what was given makes no policy: {error} ({code})", code = .error.code())]
    Filled { error: vouchsafe_bundle::Error },
    #[error(transparent)]
    Cases(#[from] cases::Error),
    #[error("{0} ({code})", code = .0.code())]
    Signed(#[from] signed::Error),
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error("{0} ({code})", code = .0.code())]
    Corim(#[from] vouchsafe_policy::corim::Error),
    #[error("{0} ({1})")]
    Refused(String, String),
    #[error("{0}")]
    Own(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Own(_) => 1,
            Self::Refused(..) | Self::Corim(_) => OBJECTION,
            // A key or a threshold is the caller's own; anything else is a release that is refused.
            Self::Signed(error) | Self::Follow(FollowError::Refused { error }) => match error {
                signed::Error::Key(_) => 30,
                _ => OBJECTION,
            },
            _ => 30,
        })
    }
}

const OBJECTION: u8 = 10;

impl Arguments {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let objects = match &self.command {
            Command::Init(arguments) => return arguments.run(),
            Command::Keygen(arguments) => return arguments.run(),
            Command::Sign(arguments) => return arguments.run(),
            Command::Verify(arguments) => return arguments.run(),
            Command::Pull(arguments) => return arguments.run(),
            Command::Revoke(arguments) => return arguments.run(),
            Command::Submit(arguments) => return arguments.run(),
            Command::Revokers(arguments) => return arguments.run(),
            Command::Releasers(arguments) => return arguments.run(),
            Command::Compare(arguments) => return arguments.run(),
            Command::Corim(command) => return command.run(),
            Command::Check { policy, at, strict, format } => {
                let findings = check(&read_policy(policy)?, moment_or_now(*at)?);
                print::findings(&findings, *format);
                findings.iter().any(|finding| *strict || finding.severity == Severity::Error)
            }
            Command::Explain { policy, format } => {
                print::explanation(&explain::explain(&read_policy(policy)?), *format);
                false
            }
            Command::Diff { old, new, format } => {
                let changes = diff(&read_policy(old)?, &read_policy(new)?);
                print::changes(&changes, *format);
                changes.iter().any(|change| change.direction == Direction::Widens)
            }
            Command::Test { policy, folder, format } => {
                let outcomes = cases::run(&read_policy(policy)?, folder)?;
                print::outcomes(&outcomes, *format);
                !outcomes.iter().all(cases::Outcome::is_as_expected)
            }
        };
        Ok(if objects { ExitCode::from(OBJECTION) } else { ExitCode::SUCCESS })
    }
}

/// The payload type that a signed document states; only to choose who reads it.
fn payload_type(json: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    value.get("payloadType")?.as_str().map(str::to_owned)
}

fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let json = read(path, POLICY_BYTES_MAX)?;
    Policy::parse(&json).map_err(|error| Failure::Policy { path: path.into(), error })
}

/// Reads a file of a bounded length.
fn read(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let unreadable = |error| Failure::Unreadable { path: path.into(), error };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > max {
        return Err(Failure::TooLong { path: path.into(), max });
    }
    Ok(bytes)
}

fn parse_moment(text: &str) -> Result<UnixSeconds, String> {
    UnixSeconds::from_rfc3339(text).ok_or_else(|| "expected a moment as 2026-11-21T12:00:00Z".into())
}

fn moment_or_now(at: Option<UnixSeconds>) -> Result<UnixSeconds, Failure> {
    let now =
        || SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|elapsed| UnixSeconds(elapsed.as_secs()));
    at.or_else(now).ok_or_else(|| Failure::Own("this machine's clock is before 1970; give --at".into()))
}
