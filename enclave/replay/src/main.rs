//! The program `vouchsafe-replay`: executes a receipt's request again and compares the answers.
//!
//! The kernels give the same bytes on every processor, so whoever has the weights can check that they,
//! and nothing else, produced an answer. What it settles is that alone: that the receipt is signed by
//! the key which its boot statement names, and that these weights answer this request so. Who holds
//! that key, and whether the receipt is in its log, is for `vouchsafe verify` to say.
//!
//! Exit status, as `vouchsafe verify` has it: 0 the same; 10 it differs, or the bundle contradicts
//! itself; 20 it cannot be decided; 30 a file that cannot be read; 2 wrong usage.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

mod answer;
mod claim;
mod execute;
mod failure;
mod request;
mod responses;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use vouchsafe_bundle::BUNDLE_BYTES_MAX;
use vouchsafe_engine::{LoadOptions, Model};

use crate::claim::Claim;
use crate::failure::Failure;

/// Executes a receipt's request again and says whether the answer is the same.
#[derive(Parser)]
#[command(name = "vouchsafe-replay", version, max_term_width = 100)]
struct Cli {
    /// The bundle, with the execution record disclosed.
    bundle: PathBuf,
    /// The weights: a GGUF file, or a folder of safetensors.
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// The request's body.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The response's body, or the stream as received.
    #[arg(long, value_name = "FILE")]
    response: PathBuf,
    /// The server's `engine.context_tokens_max`, where it set one: it decides between the two sets of
    /// rotary factors that some models have.
    #[arg(long, value_name = "TOKENS")]
    context_tokens_max: Option<u32>,
    /// Threads to compute with; 0 takes one for each processor. They change no result.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    threads: usize,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{}: {failure}", failure.code());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<String, Failure> {
    let bundle = read(&cli.bundle, BUNDLE_BYTES_MAX)?;
    let request = read(&cli.request, BODY_BYTES_MAX)?;
    let response = read(&cli.response, BODY_BYTES_MAX)?;
    let claim = Claim::read(&bundle, &request, &response)?;
    let given = answer::given(&response, claim.is_stream, &claim.record.operation)?;
    let options = LoadOptions { context_length_max: cli.context_tokens_max, ..LoadOptions::default() };
    let model = Model::load(&cli.model, &options, &mut |_| {})?;
    claim.is_about(model.identity())?;
    let computed = execute::again(model, &claim, &request, &given, cli.threads)?;
    answer::compare(&given, &computed)?;
    let tokens: u32 = computed.iter().map(|choice| choice.tokens).fold(0, u32::saturating_add);
    Ok(format!("The same: {} of {tokens} tokens, computed again from these weights.", plural(computed.len())))
}

fn plural(choices: usize) -> String {
    if choices == 1 { "an answer".to_owned() } else { format!("{choices} answers") }
}

/// Reads a file of at most so many bytes.
fn read(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::Unreadable { path: path.into(), error };
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > max {
        return Err(Failure::TooLong { path: path.into(), max });
    }
    Ok(bytes)
}

/// Longest request or response body, in bytes.
const BODY_BYTES_MAX: usize = 256 << 20;
