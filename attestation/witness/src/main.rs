//! The program `vouchsafe-witness`.
//!
//! Standard output carries what other programs read: the verifier key of `init` and `vkey`, and the
//! address of `serve`. Standard error is for people. Exit status: 0 when it was asked to stop, 2 for
//! wrong usage, 3 when another process uses the state, 1 for every other failure.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use vouchsafe_witness::{Error, Limits, Server, State, Witness};

/// Cosigns checkpoints of transparency logs, and never a fork.
#[derive(Parser)]
#[command(name = "vouchsafe-witness", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a witness with a fresh key and print its verifier key.
    Init {
        /// Folder for the key and the state; made where missing.
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
        /// The witness's name, a URL without its scheme: witness.example/w1.
        #[arg(long)]
        name: String,
    },
    /// Print the verifier key of a witness that does not run.
    Vkey {
        /// Folder of the witness.
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
    },
    /// Answer requests to cosign.
    Serve(Serve),
}

#[derive(Args)]
struct Serve {
    /// Folder of the witness.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Where to listen; port 0 takes a free one. Put a TLS server in front of it.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8646")]
    listen: SocketAddr,
    /// Verifier key of a log to witness, whose name is the log's origin. May be given several times,
    /// and twice for one origin while its key changes.
    #[arg(long, value_name = "VKEY", required = true)]
    log: Vec<String>,
    /// Most connections at once.
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().connections_max)]
    connections_max: usize,
    /// Requests per second that each address may make; the metrics and checkpoints are not counted.
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().requests_per_second)]
    requests_per_second: u32,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Init { state, name } => State::init(&state, &name, &ring::rand::SystemRandom::new())
            .and_then(|state| state.signer())
            .map(|signer| say(&signer.verifier_key().to_string())),
        Command::Vkey { state } => State::open(&state)
            .and_then(|state| state.signer())
            .map(|signer| say(&signer.verifier_key().to_string())),
        Command::Serve(arguments) => serve(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vouchsafe-witness: {error} ({})", error.code());
            ExitCode::from(if matches!(error, Error::Busy(_)) { 3 } else { 1 })
        }
    }
}

#[tokio::main]
async fn serve(arguments: Serve) -> Result<(), Error> {
    let limits = Limits {
        connections_max: arguments.connections_max,
        requests_per_second: arguments.requests_per_second,
        requests_burst: arguments.requests_per_second.saturating_mul(2),
        ..Limits::default()
    };
    let witness = Witness::new(State::open(&arguments.state)?, &arguments.log)?;
    eprintln!("vouchsafe-witness: {}", witness.verifier_key());
    let signals = |problem| Error::Io { path: "signals".into(), problem };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let server = Server::bind(arguments.listen, Arc::new(witness), limits).await?;
    say(&format!("listening {}", server.address()));
    server
        .run(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
        .await;
    Ok(())
}

/// A line for whoever started this; nobody has to read it.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
