//! What verification establishes: a type that only [`verify`](crate::verify) makes.

use alloc::boxed::Box;

use serde::Serialize;

use crate::snp::VerifiedSnp;
use crate::tdx::VerifiedTdx;
use crate::{RootKind, UnixSeconds, json_words, snp, tdx};

/// Evidence whose signatures, certificates and internal consistency were verified.
///
/// There is no other constructor than [`verify`](crate::verify), and no way to deserialise one: to
/// hold a value of this type is to know that the checks passed.
#[derive(Debug, Clone)]
pub struct VerifiedEvidence {
    inner: Inner,
    root: RootKind,
    at: UnixSeconds,
}

#[derive(Debug, Clone)]
pub(crate) enum Inner {
    Snp(Box<VerifiedSnp>),
    Tdx(Box<VerifiedTdx>),
}

/// Which vendor's technology made the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Platform {
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

json_words!(Platform { "sev-snp" => SevSnp, "tdx" => Tdx });

impl core::fmt::Display for Platform {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl VerifiedEvidence {
    pub(crate) fn new(inner: Inner, root: RootKind, at: UnixSeconds) -> Self {
        Self { inner, root, at }
    }

    /// The 64 bytes that the guest chose.
    pub fn report_data(&self) -> &[u8; 64] {
        match &self.inner {
            Inner::Snp(verified) => verified.report().report_data(),
            Inner::Tdx(verified) => verified.report_data(),
        }
    }

    /// Which technology made it.
    pub fn platform(&self) -> Platform {
        match &self.inner {
            Inner::Snp(_) => Platform::SevSnp,
            Inner::Tdx(_) => Platform::Tdx,
        }
    }

    /// Whether the vendor vouches for it, or a test authority does.
    pub fn root(&self) -> RootKind {
        self.root
    }

    /// The moment for which certificates and revocation lists were judged.
    pub fn verified_at(&self) -> UnixSeconds {
        self.at
    }

    /// The SEV-SNP report's facts, where it is one.
    pub fn snp(&self) -> Option<&VerifiedSnp> {
        match &self.inner {
            Inner::Snp(verified) => Some(verified),
            Inner::Tdx(_) => None,
        }
    }

    /// The TDX quote's facts, where it is one.
    pub fn tdx(&self) -> Option<&VerifiedTdx> {
        match &self.inner {
            Inner::Tdx(verified) => Some(verified),
            Inner::Snp(_) => None,
        }
    }

    /// Everything the evidence claims, for showing and for JSON.
    pub fn claims(&self) -> Claims {
        match &self.inner {
            Inner::Snp(verified) => Claims::SevSnp(Box::new(verified.claims())),
            Inner::Tdx(verified) => Claims::Tdx(Box::new(verified.claims())),
        }
    }
}

/// What evidence claims, by stable names. Bytes are lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "platform")]
#[non_exhaustive]
pub enum Claims {
    /// Of an SEV-SNP report.
    #[serde(rename = "sev-snp")]
    SevSnp(Box<snp::Claims>),
    /// Of a TDX quote.
    #[serde(rename = "tdx")]
    Tdx(Box<tdx::Claims>),
}
