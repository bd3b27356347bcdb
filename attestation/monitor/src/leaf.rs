//! One leaf, verified under its boot's key. Pure, so that all cores can do it.

use std::collections::BTreeMap;

use vouchsafe_receipt::{
    BootRecord, Close, EndorsementsRecord, EpochRecord, Heartbeat, Leaf, LeafType, ReceiptKey,
    ReceiptPayload, SignedImage, SignedRevocations, VerifiedReceipt,
};
use vouchsafe_translog::merkle;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::Violation;

/// Boots by their id.
pub(crate) type Keys = BTreeMap<[u8; 32], Known>;

/// A boot whose record was read.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Index of its record.
    pub(crate) index: u64,
    /// `None` where its statement is not to be had.
    pub(crate) key: Option<ReceiptKey>,
}

/// A leaf that was looked at.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) index: u64,
    pub(crate) hash: [u8; 32],
    pub(crate) kind: Option<LeafType>,
    pub(crate) boot: Hex<32>,
    pub(crate) found: Found,
}

/// What a leaf turned out to be.
#[derive(Debug)]
pub(crate) enum Found {
    Receipt(ReceiptPayload),
    Epoch(EpochRecord),
    Endorsements(EndorsementsRecord),
    Word(Heartbeat, bool),
    /// Of no boot: who signed it is held against the policy.
    Revocations(Box<SignedRevocations>),
    /// Of no boot, as well.
    Image(Box<SignedImage>),
    /// Dealt with before its batch: a boot's record makes the key known.
    Boot,
    /// Of a boot whose key is not to be had, for which there is an alarm already.
    Unverifiable,
    Wrong(Violation),
}

/// Verifies the leaf at `index` of the log.
pub(crate) fn look(index: u64, bytes: &[u8], keys: &Keys) -> Looked {
    let hash = merkle::leaf_hash(bytes, &Ring);
    let leaf = match Leaf::parse(bytes) {
        Ok(leaf) => leaf,
        Err(error) => {
            let found = Found::Wrong(Violation::LeafMalformed { index, why: error.to_string() });
            return Looked { index, hash, kind: None, boot: Hex([0; 32]), found };
        }
    };
    let of_no_boot = |kind, found| Looked { index, hash, kind: Some(kind), boot: Hex([0; 32]), found };
    let leaf = match leaf {
        Leaf::Revocation(signed) => {
            return of_no_boot(LeafType::Revocation, Found::Revocations(Box::new(signed)));
        }
        Leaf::Image(signed) => return of_no_boot(LeafType::Image, Found::Image(Box::new(signed))),
        leaf => leaf,
    };
    let boot = Hex(leaf.boot().unwrap_or_default());
    let found = match (&leaf, keys.get(&boot.0)) {
        (Leaf::Boot(_), Some(known)) if known.index == index => Found::Boot,
        (_, None) => Found::Wrong(Violation::BootUnknown { index, boot }),
        // Boots are made known a batch at a time: that the record is there does not say that it precedes.
        (_, Some(known)) if index < known.index => Found::Wrong(Violation::BootUnknown { index, boot }),
        (Leaf::Endorsements(record), Some(_)) => Found::Endorsements(record.clone()),
        (_, Some(Known { key: None, .. })) => Found::Unverifiable,
        (leaf, Some(Known { key: Some(key), index: first })) => verify(leaf, key, index, *first)
            .unwrap_or_else(|error| {
                Found::Wrong(Violation::LeafSignature { index, boot, why: error.to_string() })
            }),
    };
    Looked { index, hash, kind: Some(leaf.leaf_type()), boot, found }
}

/// The digests of the blobs that a leaf names, whoever signed it.
pub(crate) fn blobs(bytes: &[u8]) -> Vec<Hex<32>> {
    match Leaf::parse(bytes) {
        Ok(Leaf::Boot(signed)) => {
            let record = serde_json::from_slice::<BootRecord>(signed.envelope().unverified_payload());
            record.map_or_else(|_| Vec::new(), |record| vec![record.statement, record.evidence])
        }
        Ok(Leaf::Epoch(signed)) => {
            let record = serde_json::from_slice::<EpochRecord>(signed.envelope().unverified_payload());
            record.map_or_else(|_| Vec::new(), |record| vec![record.statement, record.evidence])
        }
        Ok(Leaf::Endorsements(record)) => vec![record.endorsements],
        _ => Vec::new(),
    }
}

fn verify(leaf: &Leaf, key: &ReceiptKey, index: u64, first: u64) -> Result<Found, vouchsafe_receipt::Error> {
    Ok(match leaf {
        Leaf::Receipt(signed) => {
            Found::Receipt(VerifiedReceipt::verify(signed.envelope(), key, &Ring)?.payload().clone())
        }
        Leaf::Epoch(signed) => Found::Epoch(EpochRecord::verify(signed.envelope(), key, &Ring)?),
        Leaf::Heartbeat(signed) => Found::Word(Heartbeat::verify(signed.envelope(), key, &Ring)?, false),
        Leaf::Close(signed) => {
            let Close(word) = Close::verify(signed.envelope(), key, &Ring)?;
            Found::Word(word, true)
        }
        // The boot began with another record. What this one says counts for nothing.
        Leaf::Boot(signed) => {
            let boot = BootRecord::verify(signed.envelope(), key, &Ring)?.boot;
            Found::Wrong(Violation::BootRepeated { index, boot, first })
        }
        _ => Found::Unverifiable,
    })
}
