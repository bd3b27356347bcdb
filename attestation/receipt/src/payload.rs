//! What a receipt says of one answer.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::{Hex, to_hex};
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::{Envelope, Error, PayloadType, ReceiptKey};

const LIMITS: Limits = Limits { bytes_max: 4096, depth_max: 4 };
const VERSION: u64 = 1;
/// Largest integer that every JSON reader keeps exactly: 2⁵³ − 1.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Refuses integers of a signed object that some JSON readers would round: two readers of one
/// signature must see one value.
pub(crate) fn check_integers<const N: usize>(
    what: &'static str,
    fields: [(&'static str, u64); N],
) -> Result<(), Error> {
    match fields.into_iter().find(|(_, value)| *value > INTEGER_MAX) {
        None => Ok(()),
        Some((field, value)) => {
            let why = alloc::format!("{field} {value} exceeds 2^53 - 1");
            Err(Error::PayloadMalformed { what, why })
        }
    }
}

/// What the client asked to be assured of before it got its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Assurance {
    /// The answer comes at once, signed under an attested key.
    #[default]
    Attested,
}

impl Assurance {
    /// The word in headers, receipts and commitments.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attested => "attested",
        }
    }
}

/// The public part of a receipt, in the order it is signed. Everything about the content itself is
/// hidden in the three commitments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptPayload {
    /// Version of this format: 1.
    pub version: u64,
    /// The boot whose key signs.
    pub boot: Hex<32>,
    /// The epoch in which it was signed.
    pub epoch: u64,
    /// Position in this boot's sequence of receipts, from 0.
    pub seq: u64,
    /// Leaf hash of the receipt before this one; null for the first.
    pub previous: Option<Hex<32>>,
    /// Digest of the model's manifest; null where the request named no model that is served.
    pub model: Option<Hex<32>>,
    /// Digest of the engine's identity.
    pub engine: Hex<32>,
    /// Commitment to the request.
    pub request: Hex<32>,
    /// Commitment to the response.
    pub response: Hex<32>,
    /// Commitment to the execution record.
    pub execution: Hex<32>,
    /// The assurance level asked for.
    pub assurance: Assurance,
    /// The checkpoint that gives the trusted time; null before there is a log.
    pub checkpoint: Option<String>,
    /// Witness time by which the receipt is promised to be in the log; null before there is one.
    pub settle_by: Option<u64>,
    /// Whole Unix seconds by the enclave's own clock, which its host can influence.
    pub unattested_time: u64,
}

impl ReceiptPayload {
    /// The canonical bytes to sign.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "receipt";
        let payload: Self =
            strict_json::parse(bytes, LIMITS).map_err(|error| Error::payload(WHAT, &error))?;
        if payload.version != VERSION {
            return Err(Error::Version { what: WHAT, found: payload.version, known: VERSION });
        }
        check_integers(
            WHAT,
            [
                ("epoch", payload.epoch),
                ("seq", payload.seq),
                ("settle_by", payload.settle_by.unwrap_or(0)),
                ("unattested_time", payload.unattested_time),
            ],
        )?;
        if (payload.seq == 0) != payload.previous.is_none() {
            let why = String::from("exactly the first receipt of a boot has no previous one");
            return Err(Error::PayloadMalformed { what: WHAT, why });
        }
        if payload.to_bytes() != bytes {
            return Err(Error::PayloadNotCanonical { what: WHAT });
        }
        Ok(payload)
    }
}

/// A receipt whose signature was verified under a given boot's key. Only [`VerifiedReceipt::verify`]
/// makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt {
    payload: ReceiptPayload,
}

impl VerifiedReceipt {
    /// Verifies an envelope as a receipt of the boot whose receipt key is `key`.
    ///
    /// # Errors
    /// As [`Envelope::open`]; then [`Error::PayloadMalformed`], [`Error::Version`],
    /// [`Error::PayloadNotCanonical`] or [`Error::OtherBoot`].
    pub fn verify(envelope: &Envelope, key: &ReceiptKey, crypto: &dyn Crypto) -> Result<Self, Error> {
        let bytes = envelope.open(PayloadType::Receipt, key, crypto)?;
        let payload = ReceiptPayload::parse(bytes)?;
        if payload.boot.0 != key.id() {
            return Err(Error::OtherBoot {
                what: "receipt",
                expected: to_hex(&key.id()),
                found: to_hex(&payload.boot.0),
            });
        }
        Ok(Self { payload })
    }

    /// What the receipt says.
    pub fn payload(&self) -> &ReceiptPayload {
        &self.payload
    }
}
