//! The engine's thread: admission and steps.
//!
//! In each step every sequence that generates reads its newest token, and those that still read their
//! prompts share [`EngineOptions::prefill_chunk`] tokens evenly, so that neither a long prompt nor many
//! of them hold up anybody for more than one step. All of it is one computation.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::draft::Draft;
use super::kept::Kept;
use super::sequence::{Sequence, count};
use super::{EngineOptions, Load, Savings, Sink};
use crate::kernels::{Level, Pool};
use crate::model::{KvStore, Workspace};
use crate::{Event, Finish, FinishReason, GenerateRequest, Model, StartError, SubmitError, Timing, Usage};

/// An admitted request.
pub(super) struct Job {
    pub(super) request: GenerateRequest,
    pub(super) sink: Sink,
    /// The most tokens to generate.
    pub(super) answer_max: usize,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) submitted: Instant,
}

impl Job {
    /// Key-value tokens that it needs at most.
    pub(super) fn reservation(&self) -> usize {
        self.request.prompt.len().saturating_add(self.answer_max)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Tells the sink of a request that never ran that it is over.
    fn finish_unstarted(mut self, reason: FinishReason) {
        let finish = Finish {
            reason,
            usage: Usage { prompt_tokens: count(self.request.prompt.len()), completion_tokens: 0 },
            timing: Timing { queued: self.submitted.elapsed(), ..Timing::default() },
        };
        let _ = guarded(move || (self.sink)(Event::Finished(finish)));
    }
}

/// What the engine's handle and its thread share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Signalled when there is something to do.
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    load: Load,
    savings: Savings,
    stopped: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("load", &self.load()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn enqueue(&self, job: Job, max_queue: usize) -> Result<(), SubmitError> {
        let mut state = self.lock();
        if state.stopped {
            return Err(SubmitError::Stopped);
        }
        if state.queue.len() >= max_queue {
            return Err(SubmitError::QueueFull { waiting: state.queue.len() });
        }
        state.queue.push_back(job);
        drop(state);
        self.wake();
        Ok(())
    }

    pub(super) fn load(&self) -> Load {
        let state = self.lock();
        Load { queued: state.queue.len(), ..state.load }
    }

    pub(super) fn savings(&self) -> Savings {
        self.lock().savings
    }

    /// Gives back the place and the tokens of a sequence that is over: before its sink hears of it, so
    /// that whoever does finds room.
    fn release(&self, kv_tokens: usize) {
        let mut state = self.lock();
        state.load.running = state.load.running.saturating_sub(1);
        state.load.kv_tokens = state.load.kv_tokens.saturating_sub(kv_tokens);
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.wake();
    }

    #[cfg(test)]
    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    pub(super) fn wake(&self) {
        // Under the lock, so that a worker about to wait does not miss it.
        let _state = self.lock();
        self.work.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and the state is consistent at every point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn start(
    model: Model,
    draft: Option<Draft>,
    store: KvStore,
    options: EngineOptions,
    shared: Arc<Shared>,
) -> Result<JoinHandle<()>, StartError> {
    let small = options.threads == 0 && model.identity.parameters <= SMALL_PARAMETERS_MAX;
    let threads = if small { 1 } else { options.threads };
    let pool = Pool::new(threads, Level::detect()).map_err(|error| StartError::Threads(error.to_string()))?;
    std::thread::Builder::new()
        .name("engine-0".to_owned())
        .spawn(move || {
            let (pool, store, running) = (Arc::new(pool), Arc::new(store), Vec::new());
            let (space, kept) = (Workspace::default(), Kept::default());
            Worker { model, draft, options, shared, pool, store, space, running, kept }.run();
        })
        .map_err(|error| StartError::Threads(error.to_string()))
}

struct Worker {
    model: Model,
    draft: Option<Draft>,
    options: EngineOptions,
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    store: Arc<KvStore>,
    space: Workspace,
    running: Vec<Sequence>,
    kept: Kept,
}

impl Worker {
    fn run(&mut self) {
        // From the first request to the last of a busy time the pool's threads stay awake.
        let pool = Arc::clone(&self.pool);
        let mut session = None;
        while let Some((fresh, cancelled)) = self.next_jobs() {
            session = session.or_else(|| Some(pool.session()));
            for job in cancelled {
                job.finish_unstarted(FinishReason::Cancelled);
            }
            for job in fresh {
                self.begin(job);
            }
            self.shrink();
            self.step();
            if self.running.is_empty() {
                session = None;
            }
        }
    }

    /// Waits for work. Returns the requests that start now and those that were cancelled while they
    /// waited; `None` when the engine stops.
    fn next_jobs(&mut self) -> Option<(Vec<Job>, VecDeque<Job>)> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            if state.stopped {
                return None;
            }
            let (cancelled, queue) = state.queue.drain(..).partition(Job::is_cancelled);
            state.queue = queue;
            let fresh = self.admit(&mut state);
            if !(fresh.is_empty() && cancelled.is_empty() && self.running.is_empty()) {
                return Some((fresh, cancelled));
            }
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes requests in the order of their arrival while places and key-value tokens last. The first
    /// that does not fit holds up those behind it, or it might never run.
    fn admit(&self, state: &mut State) -> Vec<Job> {
        let mut fresh = Vec::new();
        while state.load.running < self.options.max_sequences
            && let Some(job) = state.queue.front()
        {
            let kv_tokens = state.load.kv_tokens.saturating_add(job.reservation());
            if kv_tokens > self.options.kv_tokens_max {
                break;
            }
            state.load.running = state.load.running.saturating_add(1);
            state.load.kv_tokens = kv_tokens;
            fresh.extend(state.queue.pop_front());
        }
        fresh
    }

    fn begin(&mut self, job: Job) {
        let (store, tokenizer, kept) = (&self.store, &self.model.tokenizer, &mut self.kept);
        let reservation = job.reservation();
        let over = match guarded(move || Sequence::start(job, store, tokenizer, kept)) {
            Some(Ok(sequence)) => {
                let reused = u64::try_from(sequence.reused()).unwrap_or(u64::MAX);
                let savings = &mut self.shared.lock().savings;
                savings.tokens_reused = savings.tokens_reused.saturating_add(reused);
                return self.running.push(sequence);
            }
            Some(Err(refused)) => Some(refused),
            // Only the sink can panic here, and it is gone with the job.
            None => None,
        };
        self.shared.release(reservation);
        if let Some(over) = over {
            over.0.finish_unstarted(over.1);
        }
    }

    /// What is kept must leave room for what runs.
    fn shrink(&mut self) {
        let reserved = self.shared.load().kv_tokens;
        self.kept.shrink(self.options.kv_tokens_max.saturating_sub(reserved));
    }

    /// One step of all running sequences.
    fn step(&mut self) {
        let (cancelled, running): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.running).into_iter().partition(|sequence| sequence.job().is_cancelled());
        for sequence in cancelled {
            self.finish(sequence, FinishReason::Cancelled);
        }
        if running.is_empty() {
            return;
        }
        self.step_together(running);
    }

    /// Computes a step of several sequences; where that fails, of each by itself, so that the failure
    /// stays with whom it concerns. A step that failed has changed no sequence.
    fn step_together(&mut self, mut running: Vec<Sequence>) {
        let shares = shares(running.iter().map(Sequence::unread), self.options.prefill_chunk);
        // Guesses are worth their arithmetic while memory is what a step waits for.
        if running.len() <= GUESSING_SEQUENCES_MAX {
            self.guess(&mut running);
        }
        let (transformer, pool, space) = (&self.model.transformer, &self.pool, &mut self.space);
        let done = guarded(|| {
            let slots = running.iter_mut().zip(&shares);
            let mut slots: Vec<_> = slots.map(|(sequence, share)| sequence.slot(*share)).collect();
            transformer.forward(pool, space, &mut slots)
        });
        let failure = match done {
            Some(Ok(())) => return self.deliver(running),
            Some(Err(_)) => COMPUTATION,
            None => PANICKED,
        };
        let alone = running.len() == 1;
        for sequence in running {
            if alone {
                self.finish(sequence, FinishReason::Failed(failure));
            } else {
                self.step_together(vec![sequence]);
            }
        }
    }

    fn guess(&mut self, running: &mut [Sequence]) {
        running.iter_mut().for_each(Sequence::guess);
        let pool = &self.pool;
        let Some(draft) = &mut self.draft else { return };
        // Whatever is wrong with a draft, answers do not depend on it.
        if !matches!(guarded(|| draft.guess(pool, running.iter_mut())), Some(Ok(()))) {
            self.draft = None;
        }
    }

    /// Lets the sequences choose from their logits.
    fn deliver(&mut self, running: Vec<Sequence>) {
        let mut row = 0;
        for mut sequence in running {
            let rows = sequence.stepped();
            let mut reason = None;
            for at in 0..rows {
                let logits = self.space.logits_mut().row_mut(usize::saturating_add(row, at));
                let tokenizer = &self.model.tokenizer;
                reason = match guarded(|| sequence.choose(logits, tokenizer)) {
                    Some(flow) => flow.break_value(),
                    None => Some(FinishReason::Failed(PANICKED)),
                };
                if reason.is_some() || !sequence.guessed(at) || sequence.job().is_cancelled() {
                    sequence.settle(at.saturating_add(1), &mut self.shared.lock().savings);
                    break;
                }
            }
            row = usize::saturating_add(row, rows);
            match reason {
                None => self.running.push(sequence),
                Some(reason) => self.finish(sequence, reason),
            }
        }
    }

    fn finish(&mut self, mut sequence: Sequence, reason: FinishReason) {
        self.shared.release(sequence.job().reservation());
        if !matches!(reason, FinishReason::Failed(_))
            && let Some(left) = sequence.leave()
        {
            self.kept.keep(left);
            self.shrink();
        }
        guarded(move || sequence.finish(reason));
    }
}

/// How many tokens each of the sequences with so many unread ones reads: an even part of `chunk`, where
/// those that need less leave it to the others, and one at least.
fn shares(unread: impl Iterator<Item = usize>, chunk: usize) -> Vec<usize> {
    let mut shares: Vec<usize> = unread.collect();
    let mut order: Vec<usize> = (0..shares.len()).filter(|at| shares.get(*at) != Some(&0)).collect();
    order.sort_by_key(|at| shares.get(*at).copied());
    let (mut left, mut readers) = (chunk, order.len());
    for at in order {
        let Some(share) = shares.get_mut(at) else { continue };
        *share = (*share).min(left.checked_div(readers).unwrap_or(left).max(1));
        left = left.saturating_sub(*share);
        readers = readers.saturating_sub(1);
    }
    shares
}

impl Drop for Worker {
    /// However the loop ended, everybody who waits hears of it.
    fn drop(&mut self) {
        let queue = {
            let mut state = self.shared.lock();
            state.stopped = true;
            state.load = Load::default();
            std::mem::take(&mut state.queue)
        };
        for job in queue {
            job.finish_unstarted(FinishReason::Cancelled);
        }
        for sequence in self.running.drain(..) {
            guarded(move || sequence.finish(FinishReason::Cancelled));
        }
    }
}

/// Keeps a panic within one sequence. What the panic left half-done goes with the sequence: nothing
/// else is changed by a step.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Models with up to so many weights run on one thread unless told otherwise: sharing their small
/// products costs more than it saves, and far more on a machine that is busy otherwise.
const SMALL_PARAMETERS_MAX: u64 = 16 * 1024 * 1024;

/// Steps of more sequences are bound by arithmetic rather than by memory.
const GUESSING_SEQUENCES_MAX: usize = 2;

const COMPUTATION: &str = "the computation failed";
const PANICKED: &str = "the computation panicked";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_share_a_chunk_evenly() {
        let shares = |unread: &[usize], chunk| shares(unread.iter().copied(), chunk);
        assert_eq!(shares(&[0, 1000, 0], 64), [0, 64, 0]);
        assert_eq!(shares(&[1000, 1000], 64), [32, 32]);
        assert_eq!(shares(&[1000, 10, 1000, 0], 64), [27, 10, 27, 0]);
        assert_eq!(shares(&[5, 5], 64), [5, 5]);
        assert_eq!(shares(&[9, 9, 9], 2), [1, 1, 1]);
        assert_eq!(shares(&[], 64), [0; 0]);
    }
}
