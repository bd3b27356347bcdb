//! One request at a time: the hardware's own queue is shared, and a second request in flight would only wait there.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use crate::AttestError;

/// Attempts before giving up on an interface that is busy or that others disturb.
pub(crate) const ATTEMPTS: u32 = 5;
/// Pause after the first such attempt; doubles with each.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for the requests before one's own. One that the kernel or the host holds up cannot be cancelled;
/// those behind it must not wait for ever too.
const TURN_MAX: Duration = Duration::from_secs(60);

/// Lets one request at a time through.
#[derive(Debug)]
pub(crate) struct Turns {
    is_taken: Mutex<bool>,
    freed: Condvar,
    wait_max: Duration,
}

/// The turn, until it is dropped.
pub(crate) struct Turn<'a>(&'a Turns);

impl Default for Turns {
    fn default() -> Self {
        Self::waiting(TURN_MAX)
    }
}

impl Turns {
    /// With another longest wait.
    pub(crate) fn waiting(wait_max: Duration) -> Self {
        Self { is_taken: Mutex::new(false), freed: Condvar::new(), wait_max }
    }

    pub(crate) fn take(&self) -> Result<Turn<'_>, AttestError> {
        // The lock guards a flag: a panic elsewhere leaves nothing half-done.
        let is_taken = self.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_timeout_while(is_taken, self.wait_max, |is_taken| *is_taken);
        let (mut is_taken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(AttestError::Timeout { seconds: self.wait_max.as_secs() });
        }
        *is_taken = true;
        Ok(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.is_taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.freed.notify_one();
    }
}

/// Waits before an attempt, counted from 1: not before the first, and longer before each.
pub(crate) fn pause_before(attempt: u32) {
    if attempt > 1 {
        sleep(PAUSE.saturating_mul(1 << attempt.saturating_sub(2).min(8)));
    }
}
