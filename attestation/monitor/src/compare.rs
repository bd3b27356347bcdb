//! Whether two signed checkpoints belong to one history, and the proof where they do not.

use vouchsafe_translog::build::{BuildError, TreeReader};
use vouchsafe_translog::note::VerifierKey;
use vouchsafe_translog::{Hash, SignedCheckpoint, Tile, merkle};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::equivocation::EquivocationFile;
use crate::files::{self, Trouble};
use crate::source::Source;
use crate::{Error, Violation};

/// What came of comparing two checkpoints.
pub(crate) enum Compared {
    /// The larger tree begins with the smaller one.
    OneHistory,
    /// They contradict each other.
    Contradiction {
        file: EquivocationFile,
        /// The root of the larger tree's beginning.
        found: Hash,
    },
}

/// Reads hash tiles of the tree of `newest` leaves, for it and for every tree that it begins with.
pub(crate) fn reader<'a>(
    source: &'a dyn Source,
    size: u64,
    newest: u64,
) -> TreeReader<'static, impl FnMut(Tile) -> Result<Vec<u8>, Trouble> + 'a> {
    TreeReader::new(size, move |tile| files::hash_tile(source, tile, newest), &Ring)
}

/// The log's fault in what could not be built from its tiles.
pub(crate) fn trouble(error: BuildError<Trouble>, size: u64, root: &Hash) -> Trouble {
    match error {
        BuildError::Read { error, .. } => error,
        BuildError::Tile { tile, error } => {
            Violation::FileMalformed { path: tile.path(), why: error.to_string() }.into()
        }
        _ => Violation::TilesMismatch { size, expected: Hex(*root) }.into(),
    }
}

/// Compares two checkpoints of one log by the larger tree's tiles, which `source` has.
pub(crate) fn compare(
    source: &dyn Source,
    log: &VerifierKey,
    one: &SignedCheckpoint,
    other: &SignedCheckpoint,
) -> Result<Compared, Trouble> {
    let (small, large) = match one.checkpoint().size() <= other.checkpoint().size() {
        true => (one, other),
        false => (other, one),
    };
    let (old, new) = (small.checkpoint(), large.checkpoint());
    if old.size() == new.size() {
        return Ok(match old.root() == new.root() {
            true => Compared::OneHistory,
            false => Compared::Contradiction {
                file: EquivocationFile::of_one_size(log, small, large),
                found: *new.root(),
            },
        });
    }
    Ok(match prefix(source, old.size(), old.root(), new.size(), new.root())? {
        None => Compared::OneHistory,
        Some((found, proof)) => Compared::Contradiction {
            file: EquivocationFile::of_two_sizes(log, small, large, found, &proof),
            found,
        },
    })
}

/// Whether the tree of `size` leaves and `root` begins with `old` leaves of `old_root`: `None` where it
/// does; else the root that it begins with, and the proof.
pub(crate) fn prefix(
    source: &dyn Source,
    old: u64,
    old_root: &Hash,
    size: u64,
    root: &Hash,
) -> Result<Option<(Hash, Vec<Hash>)>, Trouble> {
    let proof = reader(source, size, size).consistency(old).map_err(|error| trouble(error, size, root))?;
    if merkle::verify_consistency(old, old_root, size, root, &proof, &Ring).is_ok() {
        return Ok(None);
    }
    let found = reader(source, old, size).root().map_err(|error| trouble(error, size, root))?;
    let proved =
        found != *old_root && merkle::verify_consistency(old, &found, size, root, &proof, &Ring).is_ok();
    match proved {
        true => Ok(Some((found, proof))),
        false => Err(Violation::TilesMismatch { size, expected: Hex(*root) }.into()),
    }
}

/// Why entries do not make the signed tree although its tiles do: the first one that is another.
pub(crate) fn wrong_entry(
    source: &dyn Source,
    start: u64,
    size: u64,
    root: &Hash,
) -> Result<Option<Violation>, Trouble> {
    let mut tree = reader(source, size, size);
    for bundle in files::bundles(start, size) {
        let leaves = files::leaves(source, bundle, size)?;
        for (index, leaf) in (bundle.first_leaf()..).zip(&leaves) {
            let expected = tree.leaf(index).map_err(|error| trouble(error, size, root))?;
            let found = merkle::leaf_hash(leaf, &Ring);
            if found != expected {
                // Only a tile that leads to the signed root says what the entry should be.
                let path = tree.inclusion(index).map_err(|error| trouble(error, size, root))?;
                if merkle::verify_inclusion(&expected, index, size, &path, root, &Ring).is_err() {
                    return Ok(Some(Violation::TilesMismatch { size, expected: Hex(*root) }));
                }
                let (expected, found) = (Hex(expected), Hex(found));
                return Ok(Some(Violation::EntryMismatch { index, expected, found }));
            }
        }
    }
    Ok(None)
}

/// The root that the tiles of the tree of `size` leaves lead to.
pub(crate) fn tiles_root(source: &dyn Source, size: u64, root: &Hash) -> Result<Hash, Trouble> {
    reader(source, size, size).root().map_err(|error| trouble(error, size, root))
}

impl From<Trouble> for Result<Violation, Error> {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Violation(violation) => Ok(*violation),
            Trouble::Error(error) => Err(error),
        }
    }
}
