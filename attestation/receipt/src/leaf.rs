//! How a receipt enters the transparency log: one type byte, then the body.

use alloc::vec::Vec;

use vouchsafe_verifier::crypto::Crypto;

use crate::Envelope;

/// The first byte of every log leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeafType {
    /// A receipt: 4-byte big-endian length, the DSSE PAE, 64 signature bytes.
    Receipt,
}

impl LeafType {
    /// The byte in the log.
    pub fn byte(self) -> u8 {
        match self {
            Self::Receipt => 1,
        }
    }
}

/// The leaf of a receipt.
pub fn receipt_leaf(envelope: &Envelope) -> Vec<u8> {
    let pae = envelope.pae();
    let length = u32::try_from(pae.len()).unwrap_or(u32::MAX);
    [&[LeafType::Receipt.byte()], length.to_be_bytes().as_slice(), &pae, envelope.signature()].concat()
}

/// The RFC 6962 leaf hash of a receipt: what the next receipt names as `previous`.
pub fn receipt_leaf_hash(envelope: &Envelope, crypto: &dyn Crypto) -> [u8; 32] {
    crypto.sha256(&[&[0x00], receipt_leaf(envelope).as_slice()].concat())
}
