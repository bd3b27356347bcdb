//! Requests to the log: plain HTTP/1.1, bounded in size and time.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Longest time for one request. A submission is answered when witnesses have cosigned.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Where a log is: `http://HOST[:PORT][/PREFIX]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogUrl {
    authority: String,
    prefix: String,
}

/// The text is not such an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not http://HOST[:PORT][/PREFIX]")]
pub struct LogUrlError {
    text: String,
}

impl FromStr for LogUrl {
    type Err = LogUrlError;

    fn from_str(text: &str) -> Result<Self, LogUrlError> {
        let refused = || LogUrlError { text: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| refused())?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() {
            return Err(refused());
        }
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        Ok(Self {
            authority: authority.ok_or_else(refused)?.to_string(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for LogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

/// Why a request to the log failed: text for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestError {
    /// The log cannot be reached, or broke off.
    Unreachable(String),
    /// It answered, with something else.
    Status(StatusCode, String),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => f.write_str(why),
            Self::Status(status, text) => write!(f, "{status} {text}"),
        }
    }
}

impl LogUrl {
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, RequestError> {
        self.request(Method::GET, path, Bytes::new()).await
    }

    pub(super) async fn post(&self, path: &str, body: Bytes) -> Result<Bytes, RequestError> {
        self.request(Method::POST, path, body).await
    }

    async fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, RequestError> {
        let late = || RequestError::Unreachable("no answer in time".into());
        timeout(REQUEST_MAX, self.exchange(method, path, body)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, RequestError> {
        let unreachable = |error: &dyn fmt::Display| RequestError::Unreachable(error.to_string());
        let address = match self.authority.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => self.authority.clone(),
            _ => format!("{}:80", self.authority),
        };
        let stream = TcpStream::connect(address).await.map_err(|error| unreachable(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.prefix))
            .header(header::HOST, &self.authority)
            .header(header::CONNECTION, "close")
            .body(Full::new(body))
            .map_err(|error| unreachable(&error))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| unreachable(&error))?.to_bytes();
            match status {
                StatusCode::OK => Ok(body),
                status => {
                    let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
                    Err(RequestError::Status(status, text))
                }
            }
        };
        // The connection makes progress while the answer is waited for, and ends with it.
        let connection = async {
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = answer => answer,
            () = connection => Err(RequestError::Unreachable("the connection ended".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        for (text, shown) in [
            ("http://127.0.0.1:7000", "http://127.0.0.1:7000"),
            ("http://log.example/", "http://log.example"),
            ("http://[::1]:80/a/b/", "http://[::1]:80/a/b"),
        ] {
            assert_eq!(text.parse::<LogUrl>().unwrap().to_string(), shown);
        }
        for wrong in ["", "127.0.0.1:7000", "https://log.example", "http://", "http://a@b", "http://a/?b"] {
            assert!(wrong.parse::<LogUrl>().is_err(), "{wrong}");
        }
    }
}
