//! A man in the middle who ends TLS himself and relays what he reads.
//!
//! He has a certificate of his own making and a genuine enclave behind him. Whatever evidence he
//! relays is real; what he cannot have is evidence over *this* TLS session and *his* TLS key.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use vouchsafe_key_exchange::{client_provider, server_provider};
use vouchsafe_link::{Endpoint, FramedStream, SESSION_PORT, dial};

/// What he does with the plaintext that travels towards the client.
pub type Rewrite = Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>;

/// A running man in the middle; he stops when dropped.
pub struct Middle {
    /// Where clients connect, believing it to be the enclave's host.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Middle {
    /// Starts to listen on a free loopback port in front of the enclave at `endpoint`.
    ///
    /// # Errors
    /// When no port can be had or no certificate can be made.
    pub async fn start(endpoint: Endpoint, rewrite: Rewrite) -> std::io::Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(server_config().map_err(std::io::Error::other)?));
        let connector = TlsConnector::from(Arc::new(client_config().map_err(std::io::Error::other)?));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, connector) = (acceptor.clone(), connector.clone());
                let (endpoint, rewrite) = (endpoint.clone(), Arc::clone(&rewrite));
                tokio::spawn(async move {
                    // A client that hangs up is his failure to deceive it, which the test observes.
                    let _ = relay(client, &acceptor, &connector, &endpoint, &rewrite).await;
                });
            }
        });
        Ok(Self { address, task })
    }
}

/// Asks the enclave at `endpoint` for `path` as a client of his own, and gives the body of its answer:
/// what anybody can have of a genuine enclave.
///
/// # Errors
/// When the enclave cannot be reached, or answers with no body.
pub async fn get(endpoint: &Endpoint, path: &str) -> std::io::Result<Vec<u8>> {
    let connector = TlsConnector::from(Arc::new(client_config().map_err(std::io::Error::other)?));
    let raw = dial(endpoint, SESSION_PORT).await.map_err(std::io::Error::other)?;
    let name = ServerName::try_from("vouchsafe.invalid").map_err(std::io::Error::other)?;
    let mut enclave = connector.connect(name, FramedStream::new(raw)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    enclave.write_all(request.as_bytes()).await?;
    enclave.flush().await?;
    let mut answer = Vec::new();
    enclave.read_to_end(&mut answer).await?;
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
    head.and_then(|end| answer.get(end + 4..)).map(<[u8]>::to_vec).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer ended within its head")
    })
}

async fn relay(
    client: TcpStream,
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    endpoint: &Endpoint,
    rewrite: &Rewrite,
) -> std::io::Result<()> {
    let client = acceptor.accept(client).await?;
    let raw = dial(endpoint, SESSION_PORT).await.map_err(std::io::Error::other)?;
    let name = ServerName::try_from("vouchsafe.invalid").map_err(std::io::Error::other)?;
    let enclave = connector.connect(name, FramedStream::new(raw)).await?;
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_enclave, mut to_enclave) = tokio::io::split(enclave);
    let up = async {
        tokio::io::copy(&mut from_client, &mut to_enclave).await?;
        to_enclave.shutdown().await
    };
    let down = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from_enclave.read(&mut buffer).await?;
            if length == 0 {
                return to_client.shutdown().await;
            }
            let read = buffer.get(..length).unwrap_or_default().to_vec();
            to_client.write_all(&rewrite(read)).await?;
            to_client.flush().await?;
        }
    };
    tokio::try_join!(up, down).map(|_| ())
}

pub(crate) fn server_config() -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    server_config_with(server_provider())
}

/// A TLS server with a key of his own, who agrees keys as `provider` does.
///
/// # Errors
/// When no key can be made.
pub fn server_config_with(
    provider: CryptoProvider,
) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let made = rcgen::generate_simple_self_signed(["vouchsafe.invalid".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(config)
}

fn client_config() -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(client_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    Ok(config)
}

/// Believes any certificate: he does not care whom he relays to.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
