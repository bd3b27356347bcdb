//! The checks, in order: shape of the report, the VEK, its chain, the VEK against the report, and
//! last the report's signature, so that the commonest trouble in the field (a VEK of another TCB or
//! chip) is named as such and not as a broken signature.

use alloc::boxed::Box;

use super::error::Error as SnpError;
use super::vek::Vek;
use super::verified::Parts;
use super::{Product, Report, Tcb, VekKind, VekSubject, VerifiedSnp, chain};
use crate::crypto::Crypto;
use crate::{Error, RootKind, SnpEndorsements, TrustRoots, UnixSeconds};

/// Verifies a report. See the module's header for what that includes.
pub(crate) fn verify(
    report: &[u8],
    endorsements: Option<&SnpEndorsements>,
    roots: &TrustRoots,
    at: UnixSeconds,
    crypto: &dyn Crypto,
) -> Result<(Box<VerifiedSnp>, RootKind), Error> {
    let report = Report::parse(report)?;
    let endorsements = endorsements.ok_or(SnpError::VekMissing)?;
    let vek = endorsements.vek.as_ref().ok_or(SnpError::VekMissing)?;
    let vek = Vek::parse(&vek.0)?;
    if report.signing_key() != vek.kind() {
        let (report, certificate) = (report.signing_key(), vek.kind());
        return Err(SnpError::VekKindMismatch { report, certificate }.into());
    }
    let chain = chain::verify(&vek, endorsements, roots, at, crypto)?;
    let product = chain.product;
    check_cpuid(&report, product)?;
    let reported_tcb = check_tcb(&report, &vek, product)?;
    check_chip(&report, &vek, product)?;
    let current_tcb = report.current_tcb().components(product)?;
    let committed_tcb = report.committed_tcb().components(product)?;
    let launch_tcb = report.launch_tcb().components(product)?;
    let signature = report.signature().fixed();
    if !crypto.verify_p384_sha384(vek.public_key, report.signed_bytes(), signature) {
        return Err(SnpError::ReportSignature { vek: vek.kind() }.into());
    }
    let crl = chain.crl;
    let parts = Parts { report, product, reported_tcb, current_tcb, committed_tcb, launch_tcb, crl };
    Ok((Box::new(VerifiedSnp::new(parts, vek)), chain.root))
}

/// Since version 3 a report says which CPU made it, and that must be one of the chain's product.
fn check_cpuid(report: &Report, chain: Product) -> Result<(), SnpError> {
    let Some((family, model, _)) = report.cpuid() else { return Ok(()) };
    let cpuid = Product::from_cpuid(family, model);
    if cpuid == Some(chain) {
        return Ok(());
    }
    Err(SnpError::CpuidProductMismatch { family, model, cpuid, chain })
}

/// The VEK is derived from REPORTED_TCB (AMD 56860, "VCEK"): its certificate must say the same, in
/// every component. CURRENT_TCB may be higher.
fn check_tcb(report: &Report, vek: &Vek<'_>, product: Product) -> Result<Tcb, SnpError> {
    let reported = report.reported_tcb().components(product)?;
    let current = report.current_tcb().components(product)?;
    for ((component, vek_level), (_, reported_level)) in vek.tcb.components().zip(reported.components()) {
        if vek_level != reported_level {
            return Err(if vek.tcb == current {
                SnpError::VekTcbIsCurrent { component, vek: vek_level, reported: reported_level }
            } else {
                SnpError::VekTcbMismatch { component, vek: vek_level, reported: reported_level }
            });
        }
    }
    Ok(reported)
}

/// A VCEK's certificate names the chip, and so does the report (AMD 57230, "hwID"). A VLEK's names a
/// provider; its reports may or may not have a CHIP_ID.
fn check_chip(report: &Report, vek: &Vek<'_>, product: Product) -> Result<(), SnpError> {
    let (meaningful, tail) = report.chip_id_raw().split_at_checked(product.hwid_len()).unwrap_or_default();
    if tail.iter().any(|byte| *byte != 0) {
        return Err(SnpError::ChipIdTail { meaningful: product.hwid_len() });
    }
    let VekSubject::Hwid(hwid) = &vek.subject else { return Ok(()) };
    debug_assert_eq!(vek.kind(), VekKind::Vcek);
    if report.key_info().chip_key_masked() {
        return Err(SnpError::ChipKeyMasked);
    }
    if report.chip_id().is_none() {
        return Err(SnpError::ChipIdMasked);
    }
    if hwid != meaningful {
        return Err(SnpError::HwidMismatch { hwid: hwid.clone(), chip_id: meaningful.to_vec() });
    }
    Ok(())
}
