//! The one way from evidence to [`VerifiedEvidence`].

use crate::crypto::Crypto;
use crate::verified::Inner;
use crate::{
    Endorsements, Error, Evidence, Platform, SnpEndorsements, TdxCollateral, TrustRoots, UnixSeconds,
    VerifiedEvidence, snp, tdx,
};

/// Verifies evidence: that a security processor or quoting enclave whose key chains to one of
/// `roots`, by endorsements valid at `at`, signed exactly these bytes.
///
/// Whether what the bytes say is *good enough* is a matter of policy and not decided here.
///
/// # Errors
/// The first clause that fails, see [`Error`].
pub fn verify(
    evidence: &Evidence,
    endorsements: Option<&Endorsements>,
    roots: &TrustRoots,
    at: UnixSeconds,
    crypto: &dyn Crypto,
) -> Result<VerifiedEvidence, Error> {
    let (inner, root) = match evidence {
        Evidence::SevSnp { report } => {
            let endorsements = snp_endorsements(endorsements)?;
            let (verified, root) = snp::verify(&report.0, endorsements, roots, at, crypto)?;
            (Inner::Snp(verified), root)
        }
        Evidence::Tdx { quote, event_log } => {
            let collateral = tdx_collateral(endorsements)?;
            let event_log = event_log.as_ref().map(|log| log.0.as_slice());
            let (verified, root) = tdx::verify(&quote.0, event_log, collateral, roots, at, crypto)?;
            (Inner::Tdx(verified), root)
        }
    };
    Ok(VerifiedEvidence::new(inner, root, at))
}

fn snp_endorsements(endorsements: Option<&Endorsements>) -> Result<Option<&SnpEndorsements>, Error> {
    match endorsements {
        None => Ok(None),
        Some(Endorsements::SevSnp(endorsements)) => Ok(Some(endorsements)),
        Some(Endorsements::Tdx(_)) => {
            Err(Error::EndorsementsPlatform { evidence: Platform::SevSnp, endorsements: Platform::Tdx })
        }
    }
}

fn tdx_collateral(endorsements: Option<&Endorsements>) -> Result<Option<&TdxCollateral>, Error> {
    match endorsements {
        None => Ok(None),
        Some(Endorsements::Tdx(collateral)) => Ok(Some(collateral)),
        Some(Endorsements::SevSnp(_)) => {
            Err(Error::EndorsementsPlatform { evidence: Platform::Tdx, endorsements: Platform::SevSnp })
        }
    }
}
