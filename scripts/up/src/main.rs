//! `vouchsafe up`: a simulated enclave and its host on this machine.
//!
//! With `--demo` it shows the main job once and ends; without, it stays as an OpenAI-compatible
//! endpoint. It is a client like any other: enclave and host are processes of their own, and what it
//! knows of them it verified.

mod ask;
mod demo;
mod gap;
mod show;
mod stay;
mod tamper;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use vouchsafe_bundle::Policy;
use vouchsafe_up::launch::{Launch, Running};
use vouchsafe_up::{launch, pin, settle};

/// Start a simulated enclave and its host on this machine.
///
/// The evidence is simulated: it proves nothing about hardware.
#[derive(Parser)]
#[command(name = "vouchsafe up", version)]
struct Arguments {
    /// Show the main job once, then end.
    #[arg(long)]
    demo: bool,
    /// Ask this many short questions, print how long each took from answer to witnessed log, then end.
    #[arg(long, value_name = "COUNT", conflicts_with = "no_log", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    gap: Option<u32>,
    /// Start no transparency log: receipts then settle nowhere, and verdicts say so.
    #[arg(long)]
    no_log: bool,
    /// Serve this model, a GGUF file or a folder of safetensors, instead of the built-in demo model.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Also serve sentence embeddings from this folder with a BERT-family model.
    #[arg(long, value_name = "DIR")]
    embedding_model: Option<PathBuf>,
    /// Where the OpenAI-compatible endpoint listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    /// Keep state here: receipts, the policy. Left out: a temporary folder, removed at the end.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The simulated authority, made once per installation.
    #[arg(long, value_name = "DIR")]
    authority: Option<PathBuf>,
    /// The question of the demo.
    #[arg(long, value_name = "TEXT", default_value = "What does a receipt prove?")]
    prompt: String,
}

/// Everything that was started, and the policy that pins it.
struct Started {
    running: Running,
    /// The log that receipts settle into, and the keys by which it is known.
    log: Option<(settle::Log, settle::Keys)>,
    policy: Policy,
    expected: pin::Expected,
    state: PathBuf,
    startup: std::time::Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ends_by_itself = arguments.demo || arguments.gap.is_some();
    let result = tokio::select! {
        result = run(arguments) => result,
        // Dropping the run kills the host, whose end takes the enclave with it.
        _ = tokio::signal::ctrl_c(), if ends_by_itself => Err(anyhow::anyhow!("interrupted")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
            anstream::eprintln!("{}error{:#}: {}", show::BAD, show::BAD, causes.join(": "));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let temporary;
    let state = match &arguments.state {
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            folder.clone()
        }
        None => {
            temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
            temporary.path().to_path_buf()
        }
    };
    if arguments.demo {
        demo::introduce();
    }
    let started = start(&arguments, state).await?;
    match arguments.gap {
        Some(count) => gap::run(started, count).await,
        None if arguments.demo => demo::run(started, &arguments.prompt).await,
        None => stay::run(started, &arguments).await,
    }
}

/// Measures what will run, then starts it.
async fn start(arguments: &Arguments, state: PathBuf) -> Result<Started> {
    let begun = std::time::Instant::now();
    let programs =
        std::env::current_exe()?.parent().map(PathBuf::from).context("this program has no folder")?;
    let authority = match &arguments.authority {
        Some(folder) => folder.clone(),
        None => pin::default_authority()?,
    };
    let authority_exists = authority.exists();
    let mut enclave_arguments: Vec<OsString> = vec!["--authority".into(), authority.into()];
    if let Some(model) = &arguments.model {
        enclave_arguments.extend(["--model".into(), model.into()]);
    }
    if let Some(folder) = &arguments.embedding_model {
        enclave_arguments.extend(["--embedding-model".into(), folder.into()]);
    }
    let enclave = launch::program(&programs, "vouchsafe-enclave-sim")?;
    if !authority_exists {
        anstream::eprintln!(
            "Making a simulated authority, once per installation: RSA keys of 4096 bits take a while."
        );
    }
    let keys = match arguments.no_log {
        true => None,
        false => Some(settle::Keys::make(&programs, &state.join("settlement")).await?),
    };
    if let Some(keys) = &keys {
        enclave_arguments.extend(["--settlement".into(), keys.write_configuration()?.into()]);
    }
    let expected = pin::measure(&enclave, &enclave_arguments).await?;
    let policy = pin::policy(&expected, keys.as_ref())?;
    let log = match keys {
        Some(keys) => Some((keys.serve(&policy).await?, keys)),
        None => None,
    };
    let url = log.as_ref().map(|(log, _)| log.url.clone());
    let launch = Launch { programs, state: state.join("host"), log: url, enclave_arguments };
    let running = launch::start(&launch).await?;
    Ok(Started { running, log, policy, expected, state, startup: begun.elapsed() })
}

impl Started {
    /// Ends everything that was started: enclave and host first, so that what they signed last settles.
    async fn stop(self) -> Result<()> {
        self.running.stop().await?;
        match self.log {
            Some((log, _)) => log.stop().await,
            None => Ok(()),
        }
    }
}
