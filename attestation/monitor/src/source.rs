//! Where a log's files come from: over HTTP, or from a folder.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vouchsafe_translog::tile::push_leaf;

/// How long a file may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long it may take until a server is reached.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const REDIRECTS_MAX: u32 = 3;
/// How long a submission may take. The log answers when the leaf is public.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Why a file did not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fetch {
    /// The server says that there is none.
    #[error("it is not there")]
    Missing,
    /// It is longer than any such file.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// No answer, or one that says nothing about the file.
    #[error("{0}")]
    Failed(String),
}

/// A log's files by their path below its URL. What comes is not trusted.
pub trait Source: Send + Sync {
    /// The bytes of a file of at most `bytes_max`.
    ///
    /// # Errors
    /// [`Fetch`].
    fn get(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, Fetch>;

    /// The URL or folder, for people.
    fn name(&self) -> String;
}

/// A log that takes submissions.
pub trait Submit: Send + Sync {
    /// Offers a leaf. What the log answers, in its own words; submitting again is always safe.
    ///
    /// # Errors
    /// That no answer of a log came: the leaf may not have reached it.
    fn add(&self, leaf: &[u8]) -> Result<String, Fetch>;
}

/// A log over HTTP or HTTPS.
#[derive(Debug, Clone)]
pub struct HttpSource {
    base: String,
    agent: ureq::Agent,
}

impl HttpSource {
    /// The log below `url`.
    pub fn new(url: &str) -> Self {
        Self { base: url.trim_end_matches('/').into(), agent: agent(ANSWER_MAX, REDIRECTS_MAX) }
    }
}

/// An HTTP client that believes the certificate authorities of the operating system. What comes from a
/// log is verified whoever sent it; TLS keeps others from withholding it.
pub(crate) fn agent(answer_max: Duration, redirects_max: u32) -> ureq::Agent {
    // Authorities that cannot be read are not believed; without any, servers are refused.
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> =
        roots.iter().map(|root| ureq::tls::Certificate::from_der(root.as_ref()).to_owned()).collect();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(redirects_max)
        .timeout_global(Some(answer_max))
        .timeout_connect(Some(CONNECT_MAX.min(answer_max)))
        .build()
        .into()
}

impl Source for HttpSource {
    fn get(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, Fetch> {
        let failed = |error: ureq::Error| Fetch::Failed(error.to_string());
        let mut response = self.agent.get(format!("{}/{path}", self.base)).call().map_err(failed)?;
        match response.status().as_u16() {
            200 => {}
            404 | 410 => return Err(Fetch::Missing),
            status => return Err(Fetch::Failed(format!("HTTP status {status}"))),
        }
        let mut bytes = Vec::new();
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        response
            .body_mut()
            .as_reader()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| Fetch::Failed(error.to_string()))?;
        if bytes.len() > bytes_max {
            return Err(Fetch::TooLong(bytes_max));
        }
        Ok(bytes)
    }

    fn name(&self) -> String {
        self.base.clone()
    }
}

impl Submit for HttpSource {
    fn add(&self, leaf: &[u8]) -> Result<String, Fetch> {
        let failed = |problem: String| Fetch::Failed(problem);
        let mut body = Vec::new();
        push_leaf(&mut body, leaf).map_err(|error| failed(error.to_string()))?;
        let mut response = self
            .agent
            .post(format!("{}/add", self.base))
            .config()
            .timeout_global(Some(SUBMIT_TIMEOUT))
            .build()
            .send(&body)
            .map_err(|error| failed(error.to_string()))?;
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        let mut reader = response.body_mut().as_reader().take(ANSWER_BYTES_MAX);
        reader.read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
        let answer: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        // A web server that knows nothing of logs answers, too.
        match answer.as_ref().and_then(|answer| answer.get("leaves")?.get(0)) {
            Some(leaf) if status == 200 => Ok(leaf.to_string()),
            _ => Err(failed(format!("HTTP status {status}"))),
        }
    }
}

/// A log's files in a folder: a mirror, or the log's own.
#[derive(Debug, Clone)]
pub struct FolderSource {
    folder: PathBuf,
}

impl FolderSource {
    /// The files below `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl Source for FolderSource {
    fn get(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, Fetch> {
        let file = std::fs::File::open(self.folder.join(path)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Fetch::Missing,
            _ => Fetch::Failed(error.to_string()),
        })?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_end(&mut bytes).map_err(|error| Fetch::Failed(error.to_string()))?;
        if bytes.len() > bytes_max {
            return Err(Fetch::TooLong(bytes_max));
        }
        Ok(bytes)
    }

    fn name(&self) -> String {
        self.folder.display().to_string()
    }
}
