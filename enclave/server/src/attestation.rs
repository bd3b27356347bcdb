//! Fresh evidence for clients' challenges, many nonces in one report.
//!
//! A report costs the platform milliseconds to a second, so nonces that arrive while one is being
//! made, or before the next one may be made, share it: the report covers the root of an RFC 6962 tree
//! over the nonces, and each client gets the path of its own.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use vouchsafe_platform::{AttestError, Attester};
use vouchsafe_receipt::{ChallengeAnswer, report_data};
use vouchsafe_translog::merkle;
use vouchsafe_verifier::Evidence;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::boot::{Epoch, Epochs};
use crate::config::{Limits, milliseconds};

/// Longest time for a report. Its host may hold the machine's interface up; later challenges must not wait for ever
/// behind that.
const ATTEST_MAX: Duration = Duration::from_secs(90);

/// Why a challenge was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChallengeError {
    /// As many challenges wait as may.
    Full,
    /// The machine did not attest.
    Failed,
}

/// An answered challenge and the epoch that its report covers.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) answer: ChallengeAnswer,
    pub(crate) epoch: Arc<Epoch>,
}

struct Question {
    nonce: [u8; 32],
    reply: oneshot::Sender<Result<Answered, ChallengeError>>,
}

/// Collects challenges and has them answered.
#[derive(Clone)]
pub(crate) struct Challenger {
    questions: mpsc::Sender<Question>,
}

impl Challenger {
    /// Starts answering. It ends when the last clone is dropped.
    pub(crate) fn start(attester: Arc<dyn Attester>, epochs: Arc<Epochs>, limits: &Limits) -> Self {
        let (questions, receiver) = mpsc::channel(limits.challenges_max);
        let interval_min = milliseconds(limits.challenge_interval_ms_min);
        let batch_max = limits.challenges_max;
        tokio::spawn(async move {
            let mut batches = Batches { receiver, next: Instant::now(), batch_max };
            while let Some(batch) = batches.next().await {
                batches.next = Instant::now().checked_add(interval_min).unwrap_or(batches.next);
                let (attester, epoch) = (Arc::clone(&attester), epochs.current());
                // An attester that panics or hangs fails this batch and no other.
                let made = tokio::task::spawn_blocking(move || answer(batch, &epoch, attester.as_ref()));
                if let Ok(Ok(answers)) = timeout(ATTEST_MAX, made).await {
                    for (reply, result) in answers {
                        // Whoever left does not need the answer.
                        let _ = reply.send(result);
                    }
                }
            }
        });
        Self { questions }
    }

    /// Evidence that covers `nonce`.
    pub(crate) async fn answer(&self, nonce: [u8; 32]) -> Result<Answered, ChallengeError> {
        let (reply, answer) = oneshot::channel();
        self.questions.try_send(Question { nonce, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ChallengeError::Full,
            mpsc::error::TrySendError::Closed(_) => ChallengeError::Failed,
        })?;
        answer.await.unwrap_or(Err(ChallengeError::Failed))
    }
}

struct Batches {
    receiver: mpsc::Receiver<Question>,
    /// The earliest moment for the next report.
    next: Instant,
    batch_max: usize,
}

impl Batches {
    /// The next batch, not before its time; `None` when nobody can ask any more.
    async fn next(&mut self) -> Option<Vec<Question>> {
        loop {
            let mut batch = vec![self.receiver.recv().await?];
            sleep_until(self.next).await;
            while batch.len() < self.batch_max
                && let Ok(question) = self.receiver.try_recv()
            {
                batch.push(question);
            }
            // No report for those who left while they waited.
            batch.retain(|question| !question.reply.is_closed());
            if !batch.is_empty() {
                return Some(batch);
            }
        }
    }
}

type Reply = (oneshot::Sender<Result<Answered, ChallengeError>>, Result<Answered, ChallengeError>);

/// Has one report made over all nonces.
fn answer(batch: Vec<Question>, epoch: &Arc<Epoch>, attester: &dyn Attester) -> Vec<Reply> {
    let leaves: Vec<_> = batch.iter().map(|question| merkle::leaf_hash(&question.nonce, &Ring)).collect();
    let evidence = evidence(&leaves, epoch, attester);
    let tree_size = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
    (0_u64..)
        .zip(batch)
        .enumerate()
        .map(|(index, (leaf_index, question))| {
            let path = merkle::inclusion_path(&leaves, index, &Ring);
            let result = match (&evidence, path) {
                (Ok(evidence), Some(path)) => Ok(Answered {
                    answer: ChallengeAnswer {
                        nonce: Hex(question.nonce),
                        leaf_index,
                        tree_size,
                        path: path.into_iter().map(Hex).collect(),
                        evidence: evidence.clone(),
                    },
                    epoch: Arc::clone(epoch),
                }),
                _ => Err(ChallengeError::Failed),
            };
            (question.reply, result)
        })
        .collect()
}

fn evidence(leaves: &[[u8; 32]], epoch: &Epoch, attester: &dyn Attester) -> Result<Evidence, AttestError> {
    let root = merkle::root(leaves, &Ring);
    let report_data = report_data::challenge(&epoch.attested.statement.0, &root, &Ring);
    Ok(attester.attest(&report_data)?.evidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::tests::EchoAttester;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use vouchsafe_platform::{Attestation, Platform};

    #[derive(Default)]
    struct Counting {
        reports: AtomicUsize,
        fail: bool,
    }

    impl Attester for Counting {
        fn platform(&self) -> Platform {
            EchoAttester.platform()
        }
        fn attest(&self, report_data: &[u8; 64]) -> Result<Attestation, AttestError> {
            self.reports.fetch_add(1, Ordering::SeqCst);
            if self.fail {
                return Err(AttestError::Failed("on purpose".into()));
            }
            EchoAttester.attest(report_data)
        }
    }

    fn setup(fail: bool, limits: &Limits) -> (Arc<Counting>, Challenger) {
        let attester = Arc::new(Counting { fail, ..Counting::default() });
        let epochs = Arc::new(Epochs::begin([1; 32], 3600, &EchoAttester).unwrap());
        let challenger = Challenger::start(Arc::clone(&attester) as _, epochs, limits);
        (attester, challenger)
    }

    /// What a client checks: its nonce is under the root that the report covers.
    fn check(nonce: [u8; 32], answered: &Answered) {
        let answer = &answered.answer;
        let Evidence::SevSnp { report } = &answer.evidence else { panic!("other evidence") };
        let path: Vec<_> = answer.path.iter().map(|hash| hash.0).collect();
        let leaf = merkle::leaf_hash(&nonce, &Ring);
        // The echo attester's report is the report data, from which the root cannot be read back; so
        // the root is computed along the path and compared through the report data.
        let root = root_of(leaf, answer.leaf_index, answer.tree_size, &path);
        merkle::verify_inclusion(&leaf, answer.leaf_index, answer.tree_size, &path, &root, &Ring).unwrap();
        let expected = report_data::challenge(&answered.epoch.attested.statement.0, &root, &Ring);
        assert_eq!(report.0, expected);
        assert_eq!(answer.nonce.0, nonce);
    }

    fn root_of(leaf: [u8; 32], mut index: u64, size: u64, path: &[[u8; 32]]) -> [u8; 32] {
        let (mut hash, mut last) = (leaf, size - 1);
        for sibling in path {
            if index & 1 == 1 || index == last {
                hash = merkle::node_hash(sibling, &hash, &Ring);
                while index & 1 == 0 && index != 0 {
                    index >>= 1;
                    last >>= 1;
                }
            } else {
                hash = merkle::node_hash(&hash, sibling, &Ring);
            }
            index >>= 1;
            last >>= 1;
        }
        hash
    }

    #[tokio::test(start_paused = true)]
    async fn many_nonces_share_few_reports_and_each_proves_its_own() {
        let (attester, challenger) = setup(false, &Limits::default());
        let asked: Vec<_> = (0..37_u8)
            .map(|byte| {
                let challenger = challenger.clone();
                tokio::spawn(async move { ([byte; 32], challenger.answer([byte; 32]).await.unwrap()) })
            })
            .collect();
        for task in asked {
            let (nonce, answered) = task.await.unwrap();
            check(nonce, &answered);
        }
        assert!(attester.reports.load(Ordering::SeqCst) <= 2, "{attester:?}", attester = attester.reports);
    }

    #[tokio::test(start_paused = true)]
    async fn reports_keep_their_distance() {
        let (attester, challenger) = setup(false, &Limits::default());
        let begun = Instant::now();
        for _ in 0..4 {
            challenger.answer([0; 32]).await.unwrap();
        }
        assert_eq!(attester.reports.load(Ordering::SeqCst), 4);
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }

    #[tokio::test]
    async fn a_machine_that_does_not_attest_is_an_error_and_a_full_queue_another() {
        let (_, challenger) = setup(true, &Limits::default());
        assert_eq!(challenger.answer([0; 32]).await.unwrap_err(), ChallengeError::Failed);

        let limits = Limits { challenges_max: 1, challenge_interval_ms_min: 3_600_000, ..Limits::default() };
        let (_, challenger) = setup(false, &limits);
        challenger.answer([0; 32]).await.unwrap();
        // The next report is an hour away: one challenge is with the batch, one in the queue.
        let ask = |byte: u8| {
            let challenger = challenger.clone();
            tokio::spawn(async move { challenger.answer([byte; 32]).await })
        };
        let waiting = ask(1);
        while challenger.questions.capacity() == 0 || waiting.is_finished() {
            tokio::task::yield_now().await;
        }
        let mut results = Vec::new();
        for byte in 2..6 {
            let task = ask(byte);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            if task.is_finished() {
                results.push(task.await.unwrap().unwrap_err());
            }
        }
        assert!(results.len() >= 2 && results.iter().all(|error| *error == ChallengeError::Full));
    }
}
