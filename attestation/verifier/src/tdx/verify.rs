//! The one way from a quote to [`VerifiedTdx`].
//!
//! Order: the quote's own structure, the PCK chain, what the PCK signed, what the attestation key
//! signed; then the collateral, each part under the same root; then what the collateral says of the
//! platform; then the event log. The first failing step is reported. What is checked at each step
//! follows Intel's Quote Verification Library, except that here a status is never an error.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::chain::{CommonWindow, Context, PckChain, p256_key, split_pem, verify_crl, verify_tcb_signer};
use super::error::{Document, DocumentFault, Error as TdxError};
use super::event_log::EventLog;
use super::pck::PckPlatform;
use super::qe_identity::QeIdentity;
use super::quote::Quote;
use super::tcb_info::TcbInfo;
use super::verified::{Parts, TcbAppraisal, VerifiedTdx};
use crate::crypto::Crypto;
use crate::encoding::{Hex, from_mixed_hex};
use crate::error::InRole as _;
use crate::x509::{self, CRL_BYTES_MAX};
use crate::{CertificateRole, Error, RootKind, TdxCollateral, TrustRoots, UnixSeconds};

/// Intel's QE vendor id.
pub const QE_VENDOR_INTEL: [u8; 16] =
    [0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07];

/// Verifies a quote with its collateral, and the event log if there is one.
///
/// A TCB that is out of date or matches no level is not an error but a status in the result.
///
/// # Errors
/// The first step that fails.
pub fn verify(
    quote: &[u8],
    event_log: Option<&[u8]>,
    collateral: Option<&TdxCollateral>,
    roots: &TrustRoots,
    at: UnixSeconds,
    crypto: &dyn Crypto,
) -> Result<(Box<VerifiedTdx>, RootKind), Error> {
    let context = Context { at, crypto };
    let mut window = CommonWindow::default();
    let quote = Quote::parse(quote)?;
    check_header(&quote)?;

    let chain_pem = quote
        .pck_chain_pem()
        .or_else(|| collateral.and_then(|c| c.pck_certificate_chain.as_deref()).map(str::as_bytes))
        .ok_or(TdxError::PckChainMissing)?;
    let ders = split_pem(chain_pem, CertificateRole::Pck)?;
    let chain = PckChain::verify(&ders, roots, context, &mut window)?;
    check_signatures(&quote, &chain, crypto)?;
    let platform = PckPlatform::from_certificate(&chain.pck)?;

    let collateral = collateral.ok_or(TdxError::CollateralMissing)?;
    let (tcb_info, qe_identity) = verify_collateral(collateral, &chain, context, &mut window)?;
    let tcb = appraise(&quote, &platform, &tcb_info, &qe_identity)?;
    check_td_attributes(&quote)?;

    let event_log = match event_log {
        None => None,
        Some(bytes) => Some(EventLog::parse(bytes)?.replay(&quote.report().rtmr, crypto)?),
    };
    let root = chain.trusted.kind(crypto);
    let parts = Parts {
        header: quote.header().clone(),
        report: quote.report().clone(),
        qe_report: quote.qe_report().clone(),
        qe_auth_data: quote.qe_auth_data().to_vec(),
        trailing: quote.trailing(),
        pck_ca: chain.ca_kind,
        pck_serial: chain.pck.serial().to_vec(),
        pck_validity: chain.pck.validity(),
        platform,
        tcb,
        tcb_info_window: tcb_info.window,
        tcb_info_evaluation_number: tcb_info.evaluation_number,
        qe_identity_window: qe_identity.window,
        qe_identity_evaluation_number: qe_identity.evaluation_number,
        collateral_window: window.0,
        event_log,
        root,
    };
    Ok((Box::new(VerifiedTdx::new(parts)), root))
}

fn check_header(quote: &Quote<'_>) -> Result<(), TdxError> {
    let vendor = quote.header().qe_vendor_id;
    if vendor != QE_VENDOR_INTEL {
        return Err(TdxError::QeVendor { reported: Hex(vendor), expected: Hex(QE_VENDOR_INTEL) });
    }
    Ok(())
}

/// The chain of signatures from the PCK to the TD report.
fn check_signatures(quote: &Quote<'_>, chain: &PckChain<'_>, crypto: &dyn Crypto) -> Result<(), Error> {
    let qe = quote.qe();
    let pck_key = p256_key(&chain.pck, CertificateRole::Pck)?;
    if !crypto.verify_p256_sha256(pck_key, qe.report_bytes, &qe.report_signature) {
        return Err(TdxError::QeReportSignature.into());
    }

    // SHA-256(attestation key ‖ authentication data) ‖ 32 zero bytes.
    let mut bound = Vec::from(quote.attestation_key().as_slice());
    bound.extend_from_slice(qe.auth_data);
    let computed = crypto.sha256(&bound);
    let (digest, tail) = halves(&qe.report.report_data);
    if digest != computed {
        let (reported, computed) = (Hex(digest), Hex(computed));
        return Err(TdxError::AttestationKeyUnbound { reported, computed }.into());
    }
    if tail != [0; 32] {
        return Err(TdxError::QeReportDataTail { reported: Hex(tail) }.into());
    }

    // SEC1 2.3.3: 0x04 leads an uncompressed point.
    let mut point = Vec::from([0x04]);
    point.extend_from_slice(quote.attestation_key());
    if !crypto.verify_p256_sha256(&point, quote.signed_bytes(), quote.signature()) {
        return Err(TdxError::QuoteSignature.into());
    }
    Ok(())
}

fn halves(report_data: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut low, mut high) = ([0; 32], [0; 32]);
    let (first, second) = report_data.split_at(32);
    low.copy_from_slice(first);
    high.copy_from_slice(second);
    (low, high)
}

/// Verifies revocation lists and signed documents under the root that the PCK chain led to.
fn verify_collateral(
    collateral: &TdxCollateral,
    chain: &PckChain<'_>,
    context: Context<'_>,
    window: &mut CommonWindow,
) -> Result<(TcbInfo, QeIdentity), Error> {
    let (root_role, ca_role) = (CertificateRole::IntelRoot, CertificateRole::PckCa);
    let root_crl = crl_bytes(&collateral.root_ca_crl, "root CA CRL", root_role)?;
    let root_crl = verify_crl(&root_crl, &chain.root, root_role, context, window)?;
    root_crl.check_not_revoked(&chain.root).in_role(root_role)?;
    root_crl.check_not_revoked(&chain.ca).in_role(ca_role)?;
    let pck_crl = crl_bytes(&collateral.pck_crl, "PCK CRL", ca_role)?;
    let pck_crl = verify_crl(&pck_crl, &chain.ca, ca_role, context, window)?;
    pck_crl.check_not_revoked(&chain.pck).in_role(CertificateRole::Pck)?;

    let signer_role = CertificateRole::TcbSigning;
    let tcb_chain = &collateral.tcb_info_issuer_chain;
    let ders = split_pem(present(tcb_chain, "TCB info issuer chain")?.as_bytes(), signer_role)?;
    let signer = verify_tcb_signer(&ders, &chain.root, context, window)?;
    root_crl.check_not_revoked(&signer).in_role(signer_role)?;
    let key = p256_key(&signer, signer_role)?;
    let text = present(&collateral.tcb_info, "TCB info")?;
    check_document(Document::TcbInfo, text, &collateral.tcb_info_signature, key, context.crypto)?;

    let qe_chain = &collateral.qe_identity_issuer_chain;
    let qe_ders;
    let key = if qe_chain == tcb_chain {
        key // The same signer, as Intel does it: its chain has just been verified.
    } else {
        qe_ders = split_pem(present(qe_chain, "QE identity issuer chain")?.as_bytes(), signer_role)?;
        let signer = verify_tcb_signer(&qe_ders, &chain.root, context, window)?;
        root_crl.check_not_revoked(&signer).in_role(signer_role)?;
        p256_key(&signer, signer_role)?
    };
    let qe_text = present(&collateral.qe_identity, "QE identity")?;
    check_document(Document::QeIdentity, qe_text, &collateral.qe_identity_signature, key, context.crypto)?;

    // Nothing of a document is read before its signature has been checked.
    let tcb_info = TcbInfo::parse(text)?;
    let qe_identity = QeIdentity::parse(qe_text)?;
    for (document, validity) in
        [(Document::TcbInfo, tcb_info.window), (Document::QeIdentity, qe_identity.window)]
    {
        validity.check(document, context.at)?;
        window.narrow(validity.issued, validity.next_update);
    }
    Ok((tcb_info, qe_identity))
}

/// Checks a document's signature over its text, byte for byte as it came.
fn check_document(
    document: Document,
    text: &str,
    signature: &str,
    key: &[u8; 65],
    crypto: &dyn Crypto,
) -> Result<(), TdxError> {
    let part = match document {
        Document::TcbInfo => "TCB info signature",
        Document::QeIdentity => "QE identity signature",
    };
    let signature = hex_bytes(signature, part, 64)?;
    if !crypto.verify_p256_sha256(key, text.as_bytes(), &signature) {
        return Err(document.fault(DocumentFault::Signature));
    }
    Ok(())
}

/// What the documents say of this platform, its TDX module and its quoting enclave.
fn appraise(
    quote: &Quote<'_>,
    platform: &PckPlatform,
    tcb_info: &TcbInfo,
    qe_identity: &QeIdentity,
) -> Result<TcbAppraisal, TdxError> {
    if platform.fmspc != tcb_info.fmspc {
        let (platform, tcb_info) = (Hex(platform.fmspc), Hex(tcb_info.fmspc));
        return Err(TdxError::Fmspc { platform, tcb_info });
    }
    if platform.pce_id != tcb_info.pce_id {
        let (platform, tcb_info) = (Hex(platform.pce_id), Hex(tcb_info.pce_id));
        return Err(TdxError::PceId { platform, tcb_info });
    }
    let qe = qe_identity.appraise(quote.qe_report())?;
    let report = quote.report();
    tcb_info.check_module_signer(report)?;
    let svns = platform.svns;
    let launch = (tcb_info.platform(svns, &report.tee_tcb_svn), tcb_info.module(&report.tee_tcb_svn)?);
    let current = match &report.td_1_5 {
        None => None,
        Some(td) => Some((tcb_info.platform(svns, &td.tee_tcb_svn2), tcb_info.module(&td.tee_tcb_svn2)?)),
    };
    Ok(TcbAppraisal::new(launch, current, qe))
}

fn check_td_attributes(quote: &Quote<'_>) -> Result<(), TdxError> {
    let attributes = quote.report().td_attributes;
    match attributes.reserved() {
        0 => Ok(()),
        reserved => Err(TdxError::TdAttributesReserved {
            attributes: Hex(attributes.to_le_bytes()),
            reserved: Hex(reserved.to_le_bytes()),
        }),
    }
}

fn present<'a>(text: &'a str, part: &'static str) -> Result<&'a str, TdxError> {
    if text.is_empty() { Err(TdxError::CollateralIncomplete { part, is_crl: false }) } else { Ok(text) }
}

/// Decodes a revocation list.
fn crl_bytes(text: &str, part: &'static str, issuer: CertificateRole) -> Result<Vec<u8>, Error> {
    if text.is_empty() {
        return Err(TdxError::CollateralIncomplete { part, is_crl: true }.into());
    }
    let (len, max) = (text.len().div_ceil(2), CRL_BYTES_MAX);
    if len > max {
        return Err(x509::Error::CrlTooLong { len, max }).in_crl_of(issuer);
    }
    from_mixed_hex(text).ok_or(TdxError::CollateralEncoding { part }.into())
}

/// Decodes a part of the collateral that is hexadecimal of at most `len_max` bytes.
fn hex_bytes(text: &str, part: &'static str, len_max: usize) -> Result<Vec<u8>, TdxError> {
    if text.is_empty() {
        return Err(TdxError::CollateralIncomplete { part, is_crl: false });
    }
    if text.len() > len_max.saturating_mul(2) {
        return Err(TdxError::CollateralEncoding { part });
    }
    from_mixed_hex(text).ok_or(TdxError::CollateralEncoding { part })
}
