//! A full verified copy of the log in the layout of c2sp.org/tlog-tiles, which any web server can serve.
//!
//! Entry bundles are written as they are read; hash tiles are computed here, never copied. The
//! checkpoint comes last, when its root came out of these very entries.

use std::path::PathBuf;

use vouchsafe_translog::note::NOTE_BYTES_MAX;
use vouchsafe_translog::tile::{Tile, push_leaf};
use vouchsafe_translog::{Hash, merkle};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::to_hex;

use crate::Error;
use crate::source::{FolderSource, Source as _};
use crate::state::replace;

const TILE_BYTES: usize = 256 * 32;

/// The copy's folder.
#[derive(Debug, Clone)]
pub struct Mirror {
    folder: PathBuf,
}

impl Mirror {
    /// A copy in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Writes an entry bundle with the tile of its leaf hashes.
    pub(crate) fn bundle(&self, tile: Tile, leaves: &[Vec<u8>]) -> Result<(), Error> {
        let mut bytes = Vec::new();
        for leaf in leaves {
            push_leaf(&mut bytes, leaf)?;
        }
        self.write(&tile.entries_path(), &bytes)?;
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| merkle::leaf_hash(leaf, &Ring)).collect();
        self.write(&tile.path(), hashes.as_flattened())
    }

    /// Writes the hash tiles above the leaves that a tree of `new` leaves has beyond one of `old`, and
    /// then its checkpoint.
    pub(crate) fn finish(&self, old: u64, new: u64, note: &str) -> Result<(), Error> {
        let files = FolderSource::new(&self.folder);
        for tile in Tile::grown(old, new).filter(|tile| tile.level() > 0) {
            let below = tile.level().saturating_sub(1);
            let width = u64::try_from(tile.width()).unwrap_or(0);
            let mut hashes = Vec::new();
            for index in (tile.first_leaf()..).take(usize::try_from(width).unwrap_or(0)) {
                let path = Tile::in_tree(below, index, new).map(Tile::path).unwrap_or_default();
                let bytes = files.get(&path, TILE_BYTES).map_err(|error| Error::Malformed {
                    path: self.folder.join(&path),
                    problem: error.to_string(),
                })?;
                let (children, _) = bytes.as_chunks::<32>();
                hashes.push(merkle::root(children, &Ring));
            }
            self.write(&tile.path(), hashes.as_flattened())?;
        }
        self.write("checkpoint", note.as_bytes())
    }

    /// The checkpoint of the copy; `None` where there is none, or none to be read.
    pub(crate) fn note(&self) -> Option<Vec<u8>> {
        FolderSource::new(&self.folder).get("checkpoint", NOTE_BYTES_MAX).ok()
    }

    /// Replaces the checkpoint by another note of the same tree.
    pub(crate) fn cosigned_again(&self, note: &str) -> Result<(), Error> {
        self.write("checkpoint", note.as_bytes())
    }

    /// Writes a blob.
    pub(crate) fn blob(&self, digest: &Hash, bytes: &[u8]) -> Result<(), Error> {
        self.write(&format!("blob/{}", to_hex(digest)), bytes)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        replace(&self.folder.join(path), bytes)
    }
}
