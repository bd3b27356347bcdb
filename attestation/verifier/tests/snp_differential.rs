//! A second opinion: the crate `sev` judges the same reports and certificates.
//!
//! Every input on which the two differ belongs to one of the recorded exceptions below, each with its
//! reason. A difference without an exception fails, and so does an exception that no longer occurs.
//!
//! Not compared, because `sev` leaves it to its callers: validity dates, revocation lists, names and
//! constraints in the chain, and the report's TCB and chip against the certificate's.

mod common;

use std::collections::BTreeMap;

use common::{SnpCase, fixtures, snp_evidence, snp_file};
use sev::certs::snp::{Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::{TrustRoots, verify};

/// What `sev` accepts and we refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exception {
    /// `sev` verifies the signature over its own re-serialisation of the parsed report, which drops
    /// bytes it does not model: a changed one is written back as zero.
    UnmodelledBytes,
    /// `sev` reads 48 of the 72 bytes of R and S, and nothing of the padding.
    SignatureField,
}

const EXCEPTIONS: [(Exception, &[&str]); 2] = [
    (Exception::UnmodelledBytes, &["snp_report_reserved", "snp_tcb_reserved", "snp_key_info_reserved"]),
    (Exception::SignatureField, &["snp_signature_high_bytes", "snp_signature_padding"]),
];

fn exception(code: &str) -> Option<Exception> {
    EXCEPTIONS.into_iter().find(|(_, codes)| codes.contains(&code)).map(|(exception, _)| exception)
}

/// `sev`'s verdict on a report under a VEK whose chain it has verified.
fn sev_judges(chain: &Chain, report: &[u8]) -> Result<(), String> {
    let report: [u8; 1184] = report.try_into().map_err(|_| "length".to_owned())?;
    let parsed = AttestationReport::from_bytes(&report).map_err(|e| format!("parse: {e}"))?;
    (&chain.vek, &parsed).verify().map_err(|e| format!("verify: {e}"))
}

#[test]
fn sev_agrees_on_every_report_and_every_changed_byte() {
    let Some(fixtures) = fixtures("sev as a second opinion") else { return };
    let roots = TrustRoots::vendor_pinned();
    let mut seen = BTreeMap::<Exception, usize>::new();
    for case in SnpCase::all(&fixtures) {
        let Some(vek) = &case.vek else { continue };
        let product = case.expect["product"].as_str().unwrap().to_lowercase();
        let ca = if case.expect["vek"]["type"] == "VLEK" { "asvk" } else { "ask" };
        let ark = snp_file(&fixtures, &format!("chains/{product}-ark.der"));
        let ca = snp_file(&fixtures, &format!("chains/{product}-{ca}.der"));
        let chain = Chain::from_der(&ark, &ca, vek).unwrap();
        chain.verify().unwrap_or_else(|error| panic!("{}: {error}", case.id));
        let (endorsements, at) = (case.endorsements(), case.at());
        let mut compare = |report: &[u8], what: &str| {
            let ours = verify(&snp_evidence(report), Some(&endorsements), &roots, at, &Ring);
            let theirs = sev_judges(&chain, report);
            match (ours, theirs) {
                (Ok(_), Ok(())) => assert_eq!(what, "unchanged", "{}", case.id),
                (Err(_), Err(_)) => {}
                (Ok(_), Err(theirs)) => panic!("{} {what}: we accept, sev refuses: {theirs}", case.id),
                (Err(ours), Ok(())) => match exception(ours.code()) {
                    Some(exception) => *seen.entry(exception).or_default() += 1,
                    None => panic!("{} {what}: sev accepts, we refuse: {ours} ({})", case.id, ours.code()),
                },
            }
        };
        compare(&case.report, "unchanged");
        for offset in 0..case.report.len() {
            let mut report = case.report.clone();
            report[offset] ^= 1 << (offset % 8);
            compare(&report, &format!("offset {offset:#05x}"));
        }
    }
    println!("inputs that sev accepts and we refuse: {seen:?}");
    let never: Vec<_> = EXCEPTIONS.iter().filter(|(exception, _)| !seen.contains_key(exception)).collect();
    assert!(never.is_empty(), "exceptions that no longer occur: {never:?}");
}
