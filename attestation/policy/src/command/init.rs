//! `vouchsafe policy init`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use ring::digest::{Context, SHA256};
use serde_json::Value;
use vouchsafe_bundle::Policy;
use vouchsafe_policy::check::check;
use vouchsafe_policy::template::{Installation, Platform, fill};
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::strict_json::{self, Limits};

use super::{Failure, moment_or_now, read};

const MEASURED_LIMITS: Limits = Limits { bytes_max: 1 << 20, depth_max: 16 };

/// Write a first policy from a strict template
///
/// What is left out stays an empty list, which accepts nothing: the findings on standard error say so.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Which hardware the enclaves run on
    #[arg(long, value_enum)]
    platform: Hardware,
    /// What people call the policy
    #[arg(long)]
    name: String,
    /// What the guest must measure to: the output of `vouchsafe measure`; several times for several images
    #[arg(long, value_name = "FILE")]
    measured: Vec<PathBuf>,
    /// A model that may answer: its weights file, which is digested, or the folder with it; several times for several
    #[arg(long, value_name = "FILE|DIR")]
    model: Vec<PathBuf>,
    /// Who may run the enclave, as its measured configuration says
    #[arg(long, value_name = "NAME")]
    operator: Vec<String>,
    /// The log's verifier key
    #[arg(long, value_name = "VKEY")]
    log: Option<String>,
    /// A witness's verifier key; several times for several
    #[arg(long, value_name = "VKEY")]
    witness: Vec<String>,
    /// How many witnesses must have cosigned; default: more than half
    #[arg(long, value_name = "N")]
    quorum: Option<u64>,
    /// Where to write it; default: standard output. An existing file is left alone
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Hardware {
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

impl Arguments {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let mut measurements = Vec::new();
        for path in &self.measured {
            measurements.extend(read_measurements(path)?);
        }
        let models: Result<Vec<_>, _> = self.model.iter().map(|path| read_model(path)).collect();
        let witnesses = u64::try_from(self.witness.len()).unwrap_or(u64::MAX);
        let installation = Installation {
            name: self.name.clone(),
            measurements,
            operators: self.operator.clone(),
            models: models?,
            log: self.log.clone(),
            witnesses: self.witness.clone(),
            threshold: self.quorum.unwrap_or(witnesses / 2 + 1),
        };
        let platform = match self.platform {
            Hardware::SevSnp => Platform::SevSnp,
            Hardware::Tdx => Platform::Tdx,
        };
        let text = fill(platform, &installation).map_err(|error| Failure::Filled { error })?;
        let policy = Policy::parse(text.as_bytes()).map_err(|error| Failure::Filled { error })?;
        self.write(&text)?;
        let findings = check(&policy, moment_or_now(None)?);
        for finding in &findings {
            anstream::eprintln!("{}: {}: {}", finding.name, finding.path, finding.text);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        use std::io::Write as _;
        let own = |error: std::io::Error| Failure::Own(format!("can't write: {error}"));
        match &self.out {
            None => std::io::stdout().lock().write_all(text.as_bytes()).map_err(own),
            Some(path) => {
                let file = File::options().write(true).create_new(true).open(path);
                let whole = file.and_then(|mut file| file.write_all(text.as_bytes()));
                whole.map_err(|error| Failure::Own(format!("can't write {}: {error}", path.display())))
            }
        }
    }
}

/// The reference values in what `vouchsafe measure` printed.
fn read_measurements(path: &Path) -> Result<Vec<Value>, Failure> {
    let malformed = |why: String| Failure::Input { path: path.into(), why };
    let json = read(path, MEASURED_LIMITS.bytes_max)?;
    let measured: Value =
        strict_json::parse(&json, MEASURED_LIMITS).map_err(|error| malformed(error.to_string()))?;
    match measured.pointer("/measurements/require") {
        Some(Value::Array(values)) => Ok(values.clone()),
        _ => Err(malformed("not what `vouchsafe measure` prints: it has no measurements".into())),
    }
}

/// A model's name, from its file's, and the SHA-256 of its weights.
fn read_model(path: &Path) -> Result<(String, String), Failure> {
    let unreadable = |error| Failure::Unreadable { path: path.into(), error };
    let weights = if path.is_dir() { weights_in(path)? } else { path.to_path_buf() };
    let mut file = File::open(weights).map_err(unreadable)?;
    let (mut context, mut piece) = (Context::new(&SHA256), vec![0; 1 << 20]);
    loop {
        let count = file.read(&mut piece).map_err(unreadable)?;
        match piece.get(..count) {
            None | Some([]) => break,
            Some(bytes) => context.update(bytes),
        }
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok((name, to_hex(&digest)))
}

/// The one weights file of a model's folder.
fn weights_in(folder: &Path) -> Result<PathBuf, Failure> {
    let unreadable = |error| Failure::Unreadable { path: folder.into(), error };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|kind| kind == "gguf" || kind == "safetensors") {
            found.push(path);
        }
    }
    match found.as_slice() {
        [weights] => Ok(weights.clone()),
        _ => {
            let why = format!("{} weights files (*.gguf, *.safetensors) in it: name one", found.len());
            Err(Failure::Input { path: folder.into(), why })
        }
    }
}
