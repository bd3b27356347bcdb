//! `vouchsafe evidence`: raw reports and quotes, without statements, receipt or model.

mod chain;
mod show;
mod snp;
mod tdx;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use vouchsafe_bundle::{EvidenceInputs, Policy, Verdict, appraise_evidence};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::{Endorsements, Evidence, UnixSeconds};

use super::Format;
use crate::failure::Failure;
use crate::input;

/// What to do with evidence.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // Made once, from the command line.
pub(crate) enum Command {
    /// Verify a report or quote against a policy
    #[command(subcommand)]
    Verify(Verify),
    /// Print a report or quote as a commented table; verifies nothing
    Show(show::Arguments),
}

/// Which evidence to verify.
#[derive(Debug, Subcommand)]
pub(crate) enum Verify {
    /// An AMD SEV-SNP attestation report
    Snp(snp::Arguments),
    /// An Intel TDX quote
    Tdx(tdx::Arguments),
}

/// What every kind of evidence is judged with.
#[derive(Debug, clap::Args)]
struct Common {
    /// What to accept
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Judge for this moment, as 2026-11-21T12:00:00Z; default: now by this machine's clock
    #[arg(long, value_name = "RFC3339", value_parser = input::parse_moment)]
    at: Option<UnixSeconds>,
    /// What REPORT_DATA must be: 64 bytes in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = input::parse_report_data)]
    report_data: Option<[u8; 64]>,
    /// The newest signed list of revocations; the policy names who may sign it
    #[arg(long, value_name = "FILE")]
    revocations: Option<PathBuf>,
    /// The released image that the enclave runs, with the proof that its release is logged, as `vouchsafe policy
    /// submit --out` writes it. Where the policy requires one and none is given, exit 20
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Believe this root certificate of a test authority in place of the vendor's
    #[arg(long, value_name = "FILE")]
    trust_root: Option<PathBuf>,
    /// How to print the verdict
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    ear: super::Ear,
    /// Print every check, and every rule that the policy ignores
    #[arg(long, short)]
    verbose: bool,
}

/// Runs the command.
pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Verify(Verify::Snp(arguments)) => snp::run(arguments),
        Command::Verify(Verify::Tdx(arguments)) => tdx::run(arguments),
        Command::Show(show) => show::run(show),
    }
}

impl Common {
    fn policy(&self) -> Result<(Policy, UnixSeconds), Failure> {
        let at = input::moment_or_now(self.at)?;
        Ok((input::read_policy(&self.policy, at)?, at))
    }

    fn judge(
        &self,
        evidence: &Evidence,
        endorsements: Option<&Endorsements>,
        policy: &Policy,
        at: UnixSeconds,
    ) -> Result<ExitCode, Failure> {
        let root = self.trust_root.as_deref().map(input::read_certificate).transpose()?;
        let revocations = self.revocations.as_deref();
        let revocations =
            revocations.map(|path| input::read_revocations(path, policy, self.at)).transpose()?;
        let image = self.image.as_deref().map(input::read_image).transpose()?;
        let inputs = EvidenceInputs {
            at,
            report_data: self.report_data.as_ref(),
            test_root: root.as_deref(),
            revocations: revocations.as_ref(),
            image: image.as_ref(),
        };
        self.print(&appraise_evidence(evidence, endorsements, policy, &inputs, &Ring))
    }

    fn print(&self, verdict: &Verdict) -> Result<ExitCode, Failure> {
        self.ear.print(verdict, self.format, self.verbose)?;
        Ok(ExitCode::from(verdict.decision().exit_code()))
    }
}
