//! `vouchsafe-enclave-sim`: the enclave program with a simulated attester, for development and CI.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use vouchsafe_enclave::{
    Endpoint, ModelOptions, ModelSource, Options, ServeError, is_guest, manifests, print_disk, read_config,
    run, run_guest,
};
use vouchsafe_enclave_sim::{ProcessorAttester, SimulatedAttester, authority, simulated_measurement};
use vouchsafe_platform::{AttestError, Attester};
use vouchsafe_simulator::amd::AmdAuthority;
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::Hex;

/// The demo model, part of the program.
const DEMO_MODEL: &[u8] = include_bytes!("../../demo-model/vouchsafe-demo.gguf");
/// The name in API requests.
const DEMO_MODEL_NAME: &str = "vouchsafe-demo";
const DEMO_MODEL_FILE: &str = "vouchsafe-demo.gguf";

/// SIMULATED: serves a language model with evidence that proves nothing about any machine.
#[derive(Debug, Parser)]
#[command(name = "vouchsafe-enclave-sim", version)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where the host connects: `unix:PATH`, `tcp:ADDR:PORT` or `vsock:CID`
    #[arg(long, value_name = "ENDPOINT", required = true)]
    link: Option<Endpoint>,
    /// Folder of the simulated authority, made at the first use
    #[arg(long, value_name = "DIR", required = true)]
    authority: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what an enclave with these arguments will measure to, as JSON
    Measure(Simulated),
    /// Print the digests of the models on a guest's disk, as JSON, computed from its folder
    Disk {
        /// The folder that the disk is made from
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Simulated {
    /// Folder of the simulated authority, made at the first use
    #[arg(long, value_name = "DIR")]
    authority: PathBuf,
    #[command(flatten)]
    options: Options,
}

/// What `measure` prints.
#[derive(Debug, Serialize)]
struct Expected {
    /// The simulated launch measurement.
    measurement: Hex<48>,
    /// SHA-256 of the simulated authority's root certificate.
    root_sha256: Hex<32>,
    /// SHA-256 of the canonical configuration.
    configuration: Hex<32>,
    /// Every model, with its manifest's digest.
    models: Vec<ExpectedModel>,
}

#[derive(Debug, Serialize)]
struct ExpectedModel {
    name: String,
    manifest: Hex<32>,
}

fn main() -> ExitCode {
    if is_guest() {
        eprintln!("vouchsafe-enclave-sim: SIMULATED: this evidence proves nothing about any machine");
        run_guest(|_| Ok(Arc::new(ProcessorAttester::of_this_guest()) as Arc<dyn Attester>));
    }
    match Arguments::parse() {
        Arguments { command: Some(Command::Measure(simulated)), .. } => match measure(&simulated) {
            Ok(expected) => {
                println!("{expected}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("vouchsafe-enclave-sim: error[{}]: {error}", error.code());
                ExitCode::FAILURE
            }
        },
        Arguments { command: Some(Command::Disk { folder }), .. } => print_disk(&folder),
        Arguments { link: Some(link), authority: Some(authority), options, .. } => {
            eprintln!("vouchsafe-enclave-sim: SIMULATED: this evidence proves nothing about any machine");
            run(&link, &options, own_model(&options.models), |config| {
                let configuration = config.digest(&Ring);
                Ok(Arc::new(attester(&authority, &configuration)?) as Arc<dyn Attester>)
            })
        }
        // clap demands both without a subcommand.
        Arguments { .. } => ExitCode::FAILURE,
    }
}

/// The model that is served where none is named.
fn own_model(options: &ModelOptions) -> Option<ModelSource> {
    let name = options.name.clone().or_else(|| Some(DEMO_MODEL_NAME.to_owned()));
    Some(ModelSource::Embedded { bytes: DEMO_MODEL, file: DEMO_MODEL_FILE, name })
}

fn attester(folder: &Path, configuration: &[u8; 32]) -> Result<SimulatedAttester, ServeError> {
    let measurement = simulated_measurement(&own_executable()?, configuration);
    SimulatedAttester::new(&load(folder)?, measurement, now()).map_err(failed)
}

fn measure(simulated: &Simulated) -> Result<String, ServeError> {
    let config = read_config(&simulated.options)?;
    let configuration = config.digest(&Ring);
    let sources = simulated.options.models.sources(own_model(&simulated.options.models));
    let models = manifests(&sources, &config)?
        .iter()
        .map(|manifest| ExpectedModel { name: manifest.name.clone(), manifest: Hex(manifest.digest(&Ring)) })
        .collect();
    let expected = Expected {
        measurement: Hex(simulated_measurement(&own_executable()?, &configuration)),
        root_sha256: Hex(Ring.sha256(load(&simulated.authority)?.ark_der())),
        configuration: Hex(configuration),
        models,
    };
    serde_json::to_string_pretty(&expected)
        .map_err(|error| ServeError::Attest(AttestError::Failed(error.to_string())))
}

fn load(folder: &Path) -> Result<AmdAuthority, ServeError> {
    authority(folder, now()).map_err(failed)
}

fn failed(error: vouchsafe_simulator::Error) -> ServeError {
    ServeError::Attest(AttestError::Failed(format!("simulated authority: {error}")))
}

/// The bytes of this very program.
fn own_executable() -> Result<Vec<u8>, ServeError> {
    let path = std::env::current_exe()
        .map_err(|source| ServeError::System { action: "cannot find this program's file", source })?;
    std::fs::read(&path).map_err(|source| ServeError::File { path: path.display().to_string(), source })
}

fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
