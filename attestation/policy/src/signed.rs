//! Policies under signatures: a threshold of keys, an expiry, and a serial number that only grows.
//!
//! The envelope is DSSE (protocol 1.0.2) over [`PAYLOAD_TYPE`], with ECDSA P-256 signatures r‖s in low-s form
//! and `keyid` the SHA-256 of the key's SPKI. What is signed is a release: the policy document with its serial
//! number and dates. Whoever follows releases remembers the highest serial that verified ([`Seen`]) and takes
//! no lower one, and no other release under the same.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::{Moment, POLICY_BYTES_MAX};
use vouchsafe_receipt::{ReceiptKey, is_low_s, pae, to_low_s};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex, from_base64, to_base64};
use vouchsafe_verifier::strict_json::{self, Limits};

/// The DSSE payload type of a policy release.
pub const PAYLOAD_TYPE: &str = "application/vnd.vouchsafe.policy-release.v1+json";
/// Longest signed policy, in bytes: a policy in base64 and its signatures.
pub const SIGNED_BYTES_MAX: usize = 2 * POLICY_BYTES_MAX;

const LIMITS: Limits = Limits { bytes_max: SIGNED_BYTES_MAX, depth_max: 20 };
const VERSION: u64 = 1;
const SIGNATURES_MAX: usize = 64;

/// Why a signed policy is refused. [`Error::code`] is stable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an envelope, or not a release in one.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Too few of the trusted keys signed it.
    #[error("{good} of the trusted keys signed it, {threshold} must")]
    Threshold {
        /// Trusted keys with a good signature.
        good: usize,
        /// How many there must be.
        threshold: usize,
    },
    /// A signature under a trusted key's id is not that key's.
    #[error("the signature under key {key} is not that key's")]
    Signature {
        /// The key's id.
        key: Hex<32>,
    },
    /// It is not for this moment any more.
    #[error("it expired at {0}")]
    Expired(UnixSeconds),
    /// It says that it was issued later than this moment.
    #[error("it says that it was issued at {0}, which is still to come")]
    FromFuture(UnixSeconds),
    /// A later release was seen before.
    #[error("it has serial {found}, and {seen} was seen before")]
    Rollback {
        /// Its serial.
        found: u64,
        /// The highest seen.
        seen: u64,
    },
    /// Another release with the same serial was seen before: somebody signed two.
    #[error("another release with serial {0} was seen before")]
    Fork(u64),
    /// The document in it is no policy.
    #[error("the policy in it: {0}")]
    Policy(#[from] vouchsafe_bundle::Error),
    /// A key is not one.
    #[error("unusable key: {0}")]
    Key(String),
}

impl Error {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "signed_policy_malformed",
            Self::Threshold { .. } => "signed_policy_threshold",
            Self::Signature { .. } => "signed_policy_signature",
            Self::Expired(_) => "signed_policy_expired",
            Self::FromFuture(_) => "signed_policy_from_future",
            Self::Rollback { .. } => "signed_policy_rollback",
            Self::Fork(_) => "signed_policy_fork",
            Self::Policy(error) => error.code(),
            Self::Key(_) => "signing_key_unusable",
        }
    }
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Version of this format: 1.
    pub version: u64,
    /// Grows with every release.
    pub serial: u64,
    /// When it was made, by its maker's clock.
    pub issued: Moment,
    /// Not good from this moment on.
    pub expires: Moment,
    /// The policy document, comments included.
    pub policy: Value,
}

impl Release {
    /// A release of a document that is a policy.
    ///
    /// # Errors
    /// [`Error::Policy`], or [`Error::Malformed`] where it would never be good.
    pub fn new(
        serial: u64,
        issued: UnixSeconds,
        expires: UnixSeconds,
        document: &[u8],
    ) -> Result<Self, Error> {
        Policy::parse(document)?;
        if expires <= issued {
            return Err(Error::Malformed(format!("issued at {issued} and expired at {expires}: never good")));
        }
        let policy =
            strict_json::parse(document, LIMITS).map_err(|error| Error::Malformed(error.to_string()))?;
        Ok(Self { version: VERSION, serial, issued: Moment(issued), expires: Moment(expires), policy })
    }
}

/// A release and its signatures, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPolicy {
    payload: Vec<u8>,
    signatures: Vec<([u8; 32], [u8; 64])>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeJson {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: Base64,
    signatures: Vec<SignatureJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureJson {
    keyid: Hex<32>,
    sig: String,
}

/// Keys that may sign, and how many must.
#[derive(Debug, Clone)]
pub struct Trusted {
    keys: Vec<ReceiptKey>,
    threshold: usize,
}

impl Trusted {
    /// Trusts so many of these keys, given as DER SPKI.
    ///
    /// # Errors
    /// [`Error::Key`] for what is no P-256 key or is named twice, and for a threshold of none or of more
    /// than there are.
    pub fn new(spkis: &[Vec<u8>], threshold: usize) -> Result<Self, Error> {
        let keys: Result<Vec<_>, _> = spkis.iter().map(|spki| ReceiptKey::from_spki(spki, &Ring)).collect();
        let keys = keys.map_err(|error| Error::Key(error.to_string()))?;
        let twice = keys
            .iter()
            .enumerate()
            .any(|(index, key)| keys.iter().take(index).any(|one| one.id() == key.id()));
        if twice {
            return Err(Error::Key("one key is named twice".into()));
        }
        if threshold == 0 || threshold > keys.len() {
            return Err(Error::Key(format!("a threshold of {threshold} of {} keys", keys.len())));
        }
        Ok(Self { keys, threshold })
    }
}

/// What is remembered of releases that verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The highest serial.
    pub serial: u64,
    /// SHA-256 of the release with it.
    pub release: Hex<32>,
}

/// A release whose signatures, dates and serial hold.
#[derive(Debug, Clone)]
pub struct VerifiedRelease {
    policy: Policy,
    release: Release,
    seen: Seen,
}

impl VerifiedRelease {
    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The release.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// What to remember of it.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// The policy document's text, comments included.
    pub fn document(&self) -> String {
        serde_json::to_string_pretty(&self.release.policy).unwrap_or_default() + "\n"
    }
}

impl SignedPolicy {
    /// A release without signatures yet.
    pub fn unsigned(release: &Release) -> Self {
        Self { payload: serde_json::to_vec(release).unwrap_or_default(), signatures: Vec::new() }
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let malformed = |why: String| Error::Malformed(why);
        let envelope: EnvelopeJson =
            strict_json::parse(json, LIMITS).map_err(|error| malformed(error.to_string()))?;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(malformed(format!("payload type {:?}", envelope.payload_type)));
        }
        if envelope.signatures.len() > SIGNATURES_MAX {
            return Err(malformed(format!("more than {SIGNATURES_MAX} signatures")));
        }
        let mut signatures = Vec::new();
        for SignatureJson { keyid, sig } in envelope.signatures {
            let sig = from_base64(&sig).and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
            let sig = sig.ok_or_else(|| malformed("a signature is not 64 bytes in base64".into()))?;
            if signatures.iter().any(|(known, _)| *known == keyid.0) {
                return Err(malformed("two signatures under one key id".into()));
            }
            signatures.push((keyid.0, sig));
        }
        Ok(Self { payload: envelope.payload.0, signatures })
    }

    /// The envelope as JSON.
    pub fn to_json(&self) -> String {
        let signatures = self
            .signatures
            .iter()
            .map(|(keyid, sig)| SignatureJson { keyid: Hex(*keyid), sig: to_base64(sig) })
            .collect();
        let payload = Base64(self.payload.clone());
        let envelope = EnvelopeJson { payload_type: PAYLOAD_TYPE.into(), payload, signatures };
        serde_json::to_string_pretty(&envelope).unwrap_or_default() + "\n"
    }

    /// Adds a signature, in the place of an older one of the same key.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), Error> {
        let failed = |_| Error::Key("it does not sign".into());
        let message = pae(PAYLOAD_TYPE, &self.payload);
        let signature = key.pair.sign(&SystemRandom::new(), &message).map_err(failed)?;
        let signature: [u8; 64] =
            signature.as_ref().try_into().map_err(|_| Error::Key("it does not sign in 64 bytes".into()))?;
        self.signatures.retain(|(id, _)| *id != key.id);
        self.signatures.push((key.id, to_low_s(signature)));
        Ok(())
    }

    /// Verifies it for a moment, against what was seen before.
    ///
    /// # Errors
    /// Any but [`Error::Key`].
    pub fn verify(
        &self,
        trusted: &Trusted,
        at: UnixSeconds,
        seen: Option<&Seen>,
    ) -> Result<VerifiedRelease, Error> {
        let message = pae(PAYLOAD_TYPE, &self.payload);
        let mut good: usize = 0;
        for (id, signature) in &self.signatures {
            // Others may sign too; what they say counts for nothing.
            let Some(key) = trusted.keys.iter().find(|key| key.id() == *id) else { continue };
            if !is_low_s(signature) || !Ring.verify_p256_sha256(key.point(), &message, signature) {
                return Err(Error::Signature { key: Hex(*id) });
            }
            good = good.saturating_add(1);
        }
        if good < trusted.threshold {
            return Err(Error::Threshold { good, threshold: trusted.threshold });
        }
        let malformed = |why: String| Error::Malformed(why);
        let release: Release =
            strict_json::parse(&self.payload, LIMITS).map_err(|error| malformed(error.to_string()))?;
        if release.version != VERSION {
            return Err(malformed(format!("version {}, this program knows {VERSION}", release.version)));
        }
        if at >= release.expires.0 {
            return Err(Error::Expired(release.expires.0));
        }
        if release.issued.0 > at {
            return Err(Error::FromFuture(release.issued.0));
        }
        let now = Seen { serial: release.serial, release: Hex(Ring.sha256(&self.payload)) };
        if let Some(seen) = seen {
            if now.serial < seen.serial {
                return Err(Error::Rollback { found: now.serial, seen: seen.serial });
            }
            if now.serial == seen.serial && now.release != seen.release {
                return Err(Error::Fork(now.serial));
            }
        }
        let policy = Policy::parse(release.policy.to_string().as_bytes())?;
        Ok(VerifiedRelease { policy, release, seen: now })
    }
}

/// A key that signs policies.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
    id: [u8; 32],
}

impl SigningKey {
    /// Makes a key; gives it with its PKCS#8 document.
    ///
    /// # Errors
    /// [`Error::Key`] where the system gives no randomness.
    pub fn generate() -> Result<(Self, Vec<u8>), Error> {
        let failed = |_| Error::Key("the system gives no randomness".into());
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(failed)?;
        Ok((Self::from_pkcs8(document.as_ref())?, document.as_ref().to_vec()))
    }

    /// Reads a PKCS#8 document.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, Error> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document, &SystemRandom::new())
            .map_err(|error| Error::Key(format!("not a P-256 key in PKCS#8: {error}")))?;
        let point =
            pair.public_key().as_ref().try_into().map_err(|_| Error::Key("not a P-256 key".into()))?;
        let spki = ReceiptKey::spki_of_point(point);
        let id = Ring.sha256(&spki);
        Ok(Self { pair, spki, id })
    }

    /// The public key as DER SPKI.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the SPKI.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }
}
