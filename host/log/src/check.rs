//! Looking for damage: quickly at every start, thoroughly on demand.

use vouchsafe_receipt::Leaf;
use vouchsafe_translog::{Frontier, Tile, merkle, tile};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::to_hex;

use crate::Error;
use crate::admission::{digest, named_blobs, release_of};
use crate::edge::{Edge, partial_tiles};
use crate::log::{damaged, read_bundle, read_tile};
use crate::storage::{Storage, Tiles, TreeHead, leaf_key};

/// How often progress is told, in entries.
const PROGRESS_LEAVES: u64 = 1 << 18;
const HASH_BYTES: u64 = 32;

/// What a thorough check went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Boots in the index.
    pub boots: u64,
    /// Blobs that leaves name, all there and unchanged.
    pub blobs: u64,
}

/// Every tile of a tree of `size` leaves that can no longer change, by level and index.
fn tiles(size: u64) -> impl Iterator<Item = Tile> {
    Tile::grown(0, size)
}

/// Checks that every tile is there and of its length, and every entry bundle there and not too short:
/// what can be told from the folder's listing, fast enough for every start.
///
/// # Errors
/// [`Error::Missing`] or [`Error::Damaged`], naming the first file.
pub fn shape(files: &dyn Tiles, size: u64) -> Result<(), Error> {
    for tile in tiles(size) {
        let width = u64::try_from(tile.width()).unwrap_or(u64::MAX);
        let expected = width.saturating_mul(HASH_BYTES);
        match len(files, &tile.path(), &tile.to_full().path())? {
            (path, None) => return Err(Error::Missing { path }),
            (path, Some(found)) if path == tile.path() && found != expected => {
                return Err(damaged(&path, &format!("{found} bytes, not {expected}")));
            }
            _ => {}
        }
        if tile.level() == 0 {
            // Each leaf has a length of two bytes and a type.
            let least = width.saturating_mul(3);
            match len(files, &tile.entries_path(), &tile.to_full().entries_path())? {
                (path, None) => return Err(Error::Missing { path }),
                (path, Some(found)) if found < least => {
                    return Err(damaged(&path, &format!("{found} bytes for {width} leaves")));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn len(files: &dyn Tiles, path: &str, full: &str) -> Result<(String, Option<u64>), Error> {
    match files.len(path)? {
        None if path != full => match files.len(full)? {
            Some(len) => Ok((full.to_owned(), Some(len))),
            None => Ok((path.to_owned(), None)),
        },
        found => Ok((path.to_owned(), found)),
    }
}

/// Reads every entry, recomputes the root and every tile from them, looks every leaf up in the index,
/// and reads every blob that a leaf names.
///
/// # Errors
/// [`Error::Missing`], [`Error::Damaged`] or [`Error::Root`], naming the first damage.
pub fn full(storage: &Storage, head: &TreeHead, mut progress: impl FnMut(u64)) -> Result<CheckReport, Error> {
    let mut walk = Walk { storage, report: CheckReport::default(), edge: Edge::default() };
    let mut frontier = Frontier::new();
    let bundles = head.size.div_ceil(tile::TILE_WIDTH);
    for index in 0..bundles {
        let Some(tile) = Tile::in_tree(0, index, head.size) else { break };
        let bytes = read_bundle(storage.tiles.as_ref(), tile)?;
        let leaves = tile.leaves(&bytes).map_err(|error| damaged(&tile.entries_path(), &error))?;
        for leaf in leaves {
            let hash = merkle::leaf_hash(leaf, &Ring);
            walk.leaf(&tile, leaf, &hash)?;
            frontier.push(hash, &Ring);
        }
        walk.compare_tiles(tile.first_leaf())?;
        if frontier.size().is_multiple_of(PROGRESS_LEAVES) {
            progress(frontier.size());
        }
    }
    for tile in partial_tiles(head.size) {
        walk.compare(tile)?;
    }
    match frontier.root(&Ring) {
        root if root == head.root => Ok(walk.report),
        found => Err(Error::Root { size: head.size, signed: head.root, found }),
    }
}

struct Walk<'a> {
    storage: &'a Storage,
    report: CheckReport,
    edge: Edge,
}

impl Walk<'_> {
    fn leaf(&mut self, tile: &Tile, leaf: &[u8], hash: &[u8; 32]) -> Result<(), Error> {
        let index = self.edge.size();
        self.edge.push(*hash, &Ring);
        match self.storage.lock.find(&leaf_key(hash))? {
            Some(place) if place == index => {}
            found => {
                let found = found.map_or("nowhere".into(), |place| format!("at {place}"));
                return Err(damaged("the database's index", &format!("leaf {index} is {found} in it")));
            }
        }
        // What a leaf says is for monitors to judge; here only what has to be kept with it.
        let Ok(parsed) = Leaf::parse(leaf) else { return Ok(()) };
        if let Leaf::Boot(signed) = &parsed {
            let row = self.storage.lock.boot(&signed.boot())?;
            if row.is_none_or(|row| row.index != index) {
                let why = format!("the boot at {index} of {} is not in it", tile.entries_path());
                return Err(damaged("the database's index", &why));
            }
            self.report.boots = self.report.boots.saturating_add(1);
        }
        if let Some(release) = release_of(&parsed)
            && !self.storage.lock.release(&release.payload)?.contains(&index)
        {
            let why = format!("the release at {index} is not in it");
            return Err(damaged("the database's index", &why));
        }
        for sha256 in named_blobs(&parsed) {
            let path = format!("blob/{}", to_hex(&sha256));
            match self.storage.blobs.read(&sha256)? {
                None => return Err(Error::Missing { path }),
                Some(blob) if digest(&blob) != sha256 => {
                    return Err(damaged(&path, &"its digest is not its name"));
                }
                Some(_) => self.report.blobs = self.report.blobs.saturating_add(1),
            }
        }
        Ok(())
    }

    /// Compares the tiles that became full since `from` with those recomputed.
    fn compare_tiles(&mut self, from: u64) -> Result<(), Error> {
        let size = self.edge.size();
        for tile in Tile::grown(from, size).filter(|tile| tile.is_full()) {
            self.compare(tile)?;
        }
        self.edge.trim(size);
        Ok(())
    }

    fn compare(&self, tile: Tile) -> Result<(), Error> {
        let held = read_tile(self.storage.tiles.as_ref(), tile)?;
        match self.edge.tile(tile) {
            Some(expected) if expected == held => Ok(()),
            _ => Err(damaged(&tile.path(), &"its hashes are not those of the entries")),
        }
    }
}
