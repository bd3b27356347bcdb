//! What a log keeps, behind traits: public files, blobs, the lock database, the high-water record.
//!
//! The order in which the sequencer calls these is the design; see [`crate::log`]. Every method that
//! writes returns only when the write is durable, and each write is seen wholly or not at all.

mod database;
mod files;

pub use database::Database;
pub use files::{Files, FolderLock, HighWaterFile};
pub(crate) use files::{read, replace};

use crate::Error;

/// The first bytes of a leaf hash: enough to find it, and the tile at the place found says for certain.
pub type LeafKey = [u8; 16];

/// A tree's size and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// The number of leaves.
    pub size: u64,
    /// The RFC 6962 root.
    pub root: [u8; 32],
}

/// A tree head and the checkpoint note that this log signed over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// Size and root.
    pub head: TreeHead,
    /// The note, with this log's signature alone.
    pub note: String,
}

/// An admitted boot, as the lock database remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootRow {
    /// The boot id: SHA-256 of the receipt key's SPKI.
    pub id: [u8; 32],
    /// The receipt key's SPKI in DER.
    pub spki: Vec<u8>,
    /// Where its boot leaf is.
    pub index: u64,
}

/// What several people released together, as the lock database remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// SHA-256 of what is signed.
    pub payload: [u8; 32],
    /// The type byte of its leaf.
    pub kind: u8,
}

/// The public files: tiles, entry bundles and the checkpoint, with the staging area beside them.
pub trait Tiles: Send + Sync {
    /// A public file by its path, relative and with forward slashes.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error>;
    /// The length of a public file, in bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn len(&self, path: &str) -> Result<Option<u64>, Error>;
    /// Puts files in place.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`]; some of the files may be in place then.
    fn write(&self, files: &[(String, Vec<u8>)]) -> Result<(), Error>;
    /// Removes the partial tiles of a tile that is full and in place now.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn remove_partials(&self, tile: &str) -> Result<(), Error>;
    /// Keeps what is about to be committed.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`].
    fn stage(&self, record: &[u8]) -> Result<(), Error>;
    /// What was staged last and not removed.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn staged(&self) -> Result<Option<Vec<u8>>, Error>;
    /// Removes what was staged.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn unstage(&self) -> Result<(), Error>;
    /// Replaces the published checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`].
    fn publish(&self, checkpoint: &[u8]) -> Result<(), Error>;
}

/// Blobs that leaves name by their SHA-256.
pub trait Blobs: Send + Sync {
    /// A blob.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn read(&self, sha256: &[u8; 32]) -> Result<Option<Vec<u8>>, Error>;
    /// Keeps a blob under its digest.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`].
    fn write(&self, sha256: &[u8; 32], bytes: &[u8]) -> Result<(), Error>;
}

/// What a commit adds besides the checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// The head before.
    pub from: TreeHead,
    /// The head after, signed.
    pub to: &'a SignedHead,
    /// The new leaves' keys and places.
    pub leaves: &'a [(LeafKey, u64)],
    /// The boots among them.
    pub boots: &'a [BootRow],
    /// The releases among them, and their places.
    pub releases: &'a [(Release, u64)],
}

/// The lock database: the one place that says how long the log is.
pub trait Lock: Send + Sync {
    /// The newest signed head.
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::DatabaseDamaged`].
    fn head(&self) -> Result<SignedHead, Error>;
    /// Replaces the head, if it is still the one expected, and adds leaves and boots: all or nothing.
    ///
    /// # Errors
    /// [`Error::CheckpointMoved`], [`Error::Database`] or [`Error::DatabaseDamaged`]. After any error
    /// the head has to be read again: the commit may have happened.
    fn commit(&self, commit: &Commit<'_>) -> Result<(), Error>;
    /// Where a leaf may be.
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::DatabaseDamaged`].
    fn find(&self, leaf: &LeafKey) -> Result<Option<u64>, Error>;
    /// An admitted boot.
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::DatabaseDamaged`].
    fn boot(&self, id: &[u8; 32]) -> Result<Option<BootRow>, Error>;
    /// Where the leaves are that release this payload, in their order.
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::DatabaseDamaged`].
    fn release(&self, payload: &[u8; 32]) -> Result<Vec<u64>, Error>;
    /// Where the releases of a kind are, in their order.
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::DatabaseDamaged`].
    fn releases(&self, kind: u8) -> Result<Vec<u64>, Error>;
}

/// The largest head ever signed, kept apart from the database so that a restored database is noticed.
pub trait HighWater: Send + Sync {
    /// The record; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`].
    fn read(&self) -> Result<Option<TreeHead>, Error>;
    /// Replaces the record.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`].
    fn write(&self, head: &TreeHead) -> Result<(), Error>;
}

/// Everything a log keeps.
#[derive(Clone)]
pub struct Storage {
    /// Public files.
    pub tiles: std::sync::Arc<dyn Tiles>,
    /// Blobs.
    pub blobs: std::sync::Arc<dyn Blobs>,
    /// The lock database.
    pub lock: std::sync::Arc<dyn Lock>,
    /// The high-water record.
    pub high_water: std::sync::Arc<dyn HighWater>,
}

impl core::fmt::Debug for Storage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Storage")
    }
}

/// The key under which a leaf is found.
pub fn leaf_key(leaf_hash: &[u8; 32]) -> LeafKey {
    let mut key = LeafKey::default();
    for (to, from) in key.iter_mut().zip(leaf_hash) {
        *to = *from;
    }
    key
}
