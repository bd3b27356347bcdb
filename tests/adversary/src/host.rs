//! Forwarding sessions dishonestly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use vouchsafe_link::{Endpoint, FramedStream, SESSION_PORT, dial};

/// Which way a chunk of a session travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the enclave.
    ToEnclave,
    /// From the enclave to the client.
    ToClient,
}

/// What to do with a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send these bytes: the same, changed, doubled, or none.
    Send(Vec<u8>),
    /// Send these bytes, each in a write of its own.
    Trickle(Vec<u8>),
    /// Send these bytes after so long a wait.
    Hold(Duration, Vec<u8>),
    /// Send these bytes and end this direction, as if its sender had.
    End(Vec<u8>),
    /// Send these bytes and nothing further, while everything stays open.
    Stall(Vec<u8>),
    /// End both directions at once.
    Cut,
}

/// Decides over each chunk of ciphertext.
pub trait Meddler: Send + 'static {
    /// Which enclave the next session goes to.
    fn route(&mut self, session: u64) -> Endpoint;

    /// What becomes of a chunk. `offset` counts the bytes of this direction before it.
    fn chunk(&mut self, session: u64, direction: Direction, offset: u64, bytes: Vec<u8>) -> Action;
}

/// Forwards faithfully: the control beside every attack.
#[derive(Debug, Clone)]
pub struct Honest(pub Endpoint);

impl Meddler for Honest {
    fn route(&mut self, _: u64) -> Endpoint {
        self.0.clone()
    }

    fn chunk(&mut self, _: u64, _: Direction, _: u64, bytes: Vec<u8>) -> Action {
        Action::Send(bytes)
    }
}

/// A running cheating host; it stops when dropped, and its sessions with it.
pub struct Host {
    /// Where clients connect.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Host {
    /// Starts to forward on a free loopback port.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(meddler: impl Meddler) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let meddler = Arc::new(Mutex::new(meddler));
        let task = tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            let mut session = 0;
            while let Ok((client, _)) = listener.accept().await {
                sessions.spawn(forward(client, Arc::clone(&meddler), session));
                session += 1;
            }
        });
        Ok(Self { address, task })
    }
}

async fn forward<M: Meddler>(client: TcpStream, meddler: Arc<Mutex<M>>, session: u64) {
    let endpoint = lock(&meddler).route(session);
    let Ok(raw) = dial(&endpoint, SESSION_PORT).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_enclave, to_enclave) = tokio::io::split(FramedStream::new(raw));
    // The first cut or failure ends both directions at once; clean ends wait for each other.
    let _ = tokio::try_join!(
        copy(from_client, to_enclave, &meddler, session, Direction::ToEnclave),
        copy(from_enclave, to_client, &meddler, session, Direction::ToClient),
    );
}

/// The session was cut, by the meddler or by a failing transport.
struct Cut;

impl From<std::io::Error> for Cut {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

async fn copy<M: Meddler>(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    meddler: &Mutex<M>,
    session: u64,
    direction: Direction,
) -> Result<(), Cut> {
    let mut buffer = vec![0; 16 * 1024];
    let mut offset = 0;
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(to.shutdown().await?);
        }
        let chunk = buffer.get(..length).unwrap_or_default().to_vec();
        let action = lock(meddler).chunk(session, direction, offset, chunk);
        offset += u64::try_from(length).unwrap_or(u64::MAX);
        match action {
            Action::Send(bytes) => to.write_all(&bytes).await?,
            Action::Hold(wait, bytes) => {
                tokio::time::sleep(wait).await;
                to.write_all(&bytes).await?;
            }
            Action::Trickle(bytes) => {
                for byte in bytes {
                    to.write_all(&[byte]).await?;
                    to.flush().await?;
                }
            }
            Action::End(bytes) => {
                to.write_all(&bytes).await?;
                return Ok(to.shutdown().await?);
            }
            Action::Stall(bytes) => {
                to.write_all(&bytes).await?;
                to.flush().await?;
                std::future::pending::<()>().await;
            }
            Action::Cut => return Err(Cut),
        }
        to.flush().await?;
    }
}

fn lock<M>(meddler: &Mutex<M>) -> std::sync::MutexGuard<'_, M> {
    meddler.lock().unwrap_or_else(PoisonError::into_inner)
}
