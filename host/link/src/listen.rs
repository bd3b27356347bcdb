//! The enclave's side: accepting the host's connections.

use core::time::Duration;
use std::io;
use std::path::PathBuf;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::{CONTROL_PORT, Endpoint, Error, Port, RawStream, SESSION_PORT, preamble};

/// How many connections may be in their preamble at once; further ones wait in the kernel's backlog.
const PENDING_MAX: usize = 64;
/// How long a connection may take to name its port.
const PREAMBLE_MAX: Duration = Duration::from_secs(5);
/// Pause after the operating system refused to accept, out of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts the host's connections on [`SESSION_PORT`] and [`CONTROL_PORT`].
#[derive(Debug)]
pub struct Listener {
    transport: Transport,
    endpoint: Endpoint,
    pending: JoinSet<Option<(Port, RawStream)>>,
}

#[derive(Debug)]
enum Transport {
    Unix {
        listener: UnixListener,
        _file: RemoveOnDrop,
    },
    Tcp(TcpListener),
    #[cfg(target_os = "linux")]
    Vsock {
        session: tokio_vsock::VsockListener,
        control: tokio_vsock::VsockListener,
    },
}

/// Takes the socket file away with its listener.
#[derive(Debug)]
struct RemoveOnDrop(PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // It may be gone already, with the folder that holds it.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens at `endpoint`. A Unix socket's file is made here and removed with the listener; the
    /// folder around it decides who may connect. On vsock both ports are bound, on any context id.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the address cannot be bound, a file at the path included;
    /// [`Error::VsockUnsupported`].
    pub async fn bind(endpoint: &Endpoint) -> Result<Self, Error> {
        let failed = |error| Error::unreachable(endpoint, &error);
        let (transport, endpoint) = match endpoint {
            Endpoint::Unix(path) => {
                let listener = UnixListener::bind(path).map_err(failed)?;
                (Transport::Unix { listener, _file: RemoveOnDrop(path.clone()) }, endpoint.clone())
            }
            Endpoint::Tcp(address) => {
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let actual = listener.local_addr().map_err(failed)?;
                (Transport::Tcp(listener), Endpoint::Tcp(actual))
            }
            Endpoint::Vsock(_) => (bind_vsock(endpoint)?, endpoint.clone()),
        };
        Ok(Self { transport, endpoint, pending: JoinSet::new() })
    }

    /// Where this listens: as given, but with the actual port where TCP port 0 was asked for.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The next connection, and the port the host asked for: [`SESSION_PORT`] or [`CONTROL_PORT`].
    ///
    /// A connection that asks for anything else, or for nothing in time, is closed and not reported;
    /// slow ones hold up nobody. Failures of the operating system, such as having no descriptor left,
    /// are waited out. Cancel-safe: what was accepted and not returned is returned next time.
    pub async fn accept(&mut self) -> (Port, RawStream) {
        loop {
            tokio::select! {
                Some(done) = self.pending.join_next() => {
                    if let Ok(Some(accepted)) = done {
                        return accepted;
                    }
                }
                accepted = self.transport.accept(), if self.pending.len() < PENDING_MAX => match accepted {
                    Ok(Arrived::Agreed(port, stream)) => return (port, stream),
                    Ok(Arrived::Fresh(stream)) => {
                        self.pending.spawn(async { timeout(PREAMBLE_MAX, agree(stream)).await.ok().flatten() });
                    }
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }
}

/// A connection as the transport gives it.
enum Arrived {
    /// The transport has ports of its own.
    Agreed(Port, RawStream),
    /// The port is yet to be named.
    Fresh(RawStream),
}

impl Transport {
    async fn accept(&self) -> io::Result<Arrived> {
        match self {
            Self::Unix { listener, .. } => Ok(Arrived::Fresh(RawStream::Unix(listener.accept().await?.0))),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Arrived::Fresh(RawStream::Tcp(stream)))
            }
            #[cfg(target_os = "linux")]
            Self::Vsock { session, control } => tokio::select! {
                accepted = session.accept() => {
                    Ok(Arrived::Agreed(SESSION_PORT, RawStream::Vsock(accepted?.0)))
                }
                accepted = control.accept() => {
                    Ok(Arrived::Agreed(CONTROL_PORT, RawStream::Vsock(accepted?.0)))
                }
            },
        }
    }
}

#[cfg(target_os = "linux")]
fn bind_vsock(endpoint: &Endpoint) -> Result<Transport, Error> {
    let bind = |port: Port| {
        let address = tokio_vsock::VsockAddr::new(tokio_vsock::VMADDR_CID_ANY, port.0);
        tokio_vsock::VsockListener::bind(address).map_err(|error| Error::unreachable(endpoint, &error))
    };
    Ok(Transport::Vsock { session: bind(SESSION_PORT)?, control: bind(CONTROL_PORT)? })
}

#[cfg(not(target_os = "linux"))]
fn bind_vsock(endpoint: &Endpoint) -> Result<Transport, Error> {
    Err(Error::VsockUnsupported { endpoint: endpoint.clone() })
}

async fn agree(mut stream: RawStream) -> Option<(Port, RawStream)> {
    let port = preamble::read_request(&mut stream).await.ok()?.ok()?;
    // An unknown port is answered as a backend does when nobody listens: by closing.
    if port != SESSION_PORT && port != CONTROL_PORT {
        return None;
    }
    preamble::grant(&mut stream, port).await.ok()?;
    Some((port, stream))
}
