//! Signers and logs for tests.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use vouchsafe_translog::merkle;
use vouchsafe_translog::{
    Algorithm, Checkpoint, Hash, SignedNote, Tile, TlogProof, TrustedLog, VerifierKey, cosignature,
};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

/// A key pair under a name.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    pub(crate) key: VerifierKey,
}

impl Signer {
    pub(crate) fn new(name: &str, algorithm: Algorithm, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public_key = pair.public_key().as_ref().try_into().unwrap();
        Self { pair, key: VerifierKey::new(name, algorithm, public_key, &Ring).unwrap() }
    }

    pub(crate) fn log() -> Self {
        Self::new("log.example/test", Algorithm::Ed25519, 1)
    }

    pub(crate) fn witness(number: u8) -> Self {
        Self::new(&format!("witness{number}.example"), Algorithm::CosignatureV1, 100 + number)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().unwrap()
    }

    pub(crate) fn cosign(&self, note: &mut SignedNote, time: u64) {
        let line =
            cosignature::cosign(note.text(), UnixSeconds(time), &self.key, |bytes| self.sign(bytes)).unwrap();
        note.add(line).unwrap();
    }
}

/// A log with three witnesses, in memory.
pub(crate) struct World {
    pub(crate) log: Signer,
    pub(crate) witnesses: [Signer; 3],
    pub(crate) leaves: Vec<Hash>,
}

impl World {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            log: Signer::log(),
            witnesses: [1, 2, 3].map(Signer::witness),
            leaves: (0..size).map(|index| leaf(index as u64)).collect(),
        }
    }

    pub(crate) fn trusted(&self, threshold: usize) -> TrustedLog {
        let witnesses = self.witnesses.iter().map(|witness| witness.key.clone()).collect();
        TrustedLog::new(self.log.key.clone(), witnesses, threshold).unwrap()
    }

    pub(crate) fn checkpoint(&self, size: usize) -> Checkpoint {
        let root = merkle::root(&self.leaves[..size], &Ring);
        Checkpoint::new(self.log.key.name(), size as u64, root).unwrap()
    }

    /// The log's note over its first leaves, cosigned by the witnesses at these times.
    pub(crate) fn note(&self, size: usize, times: &[u64]) -> SignedNote {
        let checkpoint = self.checkpoint(size);
        let mut note = checkpoint.sign(&self.log.key, |bytes| self.log.sign(bytes)).unwrap();
        for (witness, time) in self.witnesses.iter().zip(times) {
            witness.cosign(&mut note, *time);
        }
        note
    }

    pub(crate) fn proof(&self, index: usize, times: &[u64]) -> TlogProof {
        let path = merkle::inclusion_path(&self.leaves, index, &Ring).unwrap();
        TlogProof::new(index as u64, path, self.note(self.leaves.len(), times)).unwrap()
    }

    /// A tile's bytes, as the log's files would be.
    pub(crate) fn tile(&self, tile: Tile) -> Result<Vec<u8>, &'static str> {
        let span = 256_usize.pow(u32::from(tile.level()));
        let first = tile.index() as usize * 256;
        let hashes = (first..first + tile.width()).map(|index| {
            let leaves = self.leaves.get(index * span..(index + 1) * span).ok_or("beyond the log")?;
            Ok::<_, &'static str>(merkle::root(leaves, &Ring))
        });
        Ok(hashes.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

pub(crate) fn leaf(index: u64) -> Hash {
    merkle::leaf_hash(&index.to_be_bytes(), &Ring)
}
