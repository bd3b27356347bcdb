//! The program `vouchsafe-monitor`.
//!
//! Exit status: 0 when everything that was looked at is in order, 10 when there is a violation, 20 when
//! the log could not be looked at, 30 when what was given is unusable (a policy, a key, a state of
//! another log, a file that proves nothing), 2 for wrong usage, 1 for a failure of this machine. A
//! monitor that keeps watching alerts on violations and ends with these when it is asked to stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::Purpose;
use vouchsafe_monitor::canary::Canary;
use vouchsafe_monitor::gap::{Probes, unix_ms};
use vouchsafe_monitor::{
    Breach, Equivocation, Error, Fate, FolderSource, HttpSource, Mirror, Monitor, Parts, Patience, Report,
    SAVE_ENTRIES, Source, Store, Submit, Webhook, status,
};
use vouchsafe_translog::TrustedLog;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::to_hex;

/// Entries from which on a catch-up shows its progress.
const PROGRESS_ENTRIES_MIN: u64 = 10_000;

/// How long alerts may take that are on their way when the program ends.
const WEBHOOK_WAIT_MAX: Duration = Duration::from_secs(30);

/// Watches a transparency log: re-verifies everything in it and measures the trust gap.
#[derive(Parser)]
#[command(name = "vouchsafe-monitor", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verify a log, once or for as long as it runs.
    Run(Box<Run>),
    /// Verify the account of a receipt that a log owed and lacks: its signatures offline, its absence by
    /// reading the whole tree.
    CheckBreach {
        /// The file, as a monitor keeps it under its state folder.
        file: PathBuf,
        /// The log's verifier key.
        #[arg(long, value_name = "VKEY")]
        key: String,
        /// A witness's verifier key; give each one.
        #[arg(long, value_name = "VKEY", required = true)]
        witness: Vec<String>,
        /// How many of the witnesses must have cosigned.
        #[arg(long, value_name = "COUNT")]
        quorum: usize,
        /// The log's URL or a folder with its files: any copy of its public tree.
        #[arg(long, value_name = "URL")]
        log: Option<String>,
    },
    /// Verify a proof of equivocation, offline.
    CheckEquivocation {
        /// The file, as a monitor keeps it under its state folder.
        file: PathBuf,
        /// The key that the log is known to have.
        #[arg(long, value_name = "VKEY")]
        key: Option<String>,
    },
}

#[derive(Args)]
struct Run {
    /// The log's URL, or a folder with its files.
    #[arg(long, value_name = "URL")]
    log: String,
    /// The log's verifier key.
    #[arg(long, value_name = "VKEY")]
    key: String,
    /// A witness's verifier key; give each one.
    #[arg(long, value_name = "VKEY", required = true)]
    witness: Vec<String>,
    /// How many of the witnesses must have cosigned.
    #[arg(long, value_name = "COUNT")]
    quorum: usize,
    /// The policy that boots must satisfy.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Folder for what is remembered, and for evidence; made where missing.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Look once and end.
    #[arg(long)]
    once: bool,
    /// Milliseconds between two looks at the log: the precision of the probes.
    #[arg(long, value_name = "MS", default_value_t = 250)]
    poll_ms: u64,
    /// Longest time, in seconds, without a newer checkpoint; 0 for any.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    stale_max: u64,
    /// Write the status page and metrics.prom here.
    #[arg(long, value_name = "DIR")]
    status: Option<PathBuf>,
    /// Keep a full verified copy of the log here, which any web server can serve.
    #[arg(long, value_name = "DIR")]
    mirror: Option<PathBuf>,
    /// Compare checkpoints with another view: another monitor's copy, or WITNESS/ORIGIN_SHA256. May be
    /// given several times.
    #[arg(long, value_name = "URL")]
    compare: Vec<String>,
    /// A receipt that the log must hold; the whole log is read again for it, and it is offered to the log where
    /// it is missing. May be given several times.
    #[arg(long, value_name = "FILE")]
    receipt: Vec<PathBuf>,
    /// With --once: longest time, in seconds, to wait for a checkpoint after a receipt was offered again.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    receipt_wait: u64,
    /// Ask the enclave behind this address now and then, and time how long its receipts take.
    #[arg(long, value_name = "HOST:PORT", requires = "canary_model")]
    canary: Option<String>,
    /// The model to ask.
    #[arg(long, value_name = "NAME")]
    canary_model: Option<String>,
    /// Seconds between two such questions.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    canary_interval: u64,
    /// Post each alarm here as JSON: its code, what it is about, the log and the time. What is not taken is
    /// posted again a few times; watching never waits for it.
    #[arg(long, value_name = "URL", alias = "alert-webhook")]
    webhook: Option<String>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(run) => self::run(&run),
        Command::CheckBreach { file, key, witness, quorum, log } => {
            TrustedLog::parse(&key, &witness, quorum, &Ring)
                .map_err(Error::from)
                .and_then(|trusted| check_breach(&file, &trusted, log.as_deref()))
        }
        Command::CheckEquivocation { file, key } => check_equivocation(&file, key.as_deref()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("vouchsafe-monitor: {error} ({})", error.code());
        ExitCode::from(error.exit_code())
    })
}

fn check_breach(path: &Path, trusted: &TrustedLog, log: Option<&str>) -> Result<ExitCode, Error> {
    let json = read(path)?;
    let malformed = |problem: String| Error::Malformed { path: path.into(), problem };
    let breach = Breach::verify(&json, trusted, &Ring).map_err(|error| malformed(error.to_string()))?;
    let ((boot, seq, leaf, due), checkpoint) = (breach.receipt(), breach.checkpoint());
    let (size, time) = (checkpoint.size(), checkpoint.time().0);
    println!("signed: receipt {seq} of boot {boot} (leaf {leaf}), promised to this log by {due}");
    println!("signed: the tree of size {size}, cosigned by the quorum at {time}");
    println!("said by who kept the file: offered again at {}", breach.resubmitted().last_s);
    let Some(log) = log else {
        println!("not checked: that this tree lacks the receipt; give any copy of it with --log");
        return Ok(ExitCode::SUCCESS);
    };
    breach.scan(&*source(log))?.map_err(|error| malformed(error.to_string()))?;
    println!("checked: all {size} entries lead to that tree's root, and the receipt is none of them");
    Ok(ExitCode::SUCCESS)
}

fn check_equivocation(path: &Path, key: Option<&str>) -> Result<ExitCode, Error> {
    let json = read(path)?;
    let malformed = |problem: String| Error::Malformed { path: path.into(), problem };
    let proved = Equivocation::verify(&json, &Ring).map_err(|error| malformed(error.to_string()))?;
    let log = proved.log().to_string();
    if key.is_some_and(|key| key != log) {
        return Err(malformed(format!("it is of the log {log}")));
    }
    let (first, second) = (proved.first().checkpoint(), proved.second().checkpoint());
    println!("proved: the log {log} signed two trees that contradict each other");
    println!("  size {} with root {}", first.size(), to_hex(first.root()));
    println!("  size {} with root {}", second.size(), to_hex(second.root()));
    println!("  whose first {} entries have the root {}", first.size(), to_hex(proved.found()));
    if key.is_none() {
        println!("compare the key with the one that you know of this log");
    }
    Ok(ExitCode::SUCCESS)
}

fn run(run: &Run) -> Result<ExitCode, Error> {
    let policy = Policy::parse(&read(&run.policy)?)
        .map_err(|error| Error::Malformed { path: run.policy.clone(), problem: error.to_string() })?;
    if policy.document().purpose == Purpose::Evidence {
        let problem = "a policy for raw evidence decides nothing about boots".to_owned();
        return Err(Error::Malformed { path: run.policy.clone(), problem });
    }
    let trusted = TrustedLog::parse(&run.key, &run.witness, run.quorum, &Ring)?;
    let origin = trusted.log().name().to_owned();
    let probes = Arc::new(Probes::default());
    let mut monitor = Monitor::new(Parts {
        trusted,
        source: source(&run.log),
        submit: is_url(&run.log).then(|| Box::new(HttpSource::new(&run.log)) as Box<dyn Submit>),
        appraise: Box::new(policy.clone()),
        store: Store::open(&run.state)?,
        mirror: run.mirror.as_ref().map(Mirror::new),
        probes: Arc::clone(&probes),
        save_entries: SAVE_ENTRIES,
        stale_s_max: Some(run.stale_max).filter(|seconds| *seconds > 0),
        progress: progress(),
    })?;
    for path in &run.receipt {
        monitor.hold(path, &read(path)?)?;
    }
    let others: Vec<Box<dyn Source>> = run.compare.iter().map(|url| source(url)).collect();
    let webhook = run.webhook.as_deref().map(|url| Webhook::new(url, Patience::default()));
    let watch = Watch { run, log: origin, others, webhook };
    let stop = Arc::new(AtomicBool::new(false));
    let _runtime = background(run, policy, probes, &stop)?;
    let watched = watch.all(&mut monitor, &stop);
    if let Some(webhook) = watch.webhook
        && webhook.finish(WEBHOOK_WAIT_MAX).is_none()
    {
        eprintln!("vouchsafe-monitor: alerts that did not go out in time are in the state only");
    }
    watched?;
    Ok(ExitCode::from(if monitor.state().alarms().is_empty() { 0 } else { 10 }))
}

/// What is done with each look.
struct Watch<'a> {
    run: &'a Run,
    log: String,
    others: Vec<Box<dyn Source>>,
    webhook: Option<Webhook>,
}

impl Watch<'_> {
    /// Looks once, or until asked to stop.
    fn all(&self, monitor: &mut Monitor, stop: &AtomicBool) -> Result<(), Error> {
        let waited = Instant::now();
        loop {
            let looked = self.once(monitor);
            self.report(&monitor.take_unreported());
            if let Some(folder) = &self.run.status {
                status::write(folder, monitor, &self.run.log, unix_ms() / 1000)?;
            }
            match looked {
                Err(error) if self.run.once => return Err(error),
                // A log out of reach is asked again; how old its newest checkpoint gets is watched.
                Err(error @ Error::Unreachable { .. }) => eprintln!("vouchsafe-monitor: {error}"),
                other => other?,
            }
            let is_over = waited.elapsed() >= Duration::from_secs(self.run.receipt_wait);
            let is_decided = monitor.sought().iter().all(|sought| sought.fate != Fate::Pending);
            if self.run.once && (is_decided || is_over) {
                self.report(&monitor.seek(unix_ms() / 1000, true)?);
                self.sought(monitor);
                return Ok(());
            }
            if stop.load(Relaxed) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(self.run.poll_ms.max(50)));
        }
    }

    fn once(&self, monitor: &mut Monitor) -> Result<(), Error> {
        // One view that is out of reach hides no other.
        let mut first = monitor.poll(unix_ms()).map(|report| self.report(&report));
        for other in &self.others {
            match monitor.compare(&**other, unix_ms() / 1000) {
                Ok(report) => self.report(&report),
                Err(error) if first.is_ok() => first = Err(error),
                Err(error) => eprintln!("vouchsafe-monitor: {error}"),
            }
        }
        first
    }

    /// What became of the receipts that were handed in.
    fn sought(&self, monitor: &Monitor) {
        for (sought, path) in monitor.sought().iter().zip(&self.run.receipt) {
            let (path, scanned) = (path.display(), sought.scanned);
            match sought.fate {
                Fate::InLog { index } => println!("{path}: in the log, entry {index}"),
                Fate::NotDue => println!("{path}: not among {scanned} entries, and not due yet"),
                Fate::OfNoBoot => println!("{path}: no boot in this log signed it"),
                // The violation says which, or why nothing could be decided.
                Fate::Named | Fate::Pending => println!("{path}: not among {scanned} entries, and due"),
            }
        }
    }

    /// Tells people and the webhook.
    fn report(&self, report: &Report) {
        for violation in &report.violations {
            eprintln!("VIOLATION {}: {violation}", violation.code());
            let webhook = self.webhook.as_ref();
            if webhook.is_some_and(|webhook| !webhook.post(&self.log, violation, unix_ms() / 1000)) {
                eprintln!("vouchsafe-monitor: too many alerts wait, and this one does not go out");
            }
        }
    }
}

/// Signals and probes, beside the looking.
fn background(
    run: &Run,
    policy: Policy,
    probes: Arc<Probes>,
    stop: &Arc<AtomicBool>,
) -> Result<Option<tokio::runtime::Runtime>, Error> {
    if run.once {
        return Ok(None);
    }
    let failed = |problem| Error::Io { path: "runtime".into(), problem };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(failed)?;
    let stop = Arc::clone(stop);
    runtime.spawn(async move {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = async {
                match &mut terminate {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            } => {}
        }
        stop.store(true, Relaxed);
    });
    if let (Some(address), Some(model)) = (&run.canary, &run.canary_model) {
        let interval = Duration::from_secs(run.canary_interval.max(1));
        let canary = Canary { address: address.clone(), model: model.clone(), policy, interval };
        runtime.spawn(async move {
            if let Err(error) = canary.run(probes).await {
                eprintln!("vouchsafe-monitor: no probes: {error} ({})", error.code());
            }
        });
    }
    Ok(Some(runtime))
}

fn is_url(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// A URL, or a folder.
fn source(name: &str) -> Box<dyn Source> {
    match is_url(name) {
        true => Box::new(HttpSource::new(name)),
        false => Box::new(FolderSource::new(name)),
    }
}

/// A bar on standard error for catch-ups that take a while.
fn progress() -> Box<dyn Fn(u64, u64) + Send + Sync> {
    let bar = ProgressBar::hidden();
    if let Ok(style) =
        ProgressStyle::with_template("{bar:32} {human_pos}/{human_len} entries, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    let shown = AtomicBool::new(false);
    Box::new(move |read, all| {
        if read >= all {
            if shown.swap(false, Relaxed) {
                bar.finish_and_clear();
                bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
            }
            return;
        }
        if all.saturating_sub(read) >= PROGRESS_ENTRIES_MIN && !shown.swap(true, Relaxed) {
            bar.reset();
            bar.set_position(read);
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        bar.set_length(all);
        bar.set_position(read);
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    // A file that was named and cannot be read is unusable input.
    std::fs::read(path)
        .map_err(|problem| Error::Malformed { path: path.into(), problem: problem.to_string() })
}
