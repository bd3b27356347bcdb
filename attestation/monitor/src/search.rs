//! Looking for leaves in the whole of a signed tree, which anyone with its entry bundles can repeat.

use std::collections::HashSet;

use rayon::prelude::*;
use vouchsafe_translog::{Frontier, Hash, merkle};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::Violation;
use crate::compare;
use crate::files::{self, Trouble};
use crate::source::Source;

/// Where the wanted leaves are in the tree of `size` leaves and `root`. It is an answer only since every entry
/// was read and they led to that root.
pub(crate) fn search(
    source: &dyn Source,
    (size, root): (u64, &Hash),
    wanted: &HashSet<Hash>,
    progress: &dyn Fn(u64, u64),
) -> Result<Vec<(Hash, u64)>, Trouble> {
    let (mut frontier, mut found) = (Frontier::new(), Vec::new());
    for bundle in files::bundles(0, size) {
        let leaves = files::leaves(source, bundle, size)?;
        let hashes: Vec<_> = leaves.par_iter().map(|leaf| merkle::leaf_hash(leaf, &Ring)).collect();
        for hash in hashes {
            if wanted.contains(&hash) {
                found.push((hash, frontier.size()));
            }
            frontier.push(hash, &Ring);
        }
        progress(frontier.size(), size);
    }
    if frontier.root(&Ring) == *root {
        return Ok(found);
    }
    let wrong = compare::wrong_entry(source, 0, size, root)?;
    Err(wrong.unwrap_or(Violation::TilesMismatch { size, expected: Hex(*root) }).into())
}
