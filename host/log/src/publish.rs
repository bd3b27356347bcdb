//! Publishing: the newest head goes to the witnesses, and with their quorum to the world.
//!
//! Witnesses are asked in rounds, one head each. A round ends with its quorum; a head that comes
//! meanwhile waits for the next, and heads in between are never published. Without news the published
//! head is cosigned again from time to time, since enclaves take their trusted time from it. The clocks
//! here only say how long to wait.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use vouchsafe_translog::note::{NoteSignature, SignedNote};
use vouchsafe_translog::{TrustedLog, VerifierKey};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use crate::Error;
use crate::metrics::{Metrics, add, set};
use crate::storage::{SignedHead, Storage, TreeHead};
use crate::witness::{Failure, Round, Said, WitnessConfig, WitnessTask, http_client};

/// How long a round waits for more than its quorum.
const GRACE: Duration = Duration::from_millis(50);
/// When a round without a quorum makes room for a newer head.
const ROUND_MAX: Duration = Duration::from_secs(2);
/// Between attempts to write a checkpoint.
const RETRY: Duration = Duration::from_secs(1);

/// Who has to cosign before anything is published.
#[derive(Debug, Clone)]
pub struct WitnessSettings {
    /// The witnesses.
    pub witnesses: Vec<WitnessConfig>,
    /// How many of them must cosign.
    pub quorum: usize,
    /// How long a witness has to answer.
    pub answer_max: Duration,
    /// How often the published head is cosigned again when nothing is new.
    pub refresh: Duration,
}

/// A checkpoint that is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// Size and root.
    pub(crate) head: TreeHead,
    /// The note with its cosignatures.
    pub(crate) note: Arc<str>,
    /// The quorum's witness time; `None` without witnesses.
    pub(crate) time: Option<UnixSeconds>,
    /// When it came out, by this process's monotonic clock.
    pub(crate) since: Instant,
}

/// Publishes heads.
pub(crate) struct Publisher {
    pub(crate) storage: Storage,
    pub(crate) key: VerifierKey,
    pub(crate) settings: WitnessSettings,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) heads: watch::Receiver<SignedHead>,
    pub(crate) published: watch::Sender<Option<Published>>,
}

impl Publisher {
    /// Publishes until no more heads can come.
    ///
    /// # Errors
    /// [`Error::Behind`] where, before anything was published, a witness shows that this folder is an
    /// old copy; [`Error::Setting`] for witnesses that make no quorum.
    pub(crate) async fn run(self) -> Result<(), Error> {
        match self.settings.witnesses.is_empty() {
            true => self.run_alone().await,
            false => self.run_witnessed().await,
        }
    }

    async fn run_alone(mut self) -> Result<(), Error> {
        loop {
            let signed = self.heads.borrow_and_update().clone();
            self.publish(signed.head, signed.note, None).await;
            if self.heads.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn run_witnessed(mut self) -> Result<(), Error> {
        let keys = self.settings.witnesses.iter().map(|witness| witness.key.clone()).collect();
        let trusted = TrustedLog::new(self.key.clone(), keys, self.settings.quorum)
            .map_err(|error| Error::Setting { name: "--witness", why: error.to_string() })?;
        let (rounds, to_witnesses) = watch::channel(None);
        let (say, mut said) = mpsc::channel(64);
        let client = http_client(&self.settings.witnesses)?;
        // Dropped, and so ended, with this function.
        let mut tasks = JoinSet::new();
        for (at, config) in self.settings.witnesses.iter().cloned().enumerate() {
            let task = WitnessTask {
                at,
                config,
                client: client.clone(),
                storage: self.storage.clone(),
                metrics: Arc::clone(&self.metrics),
                answer_max: self.settings.answer_max,
                known: 0,
            };
            tasks.spawn(task.run(to_witnesses.clone(), say.clone()));
        }
        for number in 0.. {
            let signed = self.heads.borrow_and_update().clone();
            let Ok(mut note) = SignedNote::parse(signed.note.as_bytes()) else {
                return Err(Error::Irreparable("a checkpoint that is no note".into()));
            };
            rounds.send_replace(Some(Round { number, signed: signed.clone() }));
            let Some(lines) = self.collect(number, &mut said).await? else {
                // A newer head came while there was no quorum, or nothing more comes.
                if self.heads.has_changed().is_err() {
                    return Ok(());
                }
                continue;
            };
            for line in lines {
                // At most as many as witnesses, which a note has room for.
                let _ = note.add(line);
            }
            let text = note.to_string();
            match trusted.verify(text.as_bytes(), &Ring) {
                Ok(verified) => self.publish(signed.head, text, Some(verified.time())).await,
                Err(error) => eprintln!("vouchsafe-log: cosignatures that make no quorum: {error}"),
            }
            let refresh = Instant::now().checked_add(self.settings.refresh).unwrap_or_else(Instant::now);
            tokio::select! {
                changed = self.heads.changed() => if changed.is_err() { return Ok(()) },
                () = sleep_until(refresh) => {}
            }
        }
        Ok(())
    }

    /// Cosignatures of this round: a quorum of them, or `None` when a newer head should be tried.
    async fn collect(
        &mut self,
        round: u64,
        said: &mut mpsc::Receiver<Said>,
    ) -> Result<Option<Vec<NoteSignature>>, Error> {
        let count = self.settings.witnesses.len();
        let mut lines: Vec<NoteSignature> = Vec::with_capacity(count);
        let mut has_failed = vec![false; count];
        let after = |wait: Duration| Instant::now().checked_add(wait).unwrap_or_else(Instant::now);
        let (mut deadline, mut has_quorum) = (after(ROUND_MAX), false);
        loop {
            let failed = has_failed.iter().filter(|failed| **failed).count();
            if has_quorum && lines.len().saturating_add(failed) >= count {
                return Ok(Some(lines));
            }
            let next = tokio::select! {
                next = timeout_at(deadline, said.recv()) => next,
                // Only closing is of interest here; a newer head waits for the deadline.
                () = closed(&self.heads), if !has_quorum => return Ok(None),
            };
            match next {
                Ok(None) => return Ok(None),
                Err(_) if has_quorum => return Ok(Some(lines)),
                Err(_) => {
                    if !matches!(self.heads.has_changed(), Ok(false)) {
                        return Ok(None);
                    }
                    deadline = after(ROUND_MAX);
                }
                Ok(Some(Said { round: of, .. })) if of != round => {}
                Ok(Some(Said { witness, result: Ok(line), .. })) => {
                    lines.push(line);
                    if let Some(failed) = has_failed.get_mut(witness) {
                        *failed = false;
                    }
                    if !has_quorum && lines.len() >= self.settings.quorum {
                        (deadline, has_quorum) = (after(GRACE), true);
                    }
                }
                Ok(Some(Said { witness, result: Err(failure), .. })) => {
                    self.refuse_to_fork(witness, &failure)?;
                    if let Some(failed) = has_failed.get_mut(witness) {
                        *failed = true;
                    }
                }
            }
        }
    }

    /// Before anything was published by this process, a witness that has seen more than the folder holds
    /// means that the folder was restored from a backup. Later it can only be the witness's own fault,
    /// or somebody else's with this log's key: counted and named, and this log goes on.
    fn refuse_to_fork(&self, witness: usize, failure: &Failure) -> Result<(), Error> {
        if self.published.borrow().is_some() {
            return Ok(());
        }
        let signed = match failure {
            Failure::Ahead(size) | Failure::Forked(size) => *size,
            _ => return Ok(()),
        };
        let name = self.settings.witnesses.get(witness).map(|config| config.key.name().to_owned());
        let record = format!("witness {}", name.unwrap_or_default());
        Err(Error::Behind { held: self.heads.borrow().head.size, signed, record })
    }

    /// Writes the checkpoint, however long it takes, and then says that it is out.
    async fn publish(&self, head: TreeHead, note: String, time: Option<UnixSeconds>) {
        let note: Arc<str> = note.into();
        loop {
            let (tiles, bytes) = (Arc::clone(&self.storage.tiles), Arc::clone(&note));
            let written = tokio::task::spawn_blocking(move || tiles.publish(bytes.as_bytes())).await;
            match written.unwrap_or(Err(Error::Stopping)) {
                Ok(()) => break,
                Err(error) => {
                    add(&self.metrics.publish_failures, 1);
                    eprintln!("vouchsafe-log: the checkpoint was not published: {error} ({})", error.code());
                    sleep(RETRY).await;
                }
            }
        }
        set(&self.metrics.published_size, head.size);
        set(&self.metrics.published_time, time.map_or(0, |time| time.0));
        self.published.send_replace(Some(Published { head, note, time, since: Instant::now() }));
    }
}

/// Resolves when no more heads can come.
async fn closed(heads: &watch::Receiver<SignedHead>) {
    while heads.has_changed().is_ok() {
        sleep(ROUND_MAX).await;
    }
}
