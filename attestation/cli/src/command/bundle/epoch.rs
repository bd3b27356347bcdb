//! The evidence of an earlier epoch, from the log.
//!
//! An enclave attests its current epoch. A receipt of an earlier one is proved by that one's evidence, which
//! is in the log since it began: its record is signed by the boot, and names statement and evidence by
//! their digests.

use vouchsafe_receipt::records::parse_evidence_blob;
use vouchsafe_receipt::{AttestedStatement, EpochRecord, Leaf, ReceiptKey};
use vouchsafe_translog::Tile;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex, to_hex};

use crate::failure::Failure;
use crate::log::Source;

/// Entry bundles that are looked through: a million entries.
const BUNDLES_MAX: u64 = 4096;

/// The statement and evidence of the epoch `number` that the boot with this key began, looked for from the
/// leaf at `index` of a tree of `size` leaves back.
pub(super) fn find(
    source: &Source,
    size: u64,
    index: u64,
    key: &ReceiptKey,
    number: u64,
) -> Result<AttestedStatement, Failure> {
    let Some((last, _)) = Tile::holding(0, index, size) else {
        return Err(Failure::Log("the log is shorter than it said".into()));
    };
    let first = last.index().saturating_sub(BUNDLES_MAX);
    for at in (first..=last.index()).rev() {
        let Some(tile) = Tile::in_tree(0, at, size) else { break };
        let bytes = source.read(&tile.entries_path()).or_else(|error| match tile.is_full() {
            true => Err(error),
            false => source.read(&tile.to_full().entries_path()),
        })?;
        // Of a partial bundle that the log has replaced, the full one: what lies behind the tree does no harm.
        let leaves = vouchsafe_translog::tile::parse_leaves(&bytes, usize::from(u8::MAX) + 1);
        let leaves =
            leaves.map_err(|error| Failure::Log(format!("the log's {}: {error}", tile.entries_path())))?;
        let record = leaves.into_iter().rev().find_map(|leaf| match Leaf::parse(leaf) {
            Ok(Leaf::Epoch(signed)) if signed.boot() == key.id() => {
                EpochRecord::verify(signed.envelope(), key, &Ring)
                    .ok()
                    .filter(|record| record.epoch == number)
            }
            _ => None,
        });
        if let Some(record) = record {
            return attested(source, &record);
        }
    }
    Err(Failure::Log(format!("the record of epoch {number} is not in the log near the receipt")))
}

fn attested(source: &Source, record: &EpochRecord) -> Result<AttestedStatement, Failure> {
    let blob = |digest: &Hex<32>| -> Result<Vec<u8>, Failure> {
        let path = format!("blob/{}", to_hex(&digest.0));
        let bytes = source.read(&path)?;
        match Ring.sha256(&bytes) == digest.0 {
            true => Ok(bytes),
            false => Err(Failure::Log(format!("the log's {path} has another digest"))),
        }
    };
    let statement = Base64(blob(&record.statement)?);
    let evidence = parse_evidence_blob(&blob(&record.evidence)?)
        .map_err(|error| Failure::Log(format!("the evidence of epoch {}: {error}", record.epoch)))?;
    Ok(AttestedStatement { statement, evidence })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use vouchsafe_receipt::records::evidence_blob;
    use vouchsafe_receipt::{Envelope, PayloadType, envelope_leaf, pae, to_low_s};
    use vouchsafe_translog::tile::push_leaf;
    use vouchsafe_verifier::Evidence;

    struct Boot(EcdsaKeyPair, ReceiptKey);

    impl Boot {
        fn new() -> Self {
            let random = SystemRandom::new();
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
            let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
            Self(pair, ReceiptKey::from_spki(&spki, &Ring).unwrap())
        }

        fn epoch(&self, number: u64, attested: &AttestedStatement) -> Vec<u8> {
            let payload = EpochRecord::of(self.1.id(), number, attested, &Ring).to_bytes();
            let kind = PayloadType::Epoch;
            let signed = self.0.sign(&SystemRandom::new(), &pae(kind.as_str(), &payload)).unwrap();
            let signature = to_low_s(signed.as_ref().try_into().unwrap());
            envelope_leaf(&Envelope::new(kind, payload, self.1.id(), signature)).unwrap()
        }
    }

    fn attested(text: &str) -> AttestedStatement {
        let evidence = Evidence::SevSnp { report: Base64(text.as_bytes().to_vec()) };
        AttestedStatement { statement: Base64(text.as_bytes().to_vec()), evidence }
    }

    #[test]
    fn an_earlier_epoch_is_found_by_its_signed_record_and_its_blobs_by_their_digests() {
        let (boot, other) = (Boot::new(), Boot::new());
        let mut leaves = vec![vec![7_u8; 30]; 600];
        leaves[3] = boot.epoch(0, &attested("first"));
        leaves[10] = boot.epoch(1, &attested("second"));
        leaves[300] = other.epoch(1, &attested("another boot's"));
        leaves[590] = boot.epoch(2, &attested("third"));
        let folder = tempfile::tempdir().unwrap();
        let put = |path: String, bytes: Vec<u8>| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        for (at, chunk) in (0..).zip(leaves.chunks(256)) {
            let mut bundle = Vec::new();
            chunk.iter().for_each(|leaf| push_leaf(&mut bundle, leaf).unwrap());
            put(Tile::in_tree(0, at, 600).unwrap().entries_path(), bundle);
        }
        for text in ["first", "second", "third"] {
            for blob in [text.as_bytes().to_vec(), evidence_blob(&attested(text).evidence)] {
                put(format!("blob/{}", to_hex(&Ring.sha256(&blob))), blob);
            }
        }
        let source = Source::open(&folder.path().display().to_string()).unwrap();
        let find = |index, number| find(&source, 600, index, &boot.1, number);
        assert_eq!(find(599, 1).unwrap(), attested("second"));
        assert_eq!(find(20, 0).unwrap(), attested("first"));
        assert_eq!(find(599, 2).unwrap(), attested("third"));
        let missing = find(599, 3).unwrap_err().to_string();
        assert!(missing.contains("epoch 3 is not in the log"), "{missing}");
        put(format!("blob/{}", to_hex(&Ring.sha256(b"second"))), b"bent".to_vec());
        assert!(find(599, 1).unwrap_err().to_string().contains("another digest"));
    }
}
