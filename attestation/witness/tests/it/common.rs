//! A log in memory that signs whatever it is told to.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use vouchsafe_translog::note::{Algorithm, VerifierKey};
use vouchsafe_translog::{AddCheckpoint, Checkpoint, SignedNote, merkle};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_witness::{State, Witness};

pub(crate) const ORIGIN: &str = "log.example/one";
pub(crate) const NAME: &str = "witness.example/w1";
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

pub(crate) struct Log {
    pub(crate) key: VerifierKey,
    pair: Ed25519KeyPair,
}

impl Log {
    pub(crate) fn new(origin: &str, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        Self { key: VerifierKey::new(origin, Algorithm::Ed25519, public, &Ring).unwrap(), pair }
    }

    pub(crate) fn sign(&self, size: u64, root: [u8; 32]) -> SignedNote {
        Checkpoint::new(self.key.name(), size, root)
            .unwrap()
            .sign(&self.key, |text| self.pair.sign(text).as_ref().try_into().unwrap())
            .unwrap()
    }
}

/// A history of leaves: those below `fork` are the same in every branch.
pub(crate) fn leaves(branch: u8, fork: usize, size: usize) -> Vec<[u8; 32]> {
    let of = |index: usize| if index < fork { 0 } else { branch };
    (0..size).map(|index| merkle::leaf_hash(format!("{} {index}", of(index)).as_bytes(), &Ring)).collect()
}

pub(crate) fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    merkle::root(leaves, &Ring)
}

/// The request for the tree over `leaves`, proved from its own first `old` leaves.
pub(crate) fn request(log: &Log, leaves: &[[u8; 32]], old: usize) -> AddCheckpoint {
    let ranges = merkle::consistency_ranges(old.try_into().unwrap(), leaves.len().try_into().unwrap());
    let place = |index: u64| usize::try_from(index).unwrap();
    let hash = |range: std::ops::Range<u64>| root(&leaves[place(range.start)..place(range.end)]);
    let proof = ranges.unwrap_or_default().into_iter().map(hash).collect();
    let note = log.sign(leaves.len().try_into().unwrap(), root(leaves));
    AddCheckpoint::new(old.try_into().unwrap(), proof, note).unwrap()
}

pub(crate) fn init(folder: &std::path::Path) -> State {
    State::init(folder, NAME, &ring::rand::SystemRandom::new()).unwrap()
}

pub(crate) fn witness(folder: &std::path::Path, logs: &[&Log]) -> Witness {
    let state = if folder.join(vouchsafe_witness::FILE_NAME).exists() {
        State::open(folder).unwrap()
    } else {
        init(folder)
    };
    let keys: Vec<String> = logs.iter().map(|log| log.key.to_string()).collect();
    Witness::new(state, &keys).unwrap()
}
