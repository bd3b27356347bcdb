//! The program `vouchsafe-log`.
//!
//! Standard output carries what other programs read, one line each: the verifier key of `init` and
//! `vkey`, and the addresses of `serve`. Standard error is for people. Exit status: 0 when it was asked
//! to stop or found nothing wrong, 2 for wrong usage, 3 when another process uses the folder, 4 when the
//! folder must not be continued or is damaged, 1 for every other failure.

mod arguments;
mod load;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::Purpose;
use vouchsafe_log::admission::PolicyAdmission;
use vouchsafe_log::blobs::BlobPool;
use vouchsafe_log::{Error, Folder, Log, check, repair, retire, serve};

use arguments::{Cli, Command, Existing, Init, Load, Serve, Where};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Init(arguments) => init(arguments),
        Command::Vkey(place) => Folder::from(place).open_key().map(|key| say(&key.public().to_string())),
        Command::Serve(arguments) => run(run_log(*arguments)),
        Command::Load(arguments) => run(measure(*arguments)),
        Command::Check(log) => check_log(log),
        Command::Repair(log) => repair_log(log),
        Command::Retire(place) => retire_log(place),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vouchsafe-log: {error} ({})", error.code());
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &Error) -> u8 {
    match error {
        Error::InUse { .. } => 3,
        Error::Behind { .. }
        | Error::Retired { .. }
        | Error::SignedDifferently { .. }
        | Error::CheckpointMoved { .. }
        | Error::DatabaseDamaged { .. }
        | Error::HighWaterMissing { .. }
        | Error::Missing { .. }
        | Error::Damaged { .. }
        | Error::Root { .. }
        | Error::Irreparable(_) => 4,
        _ => 1,
    }
}

fn init(arguments: Init) -> Result<(), Error> {
    let key = Folder::from(arguments.place).init(&arguments.origin)?;
    say(&key.public().to_string());
    Ok(())
}

async fn measure(arguments: Load) -> Result<(), Error> {
    let config = arguments.settings.config()?;
    let Load { dir, entries, rate, seconds, batch, .. } = arguments;
    load::run(load::LoadPlan { dir, entries, rate, seconds, batch }, config).await
}

fn run(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Setting { name: "threads", why: error.to_string() })?;
    runtime.block_on(work)
}

async fn run_log(arguments: Serve) -> Result<(), Error> {
    let config = arguments.settings.config()?;
    let policy = read_policy(&arguments.admission)?;
    let folder = Folder::from(arguments.log.place);
    let _held = folder.lock()?;
    let key = folder.open_key()?;
    if arguments.log.create_high_water {
        folder.create_high_water()?;
    }
    let origin = key.public().to_string();
    let storage = folder.open()?;
    // First of all what a killed program left half done is completed.
    let log = Log::open(storage.clone(), key)?;
    check::shape(storage.tiles.as_ref(), log.head().head.size)?;
    let blobs = Arc::new(BlobPool::new(Arc::clone(&storage.blobs)));
    let admission = Arc::new(PolicyAdmission::new(policy, storage, Arc::clone(&blobs)));
    let size = log.head().head.size;
    let stop = interrupted().map_err(|error| Error::Setting { name: "signals", why: error.to_string() })?;
    let listening = move |at: vouchsafe_log::Listening| {
        say(&format!("log {origin} size={size}"));
        say(&format!("listening {}", at.log));
        if let Some(metrics) = at.metrics {
            say(&format!("metrics {metrics}"));
        }
    };
    serve(log, admission, blobs, config, listening, stop).await
}

fn read_policy(path: &std::path::Path) -> Result<Policy, Error> {
    let failed = |message: String| Error::Policy { path: path.display().to_string(), message };
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let policy = Policy::parse(&bytes).map_err(|error| failed(error.to_string()))?;
    match policy.document().purpose {
        Purpose::Evidence => Err(failed("a policy for raw evidence decides nothing about enclaves".into())),
        _ => Ok(policy),
    }
}

fn check_log(log: Existing) -> Result<(), Error> {
    let folder = Folder::from(log.place);
    let _held = folder.lock()?;
    if let Some((head, report)) = retire::check(&folder, |done, size| progress("checked", done, size))? {
        say(&format!("retired, sound size={} boots={} blobs={}", head.size, report.boots, report.blobs));
        return Ok(());
    }
    let key = folder.open_key()?;
    if log.create_high_water {
        folder.create_high_water()?;
    }
    let storage = folder.open()?;
    let head = Log::open(storage.clone(), key)?.head().head;
    let report = check::full(&storage, &head, |done| progress("checked", done, head.size))?;
    say(&format!("sound size={} boots={} blobs={}", head.size, report.boots, report.blobs));
    Ok(())
}

fn retire_log(place: Where) -> Result<(), Error> {
    let folder = Folder::from(place);
    let _held = folder.lock()?;
    let head = retire::run(&folder, |done, size| progress("checked", done, size))?;
    say(&format!("retired size={}; the key is destroyed", head.size));
    Ok(())
}

fn repair_log(log: Existing) -> Result<(), Error> {
    let folder = Folder::from(log.place);
    let _held = folder.lock()?;
    let key = folder.open_key()?;
    let report = repair::run(&folder, &key, |done, size| progress("read", done, size))?;
    if log.create_high_water {
        folder.create_high_water()?;
    }
    Log::open(folder.open()?, key)?;
    say(&format!(
        "repaired size={} tiles={} index={} boots={}",
        report.size, report.tiles_written, report.leaves_indexed, report.boots_indexed
    ));
    Ok(())
}

fn progress(what: &str, done: u64, size: u64) {
    eprintln!("vouchsafe-log: {what} {done} of {size} entries");
}

/// A line for whoever started this program; nobody has to read it.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
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
