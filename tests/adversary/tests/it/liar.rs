//! A log that lies, and the witnesses that watch it, honest or not.

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use vouchsafe_translog::{
    Algorithm, Checkpoint, SignedNote, TlogProof, TrustedLog, VerifierKey, cosignature, merkle,
};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};

/// An Ed25519 key under a name.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    pub(crate) key: VerifierKey,
}

impl Signer {
    fn new(name: &str, algorithm: Algorithm) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        Self { pair, key: VerifierKey::new(name, algorithm, public, &Ring).unwrap() }
    }

    pub(crate) fn log(origin: &str) -> Self {
        Self::new(origin, Algorithm::Ed25519)
    }

    pub(crate) fn witness(name: &str) -> Self {
        Self::new(name, Algorithm::CosignatureV1)
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().unwrap()
    }

    /// Adds a cosignature with this time to a checkpoint, deserved or not.
    pub(crate) fn cosign(&self, note: &mut SignedNote, time: u64) {
        let line = cosignature::cosign(note.text(), UnixSeconds(time), &self.key, |m| self.sign(m)).unwrap();
        note.add(line).unwrap();
    }
}

/// The leaves that a log shows to somebody, which may be others than it shows to the next.
#[derive(Clone)]
pub(crate) struct Leaves(pub(crate) Vec<Vec<u8>>);

impl Leaves {
    /// So many leaves with this word in each.
    pub(crate) fn new(count: usize, word: &str) -> Self {
        Self((0..count).map(|number| format!("{word} {number}").into_bytes()).collect())
    }

    pub(crate) fn hashes(&self) -> Vec<[u8; 32]> {
        self.0.iter().map(|leaf| merkle::leaf_hash(leaf, &Ring)).collect()
    }

    pub(crate) fn hash(&self, index: usize) -> [u8; 32] {
        merkle::leaf_hash(&self.0[index], &Ring)
    }

    /// The log's own checkpoint over the first `size` of these.
    pub(crate) fn checkpoint(&self, log: &Signer, size: usize) -> SignedNote {
        let root = merkle::root(&self.hashes()[..size], &Ring);
        let root = if size == 0 { Ring.sha256(&[]) } else { root };
        let checkpoint = Checkpoint::new(log.key.name(), size as u64, root).unwrap();
        checkpoint.sign(&log.key, |message| log.sign(message)).unwrap()
    }

    /// The inclusion path of a leaf in the tree of the first `size`.
    pub(crate) fn path(&self, index: usize, size: usize) -> Vec<[u8; 32]> {
        merkle::inclusion_path(&self.hashes()[..size], index, &Ring).unwrap()
    }

    /// A proof of one leaf under a note.
    pub(crate) fn proof(&self, index: usize, note: &SignedNote) -> TlogProof {
        let size = Checkpoint::parse(note.text()).unwrap().size();
        let path = self.path(index, usize::try_from(size).unwrap());
        TlogProof::new(index as u64, path, note.clone()).unwrap()
    }
}

/// A log with three witnesses of which two must cosign.
pub(crate) struct Watched {
    pub(crate) log: Signer,
    pub(crate) witnesses: [Signer; 3],
    pub(crate) trusted: TrustedLog,
}

impl Watched {
    pub(crate) fn new() -> Self {
        let log = Signer::log("log.example");
        let witnesses = ["w1.example", "w2.example", "w3.example"].map(Signer::witness);
        let keys = witnesses.iter().map(|witness| witness.key.clone()).collect();
        let trusted = TrustedLog::new(log.key.clone(), keys, 2).unwrap();
        Self { log, witnesses, trusted }
    }

    /// A checkpoint over these leaves that the first two witnesses cosigned at these times.
    pub(crate) fn witnessed(&self, leaves: &Leaves, size: usize, times: [u64; 2]) -> SignedNote {
        let mut note = leaves.checkpoint(&self.log, size);
        for (witness, time) in self.witnesses.iter().zip(times) {
            witness.cosign(&mut note, time);
        }
        note
    }
}

/// A consistency proof by RFC 6962, section 2.1.2.
pub(crate) fn consistency(hashes: &[[u8; 32]], old: usize) -> Vec<[u8; 32]> {
    fn sub(hashes: &[[u8; 32]], old: usize, is_whole: bool) -> Vec<[u8; 32]> {
        if old == hashes.len() {
            return if is_whole { Vec::new() } else { vec![merkle::root(hashes, &Ring)] };
        }
        let half = hashes.len().next_power_of_two() / 2;
        let (left, right) = hashes.split_at(half);
        let (mut path, other) = match old <= half {
            true => (sub(left, old, is_whole), right),
            false => (sub(right, old - half, false), left),
        };
        path.push(merkle::root(other, &Ring));
        path
    }
    sub(hashes, old, true)
}
