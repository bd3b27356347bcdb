//! Requests to the log: plain HTTP/1.1, bounded in size and time.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Longest time for one request. A submission is answered when witnesses have cosigned.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next request: less than a log keeps it.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// Connections kept.
const IDLE_CONNECTIONS_MAX: usize = 4;

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

/// A client of one log. It keeps connections, so that a submission costs one round trip.
#[derive(Debug, Clone)]
pub(super) struct LogClient {
    url: LogUrl,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl LogClient {
    pub(super) fn new(url: LogUrl) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_MAX));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Self { url, client }
    }

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
        let request = || {
            let uri = format!("{}/{path}", self.url);
            let request = Request::builder().method(method.clone()).uri(uri).body(Full::new(body.clone()));
            request.map_err(|error| unreachable(&error))
        };
        let response = match self.client.request(request()?).await {
            // A kept connection may end just then. Every request to a log may be repeated.
            Err(error) if !error.is_connect() => self.client.request(request()?).await,
            result => result,
        };
        let response = response.map_err(|error| {
            // The client says that it failed; its cause says why.
            let cause = core::error::Error::source(&error).map(ToString::to_string);
            RequestError::Unreachable(cause.map_or(error.to_string(), |cause| format!("{error}: {cause}")))
        })?;
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;
    use hyper::Response;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;

    #[tokio::test]
    async fn a_connection_is_kept_and_one_that_the_log_closed_is_replaced() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/log", listener.local_addr().unwrap()).parse().unwrap();
        let client = LogClient::new(url);
        let requests = async {
            for n in 0..3 {
                assert_eq!(client.get("checkpoint").await, Ok(Bytes::from("GET /log/checkpoint")), "{n}");
                assert_eq!(client.post("add", vec![7; 1000].into()).await, Ok("POST /log/add".into()), "{n}");
            }
            let refused = client.get("none").await.unwrap_err();
            assert!(matches!(refused, RequestError::Status(StatusCode::NOT_FOUND, _)), "{refused}");
        };
        let answer = |request: Request<hyper::body::Incoming>| async move {
            let text = format!("{} {}", request.method(), request.uri());
            let status = if text.ends_with("none") { 404 } else { 200 };
            let response = Response::builder().status(status).body(Full::new(Bytes::from(text)));
            Ok::<_, Infallible>(response.unwrap())
        };
        let mut requests = core::pin::pin!(requests);
        // One connection for all of it, which then ends, as a log's do after a while.
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            () = requests.as_mut() => panic!("answered by nobody"),
        };
        let server = hyper::server::conn::http1::Builder::new();
        tokio::select! {
            ended = server.serve_connection(TokioIo::new(stream), service_fn(answer)) => panic!("{ended:?}"),
            _ = listener.accept() => panic!("a second connection"),
            () = requests => {}
        }
        let mut again = core::pin::pin!(client.get("checkpoint"));
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            never = again.as_mut() => panic!("{never:?}"),
        };
        tokio::select! {
            _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)) => {}
            answered = again => assert!(answered.is_ok(), "{answered:?}"),
        }
    }

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
