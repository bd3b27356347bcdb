//! What a TDX verifier must reject, clause by clause: each row changes one thing in evidence that is
//! otherwise right, minted under a test authority, and names what must come of it. The controls, which
//! differ in nothing else, are accepted.
//!
//! Rows whose refusal is a policy's business end in a status or a fact instead of a code: the verifier
//! must report them so that the policy can refuse.

#[path = "../tdx_support/dcap.rs"]
mod dcap;

mod certificates;
mod documents;
mod quote;
mod revocation;
mod second_opinion;
mod tcb;
mod td;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use world::{Base, Row, World};

/// The clauses, numbered as in the project's list of rejections.
const CLAUSES: std::ops::RangeInclusive<u8> = 28..=55;

fn judge(rows: &[Row]) {
    let world = World::new();
    for base in [Base::V4, Base::V5] {
        let control = world.mint(base).verify().unwrap_or_else(|error| panic!("{base:?} control: {error}"));
        assert_eq!(control.tcb().status().as_str(), "UpToDate", "{base:?} control");
    }
    let failures: Vec<String> = rows.iter().filter_map(|row| world.judge(row).err()).collect();
    assert!(failures.is_empty(), "{} of {} rows:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

#[test]
fn quotes() {
    judge(&quote::rows());
}

#[test]
fn certificates() {
    judge(&certificates::rows());
}

#[test]
fn revocation_lists() {
    judge(&revocation::rows());
}

#[test]
fn signed_documents() {
    judge(&documents::rows());
}

#[test]
fn tcb_and_quoting_enclave() {
    judge(&tcb::rows());
}

#[test]
fn trust_domain_and_event_log() {
    judge(&td::rows());
}

#[test]
fn dcap_qvl_is_asked_about_every_row() {
    let tables =
        [quote::rows(), certificates::rows(), revocation::rows(), documents::rows(), tcb::rows(), td::rows()];
    second_opinion::compare(&tables.into_iter().flatten().collect::<Vec<_>>());
}

#[test]
fn every_clause_has_rows_and_no_code_serves_two_clauses() {
    let tables =
        [quote::rows(), certificates::rows(), revocation::rows(), documents::rows(), tcb::rows(), td::rows()];
    let mut clauses_of = BTreeMap::<&str, BTreeSet<u8>>::new();
    let mut seen = BTreeSet::new();
    for row in tables.iter().flatten() {
        assert!(CLAUSES.contains(&row.clause), "{}", row.what);
        seen.insert(row.clause);
        if let Some(code) = row.expected.code() {
            clauses_of.entry(code).or_default().insert(row.clause);
        }
    }
    let missing: Vec<u8> = CLAUSES.filter(|clause| !seen.contains(clause)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");

    // A code that serves two clauses says the same of different things; each is a stated choice.
    let shared: Vec<(&str, Vec<u8>)> = clauses_of
        .into_iter()
        .filter(|(_, clauses)| clauses.len() > 1)
        .map(|(code, clauses)| (code, clauses.into_iter().collect()))
        .collect();
    let stated: &[(&str, &[u8])] = &[
        // A module that nobody knows, whether at launch or now.
        ("tdx_module_unknown", &[46, 47]),
        // A word that is no status is not the JSON of a TCB info.
        ("tdx_tcb_info_json", &[45, 55]),
    ];
    let stated: Vec<(&str, Vec<u8>)> =
        stated.iter().map(|(code, clauses)| (*code, clauses.to_vec())).collect();
    assert_eq!(shared, stated);
}
