//! What the log counts, as Prometheus reads it.
//!
//! Only numbers that the public log shows anyway, and how long its own work takes.

use core::fmt::Write as _;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

/// Upper bounds of the histograms' buckets, in milliseconds.
const BOUNDS_MS: [u64; 14] = [5, 10, 25, 50, 100, 200, 300, 400, 500, 750, 1_000, 2_500, 5_000, 10_000];

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $field:ident: $kind:literal $name:literal $($labels:literal)?;)*) => {
        /// The log's counters, gauges and histograms.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $doc])* pub $field: AtomicU64,)*
            /// From a submission's arrival to its leaves being in the log.
            pub sequenced: Histogram,
            /// From a submission's arrival to its leaves being published, with the quorum's cosignatures.
            pub published: Histogram,
            /// One entry for each witness.
            pub witnesses: Vec<WitnessMetrics>,
        }

        impl Metrics {
            fn write_plain(&self, out: &mut String) {
                let mut described = "";
                $(
                    if described != $name {
                        described = $name;
                        describe(out, $name, $kind, concat!($($doc),*));
                    }
                    let labels: &str = concat!($($labels)?);
                    let _ = writeln!(out, "{}{labels} {}", $name, self.$field.load(Relaxed));
                )*
                let _ = described;
            }
        }
    };
}

metrics! {
    /// Leaves in the log.
    tree_size: "gauge" "vouchsafe_log_tree_size";
    /// Leaves under the published checkpoint.
    published_size: "gauge" "vouchsafe_log_published_size";
    /// Witness time of the published checkpoint, Unix seconds; 0 without witnesses.
    published_time: "gauge" "vouchsafe_log_published_time_seconds";
    /// Leaves that came in and were new.
    leaves_new: "counter" "vouchsafe_log_leaves_total" "{result=\"new\"}";
    /// Leaves that came in and were there already.
    leaves_known: "counter" "vouchsafe_log_leaves_total" "{result=\"known\"}";
    /// Leaves that came in and were refused.
    leaves_refused: "counter" "vouchsafe_log_leaves_total" "{result=\"refused\"}";
    /// Submissions answered with proofs.
    adds_answered: "counter" "vouchsafe_log_adds_total" "{result=\"answered\"}";
    /// Submissions told to come again.
    adds_unavailable: "counter" "vouchsafe_log_adds_total" "{result=\"unavailable\"}";
    /// Submissions that were malformed or too large.
    adds_malformed: "counter" "vouchsafe_log_adds_total" "{result=\"malformed\"}";
    /// Batches committed.
    batches: "counter" "vouchsafe_log_batches_total" "{result=\"committed\"}";
    /// Batches that could not be committed.
    batches_failed: "counter" "vouchsafe_log_batches_total" "{result=\"failed\"}";
    /// Failures to publish a checkpoint.
    publish_failures: "counter" "vouchsafe_log_publish_failures_total";
    /// Receipts waiting whose promise to be settled is near or broken.
    settlement_alarm: "gauge" "vouchsafe_log_settlement_alarm_receipts";
    /// Receipts that came in when their promise was already near or broken.
    settlement_late: "counter" "vouchsafe_log_settlement_late_arrivals_total";
    /// Connections open now.
    connections_open: "gauge" "vouchsafe_log_connections_open";
    /// Connections closed at once because the limit was reached.
    connections_refused: "counter" "vouchsafe_log_connections_refused_total";
    /// Bytes of blobs held until a leaf names them.
    blobs_pending: "gauge" "vouchsafe_log_blobs_pending_bytes";
}

impl Metrics {
    /// Metrics of a log with these witnesses.
    pub fn new<'a>(witnesses: impl Iterator<Item = &'a str>) -> Self {
        let witnesses = witnesses.map(WitnessMetrics::new).collect();
        Self { witnesses, ..Self::default() }
    }

    /// All of them in Prometheus' text format, version 0.0.4.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.write_plain(&mut out);
        let waits = [
            ("vouchsafe_log_sequenced_seconds", "From arrival to being in the log.", &self.sequenced),
            ("vouchsafe_log_published_seconds", "From arrival to a published proof.", &self.published),
        ];
        for (name, help, histogram) in waits {
            describe(&mut out, name, "histogram", help);
            histogram.write(&mut out, name, "");
        }
        const RESULTS: &str = "vouchsafe_log_witness_requests_total";
        describe(&mut out, RESULTS, "counter", "Cosignatures asked for, by what came of it.");
        for witness in &self.witnesses {
            for (result, count) in witness.results() {
                let name = &witness.name;
                let _ = writeln!(
                    out,
                    "{RESULTS}{{witness=\"{name}\",result=\"{result}\"}} {}",
                    count.load(Relaxed)
                );
            }
        }
        const SECONDS: &str = "vouchsafe_log_witness_seconds";
        describe(&mut out, SECONDS, "histogram", "How long a witness took to cosign.");
        for witness in &self.witnesses {
            witness.took.write(&mut out, SECONDS, &format!("witness=\"{}\"", witness.name));
        }
        out
    }
}

/// What is counted of one witness.
#[derive(Debug, Default)]
pub struct WitnessMetrics {
    name: String,
    /// Good cosignatures.
    pub cosigned: AtomicU64,
    /// It did not answer, or not in time.
    pub unreachable: AtomicU64,
    /// It refused, or answered what no witness answers.
    pub refused: AtomicU64,
    /// Its cosignature did not verify.
    pub bad_signature: AtomicU64,
    /// It says that it has cosigned more than this log holds, or another root: somebody forked.
    pub conflict: AtomicU64,
    /// How long good answers took.
    pub took: Histogram,
}

impl WitnessMetrics {
    fn new(name: &str) -> Self {
        // Label values: the names of keys hold no white space, but may hold quotes and backslashes.
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        Self { name, ..Self::default() }
    }

    fn results(&self) -> [(&'static str, &AtomicU64); 5] {
        [
            ("cosigned", &self.cosigned),
            ("unreachable", &self.unreachable),
            ("refused", &self.refused),
            ("bad_signature", &self.bad_signature),
            ("conflict", &self.conflict),
        ]
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One more than the bounds: the last is for everything above them.
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let at = BOUNDS_MS.iter().position(|bound| ms < *bound).unwrap_or(BOUNDS_MS.len());
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0_u64;
        let bounds = BOUNDS_MS.iter().map(|ms| Duration::from_millis(*ms).as_secs_f64().to_string());
        for (bucket, bound) in self.buckets.iter().zip(bounds.chain(["+Inf".to_owned()])) {
            total = total.saturating_add(bucket.load(Relaxed));
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
        }
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let sum = Duration::from_micros(self.sum_us.load(Relaxed)).as_secs_f64();
        let _ = writeln!(out, "{name}_sum{braces} {sum}\n{name}_count{braces} {total}");
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
}

/// Sets a gauge.
pub(crate) fn set(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Relaxed);
}

fn describe(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", help.trim());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_upwards_and_ends_with_everything() {
        let metrics = Metrics::new(["w\"1"].into_iter());
        for ms in [1, 30, 30, 60_000] {
            metrics.published.observe(Duration::from_millis(ms));
        }
        add(&metrics.witnesses[0].bad_signature, 2);
        let text = metrics.to_text();
        for line in [
            "vouchsafe_log_published_seconds_bucket{le=\"0.005\"} 1\n",
            "vouchsafe_log_published_seconds_bucket{le=\"0.05\"} 3\n",
            "vouchsafe_log_published_seconds_bucket{le=\"10\"} 3\n",
            "vouchsafe_log_published_seconds_bucket{le=\"+Inf\"} 4\n",
            "vouchsafe_log_published_seconds_count 4\n",
            "vouchsafe_log_witness_requests_total{witness=\"w\\\"1\",result=\"bad_signature\"} 2\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert_eq!(text.matches("# TYPE vouchsafe_log_leaves_total counter\n").count(), 1);
    }
}
