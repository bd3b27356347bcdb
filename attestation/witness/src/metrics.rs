//! What a witness counts, as Prometheus reads it.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Counters of one witness.
#[derive(Debug, Default)]
pub struct Metrics {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Requests by their outcome's code.
    outcomes: BTreeMap<&'static str, u64>,
    /// Per log: the size and the time that were cosigned last.
    latest: BTreeMap<String, (u64, u64)>,
}

impl Metrics {
    /// Counts a request that ended with this code: `cosigned`, or a refusal's.
    pub fn count(&self, code: &'static str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let count = inner.outcomes.entry(code).or_default();
        *count = count.saturating_add(1);
    }

    /// Notes what was cosigned last of a log.
    pub fn cosigned(&self, origin: &str, size: u64, time: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.latest.insert(origin.into(), (size, time));
    }

    /// All of them in Prometheus' text format, version 0.0.4.
    pub fn to_text(&self) -> String {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        out.push_str("# HELP vouchsafe_witness_requests_total Requests to cosign, by outcome.\n");
        out.push_str("# TYPE vouchsafe_witness_requests_total counter\n");
        for (code, count) in &inner.outcomes {
            let _ = writeln!(out, "vouchsafe_witness_requests_total{{outcome=\"{code}\"}} {count}");
        }
        out.push_str("# HELP vouchsafe_witness_size Size of the checkpoint that was cosigned last.\n");
        out.push_str("# TYPE vouchsafe_witness_size gauge\n");
        for (origin, (size, _)) in &inner.latest {
            let _ = writeln!(out, "vouchsafe_witness_size{{origin=\"{}\"}} {size}", label(origin));
        }
        out.push_str("# HELP vouchsafe_witness_time_seconds Time of the last cosignature.\n");
        out.push_str("# TYPE vouchsafe_witness_time_seconds gauge\n");
        for (origin, (_, time)) in &inner.latest {
            let _ = writeln!(out, "vouchsafe_witness_time_seconds{{origin=\"{}\"}} {time}", label(origin));
        }
        out
    }
}

/// A label's value, escaped as the format demands.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_gauges_are_written_with_escaped_labels() {
        let metrics = Metrics::default();
        metrics.count("cosigned");
        metrics.count("cosigned");
        metrics.cosigned("a\"b", 7, 9);
        let text = metrics.to_text();
        assert!(text.contains("vouchsafe_witness_requests_total{outcome=\"cosigned\"} 2\n"), "{text}");
        assert!(text.contains("vouchsafe_witness_size{origin=\"a\\\"b\"} 7\n"), "{text}");
        assert!(text.contains("vouchsafe_witness_time_seconds{origin=\"a\\\"b\"} 9\n"), "{text}");
    }
}
