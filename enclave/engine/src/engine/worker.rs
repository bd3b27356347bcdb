//! The engine's thread: admission and turns.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::sequence::{Sequence, count};
use super::{EngineOptions, Load, Sink};
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
    options: EngineOptions,
    shared: Arc<Shared>,
) -> Result<JoinHandle<()>, StartError> {
    let small = options.threads == 0 && model.expanded;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(if small { 1 } else { options.threads })
        .thread_name(|number| format!("engine-{number}"))
        .build()
        .map_err(|error| StartError::Threads(error.to_string()))?;
    std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || {
            let mut worker = Worker { model, options, shared, running: Vec::new() };
            // Within the pool, so that parallel parts of a step use its threads and no others.
            pool.install(|| worker.run());
        })
        .map_err(|error| StartError::Threads(error.to_string()))
}

struct Worker {
    model: Model,
    options: EngineOptions,
    shared: Arc<Shared>,
    running: Vec<Sequence>,
}

impl Worker {
    fn run(&mut self) {
        while let Some((fresh, cancelled)) = self.next_jobs() {
            for job in cancelled {
                job.finish_unstarted(FinishReason::Cancelled);
            }
            for job in fresh {
                self.begin(job);
            }
            self.turn();
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
        let (transformer, tokenizer) = (&self.model.transformer, &self.model.tokenizer);
        let reservation = job.reservation();
        let over = match guarded(move || Sequence::start(job, transformer, tokenizer)) {
            Some(Ok(sequence)) => return self.running.push(sequence),
            Some(Err(refused)) => Some(refused),
            // Only the sink can panic here, and it is gone with the job.
            None => None,
        };
        self.shared.release(reservation);
        if let Some(over) = over {
            over.0.finish_unstarted(over.1);
        }
    }

    /// One step for each running sequence.
    fn turn(&mut self) {
        let mut next = Vec::with_capacity(self.running.len());
        for mut sequence in std::mem::take(&mut self.running) {
            let reason = if sequence.job().is_cancelled() {
                Some(FinishReason::Cancelled)
            } else {
                let (transformer, tokenizer) = (&self.model.transformer, &self.model.tokenizer);
                let chunk = self.options.prefill_chunk;
                match guarded(|| sequence.step(transformer, tokenizer, chunk)) {
                    Some(flow) => flow.break_value(),
                    None => Some(FinishReason::Failed(PANICKED)),
                }
            };
            match reason {
                None => next.push(sequence),
                Some(reason) => {
                    self.shared.release(sequence.job().reservation());
                    guarded(move || sequence.finish(reason));
                }
            }
        }
        self.running = next;
    }
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

const PANICKED: &str = "the computation panicked";
