//! The program `vouchsafe-host`.
//!
//! Standard output carries one event per line for whoever started it, standard error is for people.
//! Exit status: 0 when it was asked to stop, 2 for wrong usage, 3 when the enclave could not be
//! started or ended by itself, 1 for every other failure.

use std::ffi::OsString;
use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use vouchsafe_host::{Config, Error, Events, Limits, LogUrl, print_guest};
use vouchsafe_link::Endpoint;

mod backend;

use backend::{Backend, CollateralArguments, GuestArguments};

/// The untrusted host: forwards ciphertext, starts the enclave, keeps its receipts.
#[derive(Parser)]
#[command(name = "vouchsafe-host", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve one enclave.
    Run(Box<Run>),
    /// Become a program that ends with its parent process. For this program's own use.
    #[command(hide = true)]
    Tied {
        /// The parent's process id.
        parent: u32,
        /// The program.
        program: OsString,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Args)]
struct Run {
    /// How to start the enclave.
    #[arg(long, value_enum, required_unless_present = "connect", conflicts_with = "connect")]
    backend: Option<Backend>,
    /// The enclave program to start (backend process). It is given `--link unix:PATH` and then the
    /// arguments after `--`.
    #[arg(long, value_name = "PROGRAM", requires = "backend", required_if_eq("backend", "process"))]
    enclave: Option<PathBuf>,
    #[command(flatten)]
    guest: GuestArguments,
    #[command(flatten)]
    collateral: CollateralArguments,
    /// Start an enclave that ends by itself again, after a pause that grows from one second to sixty.
    #[arg(long, requires = "backend")]
    restart: bool,
    /// Print the commands that would start the guest, and do nothing.
    #[arg(long, requires = "backend")]
    print: bool,
    /// An enclave that runs already: unix:PATH, tcp:ADDR:PORT or vsock:CID.
    #[arg(long, value_name = "ENDPOINT")]
    connect: Option<Endpoint>,
    /// Where clients connect; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Folder for receipts; made where missing.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The log that receipts settle into: its address, http://…
    #[arg(long, value_name = "URL")]
    log: Option<LogUrl>,
    /// Where to serve Prometheus metrics.
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<SocketAddr>,
    /// Most client connections at once.
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().connections_max)]
    connections_max: usize,
    /// Longest time, in seconds, without a byte in either direction of a connection.
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().idle.as_secs())]
    idle_max: u64,
    /// Longest time, in seconds, that sessions get to end when this program is asked to stop.
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().drain.as_secs())]
    drain_max: u64,
    /// Arguments for the enclave program.
    #[arg(last = true, requires = "enclave")]
    arguments: Vec<OsString>,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Tied { parent, program, arguments } => {
            let shown = PathBuf::from(&program);
            let error = vouchsafe_host::tie_to_parent_and_exec(parent, program, arguments);
            eprintln!("cannot start {}: {error}", shown.display());
            ExitCode::from(127)
        }
        Command::Run(arguments) if arguments.print => match print(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("vouchsafe-host: {error} ({})", error.code());
                ExitCode::from(error.exit_code())
            }
        },
        Command::Run(arguments) => {
            raise_open_files();
            match start(*arguments) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("vouchsafe-host: {error} ({})", error.code());
                    ExitCode::from(error.exit_code())
                }
            }
        }
    }
}

fn print(run: &Run) -> Result<(), Error> {
    let guest = run.backend.and_then(|backend| run.guest.guest(backend));
    let Some(guest) = guest else {
        let arguments: Vec<_> = run.arguments.iter().map(|word| word.to_string_lossy()).collect();
        let program = run.enclave.clone().unwrap_or_default();
        println!("{} --link unix:PATH {}", program.display(), arguments.join(" "));
        return Ok(());
    };
    print_guest(&guest, &run.state)?.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// Raises this process's soft limit on open files to its hard one: a connection is two of them.
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    // Where that is refused, connections beyond the limit are, one by one.
    let _ = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
}

// One thread: copying ciphertext is cheap, and the kernel ties the enclave to the thread that
// started it.
#[tokio::main(flavor = "current_thread")]
async fn start(arguments: Run) -> Result<(), Error> {
    let (events, mut lines) = Events::channel();
    let printer = tokio::spawn(async move {
        while let Some(event) = lines.recv().await {
            // Nobody has to read them.
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{event}").and_then(|()| out.flush());
        }
    });
    let result = match interrupted() {
        Ok(stop) => vouchsafe_host::run(arguments.into(), events, stop).await,
        Err(error) => Err(Error::State { path: "signals".into(), message: error.to_string() }),
    };
    let _ = printer.await;
    result
}

/// Resolves at the first SIGINT or SIGTERM.
fn interrupted() -> std::io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

impl From<Run> for Config {
    fn from(run: Run) -> Self {
        let enclave = backend::source(run.connect, run.backend, run.enclave, run.arguments, &run.guest);
        let state = run.state.clone();
        let limits = Limits {
            connections_max: run.connections_max,
            idle: Duration::from_secs(run.idle_max),
            drain: Duration::from_secs(run.drain_max),
            ..Limits::default()
        };
        Self {
            listen: run.listen,
            enclave,
            state: run.state,
            metrics: run.metrics,
            log: run.log,
            collateral: run.collateral.config(run.backend, &state),
            restarts: run.restart,
            limits,
        }
    }
}
