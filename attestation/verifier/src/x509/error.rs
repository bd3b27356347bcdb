//! Why a certificate or revocation list was refused.

use alloc::string::String;

use const_oid::ObjectIdentifier;

use super::DerError;
use crate::{Platform, UnixSeconds};

/// Why a certificate or revocation list was refused. Which one it was, the caller knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The certificate is longer than the limit.
    #[error("certificate of {len} bytes exceeds the limit of {max}")]
    CertificateTooLong {
        /// Length, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The certificate is not the DER that RFC 5280 describes.
    #[error("certificate is malformed: {0}")]
    CertificateMalformed(DerError),
    /// The certificate's version is not 3.
    #[error("certificate version field is {found}, expected 2 (X.509 v3)")]
    CertificateVersion {
        /// The version field's value.
        found: u32,
    },
    /// The PEM text is not well-formed, or holds too many certificates.
    #[error("PEM certificate chain is malformed: {what}")]
    PemMalformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// An extension occurs twice.
    #[error("extension {oid} occurs more than once")]
    ExtensionDuplicate {
        /// The extension.
        oid: ObjectIdentifier,
    },
    /// There are more extensions than the limit.
    #[error("more than {max} extensions")]
    ExtensionsTooMany {
        /// The limit.
        max: usize,
    },
    /// A critical extension that this crate does not understand.
    #[error("critical extension {oid} is not understood")]
    ExtensionCriticalUnknown {
        /// The extension.
        oid: ObjectIdentifier,
    },
    /// The signature algorithm inside the signed part and the one outside differ.
    #[error("the signature algorithm outside the signed part differs from the one inside")]
    SignatureAlgorithmsDiffer,
    /// A signature algorithm that this crate does not accept.
    #[error("signature algorithm {oid} is not accepted")]
    SignatureAlgorithmUnsupported {
        /// The algorithm.
        oid: ObjectIdentifier,
    },
    /// RSASSA-PSS with a hash or mask generation other than SHA-384.
    #[error("RSASSA-PSS {parameter} is {found}, expected {expected}")]
    PssAlgorithm {
        /// Which parameter.
        parameter: &'static str,
        /// What stands there.
        found: ObjectIdentifier,
        /// What must stand there.
        expected: ObjectIdentifier,
    },
    /// RSASSA-PSS with another salt length.
    #[error("RSASSA-PSS salt length is {found}, expected {expected}")]
    PssSaltLength {
        /// Salt length found, in bytes.
        found: u32,
        /// Salt length expected, in bytes.
        expected: u32,
    },
    /// RSASSA-PSS parameters that are malformed or have another trailer field.
    #[error("RSASSA-PSS parameters are malformed: {what}")]
    PssMalformed {
        /// What is wrong with them.
        what: &'static str,
    },
    /// A public key of a kind that this crate does not accept.
    #[error("public key is not accepted: {what}")]
    KeyUnsupported {
        /// Why not.
        what: &'static str,
    },
    /// The moment lies before the certificate's validity.
    #[error("certificate is not valid before {not_before}, judged at {at}")]
    CertificateNotYetValid {
        /// Start of validity.
        not_before: UnixSeconds,
        /// The moment of judgement.
        at: UnixSeconds,
    },
    /// The moment lies after the certificate's validity.
    #[error("certificate expired at {not_after}, judged at {at}")]
    CertificateExpired {
        /// End of validity.
        not_after: UnixSeconds,
        /// The moment of judgement.
        at: UnixSeconds,
    },
    /// The certificate names another issuer than the certificate that should have issued it.
    #[error("certificate names the issuer {issuer:?}, offered is {offered:?}")]
    IssuerMismatch {
        /// Common name of the issuer that the certificate names.
        issuer: String,
        /// Common name of the issuing certificate offered.
        offered: String,
    },
    /// The certificate that should have issued this one is no certificate authority.
    #[error("issuer {subject:?} is not a certificate authority")]
    IssuerNotCa {
        /// Common name of the issuer.
        subject: String,
    },
    /// The issuer's `keyUsage` does not allow what it did.
    #[error("issuer {subject:?} may not use its key for {usage}")]
    IssuerKeyUsage {
        /// Common name of the issuer.
        subject: String,
        /// The missing usage.
        usage: &'static str,
    },
    /// The issuer's path length constraint allows fewer certificate authorities below it.
    #[error("path length is limited to {max} below {subject:?}, found {found}")]
    PathTooLong {
        /// Common name of the issuer.
        subject: String,
        /// The constraint.
        max: u32,
        /// How many intermediate authorities stand below it.
        found: u32,
    },
    /// A leaf certificate says it is a certificate authority.
    #[error("leaf certificate claims to be a certificate authority")]
    LeafIsCa,
    /// The certificate's signature does not verify under the issuer's key.
    #[error("certificate signature does not verify under the key of {issuer:?}")]
    CertificateSignature {
        /// Common name of the issuer.
        issuer: String,
    },
    /// The CRL is longer than the limit.
    #[error("CRL of {len} bytes exceeds the limit of {max}")]
    CrlTooLong {
        /// Length, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The CRL is not the DER that RFC 5280 describes.
    #[error("CRL is malformed: {0}")]
    CrlMalformed(DerError),
    /// The CRL has no `nextUpdate`, so its age cannot be judged.
    #[error("CRL has no nextUpdate")]
    CrlWithoutNextUpdate,
    /// The CRL covers only part of its issuer's certificates, or others' too.
    #[error("CRL has a restricted scope: {what}")]
    CrlScope {
        /// What restricts it.
        what: &'static str,
    },
    /// The CRL was issued by another authority.
    #[error("CRL was issued by {issuer:?}, expected {expected:?}")]
    CrlIssuerMismatch {
        /// Common name of the CRL's issuer.
        issuer: String,
        /// Common name of the authority expected.
        expected: String,
    },
    /// The CRL's signature does not verify under its issuer's key.
    #[error("CRL signature does not verify under the key of {issuer:?}")]
    CrlSignature {
        /// Common name of the issuer.
        issuer: String,
    },
    /// The moment lies before the CRL was issued.
    #[error("CRL was issued at {this_update}, judged at {at}")]
    CrlFuture {
        /// When it was issued.
        this_update: UnixSeconds,
        /// The moment of judgement.
        at: UnixSeconds,
    },
    /// A newer CRL must exist at the moment of judgement.
    #[error("CRL was to be replaced by {next_update}, judged at {at}")]
    CrlStale {
        /// When its successor was due.
        next_update: UnixSeconds,
        /// The moment of judgement.
        at: UnixSeconds,
    },
    /// The certificate is on its issuer's revocation list.
    #[error("certificate with serial 0x{serial} is revoked since {since}")]
    Revoked {
        /// Serial number, hexadecimal.
        serial: String,
        /// Revocation date from the list.
        since: UnixSeconds,
    },
}

/// The stable words for one reason: by vendor, so that no two clauses share a code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    any: &'static str,
    snp: &'static str,
    tdx: &'static str,
}

impl Words {
    /// The word for a certificate or list of this platform's vendor.
    pub(crate) fn of(self, platform: Platform) -> &'static str {
        match platform {
            Platform::SevSnp => self.snp,
            Platform::Tdx => self.tdx,
        }
    }
}

macro_rules! words {
    ($word:literal) => {
        Words { any: $word, snp: concat!("snp_", $word), tdx: concat!("tdx_", $word) }
    };
}

/// The words where a chain ends in a root that nobody believes.
pub(crate) const ROOT_NOT_TRUSTED: Words = words!("root_not_trusted");

impl Error {
    /// The stable word for this reason, whoever's certificate it was.
    pub fn code(&self) -> &'static str {
        self.words().any
    }

    /// The words where a revocation list was at fault: what lists share with certificates has words of
    /// its own there.
    pub(crate) fn crl_words(&self) -> Words {
        match self {
            Self::ExtensionDuplicate { .. } => words!("crl_extension_duplicate"),
            Self::ExtensionsTooMany { .. } => words!("crl_extensions_too_many"),
            Self::ExtensionCriticalUnknown { .. } => words!("crl_extension_critical_unknown"),
            Self::SignatureAlgorithmsDiffer => words!("crl_signature_algorithms_differ"),
            Self::SignatureAlgorithmUnsupported { .. } => words!("crl_signature_algorithm"),
            Self::PssAlgorithm { .. } => words!("crl_pss_algorithm"),
            Self::PssSaltLength { .. } => words!("crl_pss_salt_length"),
            Self::PssMalformed { .. } => words!("crl_pss_malformed"),
            Self::IssuerKeyUsage { .. } => words!("crl_issuer_key_usage"),
            _ => self.words(),
        }
    }

    /// The words for this reason.
    pub(crate) fn words(&self) -> Words {
        match self {
            Self::CertificateTooLong { .. } => words!("certificate_too_long"),
            Self::CertificateMalformed(_) => words!("certificate_malformed"),
            Self::CertificateVersion { .. } => words!("certificate_version"),
            Self::PemMalformed { .. } => words!("pem_malformed"),
            Self::ExtensionDuplicate { .. } => words!("certificate_extension_duplicate"),
            Self::ExtensionsTooMany { .. } => words!("certificate_extensions_too_many"),
            Self::ExtensionCriticalUnknown { .. } => words!("certificate_extension_critical_unknown"),
            Self::SignatureAlgorithmsDiffer => words!("certificate_signature_algorithms_differ"),
            Self::SignatureAlgorithmUnsupported { .. } => words!("certificate_signature_algorithm"),
            Self::PssAlgorithm { .. } => words!("certificate_pss_algorithm"),
            Self::PssSaltLength { .. } => words!("certificate_pss_salt_length"),
            Self::PssMalformed { .. } => words!("certificate_pss_malformed"),
            Self::KeyUnsupported { .. } => words!("certificate_key_unsupported"),
            Self::CertificateNotYetValid { .. } => words!("certificate_not_yet_valid"),
            Self::CertificateExpired { .. } => words!("certificate_expired"),
            Self::IssuerMismatch { .. } => words!("certificate_issuer_mismatch"),
            Self::IssuerNotCa { .. } => words!("certificate_issuer_not_ca"),
            Self::IssuerKeyUsage { .. } => words!("certificate_issuer_key_usage"),
            Self::PathTooLong { .. } => words!("certificate_path_too_long"),
            Self::LeafIsCa => words!("certificate_leaf_is_ca"),
            Self::CertificateSignature { .. } => words!("certificate_signature_invalid"),
            Self::CrlTooLong { .. } => words!("crl_too_long"),
            Self::CrlMalformed(_) => words!("crl_malformed"),
            Self::CrlWithoutNextUpdate => words!("crl_without_next_update"),
            Self::CrlScope { .. } => words!("crl_scope"),
            Self::CrlIssuerMismatch { .. } => words!("crl_issuer_mismatch"),
            Self::CrlSignature { .. } => words!("crl_signature_invalid"),
            Self::CrlFuture { .. } => words!("crl_future"),
            Self::CrlStale { .. } => words!("crl_stale"),
            Self::Revoked { .. } => words!("certificate_revoked"),
        }
    }
}
