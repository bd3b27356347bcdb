//! What the monitor remembers: how far it has verified, each boot's chain, alarms and figures.
//!
//! One JSON file, replaced atomically. What was read of a checkpoint that is not confirmed yet lies in
//! a second one, so that a long catch-up resumes where it stopped and is discarded whole if the
//! checkpoint's root does not come out.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use vouchsafe_receipt::revocation::Revocation;
use vouchsafe_receipt::{EpochRecord, ImageManifest, threshold};
use vouchsafe_translog::Frontier;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::appraise::Accepted;
use crate::chain::Chain;
use crate::gap::Gap;
use crate::{Error, Violation};

const LIMITS: Limits = Limits { bytes_max: 1 << 30, depth_max: 24 };
const VERSION: u64 = 1;
const CONFIRMED: &str = "state.json";
const UNCONFIRMED: &str = "progress.json";
/// Alarms kept of each code, so that many of one don't hide another. What comes after is counted.
const ALARMS_OF_CODE_MAX: usize = 200;

/// Everything that is remembered between runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u64,
    /// The log's verifier key.
    pub(crate) log: String,
    /// The newest checkpoint whose tree was verified, with its note; `None` before the first.
    pub(crate) checkpoint: Option<Seen>,
    size: u64,
    roots: Vec<Hex<32>>,
    /// The note of the checkpoint that is being read, in the second file.
    pub(crate) target: Option<String>,
    /// Boots by their id.
    pub(crate) boots: BTreeMap<String, Boot>,
    /// Entries by their type.
    pub(crate) leaves: BTreeMap<String, u64>,
    /// Trees that enclaves named and that are known to be this log's, newest last.
    pub(crate) trees: BTreeMap<u64, Hex<32>>,
    /// Trees that enclaves named and that were not looked up yet.
    pub(crate) named: BTreeMap<u64, Vec<Named>>,
    /// The first entry whose tree is not among them, since there were too many.
    #[serde(default)]
    pub(crate) unfollowed_tree: Option<u64>,
    /// Since when one of them could not be looked up, in Unix seconds by the monitor's clock.
    #[serde(default)]
    pub(crate) unjudged_since: Option<u64>,
    /// What went wrong, oldest first.
    pub(crate) alarms: Vec<Alarm>,
    /// Alarms that did not fit.
    pub(crate) alarms_dropped: u64,
    /// Witnesses by name.
    pub(crate) witnesses: BTreeMap<String, Witness>,
    /// The newest list of revocations in the log that enough of the policy's keys signed.
    #[serde(default)]
    pub(crate) revocations: Option<Revocations>,
    /// Images in the log that enough of the policy's keys released, oldest first.
    #[serde(default)]
    pub(crate) images: Vec<Image>,
    /// From this entry on, there are images that are not among them.
    #[serde(default)]
    pub(crate) images_unfollowed: Option<u64>,
    /// Checkpoints that were verified.
    pub(crate) checkpoints: u64,
    /// What was measured.
    pub(crate) gap: Gap,
    /// What other views showed of trees that this log had not come to, by the view's name.
    #[serde(default)]
    pub(crate) ahead: BTreeMap<String, Ahead>,
    /// Receipts that were offered to the log again, by their leaf hash.
    #[serde(default)]
    pub(crate) resubmitted: BTreeMap<String, Resubmission>,
}

/// A checkpoint of another view that is ahead and could not be compared yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ahead {
    /// The note as it was served.
    pub note: String,
    /// Leaves in its tree.
    pub size: u64,
    /// When it was seen, in Unix seconds by the monitor's clock.
    pub since: u64,
}

/// A receipt that was offered to the log again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resubmission {
    /// When first, in Unix seconds by the monitor's clock.
    pub first_s: u64,
    /// When last; not before the witness time of the newest checkpoint then.
    pub last_s: u64,
    /// Whether the log answered as a log does.
    pub is_answered: bool,
    /// What it answered, or why there is no answer.
    pub answer: String,
}

/// A checkpoint that was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The note as it was published.
    pub note: String,
    /// Leaves in the tree.
    pub size: u64,
    /// The tree's root.
    pub root: Hex<32>,
    /// Witness time in Unix seconds; `None` where the quorum was missing.
    pub time: Option<u64>,
    /// When this monitor had verified it, in Unix milliseconds by its own clock.
    pub audited_ms: u64,
}

/// The tree that a receipt or record names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    /// The root it names.
    pub root: Hex<32>,
    /// The entry that names it.
    pub index: u64,
    /// That entry's boot.
    pub boot: Hex<32>,
}

/// A boot in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// Index of its record.
    pub index: u64,
    /// SPKI of its receipt key; `None` where its statement is not to be had.
    pub receipt_key: Option<Base64>,
    /// The digests in its record: statement and evidence.
    pub blobs: (Hex<32>, Hex<32>),
    /// The digest of the endorsements that came with it, if any came.
    pub endorsements: Option<Hex<32>>,
    /// Digests of those that came with later epochs, by their index.
    #[serde(default)]
    pub newer_endorsements: BTreeMap<u64, Hex<32>>,
    /// What the policy says of it; `None` while endorsements may still come.
    pub appraisal: Option<Appraisal>,
    /// Who runs it, by its statement.
    pub operator: Option<String>,
    /// The models that it serves.
    pub models: Vec<String>,
    /// Its promise in seconds.
    pub bound_s: Option<u64>,
    /// Its receipts.
    pub chain: Chain,
    /// The newest epoch with a record.
    pub epoch: Option<u64>,
    /// The first entry of each epoch without a record, and when its record was due.
    pub epochs_missing: BTreeMap<u64, (u64, u64)>,
    /// Epochs whose evidence was not judged yet, by their index.
    pub epochs_unjudged: Vec<(u64, EpochRecord)>,
    /// The earliest moment at which it is known to have been in the log, by witness time.
    pub first_time: u64,
    /// Witness time when its newest entry was seen.
    pub last_time: u64,
}

/// What the policy says of a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Appraisal {
    /// It satisfies the policy.
    Accepted(Accepted),
    /// It does not; the code.
    Refused(String),
}

/// A violation and when it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// When, in Unix seconds by the monitor's clock.
    pub seen: u64,
    /// What.
    pub violation: Violation,
}

/// A list of revocations that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocations {
    /// Its serial and digest.
    pub seen: threshold::Seen,
    /// What it revokes.
    pub revocations: Vec<Revocation>,
}

/// A released image that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Index of its leaf; of several that release one image under one name, the first one's.
    pub index: u64,
    /// What is released.
    pub manifest: ImageManifest,
}

/// What a witness did lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Checkpoints that it cosigned, of those seen.
    pub cosigned: u64,
    /// Checkpoints seen since it is watched.
    pub seen: u64,
    /// The time of its newest cosignature.
    pub time: Option<u64>,
}

impl State {
    /// Nothing is known of the log with this verifier key.
    pub fn new(log: &str) -> Self {
        Self {
            version: VERSION,
            log: log.into(),
            checkpoint: None,
            size: 0,
            roots: Vec::new(),
            target: None,
            boots: BTreeMap::new(),
            leaves: BTreeMap::new(),
            trees: BTreeMap::new(),
            named: BTreeMap::new(),
            unfollowed_tree: None,
            unjudged_since: None,
            alarms: Vec::new(),
            alarms_dropped: 0,
            witnesses: BTreeMap::new(),
            revocations: None,
            images: Vec::new(),
            images_unfollowed: None,
            checkpoints: 0,
            gap: Gap::default(),
            ahead: BTreeMap::new(),
            resubmitted: BTreeMap::new(),
        }
    }

    /// The tree as far as it was read.
    pub fn frontier(&self) -> Option<Frontier> {
        Frontier::resume(self.size, self.roots.iter().map(|root| root.0).collect())
    }

    /// How many leaves were read.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn set_frontier(&mut self, frontier: &Frontier) {
        self.size = frontier.size();
        self.roots = frontier.roots().iter().map(|root| Hex(*root)).collect();
    }

    /// The newest checkpoint whose tree was verified.
    pub fn checkpoint(&self) -> Option<&Seen> {
        self.checkpoint.as_ref()
    }

    /// What went wrong so far, oldest first.
    pub fn alarms(&self) -> &[Alarm] {
        &self.alarms
    }

    /// Boots by their id in hexadecimal.
    pub fn boots(&self) -> &BTreeMap<String, Boot> {
        &self.boots
    }

    /// Released images, oldest first.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Receipts that were signed, as later records prove, and are not in the log.
    pub(crate) fn missing(&self) -> u64 {
        self.boots.values().fold(0, |all, boot| all.saturating_add(boot.chain.missing()))
    }

    /// What was begun before a restart, with what was noticed of the log since.
    pub(crate) fn since(mut self, confirmed: &State) -> State {
        for alarm in &confirmed.alarms {
            if !self.alarms.iter().any(|known| known.violation == alarm.violation) {
                self.alarms.push(alarm.clone());
            }
        }
        self.alarms_dropped = self.alarms_dropped.max(confirmed.alarms_dropped);
        self.witnesses.clone_from(&confirmed.witnesses);
        self.ahead.clone_from(&confirmed.ahead);
        self.resubmitted.clone_from(&confirmed.resubmitted);
        self
    }

    /// Adds an alarm, unless it is known already; whether it is new.
    pub(crate) fn alarm(&mut self, violation: Violation, seen: u64) -> bool {
        if self.alarms.iter().any(|alarm| alarm.violation == violation) {
            return false;
        }
        let of_code = self.alarms.iter().filter(|alarm| alarm.violation.code() == violation.code());
        if of_code.count() >= ALARMS_OF_CODE_MAX {
            self.alarms_dropped = self.alarms_dropped.saturating_add(1);
            return false;
        }
        self.alarms.push(Alarm { seen, violation });
        true
    }
}

/// The folder of the state.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// SHA-256 of the confirmed state as it was written last, by this program.
    written: Mutex<Option<[u8; 32]>>,
    /// What is longer could not be loaded again, in bytes.
    bytes_max: usize,
}

impl Store {
    /// The folder, made where it is missing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(|problem| Error::Io { path: folder.into(), problem })?;
        Ok(Self { folder: folder.into(), written: Mutex::new(None), bytes_max: LIMITS.bytes_max })
    }

    /// The confirmed state, and what was read beyond it of a checkpoint that is not confirmed.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`] or [`Error::OtherLog`].
    pub fn load(&self, log: &str) -> Result<(State, Option<State>), Error> {
        let state = self.read(CONFIRMED, log)?.unwrap_or_else(|| State::new(log));
        // What is unconfirmed can always be read again.
        let progress = self.read(UNCONFIRMED, log).ok().flatten();
        let progress = progress.filter(|progress| progress.size >= state.size && progress.target.is_some());
        Ok((state, progress))
    }

    /// Replaces the confirmed state, where it is another one than was written last.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::StateTooLarge`]: then the one before stays.
    pub fn save(&self, state: &State) -> Result<(), Error> {
        let bytes = serde_json::to_vec(state).unwrap_or_default();
        let digest = Ring.sha256(&bytes);
        // Nothing panics while it is held.
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written == Some(digest) && self.folder.join(CONFIRMED).exists() {
            return Ok(());
        }
        self.write_state(CONFIRMED, &bytes)?;
        *written = Some(digest);
        Ok(())
    }

    /// Replaces what is unconfirmed, or removes it.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::StateTooLarge`].
    pub fn save_progress(&self, progress: Option<&State>) -> Result<(), Error> {
        match progress {
            Some(state) => self.write_state(UNCONFIRMED, &serde_json::to_vec(state).unwrap_or_default()),
            None => match fs::remove_file(self.folder.join(UNCONFIRMED)) {
                Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::Io { path: self.folder.join(UNCONFIRMED), problem })
                }
                _ => Ok(()),
            },
        }
    }

    /// Keeps a piece of evidence under a name within the folder, and gives that name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<String, Error> {
        let name = format!("evidence/{name}");
        self.write(&name, bytes)?;
        Ok(name)
    }

    fn read(&self, name: &str, log: &str) -> Result<Option<State>, Error> {
        let path = self.folder.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(problem) => return Err(Error::Io { path, problem }),
        };
        let malformed = |problem: String| Error::Malformed { path: path.clone(), problem };
        let state: State =
            strict_json::parse(&bytes, LIMITS).map_err(|error| malformed(error.to_string()))?;
        if state.version != VERSION {
            return Err(malformed(format!("version {}, where {VERSION} is known", state.version)));
        }
        if state.log != log {
            return Err(Error::OtherLog { path, found: state.log, expected: log.into() });
        }
        if state.frontier().is_none() {
            return Err(malformed("its tree has another number of roots than its size".into()));
        }
        Ok(Some(state))
    }

    fn write_state(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > self.bytes_max {
            let path = self.folder.join(name);
            return Err(Error::StateTooLarge { path, bytes: bytes.len(), bytes_max: self.bytes_max });
        }
        self.write(name, bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        replace(&self.folder.join(name), bytes)
    }
}

/// Writes a file such that readers see the old one or the new one, and a crash leaves one of both.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let io = |problem| Error::Io { path: path.into(), problem };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io)?;
    let unfinished = path.with_added_extension("new");
    let mut file = fs::File::create(&unfinished).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&unfinished, path).map_err(io)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_loaded_again_is_not_saved_over_what_can() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, mut state) = (Store::open(folder.path()).unwrap(), State::new("log"));
        store.save(&state).unwrap();
        store.bytes_max =
            usize::try_from(fs::metadata(folder.path().join(CONFIRMED)).unwrap().len()).unwrap();
        state.checkpoints = 10;
        for error in [store.save(&state).unwrap_err(), store.save_progress(Some(&state)).unwrap_err()] {
            assert_eq!((error.code(), error.exit_code()), ("state_too_large", 1), "{error}");
        }
        assert_eq!(store.load("log").unwrap(), (State::new("log"), None));
    }
}
