//! Building the targets, laying out their seeds, and running libFuzzer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::record::{self, Target};
use crate::tools;

/// Coverage counters for edges and comparisons, by the compiler's own passes. One codegen unit per
/// crate keeps the tables of counters and of addresses the same length.
const INSTRUMENTATION: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg fuzzing",
    "-Ccodegen-units=1",
];
/// Arms the planted faults.
const PLANTED: &str = "VOUCHSAFE_FUZZ_PLANTED";
/// An input that takes longer is a finding; far above what any takes on a busy machine.
const INPUT_SECONDS_MAX: u64 = 60;
const MEMORY_MIB_MAX: u64 = 2048;
/// `USER_HZ`, the unit in which Linux tells of processor time.
const TICKS_PER_SECOND: u64 = 100;

/// Built targets and their seeds.
pub(super) struct Session {
    programs: PathBuf,
    home: PathBuf,
    has_fixtures: bool,
}

/// What came of one run of libFuzzer.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) executions: u64,
    /// By the clock.
    pub(super) seconds: u64,
    /// What the process got of the processors. Counts other children too that ended meanwhile, so it
    /// is right only where one runs at a time.
    pub(super) cpu_seconds: u64,
    pub(super) edges: u64,
    /// The end of libFuzzer's report, when it stopped at an input.
    pub(super) finding: Option<String>,
}

impl Outcome {
    /// Demands that nothing was found.
    pub(super) fn clean(&self) -> Result<()> {
        match &self.finding {
            None => Ok(()),
            Some(finding) => bail!("{finding}"),
        }
    }
}

impl Session {
    /// Builds the targets and writes their seeds.
    pub(super) fn prepare() -> Result<Self> {
        let home = tools::target_dir().join("fuzz");
        let build = home.join("build");
        let host = host_triple()?;
        let mut command = tools::cargo(["build", "--release", "--locked", "--quiet", "--target", &host]);
        command.arg("--manifest-path").arg(record::folder().join("Cargo.toml"));
        command.arg("--target-dir").arg(&build);
        tools::succeed(command.env("RUSTFLAGS", INSTRUMENTATION.join(" ")))?;

        let session =
            Self { programs: build.join(host).join("release"), home, has_fixtures: fixtures().is_some() };
        let mut seeds = Command::new(session.programs.join("seeds"));
        let folder = session.home.join("seeds");
        if folder.is_dir() {
            fs::remove_dir_all(&folder)?;
        }
        seeds.arg(folder);
        match fixtures() {
            Some(folder) => {
                seeds.arg(folder);
            }
            None if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
                bail!("the fixtures folder is absent")
            }
            None => {
                anstream::eprintln!("   NOT RUN: fuzzing from real evidence, floors (no fixtures folder)")
            }
        }
        tools::succeed(&mut seeds)?;
        Ok(session)
    }

    /// Whether the seeds have the vectors among them.
    pub(super) fn has_fixtures(&self) -> bool {
        self.has_fixtures
    }

    /// Runs every seed and every input of the corpus once.
    pub(super) fn replay(&self, target: &Target) -> Result<Outcome> {
        let mut command = self.command(target, "replay")?;
        self.fuzz(command.arg("-runs=0").args(self.inputs(target)))
    }

    /// Fuzzes from corpus and seeds, keeping nothing.
    pub(super) fn smoke(&self, target: &Target, seconds: u64) -> Result<Outcome> {
        let mut command = self.command(target, "smoke")?;
        command.arg(format!("-max_total_time={seconds}")).arg("-seed=1").arg("-reload=0");
        self.fuzz(command.arg(self.folder("scratch", target, true)?).args(self.inputs(target)))
    }

    /// Fuzzes from our own seeds alone with the planted fault armed; with 0 runs, only replays them.
    pub(super) fn planted(&self, target: &Target, runs: u64) -> Result<Outcome> {
        let mut command = self.command(target, "planted")?;
        command.env(PLANTED, "1").arg(format!("-runs={runs}")).arg("-seed=1").arg("-reload=0");
        command.arg(self.folder("scratch-planted", target, true)?);
        self.fuzz(command.arg(self.home.join("seeds/own").join(&target.name)))
    }

    /// Fuzzes with the corpus under the target folder, which grows.
    pub(super) fn explore(&self, target: &Target, seconds: u64) -> Result<Outcome> {
        let mut command = self.command(target, "findings")?;
        command.arg(format!("-max_total_time={seconds}"));
        self.fuzz(command.arg(self.folder("corpus", target, false)?).args(self.inputs(target)))
    }

    /// The checked-in corpus, where the target has one, and the seeds.
    fn inputs(&self, target: &Target) -> Vec<PathBuf> {
        let homes =
            [record::folder().join("corpus"), self.home.join("seeds/own"), self.home.join("seeds/vectors")];
        homes.iter().map(|home| home.join(&target.name)).filter(|folder| folder.is_dir()).collect()
    }

    /// A folder of this target's own; emptied first if asked.
    fn folder(&self, kind: &str, target: &Target, empty: bool) -> Result<PathBuf> {
        let folder = self.home.join(kind).join(&target.name);
        if empty && folder.is_dir() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn command(&self, target: &Target, artifacts: &str) -> Result<Command> {
        let prefix = self.folder(artifacts, target, false)?;
        let mut command = Command::new(self.programs.join(&target.name));
        command.env_remove(PLANTED).arg("-print_final_stats=1").arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        command.arg(format!("-max_len={}", target.input_bytes_max));
        command.arg(format!("-artifact_prefix={}/", prefix.display()));
        Ok(command)
    }

    fn fuzz(&self, command: &mut Command) -> Result<Outcome> {
        let before = children_cpu_ticks();
        let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let report = String::from_utf8_lossy(&output.stderr);
        let mut outcome = read(&report);
        outcome.cpu_seconds = children_cpu_ticks().saturating_sub(before) / TICKS_PER_SECOND;
        if !output.status.success() {
            // The end names the input's file and the panic stands before it; the rest is statistics.
            let told: Vec<&str> = report.lines().filter(|line| is_telling(line)).collect();
            outcome.finding = Some(format!("{}\n{}", output.status, told.join("\n")));
        }
        Ok(outcome)
    }
}

/// Whether a line of libFuzzer's report says what was found and where.
fn is_telling(line: &str) -> bool {
    ["panicked at", "ERROR:", "SUMMARY:", "Test unit written", "assertion", "  left:", " right:"]
        .iter()
        .any(|mark| line.contains(mark))
}

/// Reads libFuzzer's report: `#123 DONE cov: 45 ft: …`, `Done 123 runs in 6 second(s)` and the final
/// statistics.
fn read(report: &str) -> Outcome {
    let number_after = |line: &str, mark: &str| {
        let rest = line.split_once(mark)?.1.trim_start();
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let last = |mark: &str| report.lines().rev().find_map(|line| number_after(line, mark));
    Outcome {
        executions: last("stat::number_of_executed_units:").unwrap_or(0),
        seconds: last(" runs in ").unwrap_or(0),
        cpu_seconds: 0,
        edges: last(" cov: ").unwrap_or(0),
        finding: None,
    }
}

/// Processor time of all children that have ended, user's and system's: `cutime` and `cstime` of
/// `/proc/self/stat` (proc(5)). 0 where there is no such file; nothing is recorded of such a sitting then.
fn children_cpu_ticks() -> u64 {
    let told = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses, which may hold anything.
    let fields = told.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_ascii_whitespace().skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// The folder of fixtures, as everywhere in this repository.
fn fixtures() -> Option<PathBuf> {
    let beside = || tools::root().join("../shared");
    let folder = std::env::var_os("VOUCHSAFE_FIXTURES").map_or_else(beside, PathBuf::from);
    Path::new(&folder).join("vectors").is_dir().then_some(folder)
}

/// Naming the target keeps the instrumentation out of build scripts and procedural macros.
fn host_triple() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = tools::output(Command::new(rustc).arg("-vV"))?;
    let told = String::from_utf8_lossy(&told);
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not name its host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_libfuzzer_is_read() {
        let report = "#2\tINITED cov: 12 ft: 13 corp: 1/1b\n#900\tDONE   cov: 345 ft: 400 corp: 9/9Kb\n\
            Done 900 runs in 11 second(s)\nstat::number_of_executed_units: 900\n";
        let outcome = read(report);
        assert_eq!((outcome.executions, outcome.seconds, outcome.edges), (900, 11, 345));
        let nothing = read("no report");
        assert_eq!((nothing.executions, nothing.seconds, nothing.edges), (0, 0, 0));
    }
}
