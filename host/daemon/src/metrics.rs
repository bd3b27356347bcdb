//! What the host counts, as Prometheus reads it.
//!
//! Everything here is about ciphertext and receipts in number, never about content.

use core::convert::Infallible;
use core::fmt::Write as _;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::Error;

/// Scrapers served at once.
const CONNECTIONS_MAX: usize = 16;

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $field:ident: $kind:literal $name:literal $($labels:literal)?;)*) => {
        /// The host's counters and gauges.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $($(#[doc = $doc])* pub(crate) $field: AtomicU64,)*
            /// From a leaf's arrival at this host until the log answered with its place.
            pub(crate) gap_witnessed: Histogram,
            /// From a leaf's arrival at this host until the enclave verified its inclusion.
            pub(crate) gap_verified: Histogram,
        }

        impl Metrics {
            /// All of them in Prometheus' text format, version 0.0.4.
            pub(crate) fn to_text(&self) -> String {
                let mut out = String::new();
                let mut described = "";
                $(
                    if described != $name {
                        described = $name;
                        let _ = writeln!(out, "# HELP {}{}", $name, concat!($($doc),*));
                        let _ = writeln!(out, "# TYPE {} {}", $name, $kind);
                    }
                    let labels: &str = concat!($($labels)?);
                    let _ = writeln!(out, "{}{labels} {}", $name, self.$field.load(Relaxed));
                )*
                let _ = described;
                let name = "vouchsafe_host_settle_seconds";
                let _ = writeln!(
                    out,
                    "# HELP {name} From a leaf's arrival at this host, by its own clock: until the log answered, with \
                     its witnesses' cosignatures where it has any; until the enclave verified the proof. What has not \
                     ended counts in +Inf."
                );
                let _ = writeln!(out, "# TYPE {name} histogram");
                self.gap_witnessed.write(&mut out, name, "witnessed");
                self.gap_verified.write(&mut out, name, "verified");
                out
            }
        }
    };
}

metrics! {
    /// Client connections accepted.
    connections: "counter" "vouchsafe_host_connections_total";
    /// Client connections open now.
    connections_open: "gauge" "vouchsafe_host_connections_open";
    /// Client connections closed at once because the limit was reached.
    connections_refused: "counter" "vouchsafe_host_connections_refused_total";
    /// Client connections for which the enclave could not be reached.
    connections_undelivered: "counter" "vouchsafe_host_connections_undelivered_total";
    /// Client connections that did not end in order: cut, timed out or failed.
    connections_cut: "counter" "vouchsafe_host_connections_cut_total";
    /// Ciphertext forwarded.
    bytes_to_enclave: "counter" "vouchsafe_host_bytes_total" "{direction=\"to_enclave\"}";
    /// Ciphertext forwarded.
    bytes_to_client: "counter" "vouchsafe_host_bytes_total" "{direction=\"to_client\"}";
    /// Receipts stored durably.
    receipts_stored: "counter" "vouchsafe_host_receipts_stored_total";
    /// Receipts received again and not stored twice.
    receipts_repeated: "counter" "vouchsafe_host_receipts_repeated_total";
    /// Failed attempts to store receipts.
    storage_failures: "counter" "vouchsafe_host_storage_failures_total";
    /// Whether the control connection stands.
    control_connected: "gauge" "vouchsafe_host_control_connected";
    /// Whether the enclave said that it serves.
    enclave_ready: "gauge" "vouchsafe_host_enclave_ready";
    /// Leaves that are not proved to be in the log.
    unsettled: "gauge" "vouchsafe_host_unsettled";
    /// How long the oldest of them has waited.
    unsettled_oldest_seconds: "gauge" "vouchsafe_host_unsettled_oldest_seconds";
    /// Leaves proved to be in the log.
    settled: "counter" "vouchsafe_host_settled_total";
    /// Failed attempts to carry leaves or proofs.
    settle_failures: "counter" "vouchsafe_host_settle_failures_total";
    /// Leaves that the log refused.
    log_refusals: "counter" "vouchsafe_host_log_refusals_total";
    /// Proofs that the enclave refused.
    enclave_refusals: "counter" "vouchsafe_host_enclave_refusals_total";
    /// Receipts that were about to miss their promised time.
    settle_alarms: "counter" "vouchsafe_host_settle_alarms_total";
    /// Requests the enclave is executing.
    enclave_active: "gauge" "vouchsafe_host_enclave_requests_active";
    /// Requests waiting in the enclave.
    enclave_queued: "gauge" "vouchsafe_host_enclave_requests_queued";
    /// Receipts the enclave holds until they are acknowledged.
    enclave_unacknowledged: "gauge" "vouchsafe_host_enclave_receipts_unacknowledged";
}

/// Upper bounds of a histogram's buckets, milliseconds.
const BUCKETS_MS: [u64; 12] =
    [100, 250, 500, 750, 1_000, 1_500, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000];

/// How often something took how long.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS_MS.len()],
    /// What began.
    count: AtomicU64,
    sum_ms: AtomicU64,
}

impl Histogram {
    /// Something began. Until it is observed it counts as longer than every bound, so that quantiles do
    /// not look good because the worst has not ended.
    pub(crate) fn begin(&self) {
        add(&self.count, 1);
    }

    /// Something that began has ended.
    pub(crate) fn observe(&self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        for (bucket, _) in self.buckets.iter().zip(BUCKETS_MS).filter(|(_, bound)| took <= *bound) {
            add(bucket, 1);
        }
        add(&self.sum_ms, took);
    }

    fn write(&self, out: &mut String, name: &str, stage: &str) {
        for (bucket, bound) in self.buckets.iter().zip(BUCKETS_MS) {
            let (bound, count) = (seconds(bound), bucket.load(Relaxed));
            let _ = writeln!(out, "{name}_bucket{{stage=\"{stage}\",le=\"{bound}\"}} {count}");
        }
        let (count, sum) = (self.count.load(Relaxed), seconds(self.sum_ms.load(Relaxed)));
        let _ = writeln!(out, "{name}_bucket{{stage=\"{stage}\",le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum{{stage=\"{stage}\"}} {sum}");
        let _ = writeln!(out, "{name}_count{{stage=\"{stage}\"}} {count}");
    }
}

/// Milliseconds, written as seconds.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Adds to a counter or gauge.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}

/// Sets a gauge.
pub(crate) fn set(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Relaxed);
}

/// A gauge that is one higher while this lives.
#[derive(Debug)]
pub(crate) struct Raised<'a>(&'a AtomicU64);

impl<'a> Raised<'a> {
    pub(crate) fn new(gauge: &'a AtomicU64) -> Self {
        gauge.fetch_add(1, Relaxed);
        Self(gauge)
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Listens where metrics are to be served.
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |error: std::io::Error| Error::Listen { address, message: error.to_string() };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let actual = listener.local_addr().map_err(failed)?;
    Ok((listener, actual))
}

/// Serves `GET /metrics` until dropped.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let response = respond(&request, &metrics);
                async { Ok::<_, Infallible>(response) }
            });
            // A scraper that fails or leaves is its own concern.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer)
                .await;
            drop(place);
        });
    }
}

fn respond<B>(request: &Request<B>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics.to_text()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "only /metrics is here\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_described_once_and_has_a_value() {
        let metrics = Metrics::default();
        add(&metrics.bytes_to_client, 7);
        let open = Raised::new(&metrics.connections_open);
        let text = metrics.to_text();
        assert!(text.contains("vouchsafe_host_bytes_total{direction=\"to_client\"} 7\n"), "{text}");
        assert!(text.contains("vouchsafe_host_connections_open 1\n"), "{text}");
        assert_eq!(text.matches("# TYPE vouchsafe_host_bytes_total counter\n").count(), 1);
        assert!(text.contains("# HELP vouchsafe_host_bytes_total Ciphertext forwarded.\n"), "{text}");
        metrics.gap_witnessed.begin();
        metrics.gap_witnessed.begin();
        metrics.gap_witnessed.observe(Duration::from_millis(600));
        let text = metrics.to_text();
        assert!(text.contains("settle_seconds_bucket{stage=\"witnessed\",le=\"300.000\"} 1\n"), "{text}");
        // One has not settled: it is longer than all that have.
        assert!(text.contains("settle_seconds_bucket{stage=\"witnessed\",le=\"+Inf\"} 2\n"), "{text}");
        assert!(text.contains("settle_seconds_count{stage=\"witnessed\"} 2\n"), "{text}");
        assert!(text.contains("settle_seconds_bucket{stage=\"witnessed\",le=\"0.500\"} 0\n"), "{text}");
        assert!(text.contains("settle_seconds_bucket{stage=\"witnessed\",le=\"0.750\"} 1\n"), "{text}");
        assert!(text.contains("settle_seconds_sum{stage=\"witnessed\"} 0.600\n"), "{text}");
        drop(open);
        assert!(metrics.to_text().contains("vouchsafe_host_connections_open 0\n"));
    }
}
