//! What enters the transparency log: one type byte, then the body.
//!
//! Signed leaves have the body `4-byte big-endian length ‖ DSSE PAE ‖ 64 signature bytes`. The key id
//! of the envelope is left out, since it is the boot that the payload names. Revocations and images are of no boot and
//! can have several signatures: `key id ‖ signature` of each, by ascending key ids. [`Leaf::parse`] reads any leaf.

use alloc::vec::Vec;

use vouchsafe_verifier::crypto::Crypto;

use crate::dsse::parse_pae;
use crate::signed::{self, Signed};
use crate::threshold::SignedDocument;
use crate::{
    BootRecord, Close, EndorsementsRecord, Envelope, EpochRecord, Error, Heartbeat, PayloadType,
    ReceiptPayload, SignedImage, SignedRevocations,
};

/// Longest leaf, in bytes: an entry bundle states lengths in 16 bits.
pub const LEAF_BYTES_MAX: usize = 65_535;
const LENGTH_BYTES: usize = 4;
const SIGNATURE_BYTES: usize = 64;

/// The first byte of every log leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LeafType {
    /// A receipt.
    Receipt,
    /// A boot, by its statement and evidence.
    Boot,
    /// An epoch of a boot, by its statement and evidence.
    Epoch,
    /// Endorsements of a boot's evidence. Not signed by the boot.
    Endorsements,
    /// How far a boot's receipts have come.
    Heartbeat,
    /// A boot's last word.
    Close,
    /// The manifest of a released image. Not of any boot.
    Image,
    /// A list of revocations. Not of any boot.
    Revocation,
}

impl LeafType {
    /// Every type, in the order of their bytes.
    pub const ALL: [Self; 8] = [
        Self::Receipt,
        Self::Boot,
        Self::Epoch,
        Self::Endorsements,
        Self::Heartbeat,
        Self::Close,
        Self::Image,
        Self::Revocation,
    ];

    /// The byte in the log.
    pub fn byte(self) -> u8 {
        match self {
            Self::Receipt => 1,
            Self::Boot => 2,
            Self::Epoch => 3,
            Self::Endorsements => 4,
            Self::Heartbeat => 5,
            Self::Close => 6,
            Self::Image => 7,
            Self::Revocation => 8,
        }
    }

    /// The type of a byte, if it is one.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    /// Its name, for display and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Boot => "boot",
            Self::Epoch => "epoch",
            Self::Endorsements => "endorsements",
            Self::Heartbeat => "heartbeat",
            Self::Close => "close",
            Self::Image => "image",
            Self::Revocation => "revocation",
        }
    }
}

/// A leaf as found in a log or offered to one: well-formed, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leaf {
    /// A receipt; verify with [`crate::VerifiedReceipt::verify`].
    Receipt(SignedLeaf),
    /// A boot record; verify with [`BootRecord::verify`].
    Boot(SignedLeaf),
    /// An epoch record; verify with [`EpochRecord::verify`].
    Epoch(SignedLeaf),
    /// Endorsements by digest.
    Endorsements(EndorsementsRecord),
    /// A heartbeat; verify with [`Heartbeat::verify`].
    Heartbeat(SignedLeaf),
    /// A close record; verify with [`Close::verify`].
    Close(SignedLeaf),
    /// The manifest of a released image; verify with [`SignedImage::verify`].
    Image(SignedImage),
    /// A list of revocations; verify with [`SignedRevocations::verify`].
    Revocation(SignedRevocations),
}

/// A leaf that a boot's key is said to have signed. Its payload is of its type's shape and in canonical
/// form; the signature was not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedLeaf {
    boot: [u8; 32],
    envelope: Envelope,
}

impl SignedLeaf {
    /// The boot whose key is said to have signed.
    pub fn boot(&self) -> [u8; 32] {
        self.boot
    }

    /// The envelope that the leaf was made from.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    fn parse<T: Signed>(body: &[u8]) -> Result<Self, Error> {
        let malformed = |why: &str| Error::LeafMalformed(why.into());
        let (length, rest) =
            body.split_first_chunk::<LENGTH_BYTES>().ok_or_else(|| malformed("no length"))?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (pae, signature) =
            rest.split_at_checked(length).ok_or_else(|| malformed("shorter than its length says"))?;
        let signature = <[u8; SIGNATURE_BYTES]>::try_from(signature)
            .map_err(|_| malformed("what follows the signed bytes is not 64 bytes"))?;
        let payload =
            parse_pae(T::TYPE, pae).ok_or_else(|| Error::LeafSignedType { expected: T::TYPE.as_str() })?;
        let boot = signed::parse::<T>(payload)?.boot();
        Ok(Self { boot, envelope: Envelope::new(T::TYPE, payload.to_vec(), boot, signature) })
    }
}

impl Leaf {
    /// Parses a leaf's exact bytes. Total; what parses is in the only form that the same content has.
    ///
    /// # Errors
    /// [`Error::LeafType`], [`Error::LeafMalformed`], [`Error::LeafSignedType`], or as payloads are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > LEAF_BYTES_MAX {
            return Err(Error::LeafMalformed("longer than 65535 bytes".into()));
        }
        let (byte, body) = bytes.split_first().ok_or_else(|| Error::LeafMalformed("empty".into()))?;
        match LeafType::from_byte(*byte) {
            Some(LeafType::Receipt) => SignedLeaf::parse::<ReceiptPayload>(body).map(Self::Receipt),
            Some(LeafType::Boot) => SignedLeaf::parse::<BootRecord>(body).map(Self::Boot),
            Some(LeafType::Epoch) => SignedLeaf::parse::<EpochRecord>(body).map(Self::Epoch),
            Some(LeafType::Endorsements) => EndorsementsRecord::parse(body).map(Self::Endorsements),
            Some(LeafType::Heartbeat) => SignedLeaf::parse::<Heartbeat>(body).map(Self::Heartbeat),
            Some(LeafType::Close) => SignedLeaf::parse::<Close>(body).map(Self::Close),
            Some(LeafType::Image) => SignedImage::from_leaf_body(body).map(Self::Image),
            Some(LeafType::Revocation) => SignedDocument::parse_leaf_body(PayloadType::Revocation, body)
                .and_then(SignedRevocations::of)
                .map(Self::Revocation),
            None => Err(Error::LeafType { byte: *byte }),
        }
    }

    /// Its type.
    pub fn leaf_type(&self) -> LeafType {
        match self {
            Self::Receipt(_) => LeafType::Receipt,
            Self::Boot(_) => LeafType::Boot,
            Self::Epoch(_) => LeafType::Epoch,
            Self::Endorsements(_) => LeafType::Endorsements,
            Self::Heartbeat(_) => LeafType::Heartbeat,
            Self::Close(_) => LeafType::Close,
            Self::Image(_) => LeafType::Image,
            Self::Revocation(_) => LeafType::Revocation,
        }
    }

    /// What several people release together, whoever they are; `None` for what a boot's key signs, or nobody.
    pub fn released(&self) -> Option<&SignedDocument> {
        match self {
            Self::Image(signed) => Some(signed.document()),
            Self::Revocation(signed) => Some(signed.document()),
            _ => None,
        }
    }

    /// The boot that it is of; `None` for what is no boot's.
    pub fn boot(&self) -> Option<[u8; 32]> {
        match self {
            Self::Endorsements(record) => Some(record.boot.0),
            Self::Receipt(signed)
            | Self::Boot(signed)
            | Self::Epoch(signed)
            | Self::Heartbeat(signed)
            | Self::Close(signed) => Some(signed.boot),
            Self::Image(_) | Self::Revocation(_) => None,
        }
    }

    /// The leaf's exact bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Endorsements(record) => endorsements_leaf(record),
            Self::Image(signed) => image_leaf(signed),
            Self::Revocation(signed) => revocations_leaf(signed),
            Self::Receipt(signed)
            | Self::Boot(signed)
            | Self::Epoch(signed)
            | Self::Heartbeat(signed)
            | Self::Close(signed) => signed_leaf(self.leaf_type(), &signed.envelope),
        }
    }
}

fn signed_leaf(kind: LeafType, envelope: &Envelope) -> Vec<u8> {
    let pae = envelope.pae();
    let length = u32::try_from(pae.len()).unwrap_or(u32::MAX);
    [&[kind.byte()], length.to_be_bytes().as_slice(), &pae, envelope.signature()].concat()
}

/// The leaf of a receipt.
pub fn receipt_leaf(envelope: &Envelope) -> Vec<u8> {
    signed_leaf(LeafType::Receipt, envelope)
}

/// The leaf of any envelope that belongs into a log; `None` for stream records, which do not.
pub fn envelope_leaf(envelope: &Envelope) -> Option<Vec<u8>> {
    let types = [
        (PayloadType::Receipt, LeafType::Receipt),
        (PayloadType::Boot, LeafType::Boot),
        (PayloadType::Epoch, LeafType::Epoch),
        (PayloadType::Heartbeat, LeafType::Heartbeat),
        (PayloadType::Close, LeafType::Close),
    ];
    let (_, kind) = types.into_iter().find(|(of, _)| of.as_str() == envelope.payload_type())?;
    Some(signed_leaf(kind, envelope))
}

/// The leaf of endorsements.
pub fn endorsements_leaf(record: &EndorsementsRecord) -> Vec<u8> {
    [&[LeafType::Endorsements.byte()], record.to_bytes().as_slice()].concat()
}

/// The leaf of the manifest of a released image.
pub fn image_leaf(signed: &SignedImage) -> Vec<u8> {
    [&[LeafType::Image.byte()], signed.document().to_leaf_body().as_slice()].concat()
}

/// The leaf of a list of revocations.
pub fn revocations_leaf(signed: &SignedRevocations) -> Vec<u8> {
    [&[LeafType::Revocation.byte()], signed.document().to_leaf_body().as_slice()].concat()
}

/// The RFC 6962 leaf hash of a receipt: what the next receipt names as `previous`.
pub fn receipt_leaf_hash(envelope: &Envelope, crypto: &dyn Crypto) -> [u8; 32] {
    crypto.sha256(&[&[0x00], receipt_leaf(envelope).as_slice()].concat())
}
