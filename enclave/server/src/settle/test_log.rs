//! A log in memory, honest and cosigned, for tests inside and outside the crate.

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use vouchsafe_link::control::Included;
use vouchsafe_translog::merkle::{consistency_ranges, inclusion_path, leaf_hash, root};
use vouchsafe_translog::{Algorithm, Checkpoint, Hash, VerifierKey, cosignature};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{to_base64, to_hex};

use super::LogConfig;

struct Key {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl Key {
    fn new(name: &str, algorithm: Algorithm) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        Self { verifier: VerifierKey::new(name, algorithm, public, &Ring).unwrap(), pair }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().unwrap()
    }
}

/// A log with three witnesses, two of which are a quorum.
pub(crate) struct TestLog {
    key: Key,
    witnesses: Vec<Key>,
    pub(crate) leaves: Vec<Hash>,
}

impl TestLog {
    pub(crate) fn new() -> Self {
        let witnesses = ["w1", "w2", "w3"];
        Self {
            key: Key::new("example.test/log", Algorithm::Ed25519),
            witnesses: witnesses.map(|name| Key::new(name, Algorithm::CosignatureV1)).into(),
            leaves: Vec::new(),
        }
    }

    pub(crate) fn config(&self) -> LogConfig {
        LogConfig {
            key: self.key.verifier.to_string(),
            witnesses: self.witnesses.iter().map(|witness| witness.verifier.to_string()).collect(),
            quorum: 2,
            bound_s: 60,
            unsettled_max: 4,
            checkpoint_age_max_s: 30,
            heartbeat_s: 10,
        }
    }

    pub(crate) fn append(&mut self, leaf: &[u8]) {
        self.leaves.push(leaf_hash(leaf, &Ring));
    }

    /// The checkpoint of the first `size` leaves, cosigned by one witness for each time.
    pub(crate) fn note(&self, size: usize, times: &[u64]) -> String {
        let tree =
            Checkpoint::new("example.test/log", size as u64, root(&self.leaves[..size], &Ring)).unwrap();
        let mut note = tree.sign(&self.key.verifier, |message| self.key.sign(message)).unwrap();
        for (witness, time) in self.witnesses.iter().zip(times) {
            let sign = |message: &[u8]| witness.sign(message);
            let line = cosignature::cosign(note.text(), UnixSeconds(*time), &witness.verifier, sign);
            note.add(line.unwrap()).unwrap();
        }
        note.to_string()
    }

    pub(crate) fn consistency(&self, from: usize, to: usize) -> Vec<String> {
        let ranges = consistency_ranges(from as u64, to as u64).unwrap();
        let hash =
            |range: std::ops::Range<u64>| root(&self.leaves[range.start as usize..range.end as usize], &Ring);
        ranges.into_iter().map(|range| to_base64(&hash(range))).collect()
    }

    pub(crate) fn included(&self, index: usize, size: usize) -> Included {
        let path = inclusion_path(&self.leaves[..size], index, &Ring).unwrap();
        Included {
            hash: to_hex(&self.leaves[index]),
            index: index as u64,
            path: path.iter().map(|hash| to_base64(hash)).collect(),
        }
    }
}
