//! A log that stands in for one: in memory, in this process, with the formats of a real one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use vouchsafe_host::LogUrl;
use vouchsafe_translog::merkle::{inclusion_path, leaf_hash, root};
use vouchsafe_translog::tile::{Resource, parse_leaves};
use vouchsafe_translog::{Algorithm, Checkpoint, Hash, TrustedLog, VerifierKey, cosignature};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{to_base64, to_hex};

const ORIGIN: &str = "example.test/log";

struct Key {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl Key {
    fn new(name: &str, algorithm: Algorithm) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        Self { verifier: VerifierKey::new(name, algorithm, public, &Ring).unwrap(), pair }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().unwrap()
    }
}

/// What the log holds and how it misbehaves.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) leaves: Vec<Vec<u8>>,
    pub(crate) blobs: BTreeMap<Hash, Vec<u8>>,
    /// Submissions that are answered with 503 before one is taken.
    pub(crate) unavailable: usize,
    /// Leaves that are refused once each.
    pub(crate) refuse_once: Vec<Vec<u8>>,
    pub(crate) submissions: usize,
    /// Whether it says that it has what it is offered, and takes nothing.
    pub(crate) is_pretending: bool,
    /// Whether its checkpoints go without their witness.
    pub(crate) is_uncosigned: bool,
    /// Leaves of the submission that came last.
    pub(crate) last: Vec<Vec<u8>>,
}

/// The log, its witness, and where it listens.
pub(crate) struct Log {
    key: Key,
    witness: Key,
    pub(crate) state: Mutex<State>,
    pub(crate) url: LogUrl,
    /// Whether submissions are taken and not answered.
    pub(crate) is_silent: watch::Sender<bool>,
}

impl Log {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a/prefix/", listener.local_addr().unwrap()).parse().unwrap();
        let log = Arc::new(Self {
            key: Key::new(ORIGIN, Algorithm::Ed25519),
            witness: Key::new("w", Algorithm::CosignatureV1),
            state: Mutex::default(),
            url,
            is_silent: watch::channel(false).0,
        });
        let serving = Arc::clone(&log);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let log = Arc::clone(&serving);
                tokio::spawn(async move {
                    let service = service_fn(|request| log.answer(request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        log
    }

    pub(crate) fn trusted(&self) -> TrustedLog {
        TrustedLog::new(self.key.verifier.clone(), vec![self.witness.verifier.clone()], 1).unwrap()
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let path = parts.uri.path().strip_prefix("/a/prefix/").unwrap();
        let answer = match (&parts.method, path) {
            (&Method::POST, "blob") => {
                self.state.lock().unwrap().blobs.insert(Ring.sha256(&body), body.to_vec());
                Some(Vec::new())
            }
            (&Method::POST, "add") => {
                let answer = self.add(&body);
                self.is_silent.subscribe().wait_for(|is_silent| !is_silent).await.unwrap();
                answer
            }
            (&Method::GET, "checkpoint") => Some(self.note().into_bytes()),
            (&Method::GET, path) => Some(self.tile(path)),
            _ => None,
        };
        let status = if answer.is_some() { 200 } else { 503 };
        Ok(Response::builder().status(status).body(Full::new(answer.unwrap_or_default().into())).unwrap())
    }

    fn hashes(&self) -> Vec<Hash> {
        self.state.lock().unwrap().leaves.iter().map(|leaf| leaf_hash(leaf, &Ring)).collect()
    }

    fn note(&self) -> String {
        let hashes = self.hashes();
        let tree = Checkpoint::new(ORIGIN, hashes.len() as u64, root(&hashes, &Ring)).unwrap();
        let mut note = tree.sign(&self.key.verifier, |message| self.key.sign(message)).unwrap();
        if self.state.lock().unwrap().is_uncosigned {
            return note.to_string();
        }
        let time = UnixSeconds(1_795_262_400 + hashes.len() as u64);
        let sign = |message: &[u8]| self.witness.sign(message);
        note.add(cosignature::cosign(note.text(), time, &self.witness.verifier, sign).unwrap()).unwrap();
        note.to_string()
    }

    fn add(&self, body: &[u8]) -> Option<Vec<u8>> {
        let offered = parse_leaves(body, 10_000).unwrap();
        let mut refused = Vec::new();
        {
            let mut state = self.state.lock().unwrap();
            state.submissions += 1;
            state.last = offered.iter().map(|leaf| leaf.to_vec()).collect();
            if state.unavailable > 0 {
                state.unavailable -= 1;
                return None;
            }
            let is_pretending = state.is_pretending;
            for leaf in offered.iter().filter(|_| !is_pretending) {
                if let Some(at) = state.refuse_once.iter().position(|once| once == leaf) {
                    state.refuse_once.remove(at);
                    refused.push(leaf.to_vec());
                } else if !state.leaves.iter().any(|known| known == leaf) {
                    state.leaves.push(leaf.to_vec());
                }
            }
        }
        let hashes = self.hashes();
        let is_pretending = self.state.lock().unwrap().is_pretending;
        let leaves: Vec<_> = offered
            .iter()
            .map(|leaf| {
                let hash = leaf_hash(leaf, &Ring);
                if is_pretending {
                    return json!({"hash": to_hex(&hash), "index": 0, "path": []});
                }
                let Some(index) = hashes.iter().position(|known| *known == hash) else {
                    return json!({"hash": to_hex(&hash), "error": "boot_unknown"});
                };
                let path = inclusion_path(&hashes, index, &Ring).unwrap();
                let path: Vec<_> = path.iter().map(|hash| to_base64(hash)).collect();
                json!({"hash": to_hex(&hash), "index": index, "path": path})
            })
            .collect();
        Some(json!({"checkpoint": self.note(), "leaves": leaves}).to_string().into_bytes())
    }

    fn tile(&self, path: &str) -> Vec<u8> {
        let Ok(Resource::Hashes(tile)) = Resource::parse(path) else { panic!("{path}") };
        let hashes = self.hashes();
        let span = 256_usize.pow(u32::from(tile.level()));
        let first = usize::try_from(tile.index()).unwrap() * 256;
        (first..first + tile.width())
            .flat_map(|index| root(&hashes[index * span..(index + 1) * span], &Ring))
            .collect()
    }
}
