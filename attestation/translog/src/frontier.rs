//! A growing tree without its leaves: what a log or a monitor keeps to know the root.

use alloc::vec::Vec;

use vouchsafe_verifier::crypto::Crypto;

use crate::merkle::node_hash;
use crate::{Hash, TREE_SIZE_MAX};

/// The roots of the largest complete subtrees from the left, one for each bit of the size: at most 63
/// hashes for any tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up a tree from the roots of its complete subtrees, the largest first, as
    /// [`Frontier::roots`] gives them; `None` where their number does not fit the size. Whether they
    /// are that tree's is for [`Frontier::root`] to show.
    pub fn resume(size: u64, roots: Vec<Hash>) -> Option<Self> {
        let fits = size <= TREE_SIZE_MAX && usize::try_from(size.count_ones()).ok()? == roots.len();
        fits.then_some(Self { size, roots })
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first.
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf_hash: Hash, crypto: &dyn Crypto) {
        let mut hash = leaf_hash;
        // Each trailing one of the size is a complete subtree as large as the new one.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(&left, &hash, crypto);
            }
        }
        self.roots.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// The root over all leaves; the hash of the empty string for none.
    pub fn root(&self, crypto: &dyn Crypto) -> Hash {
        let mut roots = self.roots.iter().rev();
        match roots.next() {
            None => crypto.sha256(&[]),
            Some(smallest) => roots.fold(*smallest, |right, left| node_hash(left, &right, crypto)),
        }
    }
}
