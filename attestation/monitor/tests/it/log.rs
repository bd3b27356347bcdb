//! A log in memory: static files built from its leaves, signed by its key and cosigned by two
//! witnesses that cosign whatever they are shown, so that only the monitor can notice anything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use vouchsafe_bundle::LoggedEpoch;
use vouchsafe_monitor::gap::Probes;
use vouchsafe_monitor::{
    Accepted, Appraise, Fetch, Image, Mirror, Monitor, Parts, Refused, Report, Source, Store, Submit,
};
use vouchsafe_receipt::threshold::Signers;
use vouchsafe_receipt::{AttestedStatement, CheckpointRef};
use vouchsafe_translog::note::{Algorithm, VerifierKey};
use vouchsafe_translog::tile::push_leaf;
use vouchsafe_translog::{Checkpoint, Tile, TrustedLog, cosignature, merkle};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Hex, to_hex};
use vouchsafe_verifier::{Endorsements, Evidence, UnixSeconds};

use crate::enclave::{EXPIRES, GOOD, Logged, WANTED};
use crate::revoked::Authority;

pub(crate) const ORIGIN: &str = "log.example/one";
pub(crate) const T: u64 = 1_750_000_000;

/// Files by path, shared with the monitor that reads them.
#[derive(Clone, Default)]
pub(crate) struct Files(pub(crate) Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Source for Files {
    fn get(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, Fetch> {
        let files = self.0.lock().unwrap();
        let bytes = files.get(path).ok_or(Fetch::Missing)?;
        if bytes.len() > bytes_max { Err(Fetch::TooLong(bytes_max)) } else { Ok(bytes.clone()) }
    }

    fn name(&self) -> String {
        "memory".into()
    }
}

pub(crate) struct Log {
    pub(crate) files: Files,
    pub(crate) leaves: Vec<Vec<u8>>,
    pub(crate) time: u64,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { files: Files::default(), leaves: Vec::new(), time: T }
    }

    pub(crate) fn add(&mut self, leaf: Vec<u8>) {
        self.leaves.push(leaf);
    }

    pub(crate) fn add_logged(&mut self, logged: &Logged) {
        self.add(logged.leaf.clone());
        for blob in &logged.blobs {
            self.put(&format!("blob/{}", to_hex(&Ring.sha256(blob))), blob.clone());
        }
    }

    pub(crate) fn put(&self, path: &str, bytes: Vec<u8>) {
        self.files.0.lock().unwrap().insert(path.into(), bytes);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.files.0.lock().unwrap().remove(path).unwrap();
    }

    pub(crate) fn root(&self) -> [u8; 32] {
        merkle::root(&self.hashes(), &Ring)
    }

    pub(crate) fn checkpoint(&self) -> CheckpointRef {
        CheckpointRef { size: self.leaves.len().try_into().unwrap(), root: Hex(self.root()), time: self.time }
    }

    pub(crate) fn note(&self) -> String {
        note(self.checkpoint(), 2)
    }

    /// Publishes everything at this witness time.
    pub(crate) fn publish(&mut self, time: u64) {
        self.time = time;
        self.tiles();
        self.put("checkpoint", self.note().into_bytes());
    }

    /// Writes every tile and bundle of the present tree.
    pub(crate) fn tiles(&self) {
        let size = self.leaves.len().try_into().unwrap();
        let hashes = self.hashes();
        for tile in Tile::grown(0, size) {
            let under = 256_usize.pow(u32::from(tile.level()));
            let first = usize::try_from(tile.first_leaf()).unwrap();
            let of = |place: usize| {
                let start = (first + place) * under;
                merkle::root(&hashes[start..start + under], &Ring)
            };
            let bytes: Vec<[u8; 32]> = (0..tile.width()).map(of).collect();
            self.put(&tile.path(), bytes.as_flattened().to_vec());
            if tile.level() == 0 {
                let mut bundle = Vec::new();
                for leaf in &self.leaves[first..first + tile.width()] {
                    push_leaf(&mut bundle, leaf).unwrap();
                }
                self.put(&tile.entries_path(), bundle);
            }
        }
    }

    fn hashes(&self) -> Vec<[u8; 32]> {
        self.leaves.iter().map(|leaf| merkle::leaf_hash(leaf, &Ring)).collect()
    }
}

/// A checkpoint signed by the log and cosigned by so many witnesses.
pub(crate) fn note(checkpoint: CheckpointRef, witnesses: u8) -> String {
    let (log_key, log) = key(ORIGIN, 1, Algorithm::Ed25519);
    let CheckpointRef { size, root, time } = checkpoint;
    let mut note = Checkpoint::new(ORIGIN, size, root.0)
        .unwrap()
        .sign(&log_key, |text| log.sign(text).as_ref().try_into().unwrap())
        .unwrap();
    for number in 0..witnesses {
        let (witness_key, witness) = witness(number);
        let sign = |message: &[u8]| witness.sign(message).as_ref().try_into().unwrap();
        let line = cosignature::cosign(note.text(), UnixSeconds(time), &witness_key, sign).unwrap();
        note.add(line).unwrap();
    }
    note.to_string()
}

pub(crate) fn trusted() -> TrustedLog {
    TrustedLog::new(key(ORIGIN, 1, Algorithm::Ed25519).0, vec![witness(0).0, witness(1).0], 2).unwrap()
}

fn witness(number: u8) -> (VerifierKey, Ed25519KeyPair) {
    key(&format!("witness.example/w{number}"), 100 + number, Algorithm::CosignatureV1)
}

fn key(name: &str, seed: u8, algorithm: Algorithm) -> (VerifierKey, Ed25519KeyPair) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public = pair.public_key().as_ref().try_into().unwrap();
    (VerifierKey::new(name, algorithm, public, &Ring).unwrap(), pair)
}

/// Accepts one evidence and no other.
struct TestPolicy;

impl Appraise for TestPolicy {
    fn boot(
        &self,
        attested: &AttestedStatement,
        _: Option<&Endorsements>,
        images: &[Image],
        at: UnixSeconds,
    ) -> Result<Accepted, Refused> {
        let is_good = |report: &[u8]| report == GOOD || (report == EXPIRES && at.0 < T + 86_400);
        let is_released = images.iter().any(|image| image.manifest.release == "wanted");
        let is_good = |report: &[u8]| is_good(report) || (report == WANTED && is_released);
        match &attested.evidence {
            Evidence::SevSnp { report } if report.0 == WANTED && !is_released => {
                Err(Refused { code: "image_not_released".into(), why: "in no release".into() })
            }
            Evidence::SevSnp { report } if is_good(&report.0) => Ok(Accepted {
                platform: "sev-snp".into(),
                measurement: "ab".repeat(48),
                simulated: true,
                release: images.last().map(|image| image.manifest.release.clone()),
                images: images.last().map(|image| image.index).into_iter().collect(),
            }),
            _ => Err(Refused { code: "measurement_mismatch".into(), why: "another image".into() }),
        }
    }

    fn epoch(
        &self,
        logged: LoggedEpoch<'_>,
        endorsements: Option<&Endorsements>,
        images: &[Image],
        at: UnixSeconds,
    ) -> Result<(), Refused> {
        self.boot(logged.epoch, endorsements, images, at).map(drop)
    }

    fn revocation_signers(&self) -> Option<Signers> {
        Some(Authority::get().signers())
    }

    fn release_signers(&self) -> Option<Signers> {
        Some(Authority::get().signers())
    }
}

/// What the log was offered: it answers as if all were well, and does what the test says.
#[derive(Clone, Default)]
pub(crate) struct Offers(pub(crate) Arc<Mutex<Vec<Vec<u8>>>>, pub(crate) Arc<AtomicBool>);

impl Submit for Offers {
    fn add(&self, leaf: &[u8]) -> Result<String, Fetch> {
        self.0.lock().unwrap().push(leaf.to_vec());
        match self.1.load(Ordering::Relaxed) {
            true => Err(Fetch::Failed("HTTP status 503".into())),
            false => Ok("{}".into()),
        }
    }
}

pub(crate) struct Watching {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) offers: Offers,
    pub(crate) monitor: Monitor,
    pub(crate) probes: Arc<Probes>,
}

impl Watching {
    pub(crate) fn new(log: &Log) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), log, None)
    }

    pub(crate) fn in_folder(folder: tempfile::TempDir, log: &Log, mirror: Option<Mirror>) -> Self {
        Self::of(folder, Box::new(log.files.clone()), mirror)
    }

    pub(crate) fn of(folder: tempfile::TempDir, source: Box<dyn Source>, mirror: Option<Mirror>) -> Self {
        let offers = Offers::default();
        Self::with(folder, source, mirror, Some(offers))
    }

    /// Of a log that takes submissions, or of files that take none.
    pub(crate) fn with(
        folder: tempfile::TempDir,
        source: Box<dyn Source>,
        mirror: Option<Mirror>,
        offers: Option<Offers>,
    ) -> Self {
        let probes = Arc::new(Probes::default());
        let monitor = Monitor::new(Parts {
            trusted: trusted(),
            source,
            submit: offers.clone().map(|offers| Box::new(offers) as Box<dyn Submit>),
            appraise: Box::new(TestPolicy),
            store: Store::open(folder.path()).unwrap(),
            mirror,
            probes: Arc::clone(&probes),
            save_entries: 256,
            stale_s_max: Some(300),
            progress: Box::new(|_, _| {}),
        })
        .unwrap();
        Self { folder, offers: offers.unwrap_or_default(), monitor, probes }
    }

    pub(crate) fn restart(self, log: &Log) -> Self {
        Self::in_folder(self.folder, log, None)
    }

    /// The codes of what was new in one look.
    pub(crate) fn poll(&mut self, log: &Log) -> Vec<&'static str> {
        codes(&self.monitor.poll(log.time * 1000).unwrap())
    }
}

pub(crate) fn codes(report: &Report) -> Vec<&'static str> {
    report.violations.iter().map(vouchsafe_monitor::Violation::code).collect()
}
