//! DSSE envelopes with exactly one ECDSA P-256 signature.
//!
//! Follows the Dead Simple Signing Envelope, protocol v1.0.2, narrowed: one signature, `keyid` is
//! the SHA-256 of the key's SPKI in lower-case hexadecimal, low-s only, and the JSON text must be
//! the canonical one that [`Envelope::to_json`] writes.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::{Base64, Hex, from_base64, to_base64, to_hex};
use vouchsafe_verifier::strict_json::{self, Fault, FromValue, Limits, Value};
use vouchsafe_verifier::{json_deserialize, json_record};

use crate::{Error, is_low_s};

/// Longest accepted envelope, in bytes of canonical JSON.
pub const ENVELOPE_BYTES_MAX: usize = 4096;

/// DER of a P-256 SubjectPublicKeyInfo up to the uncompressed point (RFC 5480, section 2).
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What a signed payload is: one media type per object, so that none passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PayloadType {
    /// A receipt for one answer.
    Receipt,
    /// The start record of a streamed answer.
    StreamStart,
    /// A signed head of a streamed answer.
    StreamHead,
    /// The log's record of a boot.
    Boot,
    /// The log's record of an epoch.
    Epoch,
    /// How far a boot's receipts have come.
    Heartbeat,
    /// A boot's last word.
    Close,
    /// The manifest of a released image.
    Image,
    /// A list of revocations.
    Revocation,
}

impl PayloadType {
    /// The media type that the envelope states and the signature covers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receipt => "application/vnd.vouchsafe.receipt.v1+json",
            Self::StreamStart => "application/vnd.vouchsafe.stream-start.v1+json",
            Self::StreamHead => "application/vnd.vouchsafe.stream-head.v1+json",
            Self::Boot => "application/vnd.vouchsafe.boot.v1+json",
            Self::Epoch => "application/vnd.vouchsafe.epoch.v1+json",
            Self::Heartbeat => "application/vnd.vouchsafe.heartbeat.v1+json",
            Self::Close => "application/vnd.vouchsafe.close.v1+json",
            Self::Image => "application/vnd.vouchsafe.image.v1+json",
            Self::Revocation => "application/vnd.vouchsafe.revocation.v1+json",
        }
    }
}

/// DSSE's pre-authentication encoding: the bytes that are signed.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload_type.len().saturating_add(payload.len()).saturating_add(32));
    out.extend_from_slice(b"DSSEv1 ");
    out.extend_from_slice(payload_type.len().to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(payload_type.as_bytes());
    out.push(b' ');
    out.extend_from_slice(payload.len().to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(payload);
    out
}

/// The payload of a pre-authentication encoding of this type, if the bytes are exactly one.
pub(crate) fn parse_pae(payload_type: PayloadType, bytes: &[u8]) -> Option<&[u8]> {
    let name = payload_type.as_str();
    let rest = bytes.strip_prefix(b"DSSEv1 ")?.strip_prefix(name.len().to_string().as_bytes())?;
    let rest = rest.strip_prefix(b" ")?.strip_prefix(name.as_bytes())?.strip_prefix(b" ")?;
    let digits = rest.iter().position(|byte| *byte == b' ')?;
    let payload = rest.get(digits..)?.strip_prefix(b" ")?;
    // The length has one decimal form.
    (rest.get(..digits)? == payload.len().to_string().as_bytes()).then_some(payload)
}

/// A P-256 public key in its SPKI form, and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptKey {
    point: [u8; 65],
    id: [u8; 32],
}

impl ReceiptKey {
    /// Reads a key from the DER of its SubjectPublicKeyInfo, 91 bytes.
    ///
    /// # Errors
    /// [`Error::Key`] when the bytes are not an uncompressed P-256 key. Whether the point is on the
    /// curve is left to signature verification, which fails for every other point.
    pub fn from_spki(spki: &[u8], crypto: &dyn Crypto) -> Result<Self, Error> {
        let wrong = Error::Key { role: "receipt" };
        let point = spki.strip_prefix(&P256_SPKI_PREFIX).ok_or(wrong.clone())?;
        let point: [u8; 65] = point.try_into().map_err(|_| wrong.clone())?;
        if point.first() != Some(&0x04) {
            return Err(wrong);
        }
        Ok(Self { point, id: crypto.sha256(spki) })
    }

    /// Whether the bytes have the form of such a key, as [`ReceiptKey::from_spki`] reads them.
    pub fn is_spki(spki: &[u8]) -> bool {
        spki.strip_prefix(&P256_SPKI_PREFIX)
            .is_some_and(|point| point.len() == 65 && point.first() == Some(&0x04))
    }

    /// The SPKI of an uncompressed P-256 point, 91 bytes of DER.
    pub fn spki_of_point(point: &[u8; 65]) -> Vec<u8> {
        [P256_SPKI_PREFIX.as_slice(), point].concat()
    }

    /// The uncompressed point.
    pub fn point(&self) -> &[u8; 65] {
        &self.point
    }

    /// SHA-256 of the SPKI: the boot id, and `keyid` in envelopes.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }
}

/// An envelope as received: well-formed and canonical, not verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "EnvelopeJson")]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    key_id: [u8; 32],
    signature: [u8; 64],
}

#[derive(Clone, Serialize)]
pub(crate) struct EnvelopeJson {
    #[serde(rename = "payloadType")]
    pub(crate) payload_type: String,
    pub(crate) payload: Base64,
    pub(crate) signatures: Vec<SignatureJson>,
}

json_record!(EnvelopeJson { payload_type as "payloadType", payload, signatures });

#[derive(Clone, Serialize)]
pub(crate) struct SignatureJson {
    pub(crate) keyid: Hex<32>,
    pub(crate) sig: String,
}

json_record!(SignatureJson { keyid, sig });

impl FromValue for Envelope {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        EnvelopeJson::from_value(value)?.try_into().map_err(|error: Error| Fault::new(error.to_string()))
    }
}

json_deserialize!(Envelope);

impl TryFrom<EnvelopeJson> for Envelope {
    type Error = Error;

    fn try_from(json: EnvelopeJson) -> Result<Self, Error> {
        let malformed = |why: &str| Error::EnvelopeMalformed(why.into());
        let [signature]: [SignatureJson; 1] =
            json.signatures.try_into().map_err(|_| malformed("not exactly one signature"))?;
        let bytes = from_base64(&signature.sig).ok_or_else(|| malformed("signature is not padded base64"))?;
        Ok(Self {
            payload_type: json.payload_type,
            payload: json.payload.0,
            key_id: signature.keyid.0,
            signature: bytes.try_into().map_err(|_| malformed("signature is not 64 bytes"))?,
        })
    }
}

impl From<Envelope> for EnvelopeJson {
    fn from(envelope: Envelope) -> Self {
        Self {
            payload_type: envelope.payload_type,
            payload: Base64(envelope.payload),
            signatures: vec![SignatureJson {
                keyid: Hex(envelope.key_id),
                sig: to_base64(&envelope.signature),
            }],
        }
    }
}

impl Envelope {
    /// Puts a signature over [`pae`] of `payload` into an envelope.
    pub fn new(payload_type: PayloadType, payload: Vec<u8>, key_id: [u8; 32], signature: [u8; 64]) -> Self {
        Self { payload_type: payload_type.as_str().into(), payload, key_id, signature }
    }

    /// Parses an envelope from its canonical JSON text.
    ///
    /// # Errors
    /// [`Error::EnvelopeMalformed`] or [`Error::EnvelopeNotCanonical`].
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let limits = Limits { bytes_max: ENVELOPE_BYTES_MAX, depth_max: 4 };
        let envelope: Self =
            strict_json::read(json, limits).map_err(|error| Error::EnvelopeMalformed(error.to_string()))?;
        if envelope.to_json() != json {
            return Err(Error::EnvelopeNotCanonical);
        }
        Ok(envelope)
    }

    /// The canonical JSON text: fields in DSSE's order, no white space.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and arrays of strings only: serialisation has no failing case, and an empty text
        // would be refused by every reader.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Checks type, key, signature form and signature, and gives the signed payload bytes.
    ///
    /// # Errors
    /// [`Error::PayloadType`], [`Error::KeyId`], [`Error::SignatureNotLowS`] or [`Error::Signature`].
    pub fn open(&self, expected: PayloadType, key: &ReceiptKey, crypto: &dyn Crypto) -> Result<&[u8], Error> {
        if self.payload_type != expected.as_str() {
            return Err(Error::PayloadType { expected: expected.as_str(), found: self.payload_type.clone() });
        }
        if self.key_id != key.id {
            return Err(Error::KeyId { expected: to_hex(&key.id), found: to_hex(&self.key_id) });
        }
        if !is_low_s(&self.signature) {
            return Err(Error::SignatureNotLowS);
        }
        if !crypto.verify_p256_sha256(&key.point, &self.pae(), &self.signature) {
            return Err(Error::Signature { key_id: to_hex(&key.id) });
        }
        Ok(&self.payload)
    }

    /// The payload type that it states.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The payload bytes, before any signature was checked: for display and for transport only.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signed bytes.
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// The signature r‖s.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}
