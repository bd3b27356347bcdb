//! A log in a temporary folder, leaves, and a bare HTTP client.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use vouchsafe_log::admission::{Admission, Admitted, Refusal};
use vouchsafe_log::blobs::BlobPool;
use vouchsafe_log::storage::Storage;
use vouchsafe_log::{
    Error, Folder, Listening, Log, LogKey, NewLeaf, ServeConfig, WitnessConfig, WitnessSettings, serve,
};
use vouchsafe_receipt::LeafType;
use vouchsafe_translog::{Hash, SignedCheckpoint, VerifierKey, merkle, tile};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::from_base64;

pub(crate) const ORIGIN: &str = "log.example/2026";

/// A log's folder.
pub(crate) struct Place {
    pub(crate) temp: TempDir,
    pub(crate) folder: Folder,
    pub(crate) key: Arc<LogKey>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::new(temp.path().join("log"), None, None);
        let key = Arc::new(folder.init(ORIGIN).unwrap());
        Self { temp, folder, key }
    }

    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.temp.path().join("log")
    }

    pub(crate) fn storage(&self) -> Storage {
        self.folder.open().unwrap()
    }

    pub(crate) fn open(&self) -> Result<Log, Error> {
        Log::open(self.folder.open()?, Arc::clone(&self.key))
    }

    /// A log with so many leaves, in batches of uneven sizes.
    pub(crate) fn with_leaves(count: u64) -> Self {
        let place = Self::new();
        let mut log = place.open().unwrap();
        let mut next = 0;
        for size in [1, 300, 7, 1_000].into_iter().cycle() {
            let end = count.min(next + size);
            log.append(&(next..end).map(leaf).collect::<Vec<_>>()).unwrap();
            next = end;
            if next == count {
                break;
            }
        }
        log.storage().tiles.publish(log.head().note.as_bytes()).unwrap();
        place
    }
}

/// The n-th leaf of tests that judge no leaves.
pub(crate) fn leaf(n: u64) -> NewLeaf {
    let len = usize::try_from(n % 50).unwrap();
    NewLeaf::new([n.to_be_bytes().as_slice(), &vec![7; len]].concat())
}

pub(crate) fn bundle<'a>(leaves: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    leaves.into_iter().for_each(|leaf| tile::push_leaf(&mut bytes, leaf).unwrap());
    bytes
}

/// Admits everything that is not empty: for tests of what comes after admission.
pub(crate) struct AdmitAll;

impl Admission for AdmitAll {
    fn admit(&self, leaves: &[&[u8]], _: &[&[u8]], _: UnixSeconds) -> Vec<Result<Admitted, Refusal>> {
        let judge = |leaf: &&[u8]| match leaf {
            [] => Err(Refusal::Code("empty")),
            leaf => {
                Ok(Admitted { leaf: NewLeaf::new(leaf.to_vec()), kind: LeafType::Receipt, settle_by: None })
            }
        };
        leaves.iter().map(judge).collect()
    }

    fn settle_by(&self, _: &[u8]) -> Option<u64> {
        None
    }
}

pub(crate) fn config(witnesses: Vec<WitnessConfig>, quorum: usize) -> ServeConfig {
    ServeConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        metrics: Some("127.0.0.1:0".parse().unwrap()),
        pool: Duration::from_millis(20),
        witnesses: WitnessSettings {
            witnesses,
            quorum,
            answer_max: Duration::from_millis(500),
            refresh: Duration::from_millis(300),
        },
        answer_max: Duration::from_secs(5),
        alarm_s: 20,
        connections_max: 64,
    }
}

/// A log that serves.
pub(crate) struct Running {
    pub(crate) at: Listening,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Running {
    pub(crate) async fn start(log: Log, admission: Arc<dyn Admission>, config: ServeConfig) -> Self {
        let blobs = Arc::new(BlobPool::new(Arc::clone(&log.storage().blobs)));
        Self::start_with(log, admission, blobs, config).await
    }

    pub(crate) async fn start_with(
        log: Log,
        admission: Arc<dyn Admission>,
        blobs: Arc<BlobPool>,
        config: ServeConfig,
    ) -> Self {
        let (tell, told) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let ended =
            tokio::spawn(serve(log, admission, blobs, config, move |at| tell.send(at).unwrap(), async {
                let _ = stopped.await;
            }));
        Self { at: told.await.unwrap(), stop, ended }
    }

    pub(crate) async fn stop(self) -> Result<(), Error> {
        let _ = self.stop.send(());
        self.ended.await.unwrap()
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(self) -> Result<(), Error> {
        self.ended.await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        request(self.at.log, Method::GET, path, Vec::new()).await
    }

    pub(crate) async fn metrics(&self) -> String {
        let answer = request(self.at.metrics.unwrap(), Method::GET, "/metrics", Vec::new()).await;
        String::from_utf8(answer.into_body().to_vec()).unwrap()
    }

    pub(crate) async fn add(&self, leaves: &[&[u8]]) -> Response<Bytes> {
        request(self.at.log, Method::POST, "/add", bundle(leaves.iter().copied())).await
    }

    /// Adds leaves again and again, as a submitter does, until they are proved.
    pub(crate) async fn settle(&self, leaves: &[&[u8]]) -> Proved {
        for _ in 0..200 {
            let answer = self.add(leaves).await;
            if answer.status() == StatusCode::OK {
                return Proved::read(answer.body());
            }
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never settled");
    }

    /// Waits until a metric's line is there.
    pub(crate) async fn wait_metric(&self, line: &str) {
        for _ in 0..200 {
            if self.metrics().await.contains(line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no {line} in {}", self.metrics().await);
    }
}

pub(crate) async fn request(at: SocketAddr, method: Method, path: &str, body: Vec<u8>) -> Response<Bytes> {
    let stream = TcpStream::connect(at).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "log")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// An answer of `/add`.
pub(crate) struct Proved {
    pub(crate) note: String,
    pub(crate) leaves: Vec<Result<(u64, Vec<Hash>), String>>,
    hashes: Vec<String>,
}

impl Proved {
    pub(crate) fn read(json: &[u8]) -> Self {
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        let leaves = json["leaves"].as_array().unwrap();
        let read = |leaf: &serde_json::Value| match leaf["error"].as_str() {
            Some(code) => Err(code.to_owned()),
            None => {
                let hash = |text: &serde_json::Value| {
                    from_base64(text.as_str().unwrap()).unwrap().try_into().unwrap()
                };
                let path = leaf["path"].as_array().unwrap().iter().map(hash).collect();
                Ok((leaf["index"].as_u64().unwrap(), path))
            }
        };
        Self {
            note: json["checkpoint"].as_str().unwrap().to_owned(),
            leaves: leaves.iter().map(read).collect(),
            hashes: leaves.iter().map(|leaf| leaf["hash"].as_str().unwrap().to_owned()).collect(),
        }
    }

    /// Verifies every proof against the checkpoint under the log's key; gives the indices.
    pub(crate) fn verify(&self, key: &VerifierKey, leaves: &[&[u8]]) -> Vec<u64> {
        let opened =
            SignedCheckpoint::open(self.note.as_bytes(), ORIGIN, std::slice::from_ref(key), &Ring).unwrap();
        let (size, root) = (opened.checkpoint().size(), opened.checkpoint().root());
        assert_eq!(leaves.len(), self.leaves.len());
        let mut indices = Vec::new();
        for ((leaf, proof), hash) in leaves.iter().zip(&self.leaves).zip(&self.hashes) {
            let (index, path) = proof.as_ref().unwrap();
            let leaf_hash = merkle::leaf_hash(leaf, &Ring);
            assert_eq!(*hash, vouchsafe_verifier::encoding::to_hex(&leaf_hash));
            merkle::verify_inclusion(&leaf_hash, *index, size, path, root, &Ring).unwrap();
            indices.push(*index);
        }
        indices
    }
}

/// Copies a folder, as a backup does.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every leaf of the log, read from its public files.
pub(crate) fn all_leaves(storage: &Storage) -> Vec<Vec<u8>> {
    let size = storage.lock.head().unwrap().head.size;
    let mut leaves = Vec::new();
    for index in 0..size.div_ceil(256) {
        let tile = vouchsafe_translog::Tile::in_tree(0, index, size).unwrap();
        let bytes = vouchsafe_log::log::read_bundle(storage.tiles.as_ref(), tile).unwrap();
        leaves.extend(tile.leaves(&bytes).unwrap().into_iter().map(<[u8]>::to_vec));
    }
    leaves
}
