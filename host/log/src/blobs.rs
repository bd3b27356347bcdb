//! Blobs that nobody has named yet: held in memory, within bounds, until an admitted leaf names them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::Error;
use crate::storage::Blobs;

/// Most bytes of blobs held at once. When it is reached the oldest go: whoever needs them posts again.
pub const PENDING_BYTES_MAX: usize = 32 << 20;
/// What holding a blob costs beside its bytes, so that many tiny ones are bounded as well.
const BLOB_COST: usize = 256;

/// Blobs, kept or pending.
pub struct BlobPool {
    kept: Arc<dyn Blobs>,
    pending: Mutex<Pending>,
}

impl core::fmt::Debug for BlobPool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("BlobPool")
    }
}

#[derive(Default)]
struct Pending {
    blobs: HashMap<[u8; 32], Bytes>,
    order: VecDeque<[u8; 32]>,
    bytes: usize,
}

impl BlobPool {
    /// A pool before these kept blobs.
    pub fn new(kept: Arc<dyn Blobs>) -> Self {
        Self { kept, pending: Mutex::default() }
    }

    /// Holds a blob until a leaf names it.
    pub fn hold(&self, sha256: [u8; 32], blob: Bytes) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.blobs.contains_key(&sha256) {
            return;
        }
        pending.bytes = pending.bytes.saturating_add(cost(&blob));
        pending.blobs.insert(sha256, blob);
        pending.order.push_back(sha256);
        while pending.bytes > PENDING_BYTES_MAX {
            let Some(oldest) = pending.order.pop_front() else { break };
            pending.forget(&oldest);
        }
    }

    /// Bytes held, with what holding them costs.
    pub fn pending_bytes(&self) -> usize {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// A blob, kept or pending.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn get(&self, sha256: &[u8; 32]) -> Result<Option<Bytes>, Error> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).blobs.get(sha256).cloned();
        match pending {
            Some(blob) => Ok(Some(blob)),
            None => Ok(self.kept.read(sha256)?.map(Bytes::from)),
        }
    }

    /// Keeps a blob for good; it must be here.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Full`].
    pub fn keep(&self, sha256: &[u8; 32]) -> Result<(), Error> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blob) = pending.blobs.get(sha256) {
            self.kept.write(sha256, blob)?;
            pending.forget(sha256);
            pending.order.retain(|held| held != sha256);
        }
        Ok(())
    }
}

impl Pending {
    fn forget(&mut self, sha256: &[u8; 32]) {
        if let Some(blob) = self.blobs.remove(sha256) {
            self.bytes = self.bytes.saturating_sub(cost(&blob));
        }
    }
}

fn cost(blob: &Bytes) -> usize {
    blob.len().saturating_add(BLOB_COST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Files;

    #[test]
    fn what_is_pending_is_bounded_and_what_is_kept_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = Arc::new(Files::at(folder.path().join("public"), folder.path().join("staging")));
        let pool = BlobPool::new(files.clone());
        pool.hold([1; 32], Bytes::from_static(b"kept"));
        pool.keep(&[1; 32]).unwrap();
        for n in 2..=255 {
            pool.hold([n; 32], vec![n; 256 << 10].into());
            assert!(pool.pending_bytes() <= PENDING_BYTES_MAX);
        }
        assert_eq!(pool.get(&[2; 32]), Ok(None), "the oldest went");
        assert!(pool.get(&[255; 32]).unwrap().is_some());
        assert_eq!(pool.get(&[1; 32]), Ok(Some(Bytes::from_static(b"kept"))));
        assert_eq!(Blobs::read(files.as_ref(), &[255; 32]), Ok(None), "nobody named it");
    }

    #[test]
    fn tiny_blobs_are_bounded_too() {
        let folder = tempfile::tempdir().unwrap();
        let files = Arc::new(Files::at(folder.path().join("public"), folder.path().join("staging")));
        let pool = BlobPool::new(files);
        let most = PENDING_BYTES_MAX / BLOB_COST;
        for n in 0..u64::try_from(most).unwrap() + 10 {
            let mut name = [0; 32];
            name[..8].copy_from_slice(&n.to_be_bytes());
            pool.hold(name, Bytes::from_static(b"x"));
        }
        assert!(pool.pending.lock().unwrap().blobs.len() <= most);
    }
}
