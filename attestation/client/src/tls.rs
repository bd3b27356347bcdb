//! TLS 1.3 to a key that is judged afterwards.
//!
//! No certificate authority vouches for an enclave, so the certificate is taken as a container for a
//! key. The handshake proves possession of exactly the key that [`spki`] reads from it: the signature
//! is verified with those bytes, so that no second reading of the certificate can differ. Whether it
//! is an enclave's key is decided by the evidence, before anything secret is sent.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use vouchsafe_key_exchange::client_provider;
use vouchsafe_receipt::ReceiptKey;
use vouchsafe_verifier::x509::{Certificate, PublicKey};

/// The name that enclave certificates carry; it resolves nowhere (RFC 6761).
pub(crate) const SERVER_NAME: &str = "vouchsafe.invalid";

/// TLS 1.3 only, hybrid key exchange only, no early data, no resumption.
pub(crate) fn config() -> Result<ClientConfig, Error> {
    let provider = Arc::new(client_provider());
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
        // Provisional: the key is compared with the attested one before anything else is sent.
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
        let spki = spki(certificate).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(spki),
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        // The one kind of key that a boot statement holds.
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
