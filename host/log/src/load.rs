//! `vouchsafe-log load`: how fast this machine's log is, and what it costs.
//!
//! A log of its own, filled to a stated size, is offered leaves at a fixed rate whether it keeps up or
//! not. Leaves are heartbeats signed by a throwaway key, admitted as a real boot's are but for the
//! evidence: parsed, and their signature verified. Times run from the moment a submission was due until
//! its proofs were there. Log, client and, where they run here, witnesses share this machine's cores.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use vouchsafe_log::admission::{Admission, Admitted, Refusal};
use vouchsafe_log::blobs::BlobPool;
use vouchsafe_log::storage::leaf_key;
use vouchsafe_log::{Error, Folder, Log, LogKey, NewLeaf, ServeConfig, serve};
use vouchsafe_receipt::{
    CheckpointRef, Envelope, Heartbeat, Leaf, LeafType, PayloadType, ReceiptKey, envelope_leaf, pae, to_low_s,
};
use vouchsafe_translog::{Hash, SignedCheckpoint, merkle, tile};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Hex, from_base64};

/// Logs of this command begin so: it never touches another.
const ORIGIN: &str = "load.invalid/throwaway";
/// Leaves of one batch while the log is filled.
const FILL_LEAVES: u64 = 16_384;
/// Bytes of a leaf while the log is filled.
const FILL_BYTES: usize = 300;
const RETRIES_MAX: u32 = 100;

/// What to measure.
#[derive(Debug, Clone)]
pub(crate) struct LoadPlan {
    pub(crate) dir: PathBuf,
    pub(crate) entries: u64,
    pub(crate) rate: u64,
    pub(crate) seconds: u64,
    pub(crate) batch: u64,
}

/// Fills a log, offers leaves to it and prints what came of it.
pub(crate) async fn run(plan: LoadPlan, config: ServeConfig) -> Result<(), Error> {
    let folder = Folder::new(plan.dir.clone(), None, None);
    if !plan.dir.exists() {
        folder.init(ORIGIN)?;
    }
    let _held = folder.lock()?;
    let key = folder.open_key()?;
    if key.origin() != ORIGIN {
        return Err(Error::Setting { name: "--dir", why: format!("{} is a log in use", key.origin()) });
    }
    println!("machine {}", machine());
    let mut log = Log::open(folder.open()?, Arc::clone(&key))?;
    fill(&mut log, plan.entries)?;
    println!("log entries={} resident_mib={}", log.head().head.size, resident_mib());
    let signer = Arc::new(Signer::new());
    let bodies = signer.bodies(&plan);
    println!(
        "load rate={}/s seconds={} batch={} leaf_bytes={}",
        plan.rate,
        plan.seconds,
        plan.batch,
        leaf_bytes(&bodies)
    );
    let storage = log.storage().clone();
    let before = log.head().head.size;
    let blobs = Arc::new(BlobPool::new(Arc::clone(&storage.blobs)));
    let witnesses = config.witnesses.witnesses.len();
    let (tell, told) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let admission = Arc::new(AdmitSigner(Arc::clone(&signer)));
    let running = tokio::spawn(serve(
        log,
        admission,
        blobs,
        config,
        move |at| {
            let _ = tell.send(at);
        },
        async {
            let _ = stopped.await;
        },
    ));
    let at = told.await.map_err(|_| Error::Stopping)?;
    let outcome = offer(&plan, at.log, &bodies, &key).await;
    println!("after load resident_mib={} (with the offered leaves, {} MiB)", resident_mib(), mib(&bodies));
    let _ = stop.send(());
    running.await.map_err(|_| Error::Stopping)??;
    let size = storage.lock.head()?.head.size;
    let mut lost = 0_u64;
    for body in &bodies {
        for leaf in
            tile::parse_leaves(body, usize::MAX).map_err(|error| Error::Irreparable(error.to_string()))?
        {
            let hash = merkle::leaf_hash(leaf, &Ring);
            lost += u64::from(storage.lock.find(&leaf_key(&hash))?.is_none());
        }
    }
    let offered = plan.rate * plan.seconds;
    outcome.print(witnesses);
    println!(
        "leaves offered={offered} in_log={} lost={lost} doubled={}",
        size - before,
        (size - before).saturating_sub(offered - lost)
    );
    Ok(())
}

fn fill(log: &mut Log, entries: u64) -> Result<(), Error> {
    let random = SystemRandom::new();
    let started = Instant::now();
    let from = log.head().head.size;
    while log.head().head.size < entries {
        let count = FILL_LEAVES.min(entries - log.head().head.size);
        let leaf = |_| {
            let mut bytes = vec![0; FILL_BYTES];
            random.fill(&mut bytes).map(|()| NewLeaf::new(bytes))
        };
        let leaves: Result<Vec<_>, _> = (0..count).map(leaf).collect();
        log.append(&leaves.map_err(|_| Error::Key("no randomness".into()))?)?;
    }
    let filled = log.head().head.size - from;
    if filled > 0 {
        println!("filled entries={filled} seconds={:.1}", started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// A throwaway boot.
struct Signer {
    pair: EcdsaKeyPair,
    key: ReceiptKey,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random)
            .ok()
            .and_then(|pkcs8| EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).ok())
            .and_then(|pair| {
                let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().ok()?);
                Some(Self { key: ReceiptKey::from_spki(&spki, &Ring).ok()?, pair })
            });
        made.unwrap_or_else(|| panic!("ring makes no P-256 key"))
    }

    fn leaf(&self, n: u64) -> Vec<u8> {
        let heartbeat = Heartbeat {
            version: 1,
            boot: Hex(self.key.id()),
            epoch: 0,
            seq_next: n + 1,
            head: Some(Hex([0; 32])),
            checkpoint: CheckpointRef { size: 0, root: Hex([0; 32]), time: 1 },
            unattested_time: 1,
        };
        let payload = heartbeat.to_bytes();
        let kind = PayloadType::Heartbeat;
        let made = self.pair.sign(&SystemRandom::new(), &pae(kind.as_str(), &payload));
        let signature = made.ok().and_then(|made| made.as_ref().try_into().ok());
        let signature = to_low_s(signature.unwrap_or_else(|| panic!("ring does not sign")));
        envelope_leaf(&Envelope::new(kind, payload, self.key.id(), signature)).unwrap_or_default()
    }

    /// Every submission, signed beforehand.
    fn bodies(&self, plan: &LoadPlan) -> Vec<Bytes> {
        let count = (plan.rate * plan.seconds).div_ceil(plan.batch);
        let body = |at: u64| {
            let end = ((at + 1) * plan.batch).min(plan.rate * plan.seconds);
            let mut bytes = Vec::new();
            for n in at * plan.batch..end {
                let pushed = tile::push_leaf(&mut bytes, &self.leaf(n));
                assert!(pushed.is_ok(), "a heartbeat is short");
            }
            Bytes::from(bytes)
        };
        (0..count).map(body).collect()
    }
}

/// Admits what the throwaway boot has signed.
struct AdmitSigner(Arc<Signer>);

impl Admission for AdmitSigner {
    fn admit(&self, leaves: &[&[u8]], _: &[&[u8]], _: UnixSeconds) -> Vec<Result<Admitted, Refusal>> {
        let judge = |bytes: &&[u8]| match Leaf::parse(bytes) {
            Ok(Leaf::Heartbeat(signed)) => {
                Heartbeat::verify(signed.envelope(), &self.0.key, &Ring)
                    .map_err(|error| Refusal::Code(error.code()))?;
                let leaf = NewLeaf::new(bytes.to_vec());
                Ok(Admitted { leaf, kind: LeafType::Heartbeat, settle_by: None })
            }
            _ => Err(Refusal::Code("not_offered")),
        };
        leaves.iter().map(judge).collect()
    }

    fn settle_by(&self, _: &[u8]) -> Option<u64> {
        None
    }
}

/// What came of the offers.
struct Outcome {
    took: Vec<Duration>,
    elapsed: Duration,
    cpu: Duration,
    retries: u64,
    unanswered: u64,
    checked: u64,
    checking: Duration,
}

impl Outcome {
    fn print(mut self, witnesses: usize) {
        self.took.sort_unstable();
        let at = |share: f64| {
            let last = self.took.len().saturating_sub(1);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                clippy::as_conversions,
                reason = "an index from a share"
            )]
            let place = (last as f64 * share).ceil() as usize;
            self.took.get(place).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
        };
        println!(
            "answered_to_logged_ms p50={:.0} p90={:.0} p99={:.0} max={:.0} submissions={} witnesses={witnesses}",
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0),
            self.took.len()
        );
        println!(
            "seconds={:.1} cpu_seconds={:.1} retries_after_503={} unanswered_submissions={}",
            self.elapsed.as_secs_f64(),
            self.cpu.as_secs_f64(),
            self.retries,
            self.unanswered
        );
        let each = self.checking / u32::try_from(self.checked.max(1)).unwrap_or(u32::MAX);
        println!("inclusion_proofs_verified={} us_each={:.1}", self.checked, each.as_secs_f64() * 1e6);
    }
}

/// Offers every submission when it is due, however the ones before it fare.
async fn offer(plan: &LoadPlan, at: std::net::SocketAddr, bodies: &[Bytes], key: &LogKey) -> Outcome {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let retries = Arc::new(AtomicU64::new(0));
    // The first checkpoint has to be out before anything is answered.
    for _ in 0..100 {
        match client.get(format!("http://{at}/checkpoint").parse().unwrap_or_default()).await {
            Ok(answer) if answer.status() == StatusCode::OK => break,
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
    let (mut tasks, started, cpu) = (JoinSet::new(), Instant::now(), cpu_time());
    for (number, body) in (0_u32..).zip(bodies) {
        let due =
            started + Duration::from_secs(plan.batch) * number / u32::try_from(plan.rate).unwrap_or(u32::MAX);
        sleep_until(due).await;
        let (client, retries, body) = (client.clone(), Arc::clone(&retries), body.clone());
        tasks.spawn(async move {
            for _ in 0..RETRIES_MAX {
                let request = Request::post(format!("http://{at}/add")).body(Full::new(body.clone())).ok()?;
                if let Ok(answer) = client.request(request).await {
                    let is_ok = answer.status() == StatusCode::OK;
                    let json = answer.into_body().collect().await.ok().map(|body| body.to_bytes());
                    if is_ok && let Some(json) = json {
                        return Some((due.elapsed(), body, json));
                    }
                }
                retries.fetch_add(1, Relaxed);
                sleep(Duration::from_millis(100)).await;
            }
            None
        });
    }
    let mut outcome = Outcome {
        took: Vec::new(),
        elapsed: Duration::ZERO,
        cpu: Duration::ZERO,
        retries: 0,
        unanswered: 0,
        checked: 0,
        checking: Duration::ZERO,
    };
    let mut samples = Vec::new();
    while let Some(answered) = tasks.join_next().await {
        match answered.ok().flatten() {
            Some((took, body, json)) => {
                outcome.took.push(took);
                if samples.len() < 1_000 {
                    samples.push((body, json));
                }
            }
            None => outcome.unanswered += 1,
        }
    }
    outcome.elapsed = started.elapsed();
    outcome.cpu = cpu_time().saturating_sub(cpu);
    outcome.retries = retries.load(Relaxed);
    // Afterwards, so that checking does not slow down what is measured.
    for (body, json) in &samples {
        let (checked, checking) = proofs(body, json, key);
        outcome.checked += checked;
        outcome.checking += checking;
    }
    outcome
}

/// How many inclusion proofs of an answer verify, and how long that took: the leaf's hash and the path,
/// without the checkpoint's signature, which is checked once for all of them.
fn proofs(body: &[u8], json: &[u8], key: &LogKey) -> (u64, Duration) {
    let check = || -> Option<(u64, Duration)> {
        let answer: serde_json::Value = serde_json::from_slice(json).ok()?;
        let note = answer.get("checkpoint")?.as_str()?;
        let keys = core::slice::from_ref(key.public());
        let opened = SignedCheckpoint::open(note.as_bytes(), key.origin(), keys, &Ring).ok()?;
        let (size, root) = (opened.checkpoint().size(), opened.checkpoint().root());
        let leaves = tile::parse_leaves(body, usize::MAX).ok()?;
        let (mut verified, mut taken) = (0, Duration::ZERO);
        for (leaf, proof) in leaves.iter().zip(answer.get("leaves")?.as_array()?) {
            let path: Option<Vec<Hash>> = proof
                .get("path")?
                .as_array()?
                .iter()
                .map(|hash| from_base64(hash.as_str()?)?.try_into().ok())
                .collect();
            let (path, index) = (path?, proof.get("index")?.as_u64()?);
            let began = Instant::now();
            let hash = merkle::leaf_hash(leaf, &Ring);
            let is_good = merkle::verify_inclusion(&hash, index, size, &path, root, &Ring).is_ok();
            taken += began.elapsed();
            verified += u64::from(is_good);
        }
        Some((verified, taken))
    };
    check().unwrap_or_default()
}

fn leaf_bytes(bodies: &[Bytes]) -> usize {
    bodies
        .first()
        .and_then(|body| tile::parse_leaves(body, usize::MAX).ok()?.first().map(|leaf| leaf.len()))
        .unwrap_or(0)
}

fn mib(bodies: &[Bytes]) -> usize {
    bodies.iter().map(Bytes::len).sum::<usize>() >> 20
}

/// Memory that this process has resident, in MiB, as the kernel counts it.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}

/// Processor time of this process so far, which does not depend on who else uses the machine. Linux counts
/// it in hundredths of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // User and system time are the 14th and 15th fields; the second is a name in brackets.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The machine's name, processor and number of cores.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let name = read("/proc/sys/kernel/hostname");
    let info = read("/proc/cpuinfo");
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{:?} processor {:?} cores={cores}", name.trim(), model.unwrap_or("unknown"))
}
