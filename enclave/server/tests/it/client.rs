//! A client that trusts nobody's certificate and checks every receipt.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring::default_provider, verify_tls13_signature};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vouchsafe_enclave::{Config, Models, Server};
use vouchsafe_platform::{AttestError, Attestation, Attester, Platform, Tee};
use vouchsafe_receipt::stream::{NONCE_NAME, OPENING_NAME, RECEIPT_NAME, TOKEN_NAME};
use vouchsafe_receipt::{
    AttestationDocument, BootStatement, Envelope, ExecutionRecord, ModelFile, ModelManifest, Opening,
    ReceiptKey, ReceiptPayload, VerifiedReceipt,
};
use vouchsafe_verifier::Evidence;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex, from_base64url};

use crate::model::{Figures, Script};

/// An attester whose reports are the report data itself.
pub(crate) struct Echo;

impl Attester for Echo {
    fn platform(&self) -> Platform {
        Platform { tee: Tee::SevSnp, simulated: true, interface: "echo".into() }
    }

    fn attest(&self, report_data: &[u8; 64]) -> Result<Attestation, AttestError> {
        let evidence = Evidence::SevSnp { report: Base64(report_data.to_vec()) };
        Ok(Attestation { evidence, endorsements: None })
    }
}

/// A server with the scripted model.
pub(crate) struct Enclave {
    pub(crate) server: Server,
    pub(crate) script: Arc<Script>,
}

pub(crate) fn manifest(name: &str) -> ModelManifest {
    let file = ModelFile { name: format!("{name}.gguf"), sha256: Hex(Ring.sha256(name.as_bytes())) };
    ModelManifest { name: name.into(), files: vec![file], tokenizer: None, chat_template: None }
}

impl Enclave {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let script = Arc::new(Script::default());
        let mut models = Models::new();
        models.add_text(manifest("script"), Arc::clone(&script) as _).unwrap();
        models.add_embed(manifest("figures"), Arc::new(Figures)).unwrap();
        let server = Server::start(config, Arc::new(Echo), models).await.unwrap();
        Self { server, script }
    }

    /// The raw byte stream of a session.
    pub(crate) fn stream(&self, buffer: usize) -> DuplexStream {
        let (near, far) = duplex(buffer);
        self.server.session(far);
        near
    }

    pub(crate) async fn client(&self) -> Client {
        let tls = connect(self.stream(64 * 1024)).await;
        Client::over(tls).await
    }

    /// Waits until no sequence runs.
    pub(crate) async fn idle(&self) {
        while self.script.running() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Completes a TLS handshake without believing anything.
pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> TlsStream<S> {
    connect_with(stream, config()).await.unwrap()
}

pub(crate) async fn connect_with<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: ClientConfig,
) -> std::io::Result<TlsStream<S>> {
    let name = ServerName::try_from("vouchsafe.invalid").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

pub(crate) fn config() -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(BelieveAnyone(default_provider())))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

#[derive(Debug)]
struct BelieveAnyone(CryptoProvider);

impl ServerCertVerifier for BelieveAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("TLS 1.2 is not offered")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// One connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    /// Ends the connection when dropped.
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    pub(crate) async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Self {
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { sender, connection }
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        let request = Request::get(path).header("host", "x").body(Full::default()).unwrap();
        Reply::read(self.send(request).await.unwrap()).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Reply {
        Reply::read(self.send(post(path, body)).await.unwrap()).await
    }

    /// Sends a chat request and gives the open response.
    pub(crate) async fn open(&mut self, body: &str) -> Response<Incoming> {
        self.send(post("/v1/chat/completions", body)).await.unwrap()
    }

    /// The attestation document, which names the key.
    pub(crate) async fn document(&mut self) -> AttestationDocument {
        let reply = self.get("/.well-known/vouchsafe/attestation").await;
        assert_eq!(reply.status, StatusCode::OK);
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// The key that signs this boot's receipts.
    pub(crate) async fn key(&mut self) -> ReceiptKey {
        let document = self.document().await;
        let statement = BootStatement::parse(&document.boot.statement.0, &Ring).unwrap();
        statement.receipt_key(&Ring).unwrap()
    }

    /// The receipt and opening that are kept under a token, once they are there.
    pub(crate) async fn retrieve(&mut self, token: &str) -> (Envelope, Opening) {
        loop {
            let reply = self.get(&format!("/v1/receipts/{token}")).await;
            if reply.status == StatusCode::CONFLICT {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            #[derive(serde::Deserialize)]
            struct Document {
                receipt: Envelope,
                opening: Opening,
            }
            let document: Document = serde_json::from_slice(&reply.body).unwrap();
            return (document.receipt, document.opening);
        }
    }
}

pub(crate) fn post(path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", "x")
        .header("content-type", "application/json")
        .header(NONCE_NAME, "a-nonce")
        .body(Full::from(body.to_owned()))
        .unwrap()
}

/// A chat request with this command and these further fields.
pub(crate) fn chat(command: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"model":"script","messages":[{{"role":"user","content":"{command}"}}]{comma}{fields}}}"#)
}

/// A complete response.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    /// The token in the header.
    pub(crate) fn token(&self) -> &str {
        self.header(TOKEN_NAME).unwrap()
    }

    /// Verifies the receipt in the headers against request, response and key.
    pub(crate) fn receipt(&self, path: &str, request: &str, key: &ReceiptKey) -> Checked {
        let envelope = decode(self.header(RECEIPT_NAME).expect("no receipt").as_bytes());
        let opening = decode(self.header(OPENING_NAME).expect("no opening").as_bytes());
        let checked = Checked::new(&Envelope::from_json(&envelope).unwrap(), &opening, key);
        checked.assert_request(path, request);
        let response = checked.opening.response.as_ref().unwrap();
        assert_eq!(response.status, self.status.as_u16());
        assert_eq!(response.content_type, self.header("content-type").unwrap());
        assert_eq!(response.commit(&self.body, &Ring), checked.payload.response.0);
        checked
    }
}

pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    from_base64url(std::str::from_utf8(text).unwrap()).unwrap()
}

/// A verified receipt with its opened execution record.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) payload: ReceiptPayload,
    pub(crate) opening: Opening,
    pub(crate) record: ExecutionRecord,
}

impl Checked {
    pub(crate) fn new(envelope: &Envelope, opening: &[u8], key: &ReceiptKey) -> Self {
        Self::opened(envelope, serde_json::from_slice(opening).unwrap(), key)
    }

    pub(crate) fn opened(envelope: &Envelope, opening: Opening, key: &ReceiptKey) -> Self {
        let payload = VerifiedReceipt::verify(envelope, key, &Ring).unwrap().payload().clone();
        let execution = opening.execution.clone().unwrap();
        assert_eq!(execution.commit(&Ring), payload.execution.0);
        let record = serde_json::from_str(&execution.record).unwrap();
        Self { payload, opening, record }
    }

    pub(crate) fn assert_request(&self, path: &str, body: &str) {
        let request = self.opening.request.as_ref().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", path));
        assert_eq!(request.content_type, "application/json");
        assert_eq!((request.nonce.as_str(), request.assurance.as_str()), ("a-nonce", ""));
        assert_eq!(request.commit(body.as_bytes(), &Ring), self.payload.request.0);
    }
}
