//! Whole handshakes of TLS 1.3 in memory, over the providers that clients and enclaves use.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::{
    ClientConfig, ClientConnection, Error, NamedGroup, RootCertStore, ServerConfig, ServerConnection,
};
use vouchsafe_key_exchange::{client_provider, server_provider};

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
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(client))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
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
