//! Whole handshakes of TLS 1.3 in memory, over the providers that clients and enclaves use.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, NamedGroup, ServerConfig, ServerConnection,
    SignatureScheme,
};
use vouchsafe_key_exchange::{client_provider, server_provider};

/// Who the server is, is not the question here.
#[derive(Debug)]
struct Anyone(CryptoProvider);

impl ServerCertVerifier for Anyone {
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
        Err(Error::General("TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The group that a handshake between the two ends with, as both sides see it.
fn handshake(client: CryptoProvider, server: CryptoProvider) -> Result<NamedGroup, Error> {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let server = ServerConfig::builder_with_provider(Arc::new(server))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)?;
    let client = ClientConfig::builder_with_provider(Arc::new(client))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(ring::default_provider())))
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(client), "a.test".try_into().unwrap())?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        let mut unread = &bytes[..];
        while !unread.is_empty() {
            server.read_tls(&mut unread).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        let mut unread = &bytes[..];
        while !unread.is_empty() {
            client.read_tls(&mut unread).unwrap();
            client.process_new_packets()?;
        }
    }
    let (ours, theirs) = (client.negotiated_key_exchange_group(), server.negotiated_key_exchange_group());
    assert_eq!(ours.unwrap().name(), theirs.unwrap().name());
    Ok(ours.unwrap().name())
}

#[test]
fn a_client_and_an_enclave_agree_on_the_hybrid() {
    assert_eq!(handshake(client_provider(), server_provider()), Ok(NamedGroup::X25519MLKEM768));
}

#[test]
fn a_client_is_not_talked_into_less() {
    assert!(handshake(client_provider(), ring::default_provider()).is_err());
}

#[test]
fn an_enclave_takes_x25519_from_those_who_know_nothing_newer() {
    assert_eq!(handshake(ring::default_provider(), server_provider()), Ok(NamedGroup::X25519));
}
