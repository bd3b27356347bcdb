//! TLS sessions that end in the enclave: TLS 1.3 only, hybrid key exchange, no early data, tickets that end
//! with the epoch.
//!
//! The host hands over a byte stream and sees ciphertext. The key is the one in the attested boot
//! statement. Resumption tickets are sealed under keys that exist in memory only and are replaced
//! with every epoch, so that no session outlives the evidence it began under by more than that.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring::Ticketer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use vouchsafe_key_exchange::server_provider;

use crate::ServeError;
use crate::boot::TlsKey;

/// The one protocol spoken inside.
const ALPN: &[u8] = b"http/1.1";

/// Accepts sessions.
pub(crate) struct Sessions {
    key: TlsKey,
    config: RwLock<Arc<ServerConfig>>,
    handshake_max: Duration,
}

impl Sessions {
    /// Sessions under this boot's TLS key.
    pub(crate) fn new(key: TlsKey, handshake_max: Duration) -> Result<Self, ServeError> {
        let config = RwLock::new(Arc::new(server_config(&key)?));
        Ok(Self { key, config, handshake_max })
    }

    /// Makes every ticket given out so far worthless.
    pub(crate) fn forget_tickets(&self) -> Result<(), ServeError> {
        let fresh = Arc::new(server_config(&self.key)?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Completes the handshake; `None` when the client does not in time, or not at all.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Option<TlsStream<S>> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        timeout(self.handshake_max, TlsAcceptor::from(config).accept(stream)).await.ok()?.ok()
    }
}

fn server_config(key: &TlsKey) -> Result<ServerConfig, ServeError> {
    let failed = |error: rustls::Error| ServeError::Key { role: "TLS", problem: error.to_string() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(server_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .with_no_client_auth()
        .with_single_cert(vec![key.certificate()], key.private())
        .map_err(failed)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.max_early_data_size = 0;
    config.ticketer = Ticketer::new().map_err(failed)?;
    config.send_tls13_tickets = 1;
    Ok(config)
}
