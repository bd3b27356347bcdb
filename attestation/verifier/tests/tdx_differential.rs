//! A second opinion: the crate `dcap-qvl` judges the same quotes with the same collateral.
//!
//! Every quote of the vectors meets every collateral file at several moments, and every vector loses a
//! bit here and there. Where the two differ, the difference belongs to one of the recorded exceptions,
//! each with its reason. A difference without an exception fails, and so does an exception that no
//! longer occurs.

mod common;
mod tdx_support;

use std::collections::BTreeMap;

use tdx_support::dcap::{Theirs, theirs};
use tdx_support::{Appraisal, cases, verify};
use vouchsafe_verifier::tdx::VerifiedTdx;
use vouchsafe_verifier::{Error, UnixSeconds};

/// Where we and `dcap-qvl` may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exception {
    /// `dcap-qvl` has no status for a platform below every level but an error; we verify the rest and
    /// say `NoMatchingLevel`, which a policy refuses.
    NoMatchingLevel,
    /// At the very second of a CRL's `nextUpdate`, `dcap-qvl` (by webpki) calls it expired. RFC 5280
    /// says that the next one is issued by then; like every other end of validity here it is included.
    LastSecondOfCrl,
    /// `dcap-qvl` does not look at a CRL's `thisUpdate`: one of the future is as good as one of today.
    FutureCrl,
    /// `dcap-qvl` does not look at the type of the outer certification data and reads it as a QE report.
    CertificationType,
    /// `dcap-qvl` ignores bytes in the signature data that no field of it accounts for.
    SurplusBytes,
}

/// The exception a difference belongs to; `None` where there is no difference.
fn compare(
    what: &str,
    at: UnixSeconds,
    ours: &Result<Box<VerifiedTdx>, Error>,
    theirs: &Theirs,
) -> Option<Exception> {
    match (ours, theirs) {
        (Ok(ours), Ok((status, advisories))) => {
            assert_eq!(ours.tcb().status().as_str(), status, "{what}");
            assert_eq!(ours.tcb().advisories(), advisories, "{what}");
            None
        }
        (Err(_), Err(_)) => None,
        (Ok(ours), Err(why)) if why.contains("No matching TCB level") => {
            assert_eq!(ours.tcb().status().as_str(), "NoMatchingLevel", "{what}");
            Some(Exception::NoMatchingLevel)
        }
        (Ok(ours), Err(why)) if why.contains("CrlExpired") => {
            assert_eq!(ours.collateral_window().next_update, at, "{what}");
            Some(Exception::LastSecondOfCrl)
        }
        (Err(ours), Ok(_)) => match ours.code() {
            "tdx_crl_future" => Some(Exception::FutureCrl),
            "tdx_certification_type" => Some(Exception::CertificationType),
            "tdx_surplus_bytes" => Some(Exception::SurplusBytes),
            code => panic!("{what}: dcap-qvl accepts, we refuse: {ours} ({code})"),
        },
        (Ok(_), Err(why)) => panic!("{what}: we accept, dcap-qvl refuses: {why}"),
    }
}

#[test]
fn dcap_qvl_agrees_on_every_quote_with_every_collateral() {
    let Some(cases) = cases() else { return };
    let appraisals: Vec<Appraisal> = cases.iter().flat_map(|case| case.appraisals()).collect();
    let mut seen = BTreeMap::<Exception, usize>::new();
    let (mut pairs, mut both_accept) = (0, 0);
    for case in &cases {
        for appraisal in &appraisals {
            let (from, until) = (appraisal.date("valid_from").0, appraisal.date("valid_until").0);
            for at in [appraisal.at.0, from - 1, from, until, until + 1].map(UnixSeconds) {
                for quote in [case.bare_quote(), &case.quote] {
                    let what = format!("{} with {} at {at}", case.id, appraisal.expect["collateral"]);
                    let ours = verify(quote, &appraisal.collateral, at);
                    let theirs = theirs(quote, &appraisal.collateral, at, None);
                    both_accept += usize::from(ours.is_ok() && theirs.is_ok());
                    pairs += 1;
                    if let Some(exception) = compare(&what, at, &ours, &theirs) {
                        *seen.entry(exception).or_default() += 1;
                    }
                }
            }
        }
    }
    println!("{pairs} pairs, {both_accept} accepted by both, exceptions {seen:?}");
    assert!(pairs >= 1_000 && both_accept >= 50, "{pairs} {both_accept}");
    let seen: Vec<Exception> = seen.into_keys().collect();
    let recorded = [Exception::NoMatchingLevel, Exception::LastSecondOfCrl, Exception::FutureCrl];
    assert_eq!(seen, recorded, "exceptions that occurred, and the recorded ones");
}

#[test]
fn dcap_qvl_agrees_on_quotes_with_a_changed_bit() {
    let Some(cases) = cases() else { return };
    let mut seen = BTreeMap::<Exception, usize>::new();
    let mut judged = 0;
    for case in cases.iter().filter(|case| case.id.ends_with("uptodate")) {
        let appraisal = case.appraisal();
        for offset in (0..1_300).step_by(3) {
            let mut quote = case.bare_quote().to_vec();
            quote[offset] ^= 1 << (offset % 8);
            let ours = verify(&quote, &appraisal.collateral, appraisal.at);
            let theirs = theirs(&quote, &appraisal.collateral, appraisal.at, None);
            let what = format!("{} offset {offset}", case.id);
            if let Some(exception) = compare(&what, appraisal.at, &ours, &theirs) {
                *seen.entry(exception).or_default() += 1;
            }
            judged += 1;
        }
    }
    assert!(judged >= 1_000, "{judged}");
    let seen: Vec<Exception> = seen.into_keys().collect();
    assert_eq!(
        seen,
        [Exception::CertificationType, Exception::SurplusBytes],
        "exceptions that occurred, and the recorded ones"
    );
}
