//! Intel's certificate hierarchy: root CA → PCK Platform or Processor CA → PCK, and root CA → TCB
//! signing; with the root CA's and the PCK CA's revocation lists.
//!
//! Profile: Intel SGX PCK Certificate and CRL Profile Specification. The profile fixes the depth and
//! the names, so there is no path building: each certificate stands at its place or is refused. A
//! name keeps apart what the root would otherwise vouch for alike, an authority for PCKs and a
//! signer of TCB info.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::error::{Error as TdxError, Place};
use super::pck::{PckCa, PckPlatform};
use super::quote::Quote;
use super::signed_json::Window;
use super::tcb_info::bounded;
use crate::crypto::Crypto;
use crate::error::InRole;
use crate::roots::{Root, TrustRoots};
use crate::x509::{Certificate, Crl, PublicKey, pem_certificates};
use crate::{CertificateRole, Error, UnixSeconds};

const PCK_NAME: &str = "Intel SGX PCK Certificate";
const TCB_SIGNING_NAME: &str = "Intel SGX TCB Signing";

/// The longest chain has three certificates.
const CHAIN_MAX: usize = 3;

/// When everything looked at so far is valid at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CommonWindow(pub(super) Window);

impl CommonWindow {
    /// Narrows the window to what both allow.
    pub(super) fn narrow(&mut self, issued: UnixSeconds, next_update: UnixSeconds) {
        self.0.issued = self.0.issued.max(issued);
        self.0.next_update = self.0.next_update.min(next_update);
    }
}

impl Default for CommonWindow {
    fn default() -> Self {
        Self(Window { issued: UnixSeconds(0), next_update: UnixSeconds(u64::MAX) })
    }
}

/// What every step of a verification needs to know.
#[derive(Clone, Copy)]
pub(super) struct Context<'c> {
    pub(super) at: UnixSeconds,
    pub(super) crypto: &'c dyn Crypto,
}

/// A PCK certificate that chains to a believed root, before anyone asked the revocation lists.
pub(super) struct PckChain<'a> {
    pub(super) pck: Certificate<'a>,
    pub(super) ca: Certificate<'a>,
    pub(super) ca_kind: PckCa,
    pub(super) root: Certificate<'a>,
    pub(super) trusted: &'a Root,
}

impl<'a> PckChain<'a> {
    /// Verifies the chain of a PCK certificate: leaf, authority and, optionally, the root.
    pub(super) fn verify(
        ders: &'a [Vec<u8>],
        roots: &'a TrustRoots,
        context: Context<'_>,
        window: &mut CommonWindow,
    ) -> Result<Self, Error> {
        let (pck, ca, given_root) = match ders {
            [pck, ca] => (pck, ca, None),
            [pck, ca, root] => (pck, ca, Some(root)),
            _ => return Err(chain_length("PCK certificate chain", ders.len(), "2 or 3")),
        };
        let pck = Certificate::parse(pck).in_role(CertificateRole::Pck)?;
        let ca = Certificate::parse(ca).in_role(CertificateRole::PckCa)?;
        let (trusted, root) = find_root(&ca, given_root.map(Vec::as_slice), roots, context.crypto)?;

        require_name(&pck, Place::Pck, &[PCK_NAME])?;
        let [platform, processor] = [PckCa::Platform, PckCa::Processor].map(PckCa::name);
        let ca_kind = match require_name(&ca, Place::PckCa, &[platform, processor])? {
            name if name == platform => PckCa::Platform,
            _ => PckCa::Processor,
        };
        check_at(&root, CertificateRole::IntelRoot, context, window)?;
        check_at(&ca, CertificateRole::PckCa, context, window)?;
        check_at(&pck, CertificateRole::Pck, context, window)?;
        ca.check_issued_by(&root, 1, context.crypto).in_role(CertificateRole::PckCa)?;
        pck.check_leaf().in_role(CertificateRole::Pck)?;
        pck.check_issued_by(&ca, 0, context.crypto).in_role(CertificateRole::Pck)?;
        Ok(Self { pck, ca, ca_kind, root, trusted })
    }
}

/// The platform that a quote's own PCK certificate names, and the authority that it names as its issuer.
///
/// **Nothing of it is verified**: it says which collateral to ask for, and whoever asks for the wrong one
/// gets a quote that does not verify.
///
/// # Errors
/// When quote, chain or certificate is malformed, or the quote carries no chain.
pub fn claimed_platform(quote: &[u8]) -> Result<(PckPlatform, PckCa), Error> {
    let quote = Quote::parse(quote)?;
    let pem = quote.pck_chain_pem().unwrap_or_default();
    let chain = split_pem(pem, CertificateRole::Pck)?;
    let leaf = chain.first().map(Vec::as_slice).unwrap_or_default();
    let leaf = Certificate::parse(leaf).in_role(CertificateRole::Pck)?;
    let ca = match leaf.issuer().common_name() {
        Some(name) if name == PckCa::Processor.name() => PckCa::Processor,
        _ => PckCa::Platform,
    };
    Ok((PckPlatform::from_certificate(&leaf)?, ca))
}

/// Verifies a chain of a signer of TCB info or QE identity under `root` and gives the signer.
pub(super) fn verify_tcb_signer<'a>(
    ders: &'a [Vec<u8>],
    root: &Certificate<'_>,
    context: Context<'_>,
    window: &mut CommonWindow,
) -> Result<Certificate<'a>, Error> {
    let role = CertificateRole::TcbSigning;
    let (signer, given_root) = match ders {
        [signer] => (signer, None),
        [signer, root] => (signer, Some(root)),
        _ => return Err(chain_length("TCB signing certificate chain", ders.len(), "1 or 2")),
    };
    if let Some(given) = given_root
        && given.as_slice() != root.der()
    {
        return Err(not_trusted(&Certificate::parse(given).in_role(CertificateRole::IntelRoot)?));
    }
    let signer = Certificate::parse(signer).in_role(role)?;
    require_name(&signer, Place::TcbSigning, &[TCB_SIGNING_NAME])?;
    check_at(&signer, role, context, window)?;
    signer.check_leaf().in_role(role)?;
    signer.check_issued_by(root, 0, context.crypto).in_role(role)?;
    Ok(signer)
}

/// Verifies that `issuer` issued the list and that it is current.
pub(super) fn verify_crl<'a>(
    der: &'a [u8],
    issuer: &Certificate<'_>,
    role: CertificateRole,
    context: Context<'_>,
    window: &mut CommonWindow,
) -> Result<Crl<'a>, Error> {
    let crl = Crl::parse(der).in_crl_of(role)?;
    crl.check(issuer, context.at, context.crypto).in_crl_of(role)?;
    window.narrow(crl.this_update(), crl.next_update());
    Ok(crl)
}

/// The DER certificates of a PEM chain.
pub(super) fn split_pem(text: &[u8], leaf: CertificateRole) -> Result<Vec<Vec<u8>>, Error> {
    pem_certificates(text, CHAIN_MAX).in_role(leaf)
}

/// The 65-byte point of a certificate that must have a P-256 key.
pub(super) fn p256_key<'a>(
    certificate: &Certificate<'a>,
    role: CertificateRole,
) -> Result<&'a [u8; 65], Error> {
    match certificate.public_key() {
        PublicKey::P256(point) => Ok(point),
        _ => Err(crate::x509::Error::KeyUnsupported { what: "not on P-256" }).in_role(role),
    }
}

/// The believed root that `ca` hangs on. If the chain brings a root, it must be that very one.
fn find_root<'r>(
    ca: &Certificate<'_>,
    given: Option<&[u8]>,
    roots: &'r TrustRoots,
    crypto: &dyn Crypto,
) -> Result<(&'r Root, Certificate<'r>), Error> {
    let mut candidate = None;
    for trusted in roots.intel() {
        let root = Certificate::parse(trusted.der()).in_role(CertificateRole::IntelRoot)?;
        let fits = match given {
            Some(given) => given == root.der(),
            None => root.subject() == ca.issuer(),
        };
        if !fits {
            continue;
        }
        // A test authority bears the same names as Intel: only the signature tells them apart. If no
        // root of that name signed it, the first one is kept so that its check says what is wrong.
        if given.is_some() || ca.check_issued_by(&root, 1, crypto).is_ok() {
            return Ok((trusted, root));
        }
        candidate = candidate.or(Some((trusted, root)));
    }
    match (candidate, given) {
        (Some(found), _) => Ok(found),
        (None, Some(given)) => {
            Err(not_trusted(&Certificate::parse(given).in_role(CertificateRole::IntelRoot)?))
        }
        (None, None) => {
            Err(Error::RootNotTrusted { role: CertificateRole::IntelRoot, subject: ca.issuer().to_string() })
        }
    }
}

fn not_trusted(root: &Certificate<'_>) -> Error {
    Error::RootNotTrusted { role: CertificateRole::IntelRoot, subject: root.subject().to_string() }
}

fn check_at(
    certificate: &Certificate<'_>,
    role: CertificateRole,
    context: Context<'_>,
    window: &mut CommonWindow,
) -> Result<(), Error> {
    certificate.check_validity(context.at).in_role(role)?;
    certificate.check_critical_extensions(&[]).in_role(role)?;
    let validity = certificate.validity();
    window.narrow(validity.not_before, validity.not_after);
    Ok(())
}

fn require_name(
    certificate: &Certificate<'_>,
    place: Place,
    expected: &[&'static str],
) -> Result<&'static str, Error> {
    let name = certificate.subject().common_name().unwrap_or_default();
    expected
        .iter()
        .find(|expected| **expected == name)
        .copied()
        .ok_or_else(|| TdxError::CertificateName { place, name: bounded(name) }.into())
}

fn chain_length(chain: &'static str, count: usize, expected: &'static str) -> Error {
    TdxError::ChainLength { chain, count, expected }.into()
}
