//! A log's static files, from a folder or over HTTP.
//!
//! Nothing read here is trusted: a proof made of wrong files does not verify. So a plain connection
//! does, and any copy of the files is as good as the log's own.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::failure::Failure;
use crate::input;

/// Longest file of a log: a full entry bundle.
const FILE_BYTES_MAX: usize = 256 * (2 + 65_535);
/// How long one file may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where a log's files are.
pub(crate) enum Source {
    /// In a folder.
    Folder(PathBuf),
    /// Under a prefix `http://HOST[:PORT][/PATH]`.
    Http {
        /// The prefix without its last slash.
        prefix: String,
        /// What runs the requests.
        runtime: Runtime,
    },
}

impl Source {
    /// A folder's path, or an address that begins with `http://`.
    pub(crate) fn open(place: &str) -> Result<Self, Failure> {
        if place.starts_with("https://") {
            let why = "https:// is not supported: what is read is verified anyway, so that http:// or a folder does";
            return Err(Failure::Log(format!("{place}: {why}")));
        }
        if !place.starts_with("http://") {
            return Ok(Self::Folder(place.into()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Own(error.to_string()))?;
        Ok(Self::Http { prefix: place.trim_end_matches('/').to_owned(), runtime })
    }

    /// One file, by its path under the prefix.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Folder(folder) => input::read(&folder.join(path), FILE_BYTES_MAX)
                .map_err(|error| Failure::Log(error.to_string())),
            Self::Http { prefix, runtime } => {
                let address = format!("{prefix}/{path}");
                let got = runtime.block_on(async { tokio::time::timeout(TIMEOUT, get(&address)).await });
                let got = got.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
                got.map_err(|why| Failure::Log(format!("{address}: {why}")))
            }
        }
    }
}

/// One GET over a connection of its own.
async fn get(address: &str) -> Result<Vec<u8>, String> {
    let uri: Uri = address.parse().map_err(|error| format!("not an address: {error}"))?;
    let host = uri.host().ok_or("an address without a host")?;
    let port = uri.port_u16().unwrap_or(80);
    let stream =
        TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    let request = Request::get(target).header("host", authority).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("status {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), FILE_BYTES_MAX).collect().await;
        body.map(|body| body.to_bytes().to_vec()).map_err(|error| error.to_string())
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => match ended {
            // What has arrived is still to be read.
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
