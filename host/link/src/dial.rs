//! The host's side: connecting to an enclave's port.

use core::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use crate::{Endpoint, Error, Port, RawStream, preamble};

/// How long one attempt to connect may take.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);

/// Connects to `port` of the enclave at `endpoint`, one attempt of at most five seconds.
///
/// # Errors
/// [`Error::Unreachable`], [`Error::NotListening`] or [`Error::Timeout`], all of them transient, or
/// [`Error::VsockUnsupported`].
pub async fn dial(endpoint: &Endpoint, port: Port) -> Result<RawStream, Error> {
    let late = Error::Timeout { endpoint: endpoint.clone(), port };
    timeout(ATTEMPT_MAX, attempt(endpoint, port)).await.unwrap_or(Err(late))
}

async fn attempt(endpoint: &Endpoint, port: Port) -> Result<RawStream, Error> {
    let unreachable = |error| Error::unreachable(endpoint, &error);
    let mut stream = match endpoint {
        Endpoint::Unix(path) => RawStream::Unix(UnixStream::connect(path).await.map_err(unreachable)?),
        Endpoint::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            RawStream::Tcp(stream)
        }
        // The transport itself has ports, so there is no line to write.
        Endpoint::Vsock(cid) => return vsock(endpoint, *cid, port).await,
    };
    match preamble::ask(&mut stream, port).await.map_err(unreachable)? {
        Ok(()) => Ok(stream),
        Err(reply) => Err(Error::NotListening { endpoint: endpoint.clone(), port, reply }),
    }
}

#[cfg(target_os = "linux")]
async fn vsock(endpoint: &Endpoint, cid: u32, port: Port) -> Result<RawStream, Error> {
    let address = tokio_vsock::VsockAddr::new(cid, port.0);
    let stream = tokio_vsock::VsockStream::connect(address).await;
    stream.map(RawStream::Vsock).map_err(|error| Error::unreachable(endpoint, &error))
}

#[cfg(not(target_os = "linux"))]
async fn vsock(endpoint: &Endpoint, _cid: u32, _port: Port) -> Result<RawStream, Error> {
    Err(Error::VsockUnsupported { endpoint: endpoint.clone() })
}

/// How to go on trying while the other side is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Pause after the first failure; doubled after each further one.
    pub first: Duration,
    /// Longest pause.
    pub max: Duration,
    /// When to give up, from the first attempt on.
    pub give_up_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(10),
            max: Duration::from_millis(500),
            give_up_after: Duration::from_secs(30),
        }
    }
}

/// As [`dial`], trying again with growing pauses while the failure is transient.
///
/// # Errors
/// The last attempt's, once `backoff.give_up_after` has passed.
pub async fn dial_retrying(endpoint: &Endpoint, port: Port, backoff: Backoff) -> Result<RawStream, Error> {
    let begun = Instant::now();
    let mut pause = backoff.first;
    loop {
        match dial(endpoint, port).await {
            Err(error) if error.is_transient() && begun.elapsed() < backoff.give_up_after => {
                sleep(pause).await
            }
            result => return result,
        }
        pause = pause.saturating_mul(2).min(backoff.max);
    }
}
