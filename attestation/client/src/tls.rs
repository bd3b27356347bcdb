//! TLS 1.3 to a key that is judged afterwards.
//!
//! No certificate authority vouches for an enclave, so the certificate is taken as a container for a
//! key. The handshake proves possession of that key; whether it is an enclave's is decided by the
//! evidence, before anything secret is sent.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use vouchsafe_receipt::ReceiptKey;
use vouchsafe_verifier::x509::{Certificate, PublicKey};

/// The name that enclave certificates carry; it resolves nowhere (RFC 6761).
pub(crate) const SERVER_NAME: &str = "vouchsafe.invalid";

/// TLS 1.3 only, no early data, resumption within one process.
pub(crate) fn config() -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(KeyHolder { provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session proves no certificate, and evidence is asked for by session: start afresh.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// The SPKI of an enclave's certificate, in the form boot statements have it.
pub(crate) fn spki(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    match Certificate::parse(certificate).ok()?.public_key() {
        PublicKey::P256(point) => Some(ReceiptKey::spki_of_point(point)),
        _ => None,
    }
}

/// Believes that whoever completes the handshake holds the certificate's key, and nothing more.
#[derive(Debug)]
struct KeyHolder {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for KeyHolder {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Provisional: `connection` compares the key with the attested one before it sends anything.
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
