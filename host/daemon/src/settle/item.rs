//! What waits to be in the log.

use serde::{Deserialize, Serialize};
use vouchsafe_link::control::BootId;
use vouchsafe_receipt::records::parse_endorsements_blob;
use vouchsafe_receipt::{EndorsementsRecord, Envelope, Leaf, endorsements_leaf, receipt_leaf};
use vouchsafe_translog::{Hash, merkle};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Base64;

use crate::Receipt;

/// Where a boot's or epoch's endorsements are among its blobs: behind statement and evidence.
const ENDORSEMENTS: usize = 2;

/// Which of a boot's leaves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// The boot that signed it.
    pub(crate) boot: BootId,
    /// What it is.
    pub(crate) kind: Kind,
    /// Its place among the boot's leaves of this kind.
    pub(crate) number: u64,
}

/// Records are submitted before receipts: the log admits nothing of a boot that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// What the boot says of itself.
    Record,
    /// What it says of an answer.
    Receipt,
}

/// A leaf on its way to the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    /// Which one.
    pub(crate) key: Key,
    /// The leaf's exact bytes.
    pub(crate) leaf: Base64,
    /// What it names by digest.
    pub(crate) blobs: Vec<Base64>,
}

impl Item {
    /// A receipt's leaf; `None` where the envelope is not one.
    pub(crate) fn of_receipt(receipt: &Receipt) -> Option<Self> {
        let envelope = Envelope::from_json(receipt.envelope.as_bytes()).ok()?;
        let leaf = receipt_leaf(&envelope);
        let key = Key { boot: receipt.boot.clone(), kind: Kind::Receipt, number: receipt.seq };
        Some(Self { key, leaf: Base64(leaf), blobs: Vec::new() })
    }

    /// The leaf of the endorsements that came with a boot's or an epoch's record. The log wants it right
    /// behind that: without endorsements evidence does not verify.
    pub(crate) fn endorsements_leaf(&self) -> Option<Vec<u8>> {
        let (Leaf::Boot(signed) | Leaf::Epoch(signed)) = Leaf::parse(&self.leaf.0).ok()? else { return None };
        let endorsements = parse_endorsements_blob(&self.blobs.get(ENDORSEMENTS)?.0).ok()?;
        Some(endorsements_leaf(&EndorsementsRecord::of(signed.boot(), &endorsements, &Ring)))
    }

    /// Whether it is the record that a boot begins with.
    pub(crate) fn is_boot(&self) -> bool {
        matches!(Leaf::parse(&self.leaf.0), Ok(Leaf::Boot(_)))
    }

    /// The RFC 6962 hash of the leaf.
    pub(crate) fn hash(&self) -> Hash {
        merkle::leaf_hash(&self.leaf.0, &Ring)
    }

    /// The witness time by which it is promised to be in the log. Read without verifying anything: it
    /// decides when this host raises an alarm, and nothing else.
    pub(crate) fn settle_by(&self) -> Option<u64> {
        let Leaf::Receipt(signed) = Leaf::parse(&self.leaf.0).ok()? else { return None };
        let payload: serde_json::Value =
            serde_json::from_slice(signed.envelope().unverified_payload()).ok()?;
        payload.get("settle_by")?.as_u64()
    }
}
