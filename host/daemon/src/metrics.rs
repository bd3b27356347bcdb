//! What the host counts, as Prometheus reads it.
//!
//! Everything here is about ciphertext and receipts in number, never about content.

use core::convert::Infallible;
use core::fmt::Write as _;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
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
    /// Requests the enclave is executing.
    enclave_active: "gauge" "vouchsafe_host_enclave_requests_active";
    /// Requests waiting in the enclave.
    enclave_queued: "gauge" "vouchsafe_host_enclave_requests_queued";
    /// Receipts the enclave holds until they are acknowledged.
    enclave_unacknowledged: "gauge" "vouchsafe_host_enclave_receipts_unacknowledged";
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
        drop(open);
        assert!(metrics.to_text().contains("vouchsafe_host_connections_open 0\n"));
    }
}
