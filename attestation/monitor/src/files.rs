//! A log's tiles and entry bundles, fetched and cut to the width that a tree needs.

use vouchsafe_translog::tile::{LEAF_BYTES_MAX, TILE_WIDTH, Tile};
use vouchsafe_verifier::encoding::to_hex;

use crate::source::{Fetch, Source};
use crate::{Error, Violation};

const HASH_TILE_BYTES_MAX: usize = 256 * 32;
const BUNDLE_BYTES_MAX: usize = 256 * (2 + LEAF_BYTES_MAX);

/// Why a file of a tree could not be used: the log's fault, or nobody's.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The log does not serve what it signed.
    Violation(Box<Violation>),
    /// Nothing can be said: try again.
    Error(Error),
}

impl From<Violation> for Trouble {
    fn from(violation: Violation) -> Self {
        Self::Violation(Box::new(violation))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The leaves of an entry bundle of the tree of `size` leaves.
pub(crate) fn leaves(source: &dyn Source, tile: Tile, size: u64) -> Result<Vec<Vec<u8>>, Trouble> {
    let (path, full, bytes) = tile_bytes(source, tile, size, Tile::entries_path, BUNDLE_BYTES_MAX)?;
    let read = if full { tile.to_full() } else { tile };
    let malformed = |why: String| Violation::FileMalformed { path: path.clone(), why };
    let leaves = read.leaves(&bytes).map_err(|error| malformed(error.to_string()))?;
    Ok(leaves.into_iter().take(tile.width()).map(<[u8]>::to_vec).collect())
}

/// The bytes of a hash tile of the tree of `size` leaves, as wide as asked. A wider one may be served
/// in its place, whose beginning is the narrower one.
pub(crate) fn hash_tile(source: &dyn Source, tile: Tile, newest: u64) -> Result<Vec<u8>, Trouble> {
    let wider = Tile::in_tree(tile.level(), tile.index(), newest).unwrap_or(tile);
    let (path, full, mut bytes) = tile_bytes(source, wider, newest, Tile::path, HASH_TILE_BYTES_MAX)?;
    let read = if full { wider.to_full() } else { wider };
    read.hashes(&bytes)
        .map_err(|error| Violation::FileMalformed { path: path.clone(), why: error.to_string() })?;
    bytes.truncate(tile.width().saturating_mul(32));
    Ok(bytes)
}

/// A blob by its digest; `None` where the log has none.
pub(crate) fn blob(source: &dyn Source, digest: &[u8; 32]) -> Result<Option<Vec<u8>>, Error> {
    let path = format!("blob/{}", to_hex(digest));
    match source.get(&path, vouchsafe_receipt::records::BLOB_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Fetch::Missing | Fetch::TooLong(_)) => Ok(None),
        Err(Fetch::Failed(problem)) => {
            Err(Error::Unreachable { url: format!("{}/{path}", source.name()), problem })
        }
    }
}

/// A tile's bytes, its path, and whether the full one came in place of a partial one.
fn tile_bytes(
    source: &dyn Source,
    tile: Tile,
    size: u64,
    path_of: fn(Tile) -> String,
    bytes_max: usize,
) -> Result<(String, bool, Vec<u8>), Trouble> {
    let path = path_of(tile);
    let first = source.get(&path, bytes_max);
    // A log may drop partial tiles once the full one is there.
    let (path, full, got) = match first {
        Err(Fetch::Missing) if !tile.is_full() => {
            let full = path_of(tile.to_full());
            let got = source.get(&full, bytes_max);
            if matches!(got, Err(Fetch::Missing)) { (path, false, got) } else { (full, true, got) }
        }
        got => (path, false, got),
    };
    match got {
        Ok(bytes) => Ok((path, full, bytes)),
        Err(Fetch::Missing) => Err(Violation::FileMissing { path, size }.into()),
        Err(Fetch::TooLong(max)) => {
            Err(Violation::FileMalformed { path, why: format!("longer than {max} bytes") }.into())
        }
        Err(Fetch::Failed(problem)) => {
            let url = format!("{}/{path}", source.name());
            Err(Error::Unreachable { url, problem }.into())
        }
    }
}

/// Every entry bundle of the tree of `size` leaves from the one that holds the leaf at `start`.
pub(crate) fn bundles(start: u64, size: u64) -> impl Iterator<Item = Tile> {
    let first = start / TILE_WIDTH;
    (first..size.div_ceil(TILE_WIDTH)).filter_map(move |index| Tile::in_tree(0, index, size))
}
