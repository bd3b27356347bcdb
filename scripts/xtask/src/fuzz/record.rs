//! The two files that fuzzing is held to: what is demanded of each target, and what was done so far.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::session::Outcome;
use crate::tools;

/// What the check demands of a target: an entry of `tests/fuzz/targets.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    pub(super) name: String,
    /// Longest input tried.
    pub(super) input_bytes_max: u64,
    /// Edges that a brief run with the vectors' seeds must cover.
    pub(super) edges_min: u64,
    /// Executions within which the planted fault must be found.
    pub(super) planted_runs_max: u64,
}

/// `tests/fuzz/record.json`: all recorded sittings, added up by target.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Record(BTreeMap<String, Sittings>);

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sittings {
    sittings: u64,
    /// Processor time, which is what fuzzing is measured by: a busy machine gives little of a minute.
    cpu_seconds: u64,
    /// By the clock.
    wall_seconds: u64,
    executions: u64,
    /// The most edges that one sitting covered.
    edges_max: u64,
    /// Sittings that ended at an input whose fault nobody has mended yet. Whoever mends it puts the
    /// input into `tests/fuzz/corpus` and takes it off here.
    open_findings: u64,
}

/// The targets, in the order of the file.
pub(super) fn targets() -> Result<Vec<Target>> {
    let file = folder().join("targets.json");
    let text = fs::read(&file).with_context(|| file.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| file.display().to_string())
}

/// tests/fuzz.
pub(super) fn folder() -> PathBuf {
    tools::root().join("tests/fuzz")
}

impl Record {
    pub(super) fn load() -> Result<Self> {
        let file = folder().join("record.json");
        match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| file.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| file.display().to_string()),
        }
    }

    pub(super) fn add(&mut self, target: &str, outcome: &Outcome) {
        let total = self.0.entry(target.to_owned()).or_default();
        total.sittings += 1;
        total.cpu_seconds += outcome.cpu_seconds;
        total.wall_seconds += outcome.seconds;
        total.executions += outcome.executions;
        total.edges_max = total.edges_max.max(outcome.edges);
        total.open_findings += u64::from(outcome.finding.is_some());
    }

    /// How much a target was fuzzed, in words.
    pub(super) fn line(&self, target: &str) -> String {
        match self.0.get(target) {
            None => "never recorded".to_owned(),
            Some(total) => format!(
                "{} executions in {} s of processor time over {} sittings, {} open findings",
                total.executions, total.cpu_seconds, total.sittings, total.open_findings
            ),
        }
    }

    /// The targets with findings that nobody has mended yet.
    pub(super) fn open_findings(&self) -> Vec<&str> {
        let open = self.0.iter().filter(|(_, total)| total.open_findings > 0);
        open.map(|(target, _)| target.as_str()).collect()
    }

    pub(super) fn save(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(folder().join("record.json"), text).context("tests/fuzz/record.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sittings_add_up_and_the_best_coverage_stays() {
        let mut record = Record::default();
        let outcome = |edges, finding| Outcome { executions: 10, seconds: 4, cpu_seconds: 2, edges, finding };
        record.add("a", &outcome(7, None));
        record.add("a", &outcome(5, None));
        let text = serde_json::to_value(&record).unwrap();
        let expected = serde_json::json!({
            "sittings": 2, "cpu_seconds": 4, "wall_seconds": 8, "executions": 20, "edges_max": 7,
            "open_findings": 0,
        });
        assert_eq!(text["a"], expected);
        assert!(record.open_findings().is_empty());
        record.add("a", &outcome(5, Some("a fault".to_owned())));
        assert_eq!(record.open_findings(), ["a"]);
    }

    #[test]
    fn every_target_has_its_program_and_its_demands() {
        let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        let targets = targets().unwrap();
        for target in &targets {
            assert!(manifest.contains(&format!("path = \"targets/{}.rs\"", target.name)), "{}", target.name);
            assert!(target.edges_min > 0 && target.planted_runs_max > 0, "{}", target.name);
        }
        assert_eq!(manifest.matches("path = \"targets/").count(), targets.len());
    }
}
