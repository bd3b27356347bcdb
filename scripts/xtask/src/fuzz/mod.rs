//! `cargo xtask fuzz` and the check step of the same name: the targets of tests/fuzz, built with
//! coverage instrumentation and run by libFuzzer.
//!
//! The compiler's own passes instrument, so that the pinned stable toolchain suffices and nothing has
//! to be installed. The command adds sittings up in `tests/fuzz/record.json`; the check replays the
//! corpus, holds the edges that this covers against the floors in `tests/fuzz/targets.json`, fuzzes
//! every target briefly, and demands that each finds the fault planted for it.

mod record;
mod session;

use std::collections::VecDeque;
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};

use record::{Record, Target};
use session::{Outcome, Session};

/// How long the check fuzzes each target.
const SMOKE_SECONDS: u64 = 10;
/// Where the planted faults are, as a panic names it.
const PLANTED_FILE: &str = "careless.rs";
/// How many targets the check runs at a time, at most.
const LANES_MAX: usize = 4;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The target; all in turn when left out.
    target: Option<String>,
    /// How long to fuzz each target, by the clock: seconds, or with a unit as in 90s, 10m, 1h.
    #[arg(long = "for", value_name = "TIME", default_value = "1m", value_parser = seconds)]
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
        let mut record = Record::load()?;
        if arguments.record {
            record.add(&target.name, &outcome);
            record.save()?;
        }
        anstream::eprintln!("{:<12} recorded: {}", "", record.line(&target.name));
        if let Some(finding) = &outcome.finding {
            bail!("{} has a finding:\n{finding}", target.name);
        }
    }
    Ok(())
}

/// A time as people write it, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let each = match unit {
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let number: u64 = number.parse().map_err(|_| "not a number of seconds, minutes or hours".to_owned())?;
    // To libFuzzer, 0 means forever.
    number.checked_mul(each).filter(|seconds| *seconds > 0).ok_or_else(|| "too short or too long".to_owned())
}

/// The check step.
pub(crate) fn check() -> Result<()> {
    let targets = record::targets()?;
    let open = Record::load()?;
    if let [target, ..] = open.open_findings()[..] {
        bail!("tests/fuzz/record.json has an open finding of {target}");
    }
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
    if session.has_fixtures() && replayed.edges < target.edges_min {
        bail!("the replay covers {} edges, fewer than the floor of {}", replayed.edges, target.edges_min);
    }

    let smoke = session.smoke(target, SMOKE_SECONDS)?;
    smoke.clean().context("smoke run")?;

    // The control: with the planted fault armed, no seed reaches it.
    session.planted(target, 0)?.clean().context("a seed already has the planted fault")?;
    let planted = session.planted(target, target.planted_runs_max)?;
    if !planted.finding.as_ref().is_some_and(|finding| finding.contains(PLANTED_FILE)) {
        bail!("did not find its planted fault within {} executions", target.planted_runs_max);
    }
    Ok(format!(
        "{}; replay {} (floor {}); planted fault found after {} executions",
        line(target, &smoke),
        replayed.edges,
        target.edges_min,
        planted.executions
    ))
}

fn line(target: &Target, outcome: &Outcome) -> String {
    format!(
        "{:<12} {:>10} executions in {:>4} s, {:>5} edges",
        target.name, outcome.executions, outcome.seconds, outcome.edges
    )
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("10m"), Ok(600));
        assert_eq!(seconds("2h"), Ok(7200));
        for wrong in ["", "s", "0", "0m", "1d", "-1", "1.5h", "18446744073709551615h"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
