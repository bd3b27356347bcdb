//! Proofs and roots from tiles: what everyone who reads a log computes for themselves.
//!
//! The tiles come through a closure, so that files, HTTP and memory are all alike. They are not
//! trusted: a proof made of wrong tiles does not verify, and `root` of wrong tiles is another root.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use vouchsafe_verifier::crypto::Crypto;

use crate::merkle::{self, node_hash, split_point};
use crate::{Error, Hash, Tile};

/// Why nothing could be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError<E> {
    /// The tile could not be read.
    #[error("{}: {error}", tile.path())]
    Read {
        /// Which tile.
        tile: Tile,
        /// Why.
        error: E,
    },
    /// What was read is not that tile.
    #[error("{}: {error}", tile.path())]
    Tile {
        /// Which tile.
        tile: Tile,
        /// What is wrong with it.
        error: Error,
    },
    /// No tree of this size has this leaf, this beginning, or these leaves.
    #[error("a tree of {size} leaves has no such part")]
    Outside {
        /// The tree's size.
        size: u64,
    },
}

/// Reads one tree's tiles, each at most once.
pub struct TreeReader<'a, R> {
    size: u64,
    read: R,
    crypto: &'a dyn Crypto,
    tiles: BTreeMap<Tile, Vec<Hash>>,
}

impl<'a, R, E> TreeReader<'a, R>
where
    R: FnMut(Tile) -> Result<Vec<u8>, E>,
{
    /// A reader of the tree of `size` leaves. `read` gives a tile's bytes: exactly of the width asked.
    pub fn new(size: u64, read: R, crypto: &'a dyn Crypto) -> Self {
        Self { size, read, crypto, tiles: BTreeMap::new() }
    }

    /// The tree's root.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn root(&mut self) -> Result<Hash, BuildError<E>> {
        match self.size {
            0 => Ok(self.crypto.sha256(&[])),
            size => self.range(0..size),
        }
    }

    /// The hash of the leaf at `index`.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn leaf(&mut self, index: u64) -> Result<Hash, BuildError<E>> {
        self.complete(0, index)
    }

    /// The inclusion path of the leaf at `index`.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, BuildError<E>> {
        let ranges = merkle::inclusion_ranges(index, self.size);
        self.ranges(ranges)
    }

    /// The consistency proof from the tree's first `old` leaves.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn consistency(&mut self, old: u64) -> Result<Vec<Hash>, BuildError<E>> {
        let ranges = merkle::consistency_ranges(old, self.size);
        self.ranges(ranges)
    }

    /// The roots of the complete subtrees from the left, for [`Frontier::resume`](crate::Frontier::resume).
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn frontier(&mut self) -> Result<Vec<Hash>, BuildError<E>> {
        let (mut start, mut roots) = (0_u64, Vec::new());
        for bit in (0..u64::BITS).rev() {
            let leaves = 1_u64.checked_shl(bit).unwrap_or_default();
            if self.size & leaves != 0 {
                let end = start.saturating_add(leaves);
                roots.push(self.range(start..end)?);
                start = end;
            }
        }
        Ok(roots)
    }

    fn ranges(&mut self, ranges: Option<Vec<Range<u64>>>) -> Result<Vec<Hash>, BuildError<E>> {
        let ranges = ranges.ok_or(BuildError::Outside { size: self.size })?;
        ranges.into_iter().map(|range| self.range(range)).collect()
    }

    /// The hash over a range of leaves that begins where a subtree of its size can begin.
    fn range(&mut self, range: Range<u64>) -> Result<Hash, BuildError<E>> {
        let outside = BuildError::Outside { size: self.size };
        let Some(len) = range.end.checked_sub(range.start).filter(|len| *len > 0) else {
            return Err(outside);
        };
        if len.is_power_of_two() {
            let height = len.trailing_zeros();
            return self.complete(height, range.start.checked_shr(height).unwrap_or_default());
        }
        let middle = range.start.saturating_add(split_point(len));
        let left = self.range(range.start..middle)?;
        let right = self.range(middle..range.end)?;
        Ok(node_hash(&left, &right, self.crypto))
    }

    /// The root of the `index`-th complete subtree of 2^`height` leaves: hashes of one tile.
    fn complete(&mut self, height: u32, index: u64) -> Result<Hash, BuildError<E>> {
        let outside = BuildError::Outside { size: self.size };
        let (level, within) = (height / 8, height % 8);
        let Some((tile, place)) = u8::try_from(level)
            .ok()
            .and_then(|level| Tile::holding(level, index.checked_mul(1 << within)?, self.size))
        else {
            return Err(outside);
        };
        let crypto = self.crypto;
        let hashes = self.tile(tile)?;
        let end = place.saturating_add(1 << within);
        let hashes = hashes.get(place..end).ok_or(outside)?;
        Ok(merkle::root(hashes, crypto))
    }

    fn tile(&mut self, tile: Tile) -> Result<&[Hash], BuildError<E>> {
        if !self.tiles.contains_key(&tile) {
            let bytes = (self.read)(tile).map_err(|error| BuildError::Read { tile, error })?;
            let hashes = tile.hashes(&bytes).map_err(|error| BuildError::Tile { tile, error })?;
            self.tiles.insert(tile, hashes);
        }
        Ok(self.tiles.get(&tile).map(Vec::as_slice).unwrap_or_default())
    }
}
