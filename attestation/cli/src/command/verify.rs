//! `vouchsafe verify`: one bundle against one policy, offline.

use std::path::PathBuf;
use std::process::ExitCode;

use vouchsafe_bundle::{BUNDLE_BYTES_MAX, Decision, Inputs, verify_bundle_json};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use super::Format;
use crate::failure::Failure;
use crate::input;

/// Verify a receipt bundle, offline
///
/// The bundle is judged for the moment given and, where it proves that witnesses saw the receipt in its
/// log, for the moment by which they did.
///
/// Exit status: 0 accepted, 10 rejected, 20 a required check could not run, 30 an unreadable policy
/// or a missing file.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The bundle; - reads standard input
    bundle: PathBuf,
    /// What to accept
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Judge for this moment, as 2026-11-21T12:00:00Z; default: now by this machine's clock
    #[arg(long, value_name = "RFC3339", value_parser = input::parse_moment)]
    at: Option<UnixSeconds>,
    /// Let the judgement decide that is for the moment by which witnesses had seen the receipt in its
    /// log, not the one for now; without a proof of that moment, exit 20
    #[arg(long)]
    as_logged: bool,
    /// The newest signed list of revocations, as `vouchsafe policy pull` keeps it. The policy names who may
    /// sign it; where it does and no list is given, exit 20
    #[arg(long, value_name = "FILE")]
    revocations: Option<PathBuf>,
    /// The released image that the enclave runs, with the proof that its release is logged, as `vouchsafe policy
    /// submit --out` writes it. Where the policy requires one and neither this nor the bundle has it, exit 20
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The request's body, to match with the receipt
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// The response's body or, of a streamed answer, the raw text of the event stream
    #[arg(long, value_name = "FILE")]
    response: Option<PathBuf>,
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
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let at = input::moment_or_now(arguments.at)?;
    let policy = input::read_policy(&arguments.policy, at)?;
    let body = |path: &Option<PathBuf>| {
        path.as_ref().map(|path| input::read(path, input::BODY_BYTES_MAX)).transpose()
    };
    let (request, response) = (body(&arguments.request)?, body(&arguments.response)?);
    let revocations = arguments.revocations.as_deref();
    let revocations =
        revocations.map(|path| input::read_revocations(path, &policy, arguments.at)).transpose()?;
    let image = arguments.image.as_deref().map(input::read_image).transpose()?;
    let inputs = Inputs {
        image: image.as_ref(),
        revocations: revocations.as_ref(),
        request: request.as_deref(),
        response: response.as_deref(),
        ..Inputs::new(at)
    };
    let json = input::read_evidence(&arguments.bundle, BUNDLE_BYTES_MAX)?;
    let verdict = verify_bundle_json(&json, &policy, &inputs, &Ring);
    arguments.ear.print(&verdict, arguments.format, arguments.verbose)?;
    let decision = match (arguments.as_logged, verdict.as_logged(), verdict.decision()) {
        (false, _, decision) => decision,
        (true, Some(logged), _) => logged.verdict,
        // What is refused without a proof is refused with one.
        (true, None, Decision::Rejected) => Decision::Rejected,
        (true, None, _) => Decision::Incomplete,
    };
    Ok(ExitCode::from(decision.exit_code()))
}
