//! An impostor: TLS under a key of his own, and any document he likes in place of an enclave's.
//!
//! He speaks just enough HTTP/1.1 to be asked for evidence. What he is asked for is recorded, so that
//! a test can see that nobody told him anything worth keeping.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::middle::server_config;

type Answer = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;
type Respond = Arc<dyn Fn(String) -> Answer + Send + Sync>;

/// A running impostor; he stops when dropped.
pub struct Impostor {
    /// Where clients connect, believing it to be an enclave's host.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Impostor {
    /// Starts to listen on a free loopback port. `respond` is given each request's path with its
    /// query, and gives the JSON to answer with.
    ///
    /// # Errors
    /// When no port can be had or no certificate can be made.
    pub async fn start<F>(respond: impl Fn(String) -> F + Send + Sync + 'static) -> std::io::Result<Self>
    where
        F: Future<Output = Vec<u8>> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(server_config().map_err(std::io::Error::other)?));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let respond: Respond = Arc::new(move |path| Box::pin(respond(path)));
        let heard = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, respond) = (acceptor.clone(), Arc::clone(&respond));
                let asked = Arc::clone(&heard);
                sessions.spawn(async move {
                    // A client that hangs up is his failure to deceive it, which the test observes.
                    let _ = serve(client, &acceptor, &respond, &asked).await;
                });
            }
        });
        Ok(Self { address, asked, task })
    }

    /// The first line of every request so far, and every body's bytes after it.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(
    client: TcpStream,
    acceptor: &TlsAcceptor,
    respond: &Respond,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(client).await?);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let first = std::mem::take(&mut line);
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(first.trim_end().to_owned());
        // The headers say nothing that he needs.
        while stream.read_line(&mut line).await? > 0 && !line.trim_end().is_empty() {
            line.clear();
        }
        line.clear();
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = respond(path).await;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.flush().await?;
    }
    Ok(())
}
