//! A receipt by its token, from the enclave that made it.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use vouchsafe_bundle::{Bundle, VerifiedBoot};
use vouchsafe_client::{Client, Error};

use super::super::{Format, enclave};
use crate::failure::Failure;

/// Longest token, in characters: 256 bits in base64url, and room for a line's end.
const TOKEN_CHARS_MAX: u64 = 64;

/// Which receipt of which enclave.
#[derive(Debug, clap::Args)]
pub(crate) struct Endpoint {
    /// The receipt's token, from the answer's `vouchsafe-token`; - reads it from standard input, where no
    /// other user of this machine sees it
    #[arg(long, value_name = "TOKEN", requires = "to", requires = "policy", conflicts_with = "bundle")]
    token: Option<String>,
    /// Where the operator's host listens
    #[arg(long, value_name = "HOST:PORT", requires = "token")]
    to: Option<String>,
    /// What to accept
    #[arg(long, value_name = "FILE", requires = "token")]
    policy: Option<PathBuf>,
    /// Root certificate of a test authority to believe as well, in PEM or DER; production policies
    /// refuse what it vouches for
    #[arg(long, value_name = "FILE", requires = "token")]
    root: Vec<PathBuf>,
    /// The released image that the enclave runs, with the proof that its release is logged, as `vouchsafe policy
    /// submit --out` writes it: the bundle takes it along
    #[arg(long, value_name = "FILE")]
    pub(super) image: Option<PathBuf>,
}

/// Has the enclave attest itself and asks it for the receipt; the exit status where it is not accepted.
pub(super) fn fetch(endpoint: &Endpoint) -> Result<Result<Bundle, ExitCode>, Failure> {
    let (Some(token), Some(to), Some(policy)) = (&endpoint.token, &endpoint.to, &endpoint.policy) else {
        return Err(Failure::Own("neither a bundle nor a token was given".into()));
    };
    let token = match token.as_str() {
        "-" => read_token()?,
        token => token.to_owned(),
    };
    let client = enclave::client(to, policy, &endpoint.root, None, endpoint.image.as_deref())?;
    let runtime = enclave::runtime()?;
    let attested = match runtime.block_on(enclave::attest(&client, Format::Text, false))? {
        Ok(attested) => attested,
        Err(code) => return Ok(Err(code)),
    };
    runtime.block_on(ask(&client, &attested.boot, &token)).map(Ok)
}

async fn ask(client: &Client, boot: &VerifiedBoot, token: &str) -> Result<Bundle, Failure> {
    let kept = client.kept(token, boot).await.map_err(|error| match error {
        Error::NotKept { status: 404 } => {
            let why = "the enclave keeps no receipt under this token: it was restarted, or made room since";
            Failure::Token(why.into())
        }
        Error::NotKept { status: 409 } => Failure::Log("the token's answer is still being made".into()),
        error => error.into(),
    })?;
    let bundle = boot.bundle(Some(kept.receipt), Some(kept.opening), None);
    let bundle = bundle
        .map_err(|error| Failure::Token(format!("what the enclave keeps under this token: {error}")))?;
    Ok(match kept.proof {
        None => bundle,
        Some(proof) => bundle.with_proof(proof),
    })
}

fn read_token() -> Result<String, Failure> {
    let mut token = String::new();
    let read = std::io::stdin().lock().take(TOKEN_CHARS_MAX).read_to_string(&mut token);
    read.map_err(|error| Failure::Own(format!("can't read the token: {error}")))?;
    Ok(token.trim().to_owned())
}
