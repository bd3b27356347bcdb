//! The right edge of a growing tree: the hashes needed to append, to write tiles and to prove what is new.
//!
//! For each height the hashes of the newest complete subtrees are kept: those of the tile at the edge,
//! and those from which the newest leaves' inclusion paths are made. So the memory used depends on
//! that window and on the logarithm of the size, never on the size itself.

use std::collections::VecDeque;

use vouchsafe_translog::merkle::node_hash;
use vouchsafe_translog::{Hash, Tile};
use vouchsafe_verifier::crypto::Crypto;

/// Heights of hashes in one tile: 256 is 2⁸.
const TILE_HEIGHT: u32 = 8;

/// Hashes at and near the right edge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// By height: the complete subtrees of 2^height leaves.
    heights: Vec<Level>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Level {
    /// Which subtree of this height the first hash is of.
    first: u64,
    hashes: VecDeque<Hash>,
}

impl Level {
    fn get(&self, index: u64) -> Option<&Hash> {
        self.hashes.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    fn push(&mut self, index: u64, hash: Hash) {
        if self.hashes.is_empty() {
            self.first = index;
        }
        self.hashes.push_back(hash);
    }

    fn drop_before(&mut self, index: u64) {
        let count = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let count = count.min(self.hashes.len());
        self.hashes.drain(..count);
        self.first = self.first.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

impl Edge {
    /// The edge of a tree of `size` leaves, from the rightmost tile of each level, which `read` gives.
    ///
    /// # Errors
    /// What `read` refuses with.
    pub fn load<E>(
        size: u64,
        crypto: &dyn Crypto,
        mut read: impl FnMut(Tile) -> Result<Vec<Hash>, E>,
    ) -> Result<Self, E> {
        let mut edge = Self { size, heights: Vec::new() };
        for tile in partial_tiles(size) {
            let base = u32::from(tile.level()).saturating_mul(TILE_HEIGHT);
            let (mut hashes, mut first) = (read(tile)?, tile.first_leaf());
            for within in 0..TILE_HEIGHT {
                let level = edge.height_mut(base.saturating_add(within));
                level.first = first;
                level.hashes = hashes.iter().copied().collect();
                hashes = hashes
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|[left, right]| node_hash(left, right, crypto))
                    .collect();
                first = shr(first, 1);
            }
        }
        Ok(edge)
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf_hash: Hash, crypto: &dyn Crypto) {
        let (mut hash, mut index) = (leaf_hash, self.size);
        for height in 0..u64::BITS {
            let level = self.height_mut(height);
            level.push(index, hash);
            if index & 1 == 0 {
                break;
            }
            // An odd subtree's left sibling lies in the same tile, which the edge always holds.
            let Some(left) = level.get(index.saturating_sub(1)) else { break };
            hash = node_hash(left, &hash, crypto);
            index = shr(index, 1);
        }
        self.size = self.size.saturating_add(1);
    }

    /// Forgets what is needed neither to append nor to prove leaves from `from` on.
    pub fn trim(&mut self, from: u64) {
        let size = self.size;
        for (height, level) in (0..).zip(&mut self.heights) {
            let to_tile = TILE_HEIGHT.saturating_sub(height % TILE_HEIGHT);
            let tile_start = shl(shr(size, height.saturating_add(to_tile)), to_tile);
            let window_start = shr(from, height).saturating_sub(1);
            level.drop_before(tile_start.min(window_start));
        }
    }

    /// The root over the first `size` leaves; `None` where the hashes it needs are not held.
    pub fn root(&self, size: u64, crypto: &dyn Crypto) -> Option<Hash> {
        match size {
            0 => Some(crypto.sha256(&[])),
            size => self.range(0, size, crypto),
        }
    }

    /// The hash of the leaf at `index`, if it is held.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        self.heights.first()?.get(index).copied()
    }

    /// The inclusion path of the leaf at `index` in the tree of `size`; `None` where it is not held.
    pub fn path(&self, index: u64, size: u64, crypto: &dyn Crypto) -> Option<Vec<Hash>> {
        if index >= size {
            return None;
        }
        let (mut start, mut end, mut path) = (0, size, Vec::new());
        while end.saturating_sub(start) > 1 {
            let middle = start.saturating_add(split(end.saturating_sub(start)));
            if index < middle {
                path.push(self.range(middle, end, crypto)?);
                end = middle;
            } else {
                path.push(self.range(start, middle, crypto)?);
                start = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// A tile's bytes; `None` where they are not held.
    pub fn tile(&self, tile: Tile) -> Option<Vec<u8>> {
        let level = self.heights.get(usize::from(tile.level()).checked_mul(8)?)?;
        let first = tile.first_leaf();
        let end = first.checked_add(u64::try_from(tile.width()).ok()?)?;
        let mut bytes = Vec::with_capacity(tile.width().saturating_mul(32));
        for index in first..end {
            bytes.extend_from_slice(level.get(index)?);
        }
        Some(bytes)
    }

    /// The hash over leaves `start` to `end`, of which `start` is where such a subtree can begin.
    fn range(&self, start: u64, end: u64, crypto: &dyn Crypto) -> Option<Hash> {
        let len = end.checked_sub(start)?;
        if len.is_power_of_two() {
            let height = len.trailing_zeros();
            return self.heights.get(usize::try_from(height).ok()?)?.get(shr(start, height)).copied();
        }
        let middle = start.checked_add(split(len))?;
        Some(node_hash(&self.range(start, middle, crypto)?, &self.range(middle, end, crypto)?, crypto))
    }

    fn height_mut(&mut self, height: u32) -> &mut Level {
        let height = usize::try_from(height).unwrap_or(usize::MAX);
        if self.heights.len() <= height {
            self.heights.resize_with(height.saturating_add(1), Level::default);
        }
        // Just made, where it was missing.
        #[expect(clippy::indexing_slicing, reason = "the line above makes it long enough")]
        &mut self.heights[height]
    }
}

/// The tiles at the right edge that are not full: at most one for each level.
pub(crate) fn partial_tiles(size: u64) -> impl Iterator<Item = Tile> {
    (0..=vouchsafe_translog::tile::LEVEL_MAX).filter_map(move |level| {
        let height = u32::from(level).saturating_add(1).saturating_mul(TILE_HEIGHT);
        Tile::in_tree(level, shr(size, height), size).filter(|tile| !tile.is_full())
    })
}

/// The largest power of two below `len`, for `len` of at least two.
fn split(len: u64) -> u64 {
    shr(len.checked_next_power_of_two().unwrap_or(1 << 63), 1)
}

fn shr(number: u64, by: u32) -> u64 {
    number.checked_shr(by).unwrap_or(0)
}

fn shl(number: u64, by: u32) -> u64 {
    number.checked_shl(by).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vouchsafe_translog::merkle;
    use vouchsafe_verifier::crypto::Ring;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| merkle::leaf_hash(&n.to_be_bytes(), &Ring)).collect()
    }

    #[test]
    fn tiles_and_roots_are_those_of_the_whole_tree() {
        let all = leaves(1_100);
        let mut edge = Edge::default();
        for (n, leaf) in (1_u64..).zip(&all) {
            edge.push(*leaf, &Ring);
            edge.trim(n);
            if [1, 2, 3, 255, 256, 257, 511, 512, 513, 1_023, 1_024, 1_025, 1_100].contains(&n) {
                let so_far = &all[..usize::try_from(n).unwrap()];
                assert_eq!(edge.root(n, &Ring), Some(merkle::root(so_far, &Ring)), "size {n}");
                let index = n / 256;
                if let Some(tile) = Tile::in_tree(0, index, n) {
                    let expected = so_far[usize::try_from(index * 256).unwrap()..].concat();
                    assert_eq!(edge.tile(tile), Some(expected), "size {n}");
                }
            }
        }
    }

    #[test]
    fn what_is_loaded_from_tiles_goes_on_as_what_was_built() {
        // Past 65,536, so that three levels of tiles exist; and just at the turns.
        for size in [1_u64, 255, 256, 257, 65_535, 65_536, 65_537, 66_000] {
            let all = leaves(size + 300);
            let mut built = Edge::default();
            for leaf in &all[..usize::try_from(size).unwrap()] {
                built.push(*leaf, &Ring);
            }
            let mut loaded =
                Edge::load(size, &Ring, |tile| Ok::<_, ()>(tile.hashes(&built.tile(tile).unwrap()).unwrap()))
                    .unwrap();
            for leaf in &all[usize::try_from(size).unwrap()..] {
                built.push(*leaf, &Ring);
                loaded.push(*leaf, &Ring);
            }
            let end = size + 300;
            assert_eq!(loaded.root(end, &Ring), built.root(end, &Ring), "from {size}");
            for index in size..end {
                assert_eq!(loaded.path(index, end, &Ring), built.path(index, end, &Ring), "{index} of {end}");
            }
            for tile in Tile::grown(size, end) {
                assert_eq!(loaded.tile(tile), built.tile(tile));
            }
        }
    }

    proptest! {
        #[test]
        fn paths_in_the_window_verify_at_every_later_size(size in 1_u64..900, window in 1_u64..300, late in 0_u64..50) {
            let all = leaves(size + late);
            let mut edge = Edge::default();
            for leaf in &all {
                edge.push(*leaf, &Ring);
                edge.trim(edge.size().saturating_sub(window + late));
            }
            let count = usize::try_from(size).unwrap();
            let root = merkle::root(&all[..count], &Ring);
            prop_assert_eq!(edge.root(size, &Ring), Some(root));
            for index in size.saturating_sub(window)..size {
                let path = edge.path(index, size, &Ring).expect("in the window");
                let leaf = &all[usize::try_from(index).unwrap()];
                prop_assert_eq!(merkle::verify_inclusion(leaf, index, size, &path, &root, &Ring), Ok(()));
            }
            prop_assert_eq!(edge.path(size, size, &Ring), None);
        }

        #[test]
        fn memory_depends_on_the_window_alone(extra in 0_u64..2_000) {
            let held = |count: u64| {
                let mut edge = Edge::default();
                for leaf in leaves(count) {
                    edge.push(leaf, &Ring);
                    edge.trim(edge.size().saturating_sub(100));
                }
                edge.heights.iter().map(|level| level.hashes.len()).sum::<usize>()
            };
            // Two levels of tiles, each with at most 511 hashes, and the window.
            prop_assert!(held(2_000 + extra) < 2 * 511 + 2 * 512 + 64);
        }
    }
}
