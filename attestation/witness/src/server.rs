//! The witness over HTTP/1.1: `POST /add-checkpoint`, `GET /<origin hash>/checkpoint`, and limits on
//! everything a stranger can spend.

use core::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::encoding::from_hex;

use crate::{Error, Rate, Refusal, Witness};

/// What strangers may spend.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest request body, in bytes. A proof of 63 hashes and a note with 16 large signatures fit.
    pub body_bytes_max: usize,
    /// Connections at once.
    pub connections_max: usize,
    /// Longest time for a request to arrive.
    pub request_max: Duration,
    /// Requests per second that each address may make.
    pub requests_per_second: u32,
    /// Requests that each address may make at once.
    pub requests_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 128 << 10,
            connections_max: 256,
            request_max: Duration::from_secs(10),
            requests_per_second: 50,
            requests_burst: 100,
        }
    }
}

/// A witness that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    witness: Arc<Witness>,
    limits: Limits,
    rate: Mutex<Rate>,
}

impl Server {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub async fn bind(address: SocketAddr, witness: Arc<Witness>, limits: Limits) -> Result<Self, Error> {
        let failed = |problem| Error::Listen { address, problem };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let rate = Mutex::new(Rate::new(limits.requests_per_second, limits.requests_burst));
        Ok(Self { listener, address, shared: Arc::new(Shared { witness, limits, rate }) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` resolves; requests under way are answered before it returns.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let places_max = self.shared.limits.connections_max.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places_max));
        let graceful = hyper_util::server::graceful::GracefulShutdown::new();
        let mut stop = core::pin::pin!(stop);
        loop {
            let next = async {
                // A closed semaphore does not occur: nobody closes it.
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                self.listener.accept().await.ok().map(|accepted| (place, accepted))
            };
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = next => accepted,
            };
            let Some((place, (stream, peer))) = accepted else {
                // Out of descriptors, most likely: let some connections end.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let shared = Arc::clone(&self.shared);
            let answer = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(shared.respond(request, peer.ip()).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.shared.limits.request_max)
                .max_headers(64)
                .serve_connection(TokioIo::new(stream), answer);
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // A peer that fails or leaves is its own concern.
                let _ = connection.await;
                drop(place);
            });
        }
        let _ = tokio::time::timeout(self.shared.limits.request_max, graceful.shutdown()).await;
    }
}

impl Shared {
    async fn respond(self: Arc<Self>, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::POST, "/add-checkpoint") => self.add_checkpoint(request, peer).await,
            (&Method::GET | &Method::HEAD, "/metrics") => {
                let mut response = text(StatusCode::OK, self.witness.metrics().to_text());
                let kind = HeaderValue::from_static("text/plain; version=0.0.4");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            (&Method::GET | &Method::HEAD, path) => self.checkpoint(path).await,
            _ => text(StatusCode::METHOD_NOT_ALLOWED, "only POST /add-checkpoint and GET are answered\n"),
        }
    }

    async fn add_checkpoint(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Response<Full<Bytes>> {
        let admitted = {
            let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
            rate.take(peer, Instant::now())
        };
        if let Err(wait) = admitted {
            self.witness.metrics().count("rate_limited");
            let mut response = text(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
            let seconds = wait.as_secs().saturating_add(1);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            return response;
        }
        let body = Limited::new(request.into_body(), self.limits.body_bytes_max).collect();
        let body = match tokio::time::timeout(self.limits.request_max, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                self.witness.metrics().count("request_too_long");
                return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long\n");
            }
            Ok(Err(_)) | Err(_) => {
                self.witness.metrics().count("request_incomplete");
                return text(StatusCode::REQUEST_TIMEOUT, "the request did not arrive whole\n");
            }
        };
        // Waiting for the disk would hold up everybody else on this thread.
        let decided = tokio::task::spawn_blocking(move || self.witness.add_checkpoint(&body, now())).await;
        match decided {
            Ok(Ok(cosigned)) => text(StatusCode::OK, cosigned.lines().to_owned()),
            Ok(Err(refusal)) => refused(&refusal),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the witness failed\n"),
        }
    }

    /// `GET /<SHA-256 of the origin in hexadecimal>/checkpoint`.
    async fn checkpoint(self: Arc<Self>, path: &str) -> Response<Full<Bytes>> {
        let origin_hash = path.strip_prefix('/').and_then(|path| path.strip_suffix("/checkpoint"));
        let Some(origin_hash) = origin_hash.and_then(from_hex::<32>) else {
            return text(StatusCode::NOT_FOUND, "nothing here\n");
        };
        let found = tokio::task::spawn_blocking(move || self.witness.latest_note(&origin_hash)).await;
        match found {
            Ok(Ok(Some(note))) => {
                let mut response = text(StatusCode::OK, note);
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                response
            }
            Ok(Ok(None)) => text(StatusCode::NOT_FOUND, "no checkpoint of this log was cosigned\n"),
            _ => text(StatusCode::INTERNAL_SERVER_ERROR, "the state could not be read\n"),
        }
    }
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Refusal::Conflict { latest, .. } | Refusal::Forked { size: latest } = refusal {
        let mut response = text(status, format!("{latest}\n"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/x.tlog.size"));
        return response;
    }
    text(status, format!("{refusal}\n"))
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// This machine's clock, which is what a witness attests. A clock before 1970 is as good as none; 0
/// lies before every cosignature, so that the state refuses it.
fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(since.as_secs())
}
