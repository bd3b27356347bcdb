//! The threads that share one step's work.
//!
//! Between steps they sleep. Within a [`Session`] they look for work without sleeping, as a layer has
//! half a dozen parts and waking a thread takes longer than some of them; after a while each look gives
//! the processor to whoever else wants it. Work is handed out piece by piece to whoever is free, and
//! nobody waits for a thread that has not begun: who computes what does not change what is computed.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::Level;

/// Some threads, the caller among them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    level: Level,
    /// Held while work is shared: there is one piece of work at a time.
    running: Mutex<()>,
}

struct Shared {
    /// How many workers are inside the work (low 16 bits), whether it is open, its number (high 32).
    state: AtomicU64,
    work: UnsafeCell<Option<Work>>,
    /// The next piece to do.
    next: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Whether a session is under way.
    awake: AtomicBool,
    stop: AtomicBool,
    gate: Mutex<()>,
    bell: Condvar,
}

#[derive(Clone, Copy)]
struct Work {
    run: *const (dyn Fn(usize) + Sync),
    pieces: usize,
}

// SAFETY: `work` is what keeps this from being automatic. It is written by the one thread that holds
// `Pool::running`, while the state is closed and nobody is inside; it is read by workers that went in
// while the state was open, which `state`'s orderings put after the write and before the next one.
// What it points to is `Sync`, and `Pool::pieces` does not return while anybody is inside.
unsafe impl Sync for Shared {}
// SAFETY: as above: the pointer is followed only while its owner waits.
unsafe impl Send for Shared {}

const OPEN: u64 = 1 << 16;
const INSIDE: u64 = OPEN - 1;
const NUMBER: u32 = 32;

/// While this exists, the pool's threads look for work without sleeping.
pub(crate) struct Session<'p> {
    pool: &'p Pool,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.pool.shared.awake.store(false, Ordering::Release);
    }
}

impl Pool {
    /// `threads` in all; 0 means one for each processor.
    pub(crate) fn new(threads: usize, level: Level) -> std::io::Result<Self> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            work: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
            awake: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            gate: Mutex::new(()),
            bell: Condvar::new(),
        });
        let mut pool = Self { shared, workers: Vec::new(), level, running: Mutex::new(()) };
        for number in 1..threads.min(THREADS_MAX) {
            let shared = Arc::clone(&pool.shared);
            let builder = std::thread::Builder::new().name(format!("engine-{number}"));
            pool.workers.push(builder.spawn(move || shared.work())?);
        }
        Ok(pool)
    }

    /// The calling thread alone.
    pub(crate) fn single(level: Level) -> Self {
        // Without threads to start nothing can fail.
        Self::new(1, level).unwrap_or_else(|_| unreachable!("no thread is started"))
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Threads, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Wakes the threads and keeps them awake.
    pub(crate) fn session(&self) -> Session<'_> {
        if !self.workers.is_empty() && !self.shared.awake.swap(true, Ordering::AcqRel) {
            let _gate = lock(&self.shared.gate);
            self.shared.bell.notify_all();
        }
        Session { pool: self }
    }

    /// Calls `run` with every number below `pieces`, on all threads, and returns when all are done.
    ///
    /// # Panics
    /// When a call does.
    pub(crate) fn pieces(&self, pieces: usize, run: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() || pieces < 2 {
            return (0..pieces).for_each(run);
        }
        let _running = lock(&self.running);
        let shared = &*self.shared;
        // SAFETY: this prolongs a lifetime: `run` is followed by workers that are inside only, and
        // `close` below waits until nobody is, on every way out of here.
        let run_forever = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(
                run,
            )
        };
        // SAFETY: we hold `running`, the state is closed, and nobody is inside: see `Shared`.
        unsafe { *shared.work.get() = Some(Work { run: run_forever, pieces }) };
        shared.next.store(0, Ordering::Relaxed);
        let number = (shared.state.load(Ordering::Relaxed) >> NUMBER).wrapping_add(1);
        shared.state.store(number << NUMBER | OPEN, Ordering::Release);
        let close = Close(shared);
        shared.take_pieces(run, pieces);
        drop(close);
        if let Some(panic) = lock(&shared.panic).take() {
            resume_unwind(panic);
        }
    }

    /// Calls `run` with each chunk of `size` and its number. The last chunk may be shorter.
    pub(crate) fn chunks<T: Send>(&self, data: &mut [T], size: usize, run: impl Fn(usize, &mut [T]) + Sync) {
        let length = data.len();
        let start = Shareable::new(data.as_mut_ptr());
        self.pieces(length.div_ceil(size.max(1)), &|piece| {
            let from = piece * size;
            let count = size.min(length - from);
            // SAFETY: within `data`, which stays borrowed until all pieces are done; `pieces` calls
            // with each number once, so no two chunks are the same, and chunks do not overlap.
            let chunk = unsafe { std::slice::from_raw_parts_mut(start.get().add(from), count) };
            run(piece, chunk);
        });
    }
}

/// A pointer that threads may have: what they do with it is argued where they do it.
pub(super) struct Shareable<T>(*mut T);

impl<T> Clone for Shareable<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shareable<T> {}

impl<T> Shareable<T> {
    pub(super) fn new(pointer: *mut T) -> Self {
        Self(pointer)
    }

    pub(super) fn get(self) -> *mut T {
        self.0
    }
}

// SAFETY: a pointer is a number; whoever follows it argues why that is sound, and `T: Send` lets
// another thread have the values.
unsafe impl<T: Send> Sync for Shareable<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shareable<T> {}

/// Closes the work and waits until nobody is inside, also when unwinding.
struct Close<'s>(&'s Shared);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut patience = 0;
        while self.0.state.load(Ordering::Acquire) & INSIDE != 0 {
            pause(&mut patience);
        }
    }
}

impl Shared {
    fn take_pieces(&self, run: &(dyn Fn(usize) + Sync), pieces: usize) {
        loop {
            let piece = self.next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces {
                return;
            }
            run(piece);
        }
    }

    /// A worker's life.
    fn work(&self) {
        let (mut done, mut patience) = (0, 0);
        while !self.stop.load(Ordering::Acquire) {
            let state = self.state.load(Ordering::Acquire);
            if state & OPEN != 0 && state >> NUMBER != done {
                let entered =
                    self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed);
                if entered.is_ok() {
                    done = state >> NUMBER;
                    self.enter();
                    self.state.fetch_sub(1, Ordering::AcqRel);
                    patience = 0;
                }
                continue;
            }
            if self.awake.load(Ordering::Acquire) {
                pause(&mut patience);
            } else {
                self.sleep();
                patience = 0;
            }
        }
    }

    fn enter(&self) {
        // SAFETY: we are inside work that was open: nobody writes until we are out. See `Shared`.
        let Some(work) = (unsafe { *self.work.get() }) else { return };
        // SAFETY: what it points to outlives our being inside: see `Pool::pieces`.
        let run = unsafe { &*work.run };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.take_pieces(run, work.pieces))) {
            lock(&self.panic).get_or_insert(panic);
        }
    }

    fn sleep(&self) {
        let mut gate = lock(&self.gate);
        while !self.awake.load(Ordering::Acquire) && !self.stop.load(Ordering::Acquire) {
            gate = self.bell.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        {
            let _gate = lock(&self.shared.gate);
            self.shared.bell.notify_all();
        }
        for worker in self.workers.drain(..) {
            // Panics are caught inside; nothing is left to say.
            let _ = worker.join();
        }
    }
}

fn pause(patience: &mut u32) {
    if *patience < LOOKS_BEFORE_YIELDING {
        *patience += 1;
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// No code panics while it holds one of these locks with anything half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Some twenty microseconds.
const LOOKS_BEFORE_YIELDING: u32 = 1000;

/// The state counts workers in 16 bits.
const THREADS_MAX: usize = 1024;
