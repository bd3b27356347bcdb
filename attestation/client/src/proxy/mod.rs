//! An OpenAI-compatible endpoint on loopback, in front of a client.
//!
//! Programs that know nothing of attestation get an ordinary HTTP endpoint. Nothing is forwarded to an
//! enclave that was not accepted, and no answer is passed on as complete before its receipt was: of a
//! plain answer nothing is shown before its verdict, of a stream the final `[DONE]` is held back until
//! then. Failures have OpenAI's shape and say which check failed. What a stream that was cut off
//! proves all the same is kept with the bundles.
//!
//! - `incoming` reads requests and refuses what a web page of somebody else's could send;
//! - `held` holds back the end of a stream;
//! - `save` writes bundles, `settle` completes them with the log's proofs;
//! - `failure` puts failures into OpenAI's shape.

mod failure;
mod held;
mod incoming;
mod save;
mod settle;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use vouchsafe_bundle::{Verdict, VerifiedBoot};
use vouchsafe_receipt::stream::{OPENING_NAME, PROOF_NAME, RECEIPT_NAME, TOKEN_NAME};

use crate::{Answer, Client, Reply};
use failure::Failure;
use held::Held;

/// Connections served at the same time.
const CONNECTIONS_MAX: usize = 256;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Response header and stream comment with the verdict, for people who look.
const VERDICT_NAME: &str = "vouchsafe-verdict";
/// Pause after the system refused to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time for a stream's last event, which says what failed, to leave before the stream is broken off.
const LAST_EVENT_PAUSE: Duration = Duration::from_millis(100);
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
    /// Places for answers whose proofs are awaited.
    awaited: Arc<Semaphore>,
    observer: Observer,
}

impl Proxy {
    /// An endpoint that keeps the bundle of every answer, with request and response beside it, in the
    /// folder `receipts` if given. A receipt that settles later has its proof added to its bundle.
    pub fn new(client: Arc<Client>, receipts: Option<PathBuf>, observer: Observer) -> Self {
        let awaited = Arc::new(Semaphore::new(settle::AWAITED_MAX));
        Self { client, receipts, saved: AtomicU64::new(0), awaited, observer }
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
            let (stream, _) = match listener.accept().await {
                Ok(accepted) => accepted,
                // Out of descriptors, or a client that left at once: others are still to be served.
                Err(_) => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
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
                self.tell(Served::failed(&path, &failure));
                failure.response()
            }
        }
    }

    async fn forward(self: &Arc<Self>, request: http::Request<Incoming>) -> Result<Response<Body>, Failure> {
        let request = incoming::read(request).await?;
        let due = incoming::is_receipt_due(&request);
        let path = request.path.clone();
        let reply = self.client.send(&request).await?;
        if reply.is_stream() {
            return Ok(self.stream(reply, path));
        }
        let mut headers = passed_headers(&reply);
        let (answer, boot) = self.client.finish(reply).await?;
        // Refusals before admission get no receipt; a good answer always has one.
        match &answer.verdict {
            None if due && answer.status.is_success() => return Err(Failure::receipt_missing()),
            None => {}
            Some(verdict) => {
                check(verdict)?;
                headers.insert(VERDICT_NAME, HeaderValue::from_static(shown(verdict)));
            }
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
        let (pieces, mut receiver) = mpsc::channel(PIECES_MAX);
        let proxy = Arc::clone(self);
        tokio::spawn(async move {
            let mut held = Held::default();
            let result = pass(&mut reply, &mut held, &pieces).await;
            match proxy.end_of_stream(reply, result, &path).await {
                Ok(verdict) => {
                    let comment = format!(": {VERDICT_NAME} {verdict}\n\n");
                    let _ = pieces.send(Ok(Frame::data(comment.into()))).await;
                    let _ = pieces.send(Ok(Frame::data(held.rest()))).await;
                }
                Err(failure) => {
                    let event = [b"data: ".as_slice(), &failure.body(), b"\n\n"].concat();
                    let _ = pieces.send(Ok(Frame::data(event.into()))).await;
                    // The HTTP library drops what it has not written when a body breaks off.
                    tokio::time::sleep(LAST_EVENT_PAUSE).await;
                    let _ = pieces.send(Err(Aborted)).await;
                }
            }
        });
        let body = StreamBody::new(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)));
        response.body(body.boxed()).unwrap_or_else(|_| Response::new(full(Bytes::new())))
    }

    /// Judges a stream that ended, however it did, keeps what it proves and reports it. Gives the
    /// verdict's word if it may be passed on as complete.
    async fn end_of_stream(
        &self,
        reply: Reply,
        result: Result<(), Failure>,
        path: &str,
    ) -> Result<&'static str, Failure> {
        let status = reply.status;
        let (answer, boot) = match self.client.judge(reply).await {
            Ok(judged) => judged,
            Err(error) => {
                // The first failure is the cause.
                let failure = result.err().unwrap_or_else(|| error.into());
                self.tell(Served { status, ..Served::failed(path, &failure) });
                return Err(failure);
            }
        };
        let verdict = result.and_then(|()| match &answer.verdict {
            Some(verdict) if answer.receipt.is_some() => check(verdict).map(|()| shown(verdict)),
            _ => Err(Failure::receipt_missing()),
        });
        match &verdict {
            Ok(_) => self.conclude(path, &answer, &boot).await,
            Err(failure) => {
                let bundle = self.keep(&answer, &boot).await.unwrap_or_default();
                self.tell(Served { status, bundle, accepted: Some(false), ..Served::failed(path, failure) });
            }
        }
        verdict
    }

    /// Keeps the bundle and reports an answer that was passed on.
    async fn conclude(&self, path: &str, answer: &Answer, boot: &Arc<VerifiedBoot>) {
        let (bundle, code) = match self.keep(answer, boot).await {
            Ok(bundle) => (bundle, None),
            Err(error) => (None, Some(format!("bundle_not_saved: {error}"))),
        };
        let accepted = answer.verdict.as_ref().map(Verdict::is_accepted);
        self.tell(Served { path: path.to_owned(), status: answer.status, accepted, code, bundle });
    }

    /// Keeps the bundle of whatever was signed, where bundles are kept.
    async fn keep(&self, answer: &Answer, boot: &Arc<VerifiedBoot>) -> std::io::Result<Option<PathBuf>> {
        let Some(folder) = self.receipts.as_ref().filter(|_| answer.verdict.is_some()) else {
            return Ok(None);
        };
        let number = self.saved.fetch_add(1, Ordering::Relaxed);
        let path = save::save(folder.clone(), number, answer, boot).await?;
        if settle::is_due(answer)
            && let Ok(place) = Arc::clone(&self.awaited).try_acquire_owned()
        {
            let (client, bundle, boot) = (Arc::clone(&self.client), path.clone(), Arc::clone(boot));
            // Waiting holds no bodies.
            let answer = Answer { request: Bytes::new(), response: Bytes::new(), ..answer.clone() };
            tokio::spawn(async move {
                settle::complete(client, bundle, answer, boot).await;
                drop(place);
            });
        }
        Ok(Some(path))
    }

    fn tell(&self, served: Served) {
        (self.observer)(served);
    }
}

impl Served {
    fn failed(path: &str, failure: &Failure) -> Self {
        let (path, code) = (path.to_owned(), Some(failure.code.clone()));
        Self { path, status: failure.status, accepted: None, code, bundle: None }
    }
}

type Pieces = mpsc::Sender<Result<Frame<Bytes>, Aborted>>;

/// Passes a stream on up to its final event, which is held back.
async fn pass(reply: &mut Reply, held: &mut Held, pieces: &Pieces) -> Result<(), Failure> {
    loop {
        // A program that leaves is noticed at once, and with it the enclave stops generating.
        let chunk = tokio::select! {
            chunk = reply.chunk() => chunk?,
            () = pieces.closed() => return Err(Failure::program_left()),
        };
        let Some(chunk) = chunk else { return Ok(()) };
        let ready = held.push(&chunk);
        if !ready.is_empty() && pieces.send(Ok(Frame::data(ready))).await.is_err() {
            return Err(Failure::program_left());
        }
    }
}

/// The verdict as header and comment give it.
fn shown(verdict: &Verdict) -> &'static str {
    match (verdict.is_accepted(), verdict.simulated()) {
        (true, false) => "accepted",
        (true, true) => "accepted; simulated",
        (false, _) => "rejected",
    }
}

fn check(verdict: &Verdict) -> Result<(), Failure> {
    if verdict.is_accepted() {
        return Ok(());
    }
    let code = verdict.code().unwrap_or("receipt_not_accepted");
    let detail = verdict.detail().unwrap_or_default();
    Err(Failure::verification(code, format!("the answer's receipt was not accepted: {detail}")))
}

fn passed_headers(reply: &Reply) -> HeaderMap {
    let passed = [
        CONTENT_TYPE,
        RETRY_AFTER,
        HeaderName::from_static(RECEIPT_NAME),
        HeaderName::from_static(OPENING_NAME),
        HeaderName::from_static(TOKEN_NAME),
        HeaderName::from_static(PROOF_NAME),
    ];
    let pick = |name: HeaderName| reply.headers.get(&name).cloned().map(|value| (name, value));
    passed.into_iter().filter_map(pick).collect()
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}
