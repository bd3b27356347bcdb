//! The crate `dcap-qvl`, asked for its verdict.

use std::collections::BTreeSet;

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::configs::RingConfig;
use dcap_qvl::verify::QuoteVerifier;
use vouchsafe_verifier::{TdxCollateral, UnixSeconds};

/// `dcap-qvl`'s verdict: status and advisories, or why not.
pub(crate) type Theirs = Result<(String, BTreeSet<String>), String>;

/// Has `dcap-qvl` judge a quote, by its most lenient settings: what is a policy's business here should
/// not be an error there. Under Intel's root unless another is given.
pub(crate) fn theirs(
    quote: &[u8],
    collateral: &TdxCollateral,
    at: UnixSeconds,
    root: Option<&[u8]>,
) -> Theirs {
    let bytes = |text: &str| from_hex(text).ok_or_else(|| "not hexadecimal".to_owned());
    let collateral = QuoteCollateralV3 {
        pck_crl_issuer_chain: collateral.pck_crl_issuer_chain.clone(),
        root_ca_crl: bytes(&collateral.root_ca_crl)?,
        pck_crl: bytes(&collateral.pck_crl)?,
        tcb_info_issuer_chain: collateral.tcb_info_issuer_chain.clone(),
        tcb_info: collateral.tcb_info.clone(),
        tcb_info_signature: bytes(&collateral.tcb_info_signature)?,
        qe_identity_issuer_chain: collateral.qe_identity_issuer_chain.clone(),
        qe_identity: collateral.qe_identity.clone(),
        qe_identity_signature: bytes(&collateral.qe_identity_signature)?,
        pck_certificate_chain: collateral.pck_certificate_chain.clone(),
    };
    let verifier = match root {
        None => QuoteVerifier::new_prod(),
        Some(root) => QuoteVerifier::new(root.to_vec()),
    };
    let verifier = verifier.with_config::<RingConfig>().allow_debug(true).allow_service_td(true);
    match verifier.verify(quote, &collateral, at.0) {
        Ok(report) => Ok((report.status, report.advisory_ids.into_iter().collect())),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
