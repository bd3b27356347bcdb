//! What the monitor knows, as Prometheus reads it.

use core::fmt::Write as _;

use crate::{Histogram, Monitor};

/// All figures in Prometheus' text format, version 0.0.4.
pub fn to_text(monitor: &Monitor, now_s: u64) -> String {
    let state = monitor.state();
    let mut out = String::new();
    let mut one = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = writeln!(out, "# HELP vouchsafe_monitor_{name} {help}");
        let _ = writeln!(out, "# TYPE vouchsafe_monitor_{name} {kind}");
        let _ = writeln!(out, "vouchsafe_monitor_{name} {value}");
    };
    let alarms = u64::try_from(state.alarms.len()).unwrap_or(u64::MAX);
    let missing = state.missing();
    let boots = u64::try_from(state.boots.len()).unwrap_or(u64::MAX);
    let time = state.checkpoint.as_ref().and_then(|seen| seen.time).unwrap_or(0);
    one("violations_total", "counter", "Violations found.", alarms.saturating_add(state.alarms_dropped));
    one("size", "gauge", "Entries verified.", state.size());
    one("checkpoints_total", "counter", "Checkpoints verified.", state.checkpoints);
    one("witness_time_seconds", "gauge", "Witness time of the newest checkpoint.", time);
    one("looked_time_seconds", "gauge", "When this was written.", now_s);
    one("boots", "gauge", "Boots in the log.", boots);
    one("receipts_missing", "gauge", "Receipts that were signed and are not in the log.", missing);
    one(
        "probes_waiting",
        "gauge",
        "Own probes whose receipts are not in the log.",
        monitor.probes().waiting(),
    );
    out.push_str("# HELP vouchsafe_monitor_entries_total Entries verified, by type.\n");
    out.push_str("# TYPE vouchsafe_monitor_entries_total counter\n");
    for (kind, count) in &state.leaves {
        let _ = writeln!(out, "vouchsafe_monitor_entries_total{{type=\"{kind}\"}} {count}");
    }
    let total = state.gap.total();
    out.push_str("# HELP vouchsafe_monitor_gap_seconds The trust gap by stage; what has not settled counts in +Inf. Who measured it how precisely: docs/monitor.md.\n");
    out.push_str("# TYPE vouchsafe_monitor_gap_seconds histogram\n");
    for (stage, histogram, unsettled) in [
        ("asked_answered", &total.answered, 0),
        ("answered_witnessed", &total.witnessed, monitor.probes().waiting()),
        ("witnessed_audited", &total.audited, 0),
        ("signed_witnessed_whole_seconds", &total.log, missing),
    ] {
        self::histogram(&mut out, stage, histogram, unsettled);
    }
    out
}

/// A histogram in which what has not settled is longer than every bound.
fn histogram(out: &mut String, stage: &str, histogram: &Histogram, unsettled: u64) {
    const NAME: &str = "vouchsafe_monitor_gap_seconds";
    for (bound_ms, count) in histogram.cumulative() {
        let le = format!("{}.{:03}", bound_ms / 1000, bound_ms % 1000);
        let _ = writeln!(out, "{NAME}_bucket{{stage=\"{stage}\",le=\"{le}\"}} {count}");
    }
    let (count, sum) = (histogram.count().saturating_add(unsettled), histogram.sum_ms());
    let _ = writeln!(out, "{NAME}_bucket{{stage=\"{stage}\",le=\"+Inf\"}} {count}");
    let _ = writeln!(out, "{NAME}_sum{{stage=\"{stage}\"}} {}.{:03}", sum / 1000, sum % 1000);
    let _ = writeln!(out, "{NAME}_count{{stage=\"{stage}\"}} {count}");
}
