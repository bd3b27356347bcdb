//! HTTP: the public files as c2sp.org/tlog-tiles has them, and submissions.
//!
//! Reads are static: any web server or object store can give the same answers from the public folder.
//! TLS is for whatever stands in front.

use core::convert::Infallible;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use vouchsafe_receipt::records::BLOB_BYTES_MAX;
use vouchsafe_translog::tile::Resource;
use vouchsafe_verifier::encoding::{from_hex, to_hex};

use crate::Error;
use crate::log::{read_bundle, read_tile};
use crate::metrics::Metrics;
use crate::service::{ADD_BYTES_MAX, NoAnswer, Service};

/// How long a client may take to send a head, or to begin the next request.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// How long a client may take to send a body.
const BODY_MAX: Duration = Duration::from_secs(15);
/// How long a connection lives.
const CONNECTION_MAX: Duration = Duration::from_secs(600);
/// How long it may take to end after that.
const DRAIN_MAX: Duration = Duration::from_secs(15);
/// Longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// A checkpoint is new several times a second; whoever stands in front may share one for a moment.
const FRESH: &str = "public, max-age=1";
const NEVER: &str = "no-store";

type Reply = Response<Full<Bytes>>;

/// Listens on an address.
///
/// # Errors
/// [`Error::Listen`].
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |error: std::io::Error| Error::Listen { address, message: error.to_string() };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let actual = listener.local_addr().map_err(failed)?;
    Ok((listener, actual))
}

/// What is served on a listener.
#[derive(Clone)]
pub(crate) enum Site {
    /// The log.
    Log(Arc<Service>),
    /// Metrics.
    Metrics(Arc<Metrics>),
}

/// Serves until dropped, with at most so many connections at once.
pub(crate) async fn serve(listener: TcpListener, site: Site, connections_max: usize, metrics: Arc<Metrics>) {
    use core::sync::atomic::Ordering::Relaxed;
    let places = Arc::new(Semaphore::new(connections_max));
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let some connections end.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            metrics.connections_refused.fetch_add(1, Relaxed);
            continue;
        };
        let (site, metrics) = (site.clone(), Arc::clone(&metrics));
        connections.spawn(async move {
            metrics.connections_open.fetch_add(1, Relaxed);
            connection(stream, site).await;
            metrics.connections_open.fetch_sub(1, Relaxed);
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, site: Site) {
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(site.respond(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = core::pin::pin!(connection);
    // A client that fails or leaves is its own concern.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = sleep(CONNECTION_MAX) => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(DRAIN_MAX, connection).await;
        }
    }
}

impl Site {
    async fn respond(&self, request: Request<Incoming>) -> Reply {
        let is_head = request.method() == Method::HEAD;
        let mut reply = match (self, request.method(), request.uri().path()) {
            (Self::Metrics(metrics), &Method::GET | &Method::HEAD, "/metrics") => {
                reply(StatusCode::OK, "text/plain; version=0.0.4", NEVER, metrics.to_text())
            }
            (Self::Log(log), &Method::POST, "/add") => add(log, request).await,
            (Self::Log(log), &Method::POST, "/blob") => blob(log, request).await,
            (Self::Log(log), &Method::GET | &Method::HEAD, path) => {
                read(log, path.trim_start_matches('/')).await
            }
            (_, &Method::GET | &Method::HEAD, _) => refuse(StatusCode::NOT_FOUND, "not_found"),
            _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "method"),
        };
        if is_head {
            let length = reply.body().size_hint().exact().unwrap_or(0);
            reply.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            *reply.body_mut() = Full::default();
        }
        reply
    }
}

async fn add(log: &Arc<Service>, request: Request<Incoming>) -> Reply {
    let body = match body(request, ADD_BYTES_MAX).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match log.add(body).await {
        Ok(answer) => match serde_json::to_vec(&answer) {
            Ok(json) => reply(StatusCode::OK, "application/json", NEVER, json),
            Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        },
        Err(NoAnswer::Malformed(code)) => refuse(StatusCode::BAD_REQUEST, code),
        Err(NoAnswer::Unavailable(code)) => {
            let mut refusal = refuse(StatusCode::SERVICE_UNAVAILABLE, code);
            refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            refusal
        }
    }
}

async fn blob(log: &Arc<Service>, request: Request<Incoming>) -> Reply {
    match body(request, BLOB_BYTES_MAX).await {
        Ok(body) => {
            let json = format!("{{\"sha256\":\"{}\"}}", to_hex(&log.blob(body)));
            reply(StatusCode::OK, "application/json", NEVER, json)
        }
        Err(refusal) => refusal,
    }
}

async fn body(request: Request<Incoming>, bytes_max: usize) -> Result<Bytes, Reply> {
    match timeout(BODY_MAX, Limited::new(request.into_body(), bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "too_large"))
        }
        Ok(Err(_)) => Err(refuse(StatusCode::BAD_REQUEST, "body")),
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "too_slow")),
    }
}

async fn read(log: &Arc<Service>, path: &str) -> Reply {
    if path == "checkpoint" {
        let newest = log.published.borrow().as_ref().map(|published| published.note.to_string());
        let note = match newest {
            Some(note) => Ok(Some(note.into_bytes())),
            // This process has published nothing yet: what an earlier one did stands.
            None => {
                let tiles = Arc::clone(&log.storage.tiles);
                let read = tokio::task::spawn_blocking(move || tiles.read("checkpoint"));
                read.await.unwrap_or(Err(Error::Stopping))
            }
        };
        return match note {
            Ok(Some(note)) => reply(StatusCode::OK, "text/plain; charset=utf-8", FRESH, note),
            Ok(None) => refuse(StatusCode::NOT_FOUND, "starting"),
            Err(error) => failed(&error),
        };
    }
    let (storage, path) = (log.storage.clone(), path.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        if let Some(digest) = path.strip_prefix("blob/") {
            let Some(sha256) = from_hex(digest) else { return Ok(None) };
            return storage.blobs.read(&sha256);
        }
        let read = match Resource::parse(&path) {
            Ok(Resource::Hashes(tile)) => read_tile(storage.tiles.as_ref(), tile),
            Ok(Resource::Entries(tile)) => read_bundle(storage.tiles.as_ref(), tile),
            Ok(_) | Err(_) => return Ok(None),
        };
        match read {
            Err(Error::Missing { .. }) => Ok(None),
            other => other.map(Some),
        }
    });
    match read.await.unwrap_or(Err(Error::Stopping)) {
        Ok(Some(bytes)) => reply(StatusCode::OK, "application/octet-stream", IMMUTABLE, bytes),
        Ok(None) => refuse(StatusCode::NOT_FOUND, "not_found"),
        Err(error) => failed(&error),
    }
}

/// Our own failure: the operator is told what, the reader the code.
fn failed(error: &Error) -> Reply {
    eprintln!("vouchsafe-log: {error} ({})", error.code());
    refuse(StatusCode::INTERNAL_SERVER_ERROR, error.code())
}

fn refuse(status: StatusCode, code: &str) -> Reply {
    reply(status, "application/json", NEVER, format!("{{\"error\":\"{code}\"}}"))
}

fn reply(status: StatusCode, kind: &'static str, cache: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let fixed = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, cache),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Verifiers in browsers read the log from anywhere; there is nothing here to protect.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    for (name, value) in fixed {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}
