//! An OpenAI-compatible endpoint on loopback, in front of a client.
//!
//! Programs that know nothing of attestation get an ordinary HTTP endpoint. Nothing is forwarded to an
//! enclave that was not accepted, and no answer is passed on as complete before its receipt was: of a
//! plain answer nothing is shown before its verdict, of a stream the final `[DONE]` is held back until
//! then. Failures have OpenAI's shape and say which check failed.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use vouchsafe_bundle::VerifiedBoot;
use vouchsafe_receipt::stream::{ASSURANCE_NAME, NONCE_NAME, OPENING_NAME, RECEIPT_NAME, TOKEN_NAME};

use crate::{Answer, Client, Error, Reply, Request};

/// Largest request body that is read.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Connections served at the same time.
const CONNECTIONS_MAX: usize = 256;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Pieces of a stream that may wait for a slow reader.
const PIECES_MAX: usize = 64;

type Body = BoxBody<Bytes, Aborted>;

/// Ends a response's body without an end, so that no reader takes it for complete.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer could not be completed")]
pub struct Aborted;

/// What the endpoint tells whoever runs it, about one answer.
#[derive(Debug, Clone)]
pub struct Served {
    /// Path of the request.
    pub path: String,
    /// HTTP status.
    pub status: StatusCode,
    /// Whether a receipt came and was accepted; absent where none is due.
    pub accepted: Option<bool>,
    /// The code of what failed.
    pub code: Option<String>,
    /// The bundle's file, where bundles are kept.
    pub bundle: Option<PathBuf>,
}

/// Told about each answer.
pub type Observer = Arc<dyn Fn(Served) + Send + Sync>;

/// An endpoint in front of a client.
pub struct Proxy {
    client: Arc<Client>,
    receipts: Option<PathBuf>,
    saved: AtomicU64,
    observer: Observer,
}

impl Proxy {
    /// An endpoint that keeps the bundle of every answer, with request and response beside it, in the
    /// folder `receipts` if given.
    pub fn new(client: Arc<Client>, receipts: Option<PathBuf>, observer: Observer) -> Self {
        Self { client, receipts, saved: AtomicU64::new(0), observer }
    }

    /// Serves until dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<Infallible> {
        let (proxy, places) = (Arc::new(self), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return Err(std::io::Error::other("the endpoint was closed"));
            };
            let (stream, _) = listener.accept().await?;
            let proxy = Arc::clone(&proxy);
            connections.spawn(async move {
                proxy.connection(stream).await;
                drop(place);
            });
            // Forgets connections that have ended.
            while connections.try_join_next().is_some() {}
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        // Without it small pieces of a stream wait for each other.
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request| {
            let proxy = Arc::clone(&self);
            async move { Ok::<_, Infallible>(proxy.answer(request).await) }
        });
        // A client that leaves or speaks no HTTP is no concern of others.
        let _ = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(self: Arc<Self>, request: http::Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        match self.forward(request).await {
            Ok(response) => response,
            Err(failure) => {
                self.tell(&path, failure.status, None, Some(failure.code.clone()), None);
                failure.response()
            }
        }
    }

    async fn forward(self: &Arc<Self>, request: http::Request<Incoming>) -> Result<Response<Body>, Failure> {
        let request = read(request).await?;
        let due = is_receipt_due(&request);
        let path = request.path.clone();
        let reply = self.client.send(&request).await?;
        if reply.is_stream() {
            return Ok(self.stream(reply, path));
        }
        let boot = Arc::clone(reply.boot());
        let headers = passed_headers(&reply);
        let answer = reply.finish().await?;
        let (answer, boot) = self.client.settle_epoch(answer, boot).await?;
        // Refusals before admission get no receipt; a good answer always has one.
        if (due && answer.status.is_success()) || answer.verdict.is_some() {
            check(&answer)?;
        }
        self.conclude(&path, &answer, &boot).await;
        let mut response = Response::new(full(answer.response));
        *response.status_mut() = answer.status;
        response.headers_mut().extend(headers);
        Ok(response)
    }

    /// Passes a stream on while it is generated.
    fn stream(self: &Arc<Self>, mut reply: Reply, path: String) -> Response<Body> {
        let mut response = Response::builder().status(reply.status);
        if let Some(headers) = response.headers_mut() {
            headers.extend(passed_headers(&reply));
        }
        let (pieces, mut receiver) = mpsc::channel::<Result<Frame<Bytes>, Aborted>>(PIECES_MAX);
        let proxy = Arc::clone(self);
        tokio::spawn(async move {
            let status = reply.status;
            let mut held = Held::default();
            let result = loop {
                match reply.chunk().await {
                    Ok(Some(chunk)) => {
                        let ready = held.push(&chunk);
                        if !ready.is_empty() && pieces.send(Ok(Frame::data(ready))).await.is_err() {
                            // The program left: dropping the reply tells the enclave.
                            return;
                        }
                    }
                    Ok(None) => {
                        let boot = Arc::clone(reply.boot());
                        break proxy.judge(reply, boot).await;
                    }
                    Err(error) => break Err(error.into()),
                }
            };
            match result {
                Ok((answer, boot)) => {
                    proxy.conclude(&path, &answer, &boot).await;
                    let _ = pieces.send(Ok(Frame::data(held.rest()))).await;
                }
                Err(failure) => {
                    proxy.tell(&path, status, Some(false), Some(failure.code.clone()), None);
                    let event = [b"data: ".as_slice(), &failure.body(), b"\n\n"].concat();
                    let _ = pieces.send(Ok(Frame::data(event.into()))).await;
                    let _ = pieces.send(Err(Aborted)).await;
                }
            }
        });
        let body = StreamBody::new(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)));
        response.body(body.boxed()).unwrap_or_else(|_| Response::new(full(Bytes::new())))
    }

    async fn judge(
        &self,
        reply: Reply,
        boot: Arc<VerifiedBoot>,
    ) -> Result<(Answer, Arc<VerifiedBoot>), Failure> {
        let (answer, boot) = self.client.settle_epoch(reply.judge()?, boot).await?;
        check(&answer)?;
        if answer.receipt.is_none() {
            return Err(Failure::receipt_missing());
        }
        Ok((answer, boot))
    }

    /// Keeps the bundle and reports the answer.
    async fn conclude(&self, path: &str, answer: &Answer, boot: &VerifiedBoot) {
        let mut bundle = None;
        let mut code = None;
        if let (Some(folder), Some(_)) = (&self.receipts, &answer.receipt) {
            let number = self.saved.fetch_add(1, Ordering::Relaxed);
            match save(folder, number, answer, boot).await {
                Ok(file) => bundle = Some(file),
                Err(error) => code = Some(format!("bundle_not_saved: {error}")),
            }
        }
        self.tell(path, answer.status, answer.receipt.is_some().then(|| answer.is_accepted()), code, bundle);
    }

    fn tell(
        &self,
        path: &str,
        status: StatusCode,
        accepted: Option<bool>,
        code: Option<String>,
        bundle: Option<PathBuf>,
    ) {
        (self.observer)(Served { path: path.to_owned(), status, accepted, code, bundle });
    }
}

/// Reads a request to forward. What the enclave would refuse by name goes there; what this endpoint
/// cannot carry is refused here.
async fn read(request: http::Request<Incoming>) -> Result<Request, Failure> {
    let (head, body) = request.into_parts();
    let text = |name: &str| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err(Failure::bad_request(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_encoding_unsupported",
            "content encodings are not accepted",
        ));
    }
    let body = Limited::new(body, REQUEST_BYTES_MAX).collect().await.map_err(|_| {
        Failure::bad_request(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            "the body is too large or broke off",
        )
    })?;
    let passed = [AUTHORIZATION, HeaderName::from_static(ASSURANCE_NAME)];
    let headers =
        passed.into_iter().filter_map(|name| Some((name.clone(), head.headers.get(&name)?.clone())));
    Ok(Request {
        method: head.method.clone(),
        path: head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        content_type: text(CONTENT_TYPE.as_str()),
        nonce: text(NONCE_NAME),
        body: body.to_bytes(),
        headers: headers.collect(),
    })
}

/// Whether a good answer to this request carries a receipt: everything that a model computes does.
fn is_receipt_due(request: &Request) -> bool {
    request.method == http::Method::POST
}

fn check(answer: &Answer) -> Result<(), Failure> {
    match &answer.verdict {
        None => Err(Failure::receipt_missing()),
        Some(verdict) if verdict.is_accepted() => Ok(()),
        Some(verdict) => Err(Failure {
            status: StatusCode::BAD_GATEWAY,
            kind: "verification_error",
            code: verdict.code().unwrap_or("receipt_not_accepted").to_owned(),
            message: format!(
                "the answer's receipt was not accepted: {}",
                verdict.detail().unwrap_or_default()
            ),
        }),
    }
}

fn passed_headers(reply: &Reply) -> http::HeaderMap {
    let passed = [
        CONTENT_TYPE,
        RETRY_AFTER,
        HeaderName::from_static(RECEIPT_NAME),
        HeaderName::from_static(OPENING_NAME),
        HeaderName::from_static(TOKEN_NAME),
    ];
    let pick = |name: HeaderName| reply.headers.get(&name).cloned().map(|value| (name, value));
    passed.into_iter().filter_map(pick).collect()
}

/// Holds back the end of a stream until its receipt was judged.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    ended: bool,
}

impl Held {
    /// Takes a chunk; gives what may be passed on: whole lines, up to the one that ends the stream.
    fn push(&mut self, chunk: &[u8]) -> Bytes {
        const DONE: &[u8] = b"data: [DONE]";
        self.bytes.extend_from_slice(chunk);
        if self.ended {
            return Bytes::new();
        }
        let mut ready = 0;
        while let Some(rest) = self.bytes.get(ready..)
            && let Some(length) = rest.iter().position(|byte| *byte == b'\n')
        {
            if rest.starts_with(DONE) {
                self.ended = true;
                break;
            }
            ready += length + 1;
        }
        self.bytes.drain(..ready).collect::<Vec<_>>().into()
    }

    fn rest(self) -> Bytes {
        self.bytes.into()
    }
}

/// Writes `NUMBER-bundle.json`, `NUMBER-request.json` and `NUMBER-response.json` or `.sse`.
async fn save(folder: &Path, number: u64, answer: &Answer, boot: &VerifiedBoot) -> std::io::Result<PathBuf> {
    let bundle = answer.bundle(boot).map_err(std::io::Error::other)?;
    let seq =
        answer.verdict.as_ref().and_then(|verdict| verdict.receipt()).map_or(number, |receipt| receipt.seq);
    let id: String = boot.boot_statement().boot.to_string().chars().take(16).collect();
    let name = |suffix: &str| folder.join(format!("{id}-{seq:06}-{suffix}"));
    let response = if answer.stream.is_some() { "response.sse" } else { "response.json" };
    tokio::fs::create_dir_all(folder).await?;
    tokio::fs::write(name("request.json"), &answer.request).await?;
    tokio::fs::write(name(response), &answer.response).await?;
    let file = name("bundle.json");
    tokio::fs::write(&file, bundle.to_json()).await?;
    Ok(file)
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// A failure of this endpoint, in OpenAI's shape.
struct Failure {
    status: StatusCode,
    kind: &'static str,
    code: String,
    message: String,
}

impl Failure {
    fn bad_request(status: StatusCode, code: &str, message: &str) -> Self {
        Self { status, kind: "invalid_request_error", code: code.into(), message: message.into() }
    }

    fn receipt_missing() -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            kind: "verification_error",
            code: "receipt_missing".into(),
            message: "the enclave answered without a receipt".into(),
        }
    }

    fn body(&self) -> Vec<u8> {
        let error = serde_json::json!({
            "error": {"message": self.message, "type": self.kind, "param": null, "code": self.code}
        });
        error.to_string().into_bytes()
    }

    fn response(&self) -> Response<Body> {
        let mut response = Response::new(full(self.body().into()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, kind) = match &error {
            Error::Unreachable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable_error"),
            Error::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "timeout_error"),
            _ if error.is_refusal() => (StatusCode::BAD_GATEWAY, "attestation_error"),
            _ => (StatusCode::BAD_GATEWAY, "verification_error"),
        };
        Self { status, kind, code: error.code().to_owned(), message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a stream in pieces of every size and gives what was passed on before the end.
    fn passed(stream: &[u8], size: usize) -> (Vec<u8>, Vec<u8>) {
        let mut held = Held::default();
        let passed = stream.chunks(size).flat_map(|chunk| held.push(chunk)).collect();
        (passed, held.rest().to_vec())
    }

    #[test]
    fn the_end_of_a_stream_is_held_back_however_it_arrives() {
        let stream = b": vouchsafe-token x\n\ndata: {\"a\":\"data: [DONE]\"}\n\ndata: [DONE]\n\n: vouchsafe-receipt y\n\n";
        let end = stream.len() - b"data: [DONE]\n\n: vouchsafe-receipt y\n\n".len();
        for size in 1..=stream.len() {
            let (before, after) = passed(stream, size);
            assert_eq!(before, &stream[..end], "pieces of {size}");
            assert_eq!(after, &stream[end..], "pieces of {size}");
        }
    }

    #[test]
    fn failures_have_openais_shape_and_their_code() {
        let failure = Failure::from(Error::TlsKey);
        let json: serde_json::Value = serde_json::from_slice(&failure.body()).unwrap();
        assert_eq!(json["error"]["code"], "tls_key_mismatch");
        assert_eq!((failure.status, failure.kind), (StatusCode::BAD_GATEWAY, "attestation_error"));
    }
}
