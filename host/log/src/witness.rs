//! Asking a witness to cosign (c2sp.org/tlog-witness, *add-checkpoint*).
//!
//! One task for each witness keeps what the witness cosigned last, so that a slow or broken one delays
//! nobody else. What comes back counts only once its signature verified under the configured key.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use vouchsafe_translog::note::{self, NoteSignature, SignedNote};
use vouchsafe_translog::{AddCheckpoint, VerifierKey, cosignature};
use vouchsafe_verifier::crypto::Ring;

use crate::Error;
use crate::log::{build_error, tree_reader};
use crate::metrics::{Metrics, WitnessMetrics, add};
use crate::storage::{SignedHead, Storage};

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// The witness's own size may move between two requests, but not forever.
const ATTEMPTS_MAX: usize = 3;
const BACK_OFF_MIN: Duration = Duration::from_millis(250);
const BACK_OFF_MAX: Duration = Duration::from_secs(15);

/// Where a witness answers, and whose signature it must give.
#[derive(Debug, Clone)]
pub struct WitnessConfig {
    /// Its submission prefix, without a final slash.
    pub url: String,
    /// Its key.
    pub key: VerifierKey,
}

impl WitnessConfig {
    /// Reads `URL=VKEY`.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: String| Error::Setting { name: "--witness", why };
        // A URL may hold an equals sign, and so may a key: the key's own digest decides.
        let (url, key) = text
            .match_indices('=')
            .filter_map(|(at, _)| {
                let key = VerifierKey::parse(text.get(at.saturating_add(1)..)?, &Ring).ok()?;
                Some((text.get(..at)?, key))
            })
            .next()
            .ok_or_else(|| wrong(format!("{text:?} is not URL=VKEY")))?;
        let uri: Uri = url.parse().map_err(|_| wrong(format!("{url:?} is not a URL")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.authority().is_none() {
            return Err(wrong(format!("{url:?} is not an http or https URL")));
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), key })
    }
}

/// A checkpoint to be cosigned.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) number: u64,
    pub(crate) signed: SignedHead,
}

/// What a witness said in a round.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) witness: usize,
    pub(crate) round: u64,
    pub(crate) result: Result<NoteSignature, Failure>,
}

/// Why there is no cosignature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("it does not answer: {0}")]
    Unreachable(String),
    #[error("it refuses: {0}")]
    Refused(String),
    #[error("its cosignature does not verify")]
    BadSignature,
    #[error("it has cosigned {0} entries, more than this log holds")]
    Ahead(u64),
    #[error("it has cosigned another root for {0} entries: somebody signed a fork with this log's key")]
    Forked(u64),
    #[error("this log: {0}")]
    Local(Error),
}

/// The client that all witnesses share.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// An HTTP client; certificates are checked against the system's roots, and only if a URL needs them.
pub(crate) fn http_client(witnesses: &[WitnessConfig]) -> Result<HttpClient, Error> {
    let wrong = |error: &dyn core::fmt::Display| Error::Setting { name: "--witness", why: error.to_string() };
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?;
    let tls = if witnesses.iter().any(|witness| witness.url.starts_with("https:")) {
        builder.with_native_roots().map_err(|error| wrong(&error))?.with_no_client_auth()
    } else {
        builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
    };
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// One witness, and what is known of it.
pub(crate) struct WitnessTask {
    pub(crate) at: usize,
    pub(crate) config: WitnessConfig,
    pub(crate) client: HttpClient,
    pub(crate) storage: Storage,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) answer_max: Duration,
    /// The size it cosigned last, as far as is known.
    pub(crate) known: u64,
}

impl WitnessTask {
    /// Cosigns the newest round, again and again, until nobody asks any more.
    pub(crate) async fn run(mut self, mut rounds: watch::Receiver<Option<Round>>, said: mpsc::Sender<Said>) {
        let mut back_off = BACK_OFF_MIN;
        let mut told = None;
        loop {
            if rounds.changed().await.is_err() {
                return;
            }
            // A round that fails is tried again after a while, unless a newer one has come by then.
            loop {
                let Some(round) = rounds.borrow_and_update().clone() else { break };
                let started = Instant::now();
                let asked = timeout(self.answer_max, self.cosign(&round.signed)).await;
                let result = asked.unwrap_or_else(|_| Err(Failure::Unreachable("timed out".into())));
                self.count(&result, started.elapsed());
                self.tell_change(&mut told, result.as_ref().err());
                let is_good = result.is_ok();
                let said_now = Said { witness: self.at, round: round.number, result };
                if said.send(said_now).await.is_err() {
                    return;
                }
                if is_good {
                    back_off = BACK_OFF_MIN;
                    break;
                }
                sleep(back_off).await;
                back_off = back_off.saturating_mul(2).min(BACK_OFF_MAX);
            }
        }
    }

    fn count(&self, result: &Result<NoteSignature, Failure>, took: Duration) {
        let Some(metrics): Option<&WitnessMetrics> = self.metrics.witnesses.get(self.at) else { return };
        let counter = match result {
            Ok(_) => {
                metrics.took.observe(took);
                &metrics.cosigned
            }
            Err(Failure::Unreachable(_)) => &metrics.unreachable,
            Err(Failure::Refused(_) | Failure::Local(_)) => &metrics.refused,
            Err(Failure::BadSignature) => &metrics.bad_signature,
            Err(Failure::Ahead(_) | Failure::Forked(_)) => &metrics.conflict,
        };
        add(counter, 1);
    }

    /// Names a witness that begins to fail, fails otherwise than before, or recovers.
    fn tell_change(&self, told: &mut Option<Failure>, failure: Option<&Failure>) {
        if told.as_ref() == failure {
            return;
        }
        let name = self.config.key.name();
        match failure {
            Some(failure) => eprintln!("vouchsafe-log: witness {name}: {failure}"),
            None => eprintln!("vouchsafe-log: witness {name} cosigns again"),
        }
        *told = failure.cloned();
    }

    async fn cosign(&mut self, signed: &SignedHead) -> Result<NoteSignature, Failure> {
        let local = |why: String| Failure::Local(Error::Irreparable(why));
        let note = SignedNote::parse(signed.note.as_bytes()).map_err(|error| local(error.to_string()))?;
        let mut last = Failure::Refused("its size changes with every request".into());
        for _ in 0..ATTEMPTS_MAX {
            let (status, is_size, body) = self.ask(self.request(&note, signed.head.size).await?).await?;
            match status {
                StatusCode::OK => {
                    let line = self.verified(&note, &body)?;
                    self.known = signed.head.size;
                    return Ok(line);
                }
                StatusCode::CONFLICT => {
                    let size = size_of(&body).filter(|_| is_size);
                    let size = size.ok_or_else(|| Failure::Refused("409 without a size".into()))?;
                    if size > signed.head.size {
                        return Err(Failure::Ahead(size));
                    }
                    if size == self.known && size == signed.head.size {
                        return Err(Failure::Forked(size));
                    }
                    self.known = size;
                }
                // Nothing is to be proved at this size but that the root is the same: witnesses that answer so and
                // not with a conflict, as the specification has it, say the same.
                StatusCode::UNPROCESSABLE_ENTITY if self.known == signed.head.size && self.known > 0 => {
                    return Err(Failure::Forked(self.known));
                }
                status => {
                    // A proof from a size that it does not hold would be refused again.
                    last = Failure::Refused(format!("HTTP {}", status.as_u16()));
                    if status != StatusCode::UNPROCESSABLE_ENTITY || self.known == 0 {
                        return Err(last);
                    }
                    self.known = 0;
                }
            }
        }
        Err(last)
    }

    async fn request(&self, note: &SignedNote, size: u64) -> Result<AddCheckpoint, Failure> {
        let (old, storage, note) = (self.known, self.storage.clone(), note.clone());
        let made = tokio::task::spawn_blocking(move || {
            let proof = if old == 0 || old == size {
                Vec::new()
            } else {
                tree_reader(storage.tiles.as_ref(), size).consistency(old).map_err(build_error)?
            };
            AddCheckpoint::new(old, proof, note).map_err(|error| Error::Irreparable(error.to_string()))
        });
        made.await.unwrap_or(Err(Error::Stopping)).map_err(Failure::Local)
    }

    async fn ask(&self, request: AddCheckpoint) -> Result<(StatusCode, bool, Bytes), Failure> {
        let unreachable = |error: &dyn core::fmt::Display| Failure::Unreachable(error.to_string());
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/add-checkpoint", self.config.url))
            .header(header::USER_AGENT, concat!("vouchsafe-log/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(request.to_string())))
            .map_err(|error| unreachable(&error))?;
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_size = kind.is_some_and(|kind| kind.as_bytes() == b"text/x.tlog.size");
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Failure::Refused(error.to_string()))?;
        Ok((status, is_size, body.to_bytes()))
    }

    /// The line of this witness's key, verified; lines of other keys are ignored.
    fn verified(&self, note: &SignedNote, body: &[u8]) -> Result<NoteSignature, Failure> {
        let key = &self.config.key;
        let lines = core::str::from_utf8(body).ok().and_then(|text| note::parse_signatures(text).ok());
        let lines = lines.ok_or_else(|| Failure::Refused("200 without signature lines".into()))?;
        let line = lines.into_iter().find(|line| key.is_named_by(line)).ok_or(Failure::BadSignature)?;
        match cosignature::verify(note.text(), &line, key, &Ring) {
            Ok(_) => Ok(line),
            Err(_) => Err(Failure::BadSignature),
        }
    }
}

/// A size alone on its line, without leading zeroes.
fn size_of(body: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    let size: u64 = text.parse().ok()?;
    (size.to_string() == text).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_translog::Algorithm;

    #[test]
    fn a_witness_is_read_from_its_url_and_key() {
        let key = VerifierKey::new("witness.example/w", Algorithm::CosignatureV1, [3; 32], &Ring).unwrap();
        let read = WitnessConfig::parse(&format!("https://witness.example/?a=b={key}")).unwrap();
        assert_eq!((read.url.as_str(), &read.key), ("https://witness.example/?a=b", &key));
        let read = WitnessConfig::parse(&format!("http://127.0.0.1:80/={key}")).unwrap();
        assert_eq!(read.url, "http://127.0.0.1:80");
        for wrong in ["http://a", "=", "ftp://a=", &format!("ftp://a={key}"), &format!("{key}")] {
            assert!(matches!(WitnessConfig::parse(wrong), Err(Error::Setting { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_size_has_one_form() {
        assert_eq!(size_of(b"17\n"), Some(17));
        for wrong in [b"17".as_slice(), b"017\n", b"+17\n", b"\n", b"17\n\n", b"-1\n"] {
            assert_eq!(size_of(wrong), None);
        }
    }
}
