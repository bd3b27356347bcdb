//! A small enclave of the tests' own: TLS, HTTP, evidence and receipts, with one fault at a time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use vouchsafe_client::{Client, Options};
use vouchsafe_receipt::stream::{Head, NONCE_NAME, OPENING_NAME, RECEIPT_NAME, TOKEN_NAME};
use vouchsafe_receipt::{AttestationDocument, ReceiptDocument, RequestOpening, ResponseOpening};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Hex, from_hex, to_base64url};

use crate::signer::{Boot, policy};

/// What an enclave, or whoever poses as one, does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The certificate's key is not the attested one.
    OtherTlsKey,
    /// Evidence from another session is shown.
    ReplayedEvidence,
    /// No evidence over the client's nonce is shown.
    NoChallenge,
    /// The document is not one.
    GarbageDocument,
    /// A good answer without a receipt.
    NoReceipt,
    /// A receipt for another request body.
    OtherRequest,
    /// An opening, and a fitting receipt, for another path.
    OtherPath,
    /// A response that is not the signed one.
    OtherResponse,
    /// A status that is not the signed one.
    OtherStatus,
    /// A content encoding that nothing commits to.
    Encoded,
    /// One event of a stream changed after it was chained.
    OtherEvent,
    /// The stream's connection breaks after its first signed head.
    Cut,
    /// The stream ends in order, without a receipt.
    NoReceiptInStream,
    /// A refusal, as before admission.
    Refused,
    /// The stream's signed start is left out.
    NoStart,
    /// No fault: the opening is left for the token.
    OpeningKept,
    /// What the token retrieves is of another answer.
    OpeningOfAnother,
    /// The opening is left for the token, which retrieves nothing.
    OpeningNowhere,
}

/// The events of every stream, before the last.
pub(crate) const WORDS: [&str; 5] = ["To", " be", ",", " or", " not"];
const HEAD_EVERY: usize = 2;
/// The token of every answer.
const TOKEN: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY";

pub(crate) struct Enclave {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
}

struct Shared {
    boot: Boot,
    fault: Option<Fault>,
    replayed: Mutex<Option<AttestationDocument>>,
    kept: Mutex<Option<ReceiptDocument>>,
    attestations: AtomicUsize,
    requests: AtomicUsize,
}

impl Drop for Enclave {
    fn drop(&mut self) {
        self.task.abort();
        for connection in self.connections.lock().unwrap().iter() {
            connection.abort();
        }
    }
}

impl Enclave {
    pub(crate) async fn honest() -> Self {
        Self::start(None).await
    }

    pub(crate) async fn start(fault: Option<Fault>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), fault).await
    }

    pub(crate) async fn start_at(address: SocketAddr, fault: Option<Fault>) -> Self {
        let (certificate, key, spki) = certificate();
        let attested = if fault == Some(Fault::OtherTlsKey) { self::certificate().2 } else { spki };
        let config = ServerConfig::builder_with_provider(Arc::new(vouchsafe_key_exchange::server_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shared = Arc::new(Shared {
            boot: Boot::new(&attested),
            fault,
            replayed: Mutex::default(),
            kept: Mutex::default(),
            attestations: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        });
        let listener = bind(address).await;
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Mutex<Vec<AbortHandle>>>::default();
        let (serving, kept) = (Arc::clone(&shared), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let connection = tokio::spawn(connection(tcp, acceptor.clone(), Arc::clone(&serving)));
                kept.lock().unwrap().push(connection.abort_handle());
            }
        });
        Self { address, shared, task: task.abort_handle(), connections }
    }

    pub(crate) fn client(&self) -> Client {
        client(self.address)
    }

    pub(crate) fn boot(&self) -> &Boot {
        &self.shared.boot
    }

    /// How often evidence was asked for.
    pub(crate) fn attestations(&self) -> usize {
        self.shared.attestations.load(Ordering::SeqCst)
    }

    /// How many other requests arrived.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

pub(crate) fn client(address: SocketAddr) -> Client {
    let options = Options {
        address: address.to_string(),
        policy: policy(),
        extra_roots: Vec::new(),
        revocations: None,
        image: None,
    };
    Client::new(options).unwrap()
}

/// A port that was in use a moment ago may take another moment.
async fn bind(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    }
}

pub(crate) fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["vouchsafe.invalid".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&made.signing_key);
    (made.cert.der().clone(), key, spki)
}

async fn connection(tcp: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    tcp.set_nodelay(true).unwrap();
    let Ok(tls) = acceptor.accept(tcp).await else { return };
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

impl Shared {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path() == "/.well-known/vouchsafe/attestation" {
            self.attestations.fetch_add(1, Ordering::SeqCst);
            return self.attest(&request);
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        if request.uri().path() == format!("/v1/receipts/{TOKEN}") {
            return self.kept();
        }
        if request.method() == Method::GET {
            return Response::new(full(r#"{"object":"list","data":[{"id":"m"}]}"#));
        }
        let header = |name: &str| {
            request.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let opening = RequestOpening {
            salt: Hex([9; 32]),
            method: request.method().to_string(),
            path: match self.is(Fault::OtherPath) {
                true => "/v1/other".into(),
                false => request.uri().path_and_query().unwrap().to_string(),
            },
            content_type: header("content-type"),
            nonce: header(NONCE_NAME),
            assurance: header("vouchsafe-assurance"),
        };
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let wants_stream = body.windows(13).any(|part| part == b"\"stream\":true");
        let body = if self.is(Fault::OtherRequest) { Bytes::from_static(b"{}") } else { body };
        if self.is(Fault::Refused) {
            let mut refusal = Response::new(full(r#"{"error":{"message":"no"}}"#));
            *refusal.status_mut() = StatusCode::NOT_FOUND;
            return refusal;
        }
        if wants_stream { self.stream(opening, &body) } else { self.whole(opening, &body) }
    }

    fn attest(&self, request: &Request<Incoming>) -> Response<Body> {
        let query = request.uri().query().unwrap_or_default();
        let nonce = query.strip_prefix("nonce=").and_then(from_hex::<32>);
        if self.is(Fault::GarbageDocument) {
            return Response::new(full(r#"{"version":1,"version":1}"#));
        }
        let document = self.boot.document(nonce.filter(|_| !self.is(Fault::NoChallenge)));
        let document = match self.is(Fault::ReplayedEvidence) {
            true => {
                self.replayed.lock().unwrap().get_or_insert_with(|| self.boot.document(Some([8; 32]))).clone()
            }
            false => document,
        };
        Response::new(full(serde_json::to_vec(&document).unwrap()))
    }

    fn whole(&self, request: RequestOpening, body: &[u8]) -> Response<Body> {
        let answer = r#"{"choices":[{"message":{"content":"To be"}}]}"#;
        let mut response = Response::new(full(match self.is(Fault::OtherResponse) {
            true => answer.replace("be", "bo"),
            false => answer.to_owned(),
        }));
        let status = if self.is(Fault::OtherStatus) { 201 } else { 200 };
        let opening = ResponseOpening { salt: Hex([4; 32]), status, content_type: "application/json".into() };
        let (receipt, opening) = self.boot.receipt(request, body, opening, answer.as_bytes());
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        if self.is(Fault::Encoded) {
            headers.insert("content-encoding", HeaderValue::from_static("gzip"));
        }
        if !self.is(Fault::NoReceipt) {
            insert(headers, RECEIPT_NAME, &receipt.to_json());
            let kept = [Fault::OpeningKept, Fault::OpeningOfAnother, Fault::OpeningNowhere];
            if self.fault.is_some_and(|fault| kept.contains(&fault)) {
                headers.insert(TOKEN_NAME, HeaderValue::from_static(TOKEN));
                *self.kept.lock().unwrap() = Some(ReceiptDocument::new(receipt, opening));
            } else {
                insert(headers, OPENING_NAME, &json(&opening));
            }
        }
        response
    }

    fn kept(&self) -> Response<Body> {
        let kept = self.kept.lock().unwrap().clone().filter(|_| !self.is(Fault::OpeningNowhere));
        let Some(mut document) = kept else {
            let mut nothing = Response::new(full("{}"));
            *nothing.status_mut() = StatusCode::NOT_FOUND;
            return nothing;
        };
        if self.is(Fault::OpeningOfAnother) {
            let request = document.opening.request.clone().unwrap();
            let response = document.opening.response.clone().unwrap();
            (document.receipt, document.opening) = self.boot.receipt(request, b"other", response, b"other");
        }
        Response::new(full(document.to_json()))
    }

    fn stream(&self, request: RequestOpening, body: &[u8]) -> Response<Body> {
        const TYPE: &str = "text/event-stream; charset=utf-8";
        let start = self.boot.start(&request, body);
        let mut chain = Head::begin(&start, &Ring);
        let comment = |name: &str, value: &[u8]| format!(": {name} {}\n\n", to_base64url(value));
        let mut pieces = vec![comment("vouchsafe-stream-start", &start.to_json())];
        if self.is(Fault::NoStart) {
            pieces.clear();
        }
        let events = WORDS.map(|word| format!(r#"{{"choices":[{{"delta":{{"content":"{word}"}}}}]}}"#));
        let mut is_cut = false;
        for (index, event) in events.iter().map(String::as_str).chain(["[DONE]"]).enumerate() {
            let sent = if self.is(Fault::OtherEvent) { event.replace("or", "nor") } else { event.to_owned() };
            pieces.push(format!("data: {sent}\n\n"));
            chain = chain.extend(event.as_bytes(), &Ring);
            if index % HEAD_EVERY == HEAD_EVERY - 1 {
                pieces.push(comment("vouchsafe-stream-head", &self.boot.head(&chain).to_json()));
                is_cut = self.is(Fault::Cut);
            }
            if is_cut {
                break;
            }
        }
        if !is_cut && !self.is(Fault::NoReceiptInStream) {
            let opening = ResponseOpening { salt: Hex([4; 32]), status: 200, content_type: TYPE.into() };
            let (receipt, opening) = self.boot.receipt(request, body, opening, &chain.committed());
            pieces.push(comment(RECEIPT_NAME, &receipt.to_json()));
            pieces.push(comment(OPENING_NAME, &json(&opening)));
        }
        let mut frames: Vec<_> =
            pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from(piece)))).collect();
        if is_cut {
            frames.push(Err(std::io::Error::other("cut")));
        }
        // What was sent before a cut arrives before it.
        let frames = futures_util::stream::iter(frames).then(|frame: std::io::Result<_>| async {
            if frame.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            frame
        });
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        response.headers_mut().insert("content-type", HeaderValue::from_static(TYPE));
        response
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &[u8]) {
    headers.insert(name, HeaderValue::try_from(to_base64url(value)).unwrap());
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}
