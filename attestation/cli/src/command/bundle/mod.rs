//! `vouchsafe bundle`: a bundle that holds its proof, from a saved one or by a receipt's token.
//!
//! The receipt's place is found by its hash in the log's tiles, from the leaves on that the checkpoint
//! did not hold which the receipt names; the proof is made of tiles under the log's newest checkpoint.

mod endpoint;
mod epoch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use vouchsafe_bundle::{BUNDLE_BYTES_MAX, Bundle, BundleParts};
use vouchsafe_receipt::{
    BootStatement, EpochStatement, LogSettlement, PayloadType, ReceiptPayload, Settlement, receipt_leaf_hash,
};
use vouchsafe_translog::build::{BuildError, TreeReader};
use vouchsafe_translog::note::NOTE_BYTES_MAX;
use vouchsafe_translog::{Hash, Tile, TlogProof, TrustedLog, VerifiedCheckpoint};
use vouchsafe_verifier::crypto::Ring;

use crate::failure::Failure;
use crate::input;
use crate::log::Source;

/// Assemble a bundle that holds its proof: of a saved bundle, or by a receipt's token
///
/// The log's files are read over HTTP or from a folder, which may be anybody's copy: what they show is
/// verified under the keys that the bundle's boot names, and `vouchsafe verify` judges those. By token, the
/// enclave behind --to is judged first; receipt, opening and, once there is one, proof come from it. The
/// evidence of an epoch that is over comes from the log.
///
/// Exit status: 0 done, 10 not a bundle that a log could prove, 20 not in the log (yet), or the log can't
/// be read, 30 a missing file, or no receipt under this token; of the enclave as `vouchsafe attest`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["bundle", "token"]))]
#[command(group = clap::ArgGroup::new("from").multiple(true).args(["log", "image"]))]
pub(crate) struct Arguments {
    /// The bundle; - reads standard input
    #[arg(requires = "from")]
    bundle: Option<PathBuf>,
    /// The log: its address, http://…, or a folder with its files
    #[arg(long, value_name = "URL|DIR")]
    log: Option<String>,
    #[command(flatten)]
    endpoint: endpoint::Endpoint,
    /// Where to write the bundle with its proof; default: standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (path, bundle) = match &arguments.bundle {
        Some(path) => {
            let json = input::read_evidence(path, BUNDLE_BYTES_MAX)?;
            let refused = |why| Failure::Bundle { path: path.clone(), why };
            (path.clone(), Bundle::parse(&json).map_err(|error| refused(error.to_string()))?)
        }
        None => match endpoint::fetch(&arguments.endpoint)? {
            Ok(bundle) => (PathBuf::from("the enclave's receipt"), bundle),
            Err(code) => return Ok(code),
        },
    };
    let image = arguments.endpoint.image.as_deref().map(input::read_image).transpose()?;
    let bundle = match image {
        Some(image) => bundle.with_image(image),
        None => bundle,
    };
    let bundle = match &arguments.log {
        Some(log) => from_log(&path, bundle, &Source::open(log)?)?,
        // A saved bundle that only its image is put into.
        None if arguments.bundle.is_some() => bundle,
        None => alone(bundle)?,
    };
    write(arguments, &bundle.to_json())?;
    Ok(ExitCode::SUCCESS)
}

/// What an enclave gave, if that is all of it.
fn alone(bundle: Bundle) -> Result<Bundle, Failure> {
    let (of, attested) = (payload(&bundle).map(|payload| payload.epoch), epoch_of(&bundle));
    if of != attested {
        let why = "the receipt is of an earlier epoch, whose evidence the enclave gives no more: give --log, which has it";
        return Err(Failure::Token(why.into()));
    }
    match bundle.parts().proof.is_some() {
        true => Ok(bundle),
        false => {
            let why = "the enclave has no proof of it yet: try again in a second, or give --log";
            Err(Failure::Log(why.into()))
        }
    }
}

/// The bundle with a proof under the log's newest checkpoint, and with the evidence of its receipt's epoch.
fn from_log(path: &Path, bundle: Bundle, source: &Source) -> Result<Bundle, Failure> {
    let refused = |why: String| Failure::Bundle { path: path.into(), why };
    let Some(receipt) = bundle.parts().receipt.clone() else {
        return Err(refused("a stream that was cut off has no receipt that could be in a log".into()));
    };
    let boot = BootStatement::parse(&bundle.parts().boot.statement.0, &Ring);
    let boot = boot.map_err(|error| refused(format!("boot statement: {error}")))?;
    let Settlement::Log(settlement) = &boot.settlement else {
        return Err(refused("its boot names no log".into()));
    };
    let trusted = trusted(settlement).map_err(|error| refused(format!("boot statement: {error}")))?;
    let payload = payload(&bundle);
    // How many leaves the log had when the receipt was signed, by the receipt's own word: where to begin.
    let first = payload.as_ref().and_then(|payload| payload.checkpoint).map_or(0, |named| named.size);
    let (proof, size) = prove(source, &trusted, &receipt_leaf_hash(&receipt, &Ring), first)?;
    let index = proof.index();
    let bundle = bundle.with_proof(proof);
    match payload.map(|payload| payload.epoch) {
        Some(number) if epoch_of(&bundle) != Some(number) => {
            let key = boot.receipt_key(&Ring).map_err(|error| refused(format!("boot statement: {error}")))?;
            let epoch = epoch::find(source, size, index, &key, number)?;
            let parts = BundleParts { epoch, ..bundle.into_parts() };
            Bundle::new(parts).map_err(|error| refused(error.to_string()))
        }
        _ => Ok(bundle),
    }
}

/// The receipt's payload, whose signature is for `vouchsafe verify`.
fn payload(bundle: &Bundle) -> Option<ReceiptPayload> {
    let receipt = bundle.parts().receipt.as_ref()?;
    let is_receipt = receipt.payload_type() == PayloadType::Receipt.as_str();
    let payload = serde_json::from_slice(receipt.unverified_payload());
    payload.ok().filter(|_| is_receipt)
}

/// The number of the epoch whose evidence the bundle has.
fn epoch_of(bundle: &Bundle) -> Option<u64> {
    EpochStatement::parse(&bundle.parts().epoch.statement.0).ok().map(|statement| statement.epoch)
}

fn trusted(log: &LogSettlement) -> Result<TrustedLog, vouchsafe_translog::Error> {
    let threshold = usize::try_from(log.quorum).unwrap_or(usize::MAX);
    TrustedLog::parse(&log.key, &log.witnesses, threshold, &Ring)
}

/// The proof of a leaf under the newest checkpoint, and the size of its tree.
fn prove(
    source: &Source,
    trusted: &TrustedLog,
    leaf: &Hash,
    first: u64,
) -> Result<(TlogProof, u64), Failure> {
    let unverified = |error: vouchsafe_translog::Error| {
        Failure::Log(format!("the log's checkpoint: {error} ({})", error.code()))
    };
    let note = source.read("checkpoint")?;
    if note.len() > NOTE_BYTES_MAX {
        return Err(Failure::Log("the log's checkpoint is longer than any".into()));
    }
    let checkpoint = trusted.verify(&note, &Ring).map_err(unverified)?;
    let index = find(source, &checkpoint, leaf, first)?;
    let read = |tile: Tile| read_tile(source, tile);
    let path =
        TreeReader::new(checkpoint.size(), read, &Ring).inclusion(index).map_err(|error| match error {
            BuildError::Read { error, .. } => error,
            error => Failure::Log(format!("the log's {}", describe(&error))),
        })?;
    let proof = TlogProof::new(index, path, checkpoint.signed().note().clone()).map_err(unverified)?;
    // The tiles may be wrong, and then the proof is.
    proof.verify(leaf, trusted, &Ring).map_err(|error| {
        Failure::Log(format!("the log's tiles do not prove the receipt: {error} ({})", error.code()))
    })?;
    Ok((proof, checkpoint.size()))
}

/// The leaf's index, searched from `first` on.
fn find(source: &Source, checkpoint: &VerifiedCheckpoint, leaf: &Hash, first: u64) -> Result<u64, Failure> {
    let size = checkpoint.size();
    let mut next = first;
    while let Some((tile, place)) = Tile::holding(0, next, size) {
        let bytes = read_tile(source, tile)?;
        let malformed = |error| Failure::Log(format!("the log's {}: {error}", tile.path()));
        let hashes = tile.hashes(&bytes).map_err(malformed)?;
        if let Some(at) = hashes.iter().skip(place).position(|hash| hash == leaf) {
            return Ok(next.saturating_add(u64::try_from(at).unwrap_or(u64::MAX)));
        }
        next = tile.first_leaf().saturating_add(u64::try_from(tile.width()).unwrap_or(u64::MAX));
    }
    Err(Failure::Log(format!(
        "the receipt is not in the log's tree of {size} leaves, seen by witnesses at {}: try again later, or \
         submit it to the log",
        checkpoint.time()
    )))
}

/// A tile's bytes; of a partial one that the log has replaced, the beginning of the full one.
fn read_tile(source: &Source, tile: Tile) -> Result<Vec<u8>, Failure> {
    const HASH_BYTES: usize = 32;
    source.read(&tile.path()).or_else(|error| {
        let mut bytes = match tile.is_full() {
            true => return Err(error),
            false => source.read(&tile.to_full().path()).map_err(|_| error)?,
        };
        bytes.truncate(tile.width().saturating_mul(HASH_BYTES));
        Ok(bytes)
    })
}

fn describe(error: &BuildError<Failure>) -> String {
    match error {
        BuildError::Tile { tile, error } => format!("{}: {error}", tile.path()),
        _ => "tree does not hold the receipt".into(),
    }
}

fn write(arguments: &Arguments, json: &[u8]) -> Result<(), Failure> {
    let own = |what: &str, error: std::io::Error| Failure::Own(format!("can't write {what}: {error}"));
    match &arguments.out {
        Some(path) => std::fs::write(path, json).map_err(|error| own(&path.display().to_string(), error)),
        None => {
            use std::io::Write as _;
            std::io::stdout().lock().write_all(json).map_err(|error| own("standard output", error))
        }
    }
}
