//! Asking a service: HTTP or HTTPS, bounded in size and time, with no redirects.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, Uri, header};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use vouchsafe_verifier::encoding::Base64;

use crate::Error;
use crate::item::{ANSWER_BYTES_MAX, Answer, Item, decode_chain};

/// Longest time for one request.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Longest that a service can ask to be left alone for.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// A client for all services.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Fetcher {
    /// Certificates of HTTPS services are checked against the system's roots, which are read only where
    /// one of these addresses needs them.
    pub(crate) fn new(addresses: &[&str]) -> Result<Self, Error> {
        let wrong = |address: &str| Error::Address(address.to_owned());
        let mut needs_tls = false;
        for address in addresses {
            let uri: Uri = address.parse().map_err(|_| wrong(address))?;
            match (uri.scheme_str(), uri.authority()) {
                (Some("http"), Some(_)) => {}
                (Some("https"), Some(_)) => needs_tls = true,
                _ => return Err(wrong(address)),
            }
        }
        let unusable = |message: String| Error::Unreachable { url: "https:".into(), message };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?;
        let tls = match needs_tls {
            true => builder.with_native_roots().map_err(|error| unusable(error.to_string()))?,
            false => builder.with_root_certificates(rustls::RootCertStore::empty()),
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// Asks for `item`. The answer is not looked into.
    pub(crate) async fn fetch(&self, item: &Item, now: u64) -> Result<Answer, Error> {
        let unreachable = |message: String| Error::Unreachable { url: item.url.clone(), message };
        let late = || unreachable("no answer in time".into());
        timeout(REQUEST_MAX, self.ask(item, now)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn ask(&self, item: &Item, now: u64) -> Result<Answer, Error> {
        let unreachable = |message: String| Error::Unreachable { url: item.url.clone(), message };
        let request = Request::get(&item.url)
            .header(header::USER_AGENT, concat!("vouchsafe-host/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| unreachable(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| unreachable(causes(&error)))?;
        let (head, body) = response.into_parts();
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        if head.status != StatusCode::OK {
            let wait = text("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            let wait = wait.map(|wait| wait.min(WAIT_MAX));
            return Err(Error::Status { url: item.url.clone(), status: head.status.as_u16(), wait });
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| unreachable(error.to_string()))?.to_bytes();
        let chain = item.kind.chain_header().and_then(text).and_then(decode_chain);
        Ok(Answer { url: item.url.clone(), fetched: now, body: Base64(body.to_vec()), chain })
    }
}

fn causes(error: &(dyn core::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
