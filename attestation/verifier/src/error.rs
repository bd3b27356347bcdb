//! Why evidence was not verified.

use alloc::string::String;

use crate::{Platform, snp, tdx, x509};

/// Why evidence was not verified: the first clause that failed, with the values it compared.
///
/// [`Error::code`] is a stable word for the clause; the display text is for people and may change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The endorsements are for another vendor's evidence.
    #[error("endorsements are for {endorsements}, evidence is of {evidence}")]
    EndorsementsPlatform {
        /// Platform of the evidence.
        evidence: Platform,
        /// Platform of the endorsements.
        endorsements: Platform,
    },
    /// A certificate failed a check.
    #[error("{role}: {error}")]
    Certificate {
        /// Which certificate of the hierarchy.
        role: CertificateRole,
        /// What is wrong with it.
        error: x509::Error,
    },
    /// A revocation list failed a check.
    #[error("CRL of the {issuer}: {error}")]
    Crl {
        /// Whose revocation list.
        issuer: CertificateRole,
        /// What is wrong with it.
        error: x509::Error,
    },
    /// The chain ends in a certificate that is no trust root, or in a name no trust root bears.
    #[error("{role} {subject:?} is not a trust root")]
    RootNotTrusted {
        /// Which root of which vendor.
        role: CertificateRole,
        /// Its common name.
        subject: String,
    },
    /// An SEV-SNP check failed.
    #[error(transparent)]
    Snp(#[from] snp::Error),
    /// A TDX check failed.
    #[error(transparent)]
    Tdx(#[from] tdx::Error),
}

impl Error {
    /// The stable word for the clause that failed: snake case, distinct per clause. What AMD's and
    /// Intel's certificates and lists have in common starts with `snp_` or `tdx_`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::EndorsementsPlatform { .. } => "endorsements_platform_mismatch",
            Self::Certificate { role, error } => error.words().of(role.platform()),
            Self::Crl { issuer, error } => error.crl_words().of(issuer.platform()),
            Self::RootNotTrusted { role, .. } => x509::ROOT_NOT_TRUSTED.of(role.platform()),
            Self::Snp(error) => error.code(),
            Self::Tdx(error) => error.code(),
        }
    }
}

/// A certificate's place in its vendor's hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateRole {
    /// AMD root key, one per product.
    Ark,
    /// AMD SEV key, which signs VCEKs.
    Ask,
    /// AMD SEV VLEK key, which signs VLEKs.
    Asvk,
    /// Versioned chip endorsement key or versioned loaded endorsement key.
    Vek,
    /// Intel SGX root CA.
    IntelRoot,
    /// Intel SGX PCK processor or platform CA.
    PckCa,
    /// The platform's provisioning certification key.
    Pck,
    /// Intel's signer of TCB info and QE identity.
    TcbSigning,
}

impl CertificateRole {
    /// Whose evidence such a certificate endorses.
    pub fn platform(self) -> Platform {
        match self {
            Self::Ark | Self::Ask | Self::Asvk | Self::Vek => Platform::SevSnp,
            Self::IntelRoot | Self::PckCa | Self::Pck | Self::TcbSigning => Platform::Tdx,
        }
    }
}

impl core::fmt::Display for CertificateRole {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Ark => "ARK",
            Self::Ask => "ASK",
            Self::Asvk => "ASVK",
            Self::Vek => "VEK",
            Self::IntelRoot => "Intel SGX root CA",
            Self::PckCa => "PCK CA",
            Self::Pck => "PCK certificate",
            Self::TcbSigning => "TCB signing certificate",
        })
    }
}

/// Attaches the role to what went wrong with a certificate or its issuer's CRL.
pub(crate) trait InRole<T> {
    /// Names the certificate.
    fn in_role(self, role: CertificateRole) -> Result<T, Error>;
    /// Names the issuer of the CRL.
    fn in_crl_of(self, issuer: CertificateRole) -> Result<T, Error>;
}

impl<T> InRole<T> for Result<T, x509::Error> {
    fn in_role(self, role: CertificateRole) -> Result<T, Error> {
        self.map_err(|error| Error::Certificate { role, error })
    }

    fn in_crl_of(self, issuer: CertificateRole) -> Result<T, Error> {
        self.map_err(|error| Error::Crl { issuer, error })
    }
}
