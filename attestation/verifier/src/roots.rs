//! Which roots are believed.
//!
//! Belief is an argument of [`verify`](crate::verify), never a global. The vendors' roots are pinned
//! here by value; where the bytes come from stands in `roots/amd/README.md` and `roots/intel/README.md`.

use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::crypto::Crypto;
use crate::error::InRole as _;
use crate::x509::Certificate;
use crate::{CertificateRole, Error, snp, tdx};

/// The roots a caller believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRoots {
    amd: Vec<Root>,
    intel: Vec<Root>,
}

/// What kind of root evidence was verified under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RootKind {
    /// A silicon vendor's own root, pinned in this crate.
    Vendor,
    /// A root that the caller added: whatever it says is simulated.
    Test {
        /// SHA-256 of the root certificate.
        sha256: [u8; 32],
    },
}

/// One believed root certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    der: Cow<'static, [u8]>,
    is_vendor: bool,
}

impl Root {
    /// The certificate.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// What evidence under this root may call itself.
    pub(crate) fn kind(&self, crypto: &dyn Crypto) -> RootKind {
        if self.is_vendor { RootKind::Vendor } else { RootKind::Test { sha256: crypto.sha256(&self.der) } }
    }
}

impl TrustRoots {
    /// No root: nothing verifies. The start for test authorities alone.
    pub fn none() -> Self {
        Self { amd: Vec::new(), intel: Vec::new() }
    }

    /// AMD's three ARKs (Milan, Genoa, Turin) and Intel's SGX root CA.
    pub fn vendor_pinned() -> Self {
        let pinned = |der: &'static [u8]| Root { der: Cow::Borrowed(der), is_vendor: true };
        Self {
            amd: snp::pinned::ARKS.iter().map(|der| pinned(der)).collect(),
            intel: tdx::PINNED_ROOTS.iter().map(|der| pinned(der)).collect(),
        }
    }

    /// Believes this ARK too, as a test authority. Its common name says which product it is for
    /// (`ARK-Milan`, `ARK-Genoa`, `ARK-Turin`), as with AMD's.
    ///
    /// # Errors
    /// When it is not a certificate, not a certificate authority, or not named so.
    pub fn with_test_amd_root(mut self, ark_der: &[u8]) -> Result<Self, Error> {
        let ark = Certificate::parse(ark_der).in_role(CertificateRole::Ark)?;
        snp::product_of_ark(&ark)?;
        self.amd.push(Self::test_root(&ark, CertificateRole::Ark)?);
        Ok(self)
    }

    /// Believes this root in place of Intel's SGX root CA too, as a test authority.
    ///
    /// # Errors
    /// When it is not a certificate or not a certificate authority.
    pub fn with_test_intel_root(mut self, root_der: &[u8]) -> Result<Self, Error> {
        let root = Certificate::parse(root_der).in_role(CertificateRole::IntelRoot)?;
        self.intel.push(Self::test_root(&root, CertificateRole::IntelRoot)?);
        Ok(self)
    }

    fn test_root(root: &Certificate<'_>, role: CertificateRole) -> Result<Root, Error> {
        if !root.is_ca() {
            let subject = root.subject().to_string();
            return Err(crate::x509::Error::IssuerNotCa { subject }).in_role(role);
        }
        Ok(Root { der: Cow::Owned(root.der().to_vec()), is_vendor: false })
    }

    /// AMD roots, the vendor's first.
    pub(crate) fn amd(&self) -> &[Root] {
        &self.amd
    }

    /// Intel roots, the vendor's first.
    pub(crate) fn intel(&self) -> &[Root] {
        &self.intel
    }
}
