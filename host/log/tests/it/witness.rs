//! A small witness to test against: correct unless told otherwise.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use vouchsafe_log::WitnessConfig;
use vouchsafe_translog::{
    AddCheckpoint, Algorithm, Hash, SignedCheckpoint, VerifierKey, cosignature, merkle,
};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use crate::common::ORIGIN;

/// How a witness behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Good,
    /// Takes this many milliseconds for everything.
    Slow(u64),
    /// Answers with an error.
    Failing,
    /// Its signatures are not its own.
    BadSignature,
    /// Cosigns another root than it was shown.
    OtherRoot,
    /// Says that it has cosigned this size already.
    Ahead(u64),
    /// Answers with something that is no answer.
    Babbling,
    /// Says of a fork at its own size that it is not consistent, where a conflict is to be said.
    Inconsistent,
    /// Cosigns whatever it is shown, a fork as well.
    TwoFaced,
    /// Its clock stands at these Unix seconds.
    Clock(u64),
}

struct State {
    mode: Mode,
    size: u64,
    root: Hash,
    requests: usize,
}

/// A witness on a port of its own.
pub(crate) struct TestWitness {
    pub(crate) config: WitnessConfig,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl TestWitness {
    pub(crate) async fn start(n: u8, log: &VerifierKey, mode: Mode) -> Self {
        let pair = Arc::new(Ed25519KeyPair::from_seed_unchecked(&[n; 32]).unwrap());
        let public = pair.public_key().as_ref().try_into().unwrap();
        let key =
            VerifierKey::new(&format!("w{n}.example"), Algorithm::CosignatureV1, public, &Ring).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { mode, size: 0, root: [0; 32], requests: 0 }));
        let config = WitnessConfig { url, key: key.clone() };
        let task = tokio::spawn(serve(listener, Arc::clone(&state), log.clone(), key, pair));
        Self { config, state, task }
    }

    pub(crate) fn behave(&self, mode: Mode) {
        self.state.lock().unwrap().mode = mode;
    }

    pub(crate) fn size(&self) -> u64 {
        self.state.lock().unwrap().size
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }
}

impl Drop for TestWitness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    state: Arc<Mutex<State>>,
    log: VerifierKey,
    key: VerifierKey,
    pair: Arc<Ed25519KeyPair>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (state, log, key, pair) = (Arc::clone(&state), log.clone(), key.clone(), Arc::clone(&pair));
        let answer = service_fn(move |request: Request<Incoming>| {
            let (state, log, key, pair) = (Arc::clone(&state), log.clone(), key.clone(), Arc::clone(&pair));
            async move {
                assert_eq!(request.uri().path(), "/add-checkpoint");
                let body = request.into_body().collect().await?.to_bytes();
                let mode = state.lock().unwrap().mode;
                if let Mode::Slow(ms) = mode {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                let (status, kind, text) = state.lock().unwrap().answer(mode, &body, &log, &key, &pair);
                let reply = Response::builder().status(status).header("content-type", kind);
                Ok::<_, hyper::Error>(reply.body(Full::new(Bytes::from(text))).unwrap())
            }
        });
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

impl State {
    fn answer(
        &mut self,
        mode: Mode,
        body: &[u8],
        log: &VerifierKey,
        key: &VerifierKey,
        pair: &Ed25519KeyPair,
    ) -> (StatusCode, &'static str, String) {
        const PLAIN: &str = "text/plain";
        const SIZE: &str = "text/x.tlog.size";
        self.requests += 1;
        match mode {
            Mode::Failing => return (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "broken".into()),
            Mode::Babbling => return (StatusCode::OK, PLAIN, "\u{2014} what\n".into()),
            Mode::Ahead(size) => return (StatusCode::CONFLICT, SIZE, format!("{size}\n")),
            _ => {}
        }
        let request = AddCheckpoint::parse(body).unwrap();
        let note = request.note().to_string();
        let opened =
            SignedCheckpoint::open(note.as_bytes(), ORIGIN, std::slice::from_ref(log), &Ring).unwrap();
        let (size, root) = (opened.checkpoint().size(), *opened.checkpoint().root());
        let cares = mode != Mode::TwoFaced;
        let is_fork = size == self.size && size != 0 && root != self.root;
        if cares && (request.old() != self.size || (is_fork && mode != Mode::Inconsistent)) {
            return (StatusCode::CONFLICT, SIZE, format!("{}\n", self.size));
        }
        let proof = request.consistency();
        if cares
            && self.size > 0
            && merkle::verify_consistency(self.size, &self.root, size, &root, proof, &Ring).is_err()
        {
            return (StatusCode::UNPROCESSABLE_ENTITY, PLAIN, String::new());
        }
        (self.size, self.root) = (size, root);
        let now = match mode {
            Mode::Clock(now) => now,
            _ => std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs(),
        };
        let mut text = opened.note().text().to_owned();
        if mode == Mode::OtherRoot {
            text = text.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size + 1), 1);
        }
        let stranger = Ed25519KeyPair::from_seed_unchecked(&[200; 32]).unwrap();
        let signer = if mode == Mode::BadSignature { &stranger } else { pair };
        let sign = |message: &[u8]| signer.sign(message).as_ref().try_into().unwrap();
        let line = cosignature::cosign(&text, UnixSeconds(now), key, sign).unwrap();
        (StatusCode::OK, PLAIN, line.to_string())
    }
}
