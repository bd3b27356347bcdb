//! `cargo xtask fuzz` and the check step of the same name: the targets of tests/fuzz, built with
//! coverage instrumentation and run by libFuzzer.
//!
//! The compiler's own passes instrument, so that the pinned stable toolchain suffices and nothing has
//! to be installed. The command adds sittings up in `tests/fuzz/record.json`; the check replays the
//! corpus, fuzzes every target briefly, holds the covered edges against the floors in
//! `tests/fuzz/targets.json`, and demands that every target finds the fault planted in it.

mod record;
mod session;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};

use record::{Record, Target};
use session::{Outcome, Session};

/// How long the check fuzzes each target.
const SMOKE_SECONDS: u64 = 10;
/// How many targets the check runs at a time, at most.
const LANES_MAX: usize = 4;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The target; all in turn when left out.
    target: Option<String>,
    /// How long to fuzz each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Add this sitting to tests/fuzz/record.json.
    #[arg(long)]
    record: bool,
}

/// Fuzzes with a corpus that grows from sitting to sitting under the target folder.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let targets = record::targets()?;
    let chosen: Vec<&Target> = targets
        .iter()
        .filter(|target| arguments.target.as_ref().is_none_or(|name| *name == target.name))
        .collect();
    if chosen.is_empty() {
        let known: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
        bail!("no target is called {:?}; there are {}", arguments.target, known.join(", "));
    }
    let session = Session::prepare()?;
    for target in chosen {
        let outcome = session.explore(target, arguments.seconds)?;
        anstream::eprintln!("{}", line(target, &outcome));
        if let Some(finding) = &outcome.finding {
            bail!("{} has a finding:\n{finding}", target.name);
        }
        if arguments.record {
            let mut record = Record::load()?;
            record.add(&target.name, &outcome);
            record.save()?;
        }
    }
    Ok(())
}

/// The check step.
pub(crate) fn check() -> Result<()> {
    let targets = record::targets()?;
    let session = Session::prepare()?;
    let queue = Mutex::new(targets.iter().collect::<VecDeque<_>>());
    let faults = Mutex::new(Vec::new());
    let lanes = std::thread::available_parallelism().map_or(1, usize::from).min(LANES_MAX);
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                while let Some(target) = lock(&queue).pop_front() {
                    match check_target(&session, target) {
                        Ok(line) => anstream::eprintln!("   {line}"),
                        Err(error) => lock(&faults).push(format!("{}: {error:#}", target.name)),
                    }
                }
            });
        }
    });
    let faults = lock(&faults);
    if faults.is_empty() { Ok(()) } else { bail!("fuzzing:\n{}", faults.join("\n")) }
}

/// The queue and the list of faults stay usable whatever another lane did.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn check_target(session: &Session, target: &Target) -> Result<String> {
    let replayed = session.replay(target)?;
    replayed.clean().context("replay of corpus and seeds")?;

    let smoke = session.smoke(target, SMOKE_SECONDS)?;
    smoke.clean().context("smoke run")?;
    if session.has_fixtures() && smoke.edges < target.edges_min {
        bail!("covers {} edges, fewer than the floor of {}", smoke.edges, target.edges_min);
    }

    // The control: with the planted fault armed, no seed reaches it.
    session.planted(target, 0)?.clean().context("a seed already has the planted fault")?;
    let planted = session.planted(target, target.planted_runs_max)?;
    if !planted.finding.as_ref().is_some_and(|finding| finding.contains("planted fault")) {
        bail!("did not find its planted fault within {} executions", target.planted_runs_max);
    }
    let mut line = line(target, &smoke);
    write!(
        line,
        " (floor {}); planted fault found after {} executions",
        target.edges_min, planted.executions
    )?;
    Ok(line)
}

fn line(target: &Target, outcome: &Outcome) -> String {
    format!(
        "{:<12} {:>10} executions in {:>4} s, {:>5} edges",
        target.name, outcome.executions, outcome.seconds, outcome.edges
    )
}
