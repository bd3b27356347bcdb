//! Why a receipt, statement or envelope was refused.

use alloc::string::String;

use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::strict_json::JsonError;

/// Why something of this crate was refused. [`Error::code`] is stable; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an envelope: not JSON of that shape, or base64 or hexadecimal in it is malformed.
    #[error("malformed envelope: {0}")]
    EnvelopeMalformed(String),
    /// The envelope's bytes differ from their canonical re-serialisation.
    #[error("the envelope is not in canonical form")]
    EnvelopeNotCanonical,
    /// An envelope for another purpose.
    #[error("payload type {found:?} where {expected:?} is required")]
    PayloadType {
        /// The type this place requires.
        expected: &'static str,
        /// The type the envelope states.
        found: String,
    },
    /// The envelope names another key than the one it is checked against.
    #[error("signed under key {found}, not {expected}")]
    KeyId {
        /// SHA-256 of the expected key's SPKI.
        expected: String,
        /// The envelope's `keyid`.
        found: String,
    },
    /// The signature's `s` is in the upper half of the group order: a second form of one signature.
    #[error("the signature is not in low-s form")]
    SignatureNotLowS,
    /// The signature does not verify.
    #[error("the signature does not verify under key {key_id}")]
    Signature {
        /// SHA-256 of the key's SPKI.
        key_id: String,
    },
    /// A signed payload that is not of its type's shape.
    #[error("malformed {what}: {why}")]
    PayloadMalformed {
        /// Which object.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A signed payload whose bytes differ from their canonical re-serialisation.
    #[error("the {what} is not in canonical form")]
    PayloadNotCanonical {
        /// Which object.
        what: &'static str,
    },
    /// A version of a format that this program does not know.
    #[error("{what} of version {found}, where only version {known} is known")]
    Version {
        /// Which object.
        what: &'static str,
        /// The version found.
        found: u64,
        /// The version known.
        known: u64,
    },
    /// Not an uncompressed P-256 key in SPKI form.
    #[error("the {role} key is not a P-256 SubjectPublicKeyInfo")]
    Key {
        /// The key's role.
        role: &'static str,
    },
    /// A statement's boot id is not the digest of its own receipt key.
    #[error("boot id {stated} is not the digest of the receipt key, {actual}")]
    BootId {
        /// What the statement says.
        stated: String,
        /// SHA-256 of the receipt key's SPKI.
        actual: String,
    },
    /// A receipt, start record or head of another boot.
    #[error("{what} of boot {found}, not {expected}")]
    OtherBoot {
        /// Which object.
        what: &'static str,
        /// The attested boot.
        expected: String,
        /// The boot the object names.
        found: String,
    },
    /// A leaf of a type that is not known, or reserved and without a form yet.
    #[error("log leaf of type {byte}, which has no known form")]
    LeafType {
        /// The type byte.
        byte: u8,
    },
    /// A log leaf that is not of its type's shape.
    #[error("malformed log leaf: {0}")]
    LeafMalformed(String),
    /// What a leaf's signed bytes are is not what its type byte says.
    #[error("the leaf's signed bytes are not a {expected}")]
    LeafSignedType {
        /// The payload type that the leaf's type requires.
        expected: &'static str,
    },
    /// A settlement that cannot work.
    #[error("settlement: {0}")]
    Settlement(&'static str),
    /// Keys that cannot be a threshold's.
    #[error("signers: {0}")]
    Signers(String),
    /// Too few of the signers signed.
    #[error("{good} of the trusted keys signed it, {threshold} must")]
    Threshold {
        /// Signers with a good signature.
        good: usize,
        /// How many there must be.
        threshold: usize,
    },
    /// A signature under a signer's key id is not that key's.
    #[error("the signature under key {key_id} is not that key's")]
    SignerSignature {
        /// The key's id.
        key_id: String,
    },
    /// A release that is not for this moment any more.
    #[error("it expired at {0}")]
    Expired(UnixSeconds),
    /// A release that says that it was issued later than this moment.
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
}

impl Error {
    /// A stable word for this rejection.
    pub fn code(&self) -> &'static str {
        match self {
            Self::EnvelopeMalformed(_) => "envelope_malformed",
            Self::EnvelopeNotCanonical => "envelope_not_canonical",
            Self::PayloadType { .. } => "payload_type_wrong",
            Self::KeyId { .. } => "receipt_key_mismatch",
            Self::SignatureNotLowS => "signature_not_low_s",
            Self::Signature { .. } => "receipt_signature_invalid",
            Self::PayloadMalformed { .. } => "payload_malformed",
            Self::PayloadNotCanonical { .. } => "payload_not_canonical",
            Self::Version { .. } => "version_unknown",
            Self::Key { .. } => "statement_key_malformed",
            Self::BootId { .. } => "boot_id_mismatch",
            Self::OtherBoot { .. } => "boot_mismatch",
            Self::LeafType { .. } => "leaf_type_unknown",
            Self::LeafMalformed(_) => "leaf_malformed",
            Self::LeafSignedType { .. } => "leaf_signed_type_wrong",
            Self::Settlement(_) => "settlement_malformed",
            Self::Signers(_) => "signers_unusable",
            Self::Threshold { .. } => "signers_too_few",
            Self::SignerSignature { .. } => "signer_signature_invalid",
            Self::Expired(_) => "release_expired",
            Self::FromFuture(_) => "release_from_future",
            Self::Rollback { .. } => "release_rollback",
            Self::Fork(_) => "release_fork",
        }
    }

    pub(crate) fn payload(what: &'static str, error: &JsonError) -> Self {
        Self::PayloadMalformed { what, why: alloc::format!("{error}") }
    }
}
