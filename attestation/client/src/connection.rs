//! One HTTP/1.1 connection over TLS to whoever holds a key, not yet judged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vouchsafe_receipt::report_data::EXPORTER_LABEL;
use vouchsafe_receipt::stream::NONCE_NAME;

use crate::{Error, tls};

/// Longest wait for a connection and its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest wait for a response's head: as long as an enclave may compute, and some.
const HEAD_TIMEOUT: Duration = Duration::from_secs(660);
/// A connection whose last response began longer ago is not used again, since the enclave may be
/// closing it: enclaves wait 30 seconds for the next request.
const IDLE_AGE_MAX: Duration = Duration::from_secs(20);

/// A request as the enclave will see and commit to it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// `content-type`; empty for none.
    pub content_type: String,
    /// `vouchsafe-nonce`: the caller's own freshness, which the receipt commits to; empty for none.
    pub nonce: String,
    /// The body.
    pub body: Bytes,
    /// Further headers, such as `authorization`. The receipt does not commit to them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Request {
    /// A POST of JSON.
    pub fn post_json(path: &str, body: impl Into<Bytes>) -> Self {
        Self {
            method: Method::POST,
            path: path.into(),
            content_type: "application/json".into(),
            nonce: String::new(),
            body: body.into(),
            headers: Vec::new(),
        }
    }

    /// A GET.
    pub fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            content_type: String::new(),
            body: Bytes::new(),
            ..Self::post_json(path, "")
        }
    }
}

/// A connection whose peer holds `spki`'s private key.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// The peer's key.
    pub(crate) spki: Vec<u8>,
    /// 32 bytes that only the two ends of this very session know.
    pub(crate) exporter: [u8; 32],
    pub(crate) opened: Instant,
    used: Instant,
}

impl Connection {
    /// Connects and completes the handshake. Nothing but the handshake is sent.
    pub(crate) async fn open(address: &str, config: &Arc<rustls::ClientConfig>) -> Result<Self, Error> {
        let limit = Error::Timeout { what: "connecting", seconds: CONNECT_TIMEOUT.as_secs() };
        tokio::time::timeout(CONNECT_TIMEOUT, Self::connect(address, config)).await.map_err(|_| limit)?
    }

    async fn connect(address: &str, config: &Arc<rustls::ClientConfig>) -> Result<Self, Error> {
        let opened = Instant::now();
        let unreachable = |problem: std::io::Error| Error::Unreachable {
            address: address.into(),
            problem: Arc::new(problem),
        };
        let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let handshake = |problem: std::io::Error| Error::Handshake {
            address: address.into(),
            problem: Arc::new(problem),
        };
        let name = ServerName::try_from(tls::SERVER_NAME).map_err(|e| handshake(std::io::Error::other(e)))?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(handshake)?;
        let (_, session) = stream.get_ref();
        let exporter = session
            .export_keying_material([0; 32], EXPORTER_LABEL, Some(&[]))
            .map_err(|e| handshake(std::io::Error::other(e)))?;
        let spki = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(tls::spki)
            .ok_or_else(|| Error::Certificate { address: address.into() })?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends when the sender is dropped or the peer leaves; the error reaches the request in flight.
        tokio::spawn(driver);
        Ok(Self { sender, spki, exporter, opened, used: Instant::now() })
    }

    /// Sends a request and waits for the response's head.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<http::Response<Incoming>, Error> {
        let mut builder = http::Request::builder()
            .method(request.method.clone())
            .uri(&request.path)
            .header(HOST, tls::SERVER_NAME);
        if !request.content_type.is_empty() {
            builder = builder.header(CONTENT_TYPE, &request.content_type);
        }
        if !request.nonce.is_empty() {
            builder = builder.header(NONCE_NAME, &request.nonce);
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let request = builder
            .body(Full::new(request.body.clone()))
            .map_err(|error| Error::Request(error.to_string()))?;
        self.sender.ready().await?;
        let limit = Error::Timeout { what: "waiting for the answer", seconds: HEAD_TIMEOUT.as_secs() };
        let response = tokio::time::timeout(HEAD_TIMEOUT, self.sender.send_request(request));
        let response = response.await.map_err(|_| limit)??;
        self.used = Instant::now();
        Ok(response)
    }

    /// Whether it can take another request now.
    pub(crate) fn is_idle(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether it was idle for so long that the enclave may be closing it. One that is busy is never.
    pub(crate) fn is_stale(&self) -> bool {
        self.is_idle() && self.used.elapsed() > IDLE_AGE_MAX
    }

    /// Whether it is of no more use.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}
