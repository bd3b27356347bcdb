//! The enclave's own clock, which its host can influence: good for display and for expiry that only
//! costs availability, never for trust.

use std::time::{SystemTime, UNIX_EPOCH};

/// Whole Unix seconds, unattested.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
