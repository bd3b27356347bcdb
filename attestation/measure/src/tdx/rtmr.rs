//! A run-time measurement register: zero at first, then SHA-384(register ‖ digest) for each event
//! (Intel TDX Module Base Architecture Specification, TDG.MR.RTMR.EXTEND).

use crate::sha::Sha384;
use crate::{Digest384, sha384};

/// One register while it is being extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtmr(Digest384);

impl Rtmr {
    /// A register before the first event.
    pub const fn new() -> Self {
        Self([0; 48])
    }

    /// Extends it by an event's digest.
    pub fn extend(&mut self, digest: &Digest384) {
        let mut next = Sha384::new();
        next.update(&self.0);
        next.update(digest);
        self.0 = next.finish();
    }

    /// Extends it by the digest of `content`.
    pub fn measure(&mut self, content: &[u8]) {
        self.extend(&sha384(content));
    }

    /// Its value.
    pub fn value(&self) -> Digest384 {
        self.0
    }
}

impl Default for Rtmr {
    fn default() -> Self {
        Self::new()
    }
}

/// A register after these events.
pub(crate) fn replay(digests: impl IntoIterator<Item = Digest384>) -> Digest384 {
    let mut register = Rtmr::new();
    digests.into_iter().for_each(|digest| register.extend(&digest));
    register.value()
}
