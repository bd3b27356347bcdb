//! What several people release together: one payload under a threshold of signatures.
//!
//! The envelope is DSSE (protocol v1.0.2) with ECDSA P-256 signatures r‖s in low-s form, `keyid` the SHA-256 of
//! the key's SPKI, each key at most once. Signatures are over the payload's exact bytes; the layout of the text
//! around them is free, for it is handed from one signer to the next.
//!
//! Releases have a serial number that only grows. Whoever follows them remembers the highest that verified
//! ([`Seen`]), and takes no lower one and no other under the same.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::{Base64, Hex, from_base64, to_base64, to_hex};
use vouchsafe_verifier::json_record;
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::dsse::{EnvelopeJson, SignatureJson, parse_pae};
use crate::{Error, PayloadType, ReceiptKey, is_low_s, pae};

/// Most signatures under one release, and most keys that may sign.
pub const SIGNATURES_MAX: usize = 64;
/// One signature in a leaf: the key's id, then r‖s.
const LEAF_SIGNATURE_BYTES: usize = 96;

/// Keys that may sign, and how many of them must.
#[derive(Debug, Clone)]
pub struct Signers {
    keys: Vec<ReceiptKey>,
    threshold: usize,
}

impl Signers {
    /// So many of these keys, given as DER SPKI.
    ///
    /// # Errors
    /// [`Error::Signers`] for what is no P-256 key or is named twice, for too many keys, and for a threshold of
    /// none or of more than there are.
    pub fn new<'a>(
        spkis: impl IntoIterator<Item = &'a [u8]>,
        threshold: usize,
        crypto: &dyn Crypto,
    ) -> Result<Self, Error> {
        let unusable = |why: String| Error::Signers(why);
        let mut keys: Vec<ReceiptKey> = Vec::new();
        for spki in spkis {
            let key = ReceiptKey::from_spki(spki, crypto)
                .map_err(|_| unusable("one is not a P-256 SubjectPublicKeyInfo".into()))?;
            if keys.iter().any(|known| known.id() == key.id()) {
                return Err(unusable("one key is named twice".into()));
            }
            if keys.len() >= SIGNATURES_MAX {
                return Err(unusable(alloc::format!("more than {SIGNATURES_MAX}")));
            }
            keys.push(key);
        }
        if threshold == 0 || threshold > keys.len() {
            return Err(unusable(alloc::format!("a threshold of {threshold} of {}", keys.len())));
        }
        Ok(Self { keys, threshold })
    }

    fn find(&self, id: &[u8; 32]) -> Option<&ReceiptKey> {
        self.keys.iter().find(|key| key.id() == *id)
    }
}

/// One signature and the id of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySignature {
    /// SHA-256 of the key's SPKI.
    pub key_id: [u8; 32],
    /// r‖s.
    pub signature: [u8; 64],
}

/// A payload and its signatures, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDocument {
    payload_type: &'static str,
    payload: Vec<u8>,
    /// By ascending key ids, each once.
    signatures: Vec<KeySignature>,
}

impl SignedDocument {
    /// A payload without signatures yet.
    pub fn unsigned(payload_type: &'static str, payload: Vec<u8>) -> Self {
        Self { payload_type, payload, signatures: Vec::new() }
    }

    /// Reads an envelope of this payload type from a text of at most so many bytes.
    ///
    /// # Errors
    /// [`Error::EnvelopeMalformed`] or [`Error::PayloadType`].
    pub fn parse(json: &[u8], payload_type: &'static str, bytes_max: usize) -> Result<Self, Error> {
        let limits = Limits { bytes_max, depth_max: 4 };
        let envelope: EnvelopeJson =
            strict_json::read(json, limits).map_err(|error| Error::EnvelopeMalformed(error.to_string()))?;
        if envelope.payload_type != payload_type {
            return Err(Error::PayloadType { expected: payload_type, found: envelope.payload_type });
        }
        let mut signatures = Vec::new();
        for SignatureJson { keyid, sig } in envelope.signatures {
            let signature = from_base64(&sig).and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
            let malformed = || Error::EnvelopeMalformed("a signature is not 64 bytes in base64".into());
            signatures.push(KeySignature { key_id: keyid.0, signature: signature.ok_or_else(malformed)? });
        }
        Self::with_signatures(payload_type, envelope.payload.0, signatures)
    }

    /// The same from its parts.
    ///
    /// # Errors
    /// [`Error::EnvelopeMalformed`] for too many signatures, or two under one key's id.
    pub(crate) fn with_signatures(
        payload_type: &'static str,
        payload: Vec<u8>,
        signatures: Vec<KeySignature>,
    ) -> Result<Self, Error> {
        if signatures.len() > SIGNATURES_MAX {
            return Err(Error::EnvelopeMalformed(alloc::format!("more than {SIGNATURES_MAX} signatures")));
        }
        let is_second = |(place, one): (usize, &KeySignature)| {
            signatures.iter().take(place).any(|before| before.key_id == one.key_id)
        };
        if signatures.iter().enumerate().any(is_second) {
            return Err(Error::EnvelopeMalformed("two signatures under one key id".into()));
        }
        let mut signatures = signatures;
        signatures.sort_by_key(|one| one.key_id);
        Ok(Self { payload_type, payload, signatures })
    }

    /// The envelope as JSON.
    pub fn to_json(&self) -> String {
        let json =
            |one: &KeySignature| SignatureJson { keyid: Hex(one.key_id), sig: to_base64(&one.signature) };
        let envelope = EnvelopeJson {
            payload_type: self.payload_type.into(),
            payload: Base64(self.payload.clone()),
            signatures: self.signatures.iter().map(json).collect(),
        };
        let mut text = strict_json::to_pretty(&envelope);
        text.push('\n');
        text
    }

    /// The bytes that are signed.
    pub fn pae(&self) -> Vec<u8> {
        pae(self.payload_type, &self.payload)
    }

    /// The payload, before any signature was checked.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures, unchecked.
    pub fn signatures(&self) -> &[KeySignature] {
        &self.signatures
    }

    /// Adds a signature over [`SignedDocument::pae`], in the place of an older one of the same key.
    pub fn add(&mut self, one: KeySignature) {
        self.signatures.retain(|known| known.key_id != one.key_id);
        let place = self.signatures.partition_point(|known| known.key_id < one.key_id);
        self.signatures.insert(place, one);
    }

    /// The payload, if enough of the signers signed it. What others signed counts for nothing.
    ///
    /// # Errors
    /// [`Error::SignerSignature`] where a signature under a signer's id is not that key's, and
    /// [`Error::Threshold`].
    pub fn open(&self, signers: &Signers, crypto: &dyn Crypto) -> Result<&[u8], Error> {
        let message = self.pae();
        let mut good: usize = 0;
        for KeySignature { key_id, signature } in &self.signatures {
            let Some(key) = signers.find(key_id) else { continue };
            if !is_low_s(signature) || !crypto.verify_p256_sha256(key.point(), &message, signature) {
                return Err(Error::SignerSignature { key_id: to_hex(key_id) });
            }
            good = good.saturating_add(1);
        }
        match good >= signers.threshold {
            true => Ok(&self.payload),
            false => Err(Error::Threshold { good, threshold: signers.threshold }),
        }
    }

    /// The body of its leaf: `4-byte big-endian length ‖ DSSE PAE`, then each signature as `key id ‖ r‖s` by
    /// ascending key ids.
    pub(crate) fn to_leaf_body(&self) -> Vec<u8> {
        let pae = self.pae();
        let length = u32::try_from(pae.len()).unwrap_or(u32::MAX);
        let signatures =
            self.signatures.iter().flat_map(|one| [one.key_id.as_slice(), &one.signature].concat());
        length.to_be_bytes().into_iter().chain(pae).chain(signatures).collect()
    }

    pub(crate) fn parse_leaf_body(kind: PayloadType, body: &[u8]) -> Result<Self, Error> {
        let malformed = |why: &str| Error::LeafMalformed(why.to_string());
        let (length, rest) = body.split_first_chunk::<4>().ok_or_else(|| malformed("no length"))?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (pae, signatures) =
            rest.split_at_checked(length).ok_or_else(|| malformed("shorter than its length says"))?;
        let payload = parse_pae(kind, pae).ok_or(Error::LeafSignedType { expected: kind.as_str() })?;
        let (chunks, rest) = signatures.as_chunks::<LEAF_SIGNATURE_BYTES>();
        if chunks.is_empty() || !rest.is_empty() {
            return Err(malformed("what follows the signed bytes is not one signature or several"));
        }
        let mut parsed: Vec<KeySignature> = Vec::new();
        for chunk in chunks {
            let Some((key_id, signature)) = chunk.split_first_chunk::<32>() else { continue };
            let Ok(signature) = <[u8; 64]>::try_from(signature) else { continue };
            if parsed.last().is_some_and(|last| last.key_id >= *key_id) {
                return Err(malformed("its signatures are not in the order of their keys"));
            }
            parsed.push(KeySignature { key_id: *key_id, signature });
        }
        Self::with_signatures(kind.as_str(), payload.to_vec(), parsed)
    }

    /// Whether each signature is under the id of one of the signers: so that nobody can make many documents of
    /// one by adding to it.
    pub fn is_by(&self, signers: &Signers) -> bool {
        self.count_by(signers) == self.signatures.len()
    }

    /// How many signatures are under the ids of signers, unchecked.
    pub fn count_by(&self, signers: &Signers) -> usize {
        self.signatures.iter().filter(|one| signers.find(&one.key_id).is_some()).count()
    }
}

/// What is remembered of releases that verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The highest serial.
    pub serial: u64,
    /// SHA-256 of the release with it.
    pub release: Hex<32>,
}

json_record!(Seen { serial, release });

impl Seen {
    /// Whether another release may follow this one: the same again, or one with a higher serial.
    ///
    /// # Errors
    /// [`Error::Rollback`] or [`Error::Fork`].
    pub fn admits(&self, next: &Self) -> Result<(), Error> {
        if next.serial < self.serial {
            return Err(Error::Rollback { found: next.serial, seen: self.serial });
        }
        if next.serial == self.serial && next.release != self.release {
            return Err(Error::Fork(next.serial));
        }
        Ok(())
    }
}
