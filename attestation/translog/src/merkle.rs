//! RFC 6962 section 2.1: leaf and node hashes, tree roots, inclusion and consistency proofs.

use alloc::vec::Vec;
use core::ops::Range;

use vouchsafe_verifier::crypto::Crypto;

/// Longest inclusion path of a tree with fewer than 2⁶³ leaves.
pub const PATH_LEN_MAX: usize = 63;

/// Why an inclusion proof was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InclusionError {
    /// The leaf lies outside the tree.
    #[error("leaf {index} lies outside a tree of {size}")]
    IndexOutsideTree {
        /// The leaf's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The path is longer or shorter than this leaf's place in this tree demands.
    #[error("a path of {found} hashes does not fit leaf {index} of a tree of {size}")]
    PathLength {
        /// Hashes in the path.
        found: usize,
        /// The leaf's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The path leads to another root.
    #[error("the path leads to another root")]
    Root,
}

/// Why a consistency proof was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsistencyError {
    /// A tree cannot be the beginning of a smaller one.
    #[error("a tree of {old} leaves is not the beginning of one of {new}")]
    Shrinks {
        /// Leaves of the older tree.
        old: u64,
        /// Leaves of the newer tree.
        new: u64,
    },
    /// The proof is longer or shorter than these sizes demand.
    #[error("a proof of {found} hashes does not fit trees of {old} and {new} leaves")]
    ProofLength {
        /// Hashes in the proof.
        found: usize,
        /// Leaves of the older tree.
        old: u64,
        /// Leaves of the newer tree.
        new: u64,
    },
    /// The proof leads to another root of the older tree.
    #[error("the proof leads to another root of the older tree")]
    OldRoot,
    /// The proof leads to another root of the newer tree.
    #[error("the proof leads to another root of the newer tree")]
    NewRoot,
}

/// The hash of a leaf.
pub fn leaf_hash(leaf: &[u8], crypto: &dyn Crypto) -> [u8; 32] {
    crypto.sha256(&[&[0x00], leaf].concat())
}

/// The hash of an inner node.
pub fn node_hash(left: &[u8; 32], right: &[u8; 32], crypto: &dyn Crypto) -> [u8; 32] {
    crypto.sha256(&[[0x01].as_slice(), left, right].concat())
}

/// The root over `leaf_hashes`; the hash of the empty string for none.
pub fn root(leaf_hashes: &[[u8; 32]], crypto: &dyn Crypto) -> [u8; 32] {
    match leaf_hashes {
        [] => crypto.sha256(&[]),
        [only] => *only,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            node_hash(&root(left, crypto), &root(right, crypto), crypto)
        }
    }
}

/// The inclusion path of the leaf at `index`, from the leaf up; `None` outside the tree.
pub fn inclusion_path(leaf_hashes: &[[u8; 32]], index: usize, crypto: &dyn Crypto) -> Option<Vec<[u8; 32]>> {
    match leaf_hashes {
        [] => None,
        [_] => (index == 0).then(Vec::new),
        many => {
            let middle = split(many.len());
            let (left, right) = many.split_at(middle);
            let (mut path, sibling) = match index.checked_sub(middle) {
                None => (inclusion_path(left, index, crypto)?, root(right, crypto)),
                Some(index) => (inclusion_path(right, index, crypto)?, root(left, crypto)),
            };
            path.push(sibling);
            Some(path)
        }
    }
}

/// Verifies that `leaf_hash` is the leaf at `index` of the tree of `size` leaves with `expected_root`
/// (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// [`InclusionError`], naming what does not fit.
pub fn verify_inclusion(
    leaf_hash: &[u8; 32],
    index: u64,
    size: u64,
    path: &[[u8; 32]],
    expected_root: &[u8; 32],
    crypto: &dyn Crypto,
) -> Result<(), InclusionError> {
    let hash = inclusion_root(leaf_hash, index, size, path, crypto)?;
    if hash != *expected_root {
        return Err(InclusionError::Root);
    }
    Ok(())
}

/// The root to which `path` leads from the leaf at `index` of a tree of `size` leaves: for roots that
/// are known only as part of something signed.
///
/// # Errors
/// [`InclusionError::IndexOutsideTree`] or [`InclusionError::PathLength`].
pub fn inclusion_root(
    leaf_hash: &[u8; 32],
    index: u64,
    size: u64,
    path: &[[u8; 32]],
    crypto: &dyn Crypto,
) -> Result<[u8; 32], InclusionError> {
    if index >= size {
        return Err(InclusionError::IndexOutsideTree { index, size });
    }
    let wrong_length = InclusionError::PathLength { found: path.len(), index, size };
    let (mut node, mut last) = (index, size.saturating_sub(1));
    let mut hash = *leaf_hash;
    for sibling in path {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash, crypto);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling, crypto);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(wrong_length);
    }
    Ok(hash)
}

/// Verifies that the tree of `old` leaves with `old_root` is the beginning of the tree of `new` leaves
/// with `new_root` (RFC 9162, section 2.1.4.2). The empty tree is the beginning of every tree, and
/// its proof is empty, as that of a tree to itself.
///
/// # Errors
/// [`ConsistencyError`], naming what does not fit.
pub fn verify_consistency(
    old: u64,
    old_root: &[u8; 32],
    new: u64,
    new_root: &[u8; 32],
    proof: &[[u8; 32]],
    crypto: &dyn Crypto,
) -> Result<(), ConsistencyError> {
    if old > new {
        return Err(ConsistencyError::Shrinks { old, new });
    }
    let wrong_length = ConsistencyError::ProofLength { found: proof.len(), old, new };
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(wrong_length);
        }
        if old == 0 && *old_root != crypto.sha256(&[]) {
            return Err(ConsistencyError::OldRoot);
        }
        return match old == new && old_root != new_root {
            true => Err(ConsistencyError::NewRoot),
            false => Ok(()),
        };
    }
    // Both walks start at the largest complete subtree at the older tree's right edge; its root is the
    // first hash of the proof, or the older root itself where the older tree is complete.
    let shift = old.trailing_zeros();
    let mut node = old.saturating_sub(1).checked_shr(shift).unwrap_or_default();
    let mut last = new.saturating_sub(1).checked_shr(shift).unwrap_or_default();
    let (first, rest) = match old.is_power_of_two() {
        true => (old_root, proof),
        false => proof.split_first().ok_or(wrong_length)?,
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(hash, &old_hash, crypto);
            new_hash = node_hash(hash, &new_hash, crypto);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, hash, crypto);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(wrong_length);
    }
    if old_hash != *old_root {
        return Err(ConsistencyError::OldRoot);
    }
    if new_hash != *new_root {
        return Err(ConsistencyError::NewRoot);
    }
    Ok(())
}

/// The ranges of leaves whose hashes make the inclusion path of the leaf at `index`, from the leaf up
/// (RFC 9162, section 2.1.3.1); `None` outside the tree.
pub fn inclusion_ranges(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let (mut range, mut ranges) = (0..size, Vec::new());
    while let Some((left, right)) = halves(&range) {
        let (inner, sibling) = if index < right.start { (left, right) } else { (right, left) };
        ranges.push(sibling);
        range = inner;
    }
    ranges.reverse();
    Some(ranges)
}

/// The ranges of leaves whose hashes make the consistency proof from `old` to `new` leaves
/// (RFC 9162, section 2.1.4.1); `None` where the tree shrinks.
pub fn consistency_ranges(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old > new {
        return None;
    }
    if old == 0 || old == new {
        return Some(Vec::new());
    }
    let (mut range, mut ranges) = (0..new, Vec::new());
    // Down to the subtree that ends where the older tree ends.
    while range.end != old {
        let (left, right) = halves(&range)?;
        let (inner, sibling) = if old <= right.start { (left, right) } else { (right, left) };
        ranges.push(sibling);
        range = inner;
    }
    // Its root is known to who knows the older root, if that is all of the older tree.
    if range.start != 0 {
        ranges.push(range);
    }
    ranges.reverse();
    Some(ranges)
}

/// The two subtrees of the tree over a range of leaves; `None` for a single leaf.
fn halves(range: &Range<u64>) -> Option<(Range<u64>, Range<u64>)> {
    let len = range.end.checked_sub(range.start).filter(|len| *len > 1)?;
    let middle = range.start.checked_add(split_point(len))?;
    Some((range.start..middle, middle..range.end))
}

/// The largest power of two below `len`, for `len` of at least two.
pub(crate) fn split_point(len: u64) -> u64 {
    match len.checked_sub(1).map(u64::leading_zeros) {
        None | Some(64) => 0,
        Some(zeros) => 1_u64.checked_shl(63_u32.saturating_sub(zeros)).unwrap_or_default(),
    }
}

/// The largest power of two below `len`, for `len` of at least two.
fn split(len: usize) -> usize {
    len.checked_next_power_of_two().map_or(0, |power| power >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vouchsafe_verifier::crypto::Ring;
    use vouchsafe_verifier::encoding::to_hex;

    /// The test tree of Certificate Transparency's reference implementation: eight leaves.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    /// Its roots at sizes one to eight, as published with that implementation.
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn roots_are_those_of_the_reference_tree() {
        let hashes = LEAVES.map(|leaf| leaf_hash(leaf, &Ring));
        for (size, expected) in (1..).zip(ROOTS) {
            assert_eq!(to_hex(&root(&hashes[..size], &Ring)), expected, "size {size}");
        }
    }

    #[test]
    fn a_path_of_any_other_length_is_refused() {
        let hashes = LEAVES.map(|leaf| leaf_hash(leaf, &Ring));
        let top = root(&hashes, &Ring);
        let path = inclusion_path(&hashes, 5, &Ring).unwrap();
        assert_eq!(verify_inclusion(&hashes[5], 5, 8, &path, &top, &Ring), Ok(()));
        let wrong = |path: &[[u8; 32]]| verify_inclusion(&hashes[5], 5, 8, path, &top, &Ring).unwrap_err();
        assert!(matches!(wrong(&path[..2]), InclusionError::PathLength { found: 2, .. }));
        assert!(matches!(wrong(&[path.clone(), vec![[0; 32]]].concat()), InclusionError::PathLength { .. }));
        assert!(matches!(
            verify_inclusion(&hashes[5], 8, 8, &path, &top, &Ring),
            Err(InclusionError::IndexOutsideTree { index: 8, size: 8 })
        ));
    }

    proptest! {
        #[test]
        fn every_leaf_proves_its_own_place_and_no_other(size in 1_usize..70, pick in any::<prop::sample::Index>(), bit in 0_usize..256) {
            let hashes: Vec<_> = (0..size).map(|i| leaf_hash(&i.to_be_bytes(), &Ring)).collect();
            let index = pick.index(size);
            let top = root(&hashes, &Ring);
            let path = inclusion_path(&hashes, index, &Ring).unwrap();
            let (i, n) = (index as u64, size as u64);
            prop_assert_eq!(verify_inclusion(&hashes[index], i, n, &path, &top, &Ring), Ok(()));
            for other in (0..n).filter(|other| *other != i) {
                prop_assert!(verify_inclusion(&hashes[index], other, n, &path, &top, &Ring).is_err());
            }
            for at in 0..path.len() {
                let mut bent = path.clone();
                bent[at][bit / 8] ^= 1 << (bit % 8);
                prop_assert_eq!(verify_inclusion(&hashes[index], i, n, &bent, &top, &Ring), Err(InclusionError::Root));
            }
        }
    }
}
