//! Policies under signatures: a threshold of keys, an expiry, and a serial number that only grows.
//!
//! The envelope is DSSE (protocol 1.0.2) over [`PAYLOAD_TYPE`], with ECDSA P-256 signatures r‖s in low-s form
//! and `keyid` the SHA-256 of the key's SPKI. What is signed is a release: the policy document with its serial
//! number and dates. Whoever follows releases remembers the highest serial that verified ([`Seen`]) and takes
//! no lower one, and no other release under the same. The envelope is the one that revocations have as well.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::Serialize;
use serde_json::Value;
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::{Moment, POLICY_BYTES_MAX};
use vouchsafe_receipt::threshold::{KeySignature, SignedDocument};
pub use vouchsafe_receipt::threshold::{Seen, Signers};
use vouchsafe_receipt::{ReceiptKey, to_low_s};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::strict_json::{self, Limits};
use vouchsafe_verifier::{UnixSeconds, json_record};

/// The DSSE payload type of a policy release.
pub const PAYLOAD_TYPE: &str = "application/vnd.vouchsafe.policy-release.v1+json";
/// Longest signed policy, in bytes: a policy in base64 and its signatures.
pub const SIGNED_BYTES_MAX: usize = 2 * POLICY_BYTES_MAX;

const LIMITS: Limits = Limits { bytes_max: SIGNED_BYTES_MAX, depth_max: 20 };
const VERSION: u64 = 1;

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
        key: String,
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
    /// What is wrong with a list of revocations, or with the manifest of an image.
    #[error("{0}")]
    Revocations(vouchsafe_receipt::Error),
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
            Self::Revocations(error) => error.code(),
            Self::Policy(error) => error.code(),
            Self::Key(_) => "signing_key_unusable",
        }
    }
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Serialize)]
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

json_record!(Release { version, serial, issued, expires, policy });

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

    /// The policy document's text, comments included: indented, or in one line, as it was parsed, where it would
    /// be too long to be read again.
    pub fn document(&self) -> String {
        let indented = serde_json::to_string_pretty(&self.release.policy).unwrap_or_default() + "\n";
        if indented.len() <= POLICY_BYTES_MAX { indented } else { self.release.policy.to_string() }
    }
}

/// A release and its signatures, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPolicy(SignedDocument);

impl SignedPolicy {
    /// A release without signatures yet.
    pub fn unsigned(release: &Release) -> Self {
        Self(SignedDocument::unsigned(PAYLOAD_TYPE, serde_json::to_vec(release).unwrap_or_default()))
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        Ok(Self(SignedDocument::parse(json, PAYLOAD_TYPE, SIGNED_BYTES_MAX).map_err(of_policy)?))
    }

    /// The envelope as JSON.
    pub fn to_json(&self) -> String {
        self.0.to_json()
    }

    /// Adds a signature, in the place of an older one of the same key.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), Error> {
        let signature = key.sign(&self.0.pae())?;
        self.0.add(signature);
        Ok(())
    }

    /// Verifies it for a moment, against what was seen before.
    ///
    /// # Errors
    /// Any but [`Error::Key`].
    pub fn verify(
        &self,
        trusted: &Signers,
        at: UnixSeconds,
        seen: Option<&Seen>,
    ) -> Result<VerifiedRelease, Error> {
        let payload = self.0.open(trusted, &Ring).map_err(of_policy)?;
        let (release, policy) = read_release(payload, at)?;
        let now = Seen { serial: release.serial, release: Hex(Ring.sha256(payload)) };
        if let Some(seen) = seen {
            seen.admits(&now).map_err(of_policy)?;
        }
        Ok(VerifiedRelease { policy, release, seen: now })
    }

    /// What is in it and would verify at a moment, whoever signed it: for whoever is about to.
    ///
    /// # Errors
    /// As [`SignedPolicy::verify`], but for signatures and serials.
    pub fn unverified(&self, at: UnixSeconds) -> Result<(Release, Policy), Error> {
        read_release(self.0.unverified_payload(), at)
    }

    /// The ids of the keys that signed it so far, unchecked.
    pub fn signers(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.0.signatures().iter().map(|one| &one.key_id)
    }
}

fn read_release(payload: &[u8], at: UnixSeconds) -> Result<(Release, Policy), Error> {
    let malformed = |why: String| Error::Malformed(why);
    let release: Release =
        strict_json::read(payload, LIMITS).map_err(|error| malformed(error.to_string()))?;
    if release.version != VERSION {
        return Err(malformed(format!("version {}, this program knows {VERSION}", release.version)));
    }
    if at >= release.expires.0 {
        return Err(Error::Expired(release.expires.0));
    }
    if release.issued.0 > at {
        return Err(Error::FromFuture(release.issued.0));
    }
    let policy = Policy::parse(release.policy.to_string().as_bytes())?;
    Ok((release, policy))
}

/// The words that releases of policies have for what is wrong with any release.
fn of_policy(error: vouchsafe_receipt::Error) -> Error {
    use vouchsafe_receipt::Error as Receipt;
    match error {
        Receipt::Threshold { good, threshold } => Error::Threshold { good, threshold },
        Receipt::SignerSignature { key_id } => Error::Signature { key: key_id },
        Receipt::Rollback { found, seen } => Error::Rollback { found, seen },
        Receipt::Fork(serial) => Error::Fork(serial),
        Receipt::Signers(why) => Error::Key(why),
        other => Error::Malformed(other.to_string()),
    }
}

/// So many of these keys, given as DER SPKI, must have signed.
///
/// # Errors
/// [`Error::Key`] for what is no P-256 key or is named twice, and for a threshold of none or of more than there
/// are.
pub fn trusted(spkis: &[Vec<u8>], threshold: usize) -> Result<Signers, Error> {
    Signers::new(spkis.iter().map(Vec::as_slice), threshold, &Ring).map_err(of_policy)
}

/// A key that signs policies and revocations.
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

    /// Signs the bytes that an envelope says are to be signed.
    ///
    /// # Errors
    /// [`Error::Key`] where the system gives no randomness.
    pub fn sign(&self, pae: &[u8]) -> Result<KeySignature, Error> {
        let failed = |_| Error::Key("it does not sign".into());
        let signature = self.pair.sign(&SystemRandom::new(), pae).map_err(failed)?;
        let signature: [u8; 64] =
            signature.as_ref().try_into().map_err(|_| Error::Key("it does not sign in 64 bytes".into()))?;
        Ok(KeySignature { key_id: self.id, signature: to_low_s(signature) })
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
