//! The decision to cosign, in the order of c2sp.org/tlog-witness: the log's signature, the old size,
//! the consistency proof; then the state on disk, and only then the cosignature.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vouchsafe_translog::note::{Algorithm, VerifierKey};
use vouchsafe_translog::{AddCheckpoint, Checkpoint, SignedCheckpoint, SignedNote, merkle};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};

use crate::{AdvanceError, Error, Latest, Metrics, Refusal, Signer, State};

/// How far the clock may stand before the last cosignature's time, in seconds: what a time server may
/// take back at once. Within it the last time is used again, so that times never decrease.
const CLOCK_BACK_SECONDS_MAX: u64 = 60;

/// A witness of several logs. Shared between threads; requests are decided one after the other.
pub struct Witness {
    signer: Signer,
    /// The keys of each log by its origin.
    logs: BTreeMap<String, Vec<VerifierKey>>,
    /// Origins by their SHA-256, as the retrieval of checkpoints names them.
    origins: BTreeMap<[u8; 32], String>,
    guarded: Mutex<Guarded>,
    metrics: Metrics,
}

/// What requests contend for. The lock is held from reading the latest checkpoint until the new one
/// is on disk, which makes comparing and replacing one step.
struct Guarded {
    state: State,
    /// Set when a write failed such that what is on disk is not known: nothing is cosigned any more.
    in_doubt: bool,
}

/// A cosignature whose checkpoint is on disk. Only [`Witness::add_checkpoint`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    line: String,
    size: u64,
    time: UnixSeconds,
}

impl Cosigned {
    /// The answer's body: signature lines of a note.
    pub fn lines(&self) -> &str {
        &self.line
    }

    /// The size that was cosigned.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The cosignature's time.
    pub fn time(&self) -> UnixSeconds {
        self.time
    }
}

impl Witness {
    /// A witness of the logs with these verifier keys, each key's name being its log's origin.
    ///
    /// # Errors
    /// [`Error::NoLogs`], [`Error::LogKey`], or that the state cannot be read.
    pub fn new<S: AsRef<str>>(state: State, log_keys: &[S]) -> Result<Self, Error> {
        let signer = state.signer()?;
        let mut logs = BTreeMap::<String, Vec<VerifierKey>>::new();
        for vkey in log_keys.iter().map(AsRef::as_ref) {
            let refused = |problem: String| Error::LogKey { vkey: vkey.into(), problem };
            let key = VerifierKey::parse(vkey, &Ring).map_err(|error| refused(error.to_string()))?;
            if key.algorithm() != Algorithm::Ed25519 {
                return Err(refused("it is a witness's key".into()));
            }
            let keys = logs.entry(key.name().into()).or_default();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if logs.is_empty() {
            return Err(Error::NoLogs);
        }
        let metrics = Metrics::default();
        for origin in logs.keys() {
            if let Some(latest) = state.latest(origin)? {
                metrics.cosigned(origin, latest.size, latest.time);
            }
        }
        let origins = logs.keys().map(|origin| (Ring.sha256(origin.as_bytes()), origin.clone())).collect();
        let guarded = Mutex::new(Guarded { state, in_doubt: false });
        Ok(Self { signer, logs, origins, guarded, metrics })
    }

    /// What verifies this witness's cosignatures, as c2sp.org/signed-note writes keys.
    pub fn verifier_key(&self) -> String {
        self.signer.verifier_key().to_string()
    }

    /// What it has counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Decides an `add-checkpoint` request by its body. `now` is the witness's clock: what a
    /// cosignature attests.
    ///
    /// # Errors
    /// [`Refusal`], which names the HTTP status.
    pub fn add_checkpoint(&self, body: &[u8], now: UnixSeconds) -> Result<Cosigned, Refusal> {
        let decided = self.decide(body, now);
        self.metrics.count(match &decided {
            Ok(_) => "cosigned",
            Err(refusal) => refusal.code(),
        });
        decided
    }

    /// The latest cosigned checkpoint of the log whose origin has this SHA-256, with the log's
    /// signature and ours.
    ///
    /// # Errors
    /// That the state cannot be read.
    pub fn latest_note(&self, origin_hash: &[u8; 32]) -> Result<Option<String>, Error> {
        let Some(origin) = self.origins.get(origin_hash) else { return Ok(None) };
        Ok(self.lock().state.latest(origin)?.map(|latest| latest.note))
    }

    fn decide(&self, body: &[u8], now: UnixSeconds) -> Result<Cosigned, Refusal> {
        let request = AddCheckpoint::parse(body).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let claimed = request.claimed_checkpoint();
        let origin = claimed.origin();
        let keys = self.logs.get(origin).ok_or_else(|| Refusal::UnknownLog(origin.into()))?;
        let note = request.note().to_string();
        let opened = SignedCheckpoint::open(note.as_bytes(), origin, keys, &Ring);
        let opened = match opened {
            Ok(signed) => Ok(signed),
            // Its signature was found good first; the rest of the order stays as it is.
            Err(vouchsafe_translog::Error::EmptyRoot) => Err(Refusal::EmptyRoot),
            Err(error) => return Err(Refusal::Signature(error.to_string())),
        };
        let (old, size) = (request.old(), claimed.size());
        if old > size {
            return Err(Refusal::OldSize { old, size });
        }
        let mut guarded = self.lock();
        if guarded.in_doubt {
            return Err(Refusal::InDoubt);
        }
        let latest = read(guarded.state.latest(origin))?;
        let latest_size = latest.as_ref().map_or(0, |latest| latest.size);
        if old != latest_size {
            return Err(Refusal::Conflict { old, latest: latest_size });
        }
        let signed = opened?;
        consistent(&request, latest.as_ref(), signed.checkpoint())?;
        let time = time(read(guarded.state.time_latest())?, now)?;
        let (line, note) = self.cosign(&signed, keys, time)?;
        let new = Latest { size, root: *signed.checkpoint().root(), time: time.0, note };
        match guarded.state.advance(origin, latest.as_ref(), &new) {
            Ok(()) => {}
            Err(AdvanceError::Conflict { latest }) => return Err(Refusal::Conflict { old, latest }),
            Err(AdvanceError::Full(why)) => return Err(Refusal::Storage(why)),
            Err(AdvanceError::InDoubt(why)) => {
                guarded.in_doubt = true;
                return Err(Refusal::Storage(why));
            }
        }
        self.metrics.cosigned(origin, size, time.0);
        Ok(Cosigned { line, size, time })
    }

    /// The cosignature line, and the note to serve: the log's verified signatures and ours. Neither
    /// leaves this process before the state is on disk.
    fn cosign(
        &self,
        signed: &SignedCheckpoint,
        keys: &[VerifierKey],
        time: UnixSeconds,
    ) -> Result<(String, String), Refusal> {
        let text = signed.note().text();
        let failed = |error: vouchsafe_translog::Error| Refusal::Storage(error.to_string());
        let cosignature = self.signer.cosign(text, time).map_err(failed)?;
        let line = cosignature.to_string();
        let by_log =
            |key: &VerifierKey| signed.note().signatures().iter().find(|line| key.is_named_by(line)).cloned();
        let mut signatures: Vec<_> = keys.iter().filter_map(by_log).collect();
        signatures.push(cosignature);
        let note = SignedNote::new(text, signatures).map_err(failed)?;
        Ok((line, note.to_string()))
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        // A thread that panicked while it held the lock changed nothing that SQLite did not commit.
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the checkpoint is proved to be the latest one or to begin with it.
fn consistent(
    request: &AddCheckpoint,
    latest: Option<&Latest>,
    checkpoint: &Checkpoint,
) -> Result<(), Refusal> {
    let empty = Ring.sha256(&[]);
    let (old_size, old_root) = latest.map_or((0, &empty), |latest| (latest.size, &latest.root));
    // Another root of the same size is answered before the proof is looked at, and as a conflict.
    if old_size == checkpoint.size() && old_root != checkpoint.root() {
        return Err(Refusal::Forked { size: old_size });
    }
    merkle::verify_consistency(
        old_size,
        old_root,
        checkpoint.size(),
        checkpoint.root(),
        request.consistency(),
        &Ring,
    )
    .map_err(Refusal::Inconsistent)
}

/// The time to cosign at: the clock's, but never before the last cosignature's.
fn time(last: u64, now: UnixSeconds) -> Result<UnixSeconds, Refusal> {
    if now.0 == 0 || now.0.saturating_add(CLOCK_BACK_SECONDS_MAX) < last {
        return Err(Refusal::Clock { now: now.0, last });
    }
    Ok(UnixSeconds(now.0.max(last)))
}

fn read<T>(found: Result<T, Error>) -> Result<T, Refusal> {
    found.map_err(|error| Refusal::Storage(error.to_string()))
}
