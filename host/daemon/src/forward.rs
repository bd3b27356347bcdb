//! Sessions: bytes between TCP clients and the enclave, unread.

use core::time::Duration;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use vouchsafe_link::{Backoff, Endpoint, FramedStream, PAYLOAD_BYTES_MAX, SESSION_PORT, dial_retrying};

use crate::Limits;
use crate::metrics::{Metrics, Raised, add};

/// How long to try for the enclave before a client is turned away.
const DIAL: Backoff = Backoff {
    first: Duration::from_millis(10),
    max: Duration::from_millis(250),
    give_up_after: Duration::from_secs(3),
};
/// Pause after the operating system refused to accept, out of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts and forwards clients. Once `draining` says so no further ones are accepted, and this ends
/// with the last session. Dropping it cuts every session.
pub(crate) async fn serve(
    listener: TcpListener,
    endpoint: Endpoint,
    limits: Limits,
    metrics: Arc<Metrics>,
    mut draining: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let mut sessions = JoinSet::new();
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                Err(_) => {
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = sessions.join_next() => continue,
            () = set(&mut draining) => break,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            add(&metrics.connections_refused, 1);
            continue;
        };
        add(&metrics.connections, 1);
        let (endpoint, metrics) = (endpoint.clone(), Arc::clone(&metrics));
        sessions.spawn(async move {
            let _open = Raised::new(&metrics.connections_open);
            if session(client, &endpoint, limits, &metrics).await.is_err() {
                add(&metrics.connections_cut, 1);
            }
            drop(place);
        });
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

/// Waits until a signal is set. Without anybody who could set it, that is now.
pub(crate) async fn set(signal: &mut watch::Receiver<bool>) {
    let _ = signal.wait_for(|is_set| *is_set).await;
}

/// Forwards one client from its first byte on.
async fn session(
    client: TcpStream,
    endpoint: &Endpoint,
    limits: Limits,
    metrics: &Metrics,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    // Clients speak first in TLS. One that says nothing costs the enclave nothing.
    timeout(limits.first_byte, client.readable()).await??;
    let raw = match dial_retrying(endpoint, SESSION_PORT, DIAL).await {
        Ok(raw) => raw,
        Err(error) => {
            add(&metrics.connections_undelivered, 1);
            return Err(error.into());
        }
    };
    let (mut client, mut enclave) = (client, FramedStream::new(raw));
    let result = copy(&mut client, &mut enclave, limits, metrics).await;
    if result.is_err() {
        // Neither side may take the cut for an end.
        let _ = client.set_zero_linger();
        let _ = timeout(limits.first_byte, enclave.abort()).await;
    }
    result
}

async fn copy(
    client: &mut TcpStream,
    enclave: &mut (impl AsyncRead + AsyncWrite + Unpin),
    limits: Limits,
    metrics: &Metrics,
) -> io::Result<()> {
    let last = std::sync::Mutex::new(Instant::now());
    let touch = || *last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
    let (from_client, to_client) = client.split();
    let (from_enclave, to_enclave) = tokio::io::split(enclave);
    let up = pump(from_client, to_enclave, |count| {
        touch();
        add(&metrics.bytes_to_enclave, count);
    });
    let down = pump(from_enclave, to_client, |count| {
        touch();
        add(&metrics.bytes_to_client, count);
    });
    let idle = async {
        loop {
            let deadline = {
                let last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                last.checked_add(limits.idle)
            };
            match deadline {
                Some(deadline) if deadline > Instant::now() => sleep_until(deadline).await,
                _ => return io::Error::from(io::ErrorKind::TimedOut),
            }
        }
    };
    tokio::select! {
        both = async { tokio::try_join!(up, down) } => both.map(|((), ())| ()),
        error = idle => Err(error),
    }
}

/// Copies one direction to its end and ends the other side's. What is not taken is not read: that is
/// the back-pressure.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut moved: impl FnMut(u64),
) -> io::Result<()> {
    let mut buffer = vec![0; PAYLOAD_BYTES_MAX];
    loop {
        let count = from.read(&mut buffer).await?;
        let Some(data @ [_, ..]) = buffer.get(..count) else { return to.shutdown().await };
        to.write_all(data).await?;
        to.flush().await?;
        moved(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
