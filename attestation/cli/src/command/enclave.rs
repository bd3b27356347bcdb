//! What the commands share that talk to an enclave.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Runtime;
use vouchsafe_client::{Attested, Client, Error, Options};

use super::Format;
use crate::failure::Failure;
use crate::{input, output};

/// Which enclave, and what it must satisfy.
#[derive(Debug, clap::Args)]
pub(crate) struct Enclave {
    /// What to accept; read once, at the start
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Root certificate of a test authority to believe as well, in PEM or DER; production policies
    /// refuse what it vouches for
    #[arg(long, value_name = "FILE")]
    root: Vec<PathBuf>,
    /// The newest signed list of revocations, as `vouchsafe policy pull` keeps it; read again when it changes
    #[arg(long, value_name = "FILE")]
    revocations: Option<PathBuf>,
    /// The released image that the enclave runs, with the proof that its release is logged, as `vouchsafe policy
    /// submit --out` writes it. Where the policy requires one and none is given,
    /// nobody is accepted
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

impl Enclave {
    /// A client of the enclaves behind `address`.
    pub(super) fn client(&self, address: &str) -> Result<Arc<Client>, Failure> {
        client(address, &self.policy, &self.root, self.revocations.as_deref(), self.image.as_deref())
    }
}

/// A client of the enclaves behind `address` that satisfy this policy file, under these roots as well.
pub(super) fn client(
    address: &str,
    policy: &Path,
    roots: &[PathBuf],
    revocations: Option<&Path>,
    image: Option<&Path>,
) -> Result<Arc<Client>, Failure> {
    let policy = input::read_policy(policy, input::moment_or_now(None)?)?;
    let extra_roots = roots.iter().map(|path| input::read_certificate(path)).collect::<Result<_, _>>()?;
    let options = Options {
        address: address.to_owned(),
        policy,
        extra_roots,
        revocations: revocations.map(Path::to_owned),
        image: image.map(input::read_image).transpose()?,
    };
    Ok(Arc::new(Client::new(options)?))
}

/// The runtime for all that waits on a network.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::Own(format!("can't start: {error}")))
}

/// Has an enclave attest itself. One that is judged and not accepted is shown with its verdict, and
/// what is given then is the exit status.
pub(super) async fn attest(
    client: &Client,
    format: Format,
    verbose: bool,
) -> Result<Result<Attested, ExitCode>, Failure> {
    match client.attest().await {
        Ok(attested) => Ok(Ok(attested)),
        Err(Error::NotAccepted(verdict)) => {
            output::verdict(&verdict, format, verbose);
            Ok(Err(ExitCode::from(verdict.decision().exit_code())))
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes a path absolute for display, where that is possible.
pub(super) fn shown(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}
