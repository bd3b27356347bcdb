//! From the VEK to a believed ARK (AMD 57230, "Certificate chain"): ARK → ASK → VCEK, or
//! ARK → ASVK → VLEK, and the ARK's revocation list.

use alloc::string::ToString;

use super::error::Error as SnpError;
use super::vek::Vek;
use super::{Product, VekKind, VerifiedCrl, pinned};
use crate::crypto::Crypto;
use crate::error::InRole as _;
use crate::roots::Root;
use crate::x509::{Certificate, Crl};
use crate::{CertificateRole, Error, RootKind, SnpEndorsements, TrustRoots, UnixSeconds};

/// What a verified chain establishes about the VEK.
pub(super) struct Chain {
    pub(super) product: Product,
    pub(super) root: RootKind,
    pub(super) crl: Option<VerifiedCrl>,
}

/// The ASK or ASVK, by its name.
struct Intermediate<'a> {
    certificate: Certificate<'a>,
    issues: VekKind,
    product: Product,
}

impl Intermediate<'_> {
    fn role(&self) -> CertificateRole {
        match self.issues {
            VekKind::Vcek => CertificateRole::Ask,
            VekKind::Vlek => CertificateRole::Asvk,
        }
    }
}

/// Verifies that a believed ARK stands above `vek`, with every certificate valid at `at` and, where a
/// revocation list is given, none of them on it.
pub(super) fn verify(
    vek: &Vek<'_>,
    endorsements: &SnpEndorsements,
    roots: &TrustRoots,
    at: UnixSeconds,
    crypto: &dyn Crypto,
) -> Result<Chain, Error> {
    let intermediate = match &endorsements.intermediate {
        Some(der) => parse_intermediate(&der.0)?,
        None => pinned_intermediate(vek)?,
    };
    let role = intermediate.role();
    if intermediate.issues != vek.kind() {
        return Err(Error::Snp(SnpError::VekIssuerKind {
            vek: vek.kind(),
            issuer: intermediate.certificate.subject().to_string(),
            issues: intermediate.issues,
        }));
    }

    let (root, root_certificate) = find_root(&intermediate, endorsements, roots, crypto)?;
    let product = product_of_ark(&root_certificate)?;
    if intermediate.product != product {
        let intermediate = intermediate.product;
        return Err(SnpError::ChainProductMismatch { root: product, intermediate }.into());
    }
    vek.certificate.check_issued_by(&intermediate.certificate, 0, crypto).in_role(CertificateRole::Vek)?;
    vek.certificate.check_leaf().in_role(CertificateRole::Vek)?;
    if vek.product != product {
        return Err(SnpError::VekProductMismatch { vek: vek.product, chain: product }.into());
    }

    for (role, certificate) in [
        (CertificateRole::Ark, &root_certificate),
        (role, &intermediate.certificate),
        (CertificateRole::Vek, &vek.certificate),
    ] {
        certificate.check_critical_extensions(&[]).in_role(role)?;
        certificate.check_validity(at).in_role(role)?;
    }

    let crl = match &endorsements.crl {
        Some(der) => Some(check_crl(&der.0, &root_certificate, &intermediate, at, crypto)?),
        None => None,
    };
    Ok(Chain { product, root: root.kind(crypto), crl })
}

/// The product whose ARK this is, by its common name.
pub(crate) fn product_of_ark(ark: &Certificate<'_>) -> Result<Product, SnpError> {
    let name = ark.subject().common_name().and_then(|name| name.strip_prefix("ARK-"));
    name.and_then(Product::from_name)
        .ok_or_else(|| SnpError::ChainNameUnknown { subject: ark.subject().to_string() })
}

fn parse_intermediate(der: &[u8]) -> Result<Intermediate<'_>, Error> {
    // Whether it is the ASK or the ASVK is not known before it is parsed.
    let certificate = Certificate::parse(der).in_role(CertificateRole::Ask)?;
    let name = certificate.subject().common_name().and_then(|name| name.strip_prefix("SEV-"));
    let (issues, product) = match name.map(|name| (name, name.strip_prefix("VLEK-"))) {
        Some((_, Some(product))) => (VekKind::Vlek, Product::from_name(product)),
        Some((product, None)) => (VekKind::Vcek, Product::from_name(product)),
        None => (VekKind::Vcek, None),
    };
    let Some(product) = product else {
        return Err(SnpError::ChainNameUnknown { subject: certificate.subject().to_string() }.into());
    };
    Ok(Intermediate { certificate, issues, product })
}

/// The pinned ASK or ASVK that bears the name of the VEK's issuer.
fn pinned_intermediate(vek: &Vek<'_>) -> Result<Intermediate<'static>, Error> {
    for der in pinned::INTERMEDIATES {
        let intermediate = parse_intermediate(der)?;
        if intermediate.certificate.subject() == vek.certificate.issuer() {
            return Ok(intermediate);
        }
    }
    Err(SnpError::VekIssuerUnknown { issuer: vek.certificate.issuer().to_string() }.into())
}

/// The believed root that issued the intermediate. A test authority may bear the same name as AMD's,
/// so every root of that name is tried; the vendor's come first.
fn find_root<'a>(
    intermediate: &Intermediate<'_>,
    endorsements: &SnpEndorsements,
    roots: &'a TrustRoots,
    crypto: &dyn Crypto,
) -> Result<(&'a Root, Certificate<'a>), Error> {
    if let Some(offered) = &endorsements.root
        && !roots.amd().iter().any(|root| root.der() == offered.0)
    {
        let offered = Certificate::parse(&offered.0).in_role(CertificateRole::Ark)?;
        let subject = offered.subject().to_string();
        return Err(Error::RootNotTrusted { role: CertificateRole::Ark, subject });
    }
    let subject = intermediate.certificate.issuer().to_string();
    let mut refusal = Error::RootNotTrusted { role: CertificateRole::Ark, subject };
    for root in roots.amd() {
        if endorsements.root.as_ref().is_some_and(|offered| offered.0 != root.der()) {
            continue;
        }
        let certificate = Certificate::parse(root.der()).in_role(CertificateRole::Ark)?;
        if certificate.subject() != intermediate.certificate.issuer() {
            continue;
        }
        match intermediate.certificate.check_issued_by(&certificate, 1, crypto) {
            Ok(()) => return Ok((root, certificate)),
            Err(error) => refusal = Error::Certificate { role: intermediate.role(), error },
        }
    }
    Err(refusal)
}

/// The ARK's list speaks of what the ARK issued: the ASK and ASVK, and itself. A VEK it cannot
/// revoke; all VEKs have serial number 0 anyway.
fn check_crl(
    der: &[u8],
    root: &Certificate<'_>,
    intermediate: &Intermediate<'_>,
    at: UnixSeconds,
    crypto: &dyn Crypto,
) -> Result<VerifiedCrl, Error> {
    let crl = Crl::parse(der).in_crl_of(CertificateRole::Ark)?;
    crl.check(root, at, crypto).in_crl_of(CertificateRole::Ark)?;
    crl.check_not_revoked(root).in_role(CertificateRole::Ark)?;
    crl.check_not_revoked(&intermediate.certificate).in_role(intermediate.role())?;
    Ok(VerifiedCrl::new(&crl))
}
