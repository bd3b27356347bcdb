//! Coarse numbers for health: how many, never which.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Default, Clone)]
pub(crate) struct Gauges {
    sessions: Arc<AtomicU64>,
}

/// One session, counted while this lives.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicU64>);

impl Gauges {
    /// Counts a session.
    pub(crate) fn session(&self) -> Counted {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.sessions))
    }

    /// Open sessions.
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
