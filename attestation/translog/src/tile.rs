//! Tiles and entry bundles (c2sp.org/tlog-tiles): where they are, and what their bytes are.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use crate::{Error, Hash, TREE_SIZE_MAX, lines};

/// Hashes in a full tile, leaves in a full entry bundle.
pub const TILE_WIDTH: u64 = 256;
/// Highest level of a tile in a tree of at most [`TREE_SIZE_MAX`] leaves: 256⁸ is more.
pub const LEVEL_MAX: u8 = 7;
/// Longest leaf, in bytes: a bundle states lengths in 16 bits.
pub const LEAF_BYTES_MAX: usize = 65_535;

const HASH_BYTES: usize = 32;

/// Which tile, or which entry bundle: those lie as the tiles of level 0 do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: NonZeroU16,
}

impl Tile {
    /// The tile at `index` of `level` in a tree of `size` leaves: full, or as wide as the tree makes it.
    /// `None` where that tree has no such tile.
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        if level > LEVEL_MAX || size > TREE_SIZE_MAX {
            return None;
        }
        let hashes = size.checked_shr(u32::from(level).checked_mul(8)?)?;
        let left = hashes.checked_sub(index.checked_mul(TILE_WIDTH)?)?;
        let width = u16::try_from(left.min(TILE_WIDTH)).ok()?;
        Some(Self { level, index, width: NonZeroU16::new(width)? })
    }

    /// The tile that holds the hash at `index` of `level` in a tree of `size` leaves, and the place in it.
    pub fn holding(level: u8, index: u64, size: u64) -> Option<(Self, usize)> {
        let tile = Self::in_tree(level, index.checked_div(TILE_WIDTH)?, size)?;
        let place = index.checked_rem(TILE_WIDTH)?;
        (place < u64::from(tile.width.get())).then_some((tile, usize::try_from(place).ok()?))
    }

    /// Every tile that a tree of `new` leaves has and a tree of `old` leaves has not, or has narrower:
    /// what a log writes when it grows. From the leaves up, from left to right.
    pub fn grown(old: u64, new: u64) -> impl Iterator<Item = Self> {
        (0..=LEVEL_MAX).flat_map(move |level| {
            let shift = u32::from(level).saturating_mul(8);
            let (old_hashes, new_hashes) = (old >> shift, new >> shift);
            let first = old_hashes / TILE_WIDTH;
            let end = if new_hashes > old_hashes { new_hashes.div_ceil(TILE_WIDTH) } else { first };
            (first..end).filter_map(move |index| Self::in_tree(level, index, new))
        })
    }

    /// The level: 0 for hashes of leaves.
    pub fn level(self) -> u8 {
        self.level
    }

    /// The index within the level.
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many hashes: 1 to 256.
    pub fn width(self) -> usize {
        usize::from(self.width.get())
    }

    /// Whether it is as wide as tiles get, so that it never changes again.
    pub fn is_full(self) -> bool {
        u64::from(self.width.get()) == TILE_WIDTH
    }

    /// The full tile at the same place, which a log may serve in place of a partial one.
    #[must_use]
    pub fn to_full(self) -> Self {
        Self { width: FULL, ..self }
    }

    /// The index of its first leaf, for level 0.
    pub fn first_leaf(self) -> u64 {
        self.index.saturating_mul(TILE_WIDTH)
    }

    /// Its path under the log's prefix, as `tile/1/x001/067.p/5`.
    pub fn path(self) -> String {
        format!("tile/{}/{}", self.level, self.suffix())
    }

    /// The path of the entry bundle at this place, as `tile/entries/x001/067.p/5`.
    pub fn entries_path(self) -> String {
        format!("tile/entries/{}", self.suffix())
    }

    fn suffix(self) -> String {
        let mut rest = self.index;
        let mut text = format!("{:03}", rest % 1000);
        while rest >= 1000 {
            rest /= 1000;
            text = format!("x{:03}/{text}", rest % 1000);
        }
        match self.is_full() {
            true => text,
            false => format!("{text}.p/{}", self.width),
        }
    }

    /// Reads a tile's bytes: exactly as many hashes as it is wide.
    ///
    /// # Errors
    /// [`Error::TileMalformed`].
    pub fn hashes(self, bytes: &[u8]) -> Result<Vec<Hash>, Error> {
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        if !rest.is_empty() || hashes.len() != self.width() {
            return Err(Error::TileMalformed { why: "its length is not that of its hashes" });
        }
        Ok(hashes.to_vec())
    }

    /// Reads an entry bundle's bytes: exactly as many leaves as it is wide.
    ///
    /// # Errors
    /// [`Error::TileMalformed`].
    pub fn leaves(self, bytes: &[u8]) -> Result<Vec<&[u8]>, Error> {
        let leaves = parse_leaves(bytes, self.width())?;
        if leaves.len() != self.width() {
            return Err(Error::TileMalformed { why: "an entry bundle with too few leaves" });
        }
        Ok(leaves)
    }
}

const FULL: NonZeroU16 = NonZeroU16::new(256).unwrap();

/// What a path under the log's prefix names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// A tile of hashes.
    Hashes(Tile),
    /// The entry bundle at the place of a tile of level 0.
    Entries(Tile),
}

impl Resource {
    /// Reads a path as [`Tile::path`] and [`Tile::entries_path`] write it.
    ///
    /// # Errors
    /// [`Error::TileMalformed`].
    pub fn parse(path: &str) -> Result<Self, Error> {
        let malformed = |why| Error::TileMalformed { why };
        let rest = path.strip_prefix("tile/").ok_or(malformed("its path begins with tile/"))?;
        let (kind, place) = rest.split_once('/').ok_or(malformed("its path has a level and an index"))?;
        let level = match kind {
            "entries" => 0,
            level => lines::decimal(level)
                .and_then(|level| u8::try_from(level).ok())
                .filter(|level| *level <= LEVEL_MAX)
                .ok_or(malformed("its level is not one of any tree"))?,
        };
        let (index, width) = match place.split_once(".p/") {
            None => (place, FULL),
            Some((index, width)) => {
                let width = lines::decimal(width).and_then(|width| u16::try_from(width).ok());
                let width = width.filter(|width| *width < FULL.get()).and_then(NonZeroU16::new);
                (index, width.ok_or(malformed("a partial tile is 1 to 255 hashes wide"))?)
            }
        };
        let index = parse_index(index).ok_or(malformed("its index is not written in groups of three"))?;
        let tile = Tile { level, index, width };
        let resource = if kind == "entries" { Self::Entries(tile) } else { Self::Hashes(tile) };
        // One place has one path.
        let written = match resource {
            Self::Entries(tile) => tile.entries_path(),
            Self::Hashes(tile) => tile.path(),
        };
        if written != path {
            return Err(malformed("its index is not written in groups of three"));
        }
        Ok(resource)
    }
}

fn parse_index(text: &str) -> Option<u64> {
    text.split('/').try_fold(0_u64, |index, group| {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        (index <= TREE_SIZE_MAX / TILE_WIDTH).then_some(index)
    })
}

/// Appends a leaf to an entry bundle.
///
/// # Errors
/// [`Error::LeafTooLong`].
pub fn push_leaf(bundle: &mut Vec<u8>, leaf: &[u8]) -> Result<(), Error> {
    let len =
        u16::try_from(leaf.len()).map_err(|_| Error::LeafTooLong { len: leaf.len(), max: LEAF_BYTES_MAX })?;
    bundle.extend(len.to_be_bytes());
    bundle.extend(leaf);
    Ok(())
}

/// Reads length-prefixed leaves, at most `count_max`.
///
/// # Errors
/// [`Error::TileMalformed`] for one that is cut short, or for too many.
pub fn parse_leaves(bytes: &[u8], count_max: usize) -> Result<Vec<&[u8]>, Error> {
    let cut = Error::TileMalformed { why: "an entry bundle ends within a leaf" };
    let (mut rest, mut leaves) = (bytes, Vec::new());
    while !rest.is_empty() {
        if leaves.len() == count_max {
            return Err(Error::TileMalformed { why: "an entry bundle with too many leaves" });
        }
        let (len, after) = rest.split_first_chunk::<2>().ok_or(cut.clone())?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (leaf, after) = after.split_at_checked(len).ok_or(cut.clone())?;
        leaves.push(leaf);
        rest = after;
    }
    Ok(leaves)
}
