//! What a TDX verifier must reject, clause by clause: each row changes one thing in evidence that is
//! otherwise right, minted under a test authority, and names what must come of it. The controls, which
//! differ in nothing else, are accepted.
//!
//! Rows whose refusal is a policy's business end in a status or a fact instead of a code: the verifier
//! must report them so that the policy can refuse.

#[path = "../tdx_support/dcap.rs"]
mod dcap;
#[path = "../common/table.rs"]
mod table;

mod certificates;
mod documents;
mod enclave;
mod encoding;
mod quote;
mod revocation;
mod second_opinion;
mod signers;
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

type Table = (&'static str, fn() -> Vec<Row>);

/// All tables, each by the name of its file.
const TABLES: [Table; 9] = [
    ("quote", quote::rows),
    ("certificates", certificates::rows),
    ("encoding", encoding::rows),
    ("signers", signers::rows),
    ("revocation", revocation::rows),
    ("documents", documents::rows),
    ("tcb", tcb::rows),
    ("enclave", enclave::rows),
    ("td", td::rows),
];

fn all_rows() -> Vec<Row> {
    TABLES.iter().flat_map(|(_, rows)| rows()).collect()
}

#[test]
fn quotes() {
    judge(&quote::rows());
}

#[test]
fn certificates() {
    judge(&certificates::rows());
    judge(&encoding::rows());
    judge(&signers::rows());
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
    judge(&enclave::rows());
}

#[test]
fn trust_domain_and_event_log() {
    judge(&td::rows());
}

#[test]
fn dcap_qvl_is_asked_about_every_row() {
    second_opinion::compare(&all_rows());
}

/// The page in README.md names every code; each that speaks of TDX, of its certificates or of its revocation
/// lists has a row here.
#[test]
fn every_code_has_a_row() {
    let rows = all_rows();
    let with_rows: BTreeSet<&str> = rows.iter().filter_map(|row| row.expected.code()).collect();
    let page = include_str!("../../README.md");
    let start = page.find("## What is checked: certificates").unwrap();
    let snp = page.find("## What is checked: SEV-SNP").unwrap();
    let tdx = page.find("## What is checked: TDX").unwrap();
    let policy = page.find("## What a policy decides").unwrap();
    let words = |text: &'static str| {
        let cells =
            text.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split(" | ").nth(1));
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect::<Vec<_>>()
    };
    let mut named: BTreeSet<String> =
        words(&page[start..snp]).into_iter().map(|word| format!("tdx_{word}")).collect();
    named.extend(words(&page[tdx..policy]).into_iter().map(str::to_owned));
    assert!(named.len() > 80, "{}: {named:?}", named.len());
    let missing: Vec<_> = named.iter().filter(|word| !with_rows.contains(word.as_str())).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

/// `rows.txt` is the whole table for readers: the number, what is changed, and what comes of it.
#[test]
fn the_table_for_readers_is_this_one() {
    let mut rows = all_rows();
    rows.sort_by_key(|row| row.clause);
    let lines = rows.iter().map(|row| {
        let base = if row.base == Base::V5 { " (version 5)" } else { "" };
        (row.clause, format!("{}{base}", row.what), row.expected.to_string())
    });
    table::compare("tdx_rejections", &lines.collect::<Vec<_>>());
}

#[test]
fn every_clause_has_rows_and_no_code_serves_two_clauses() {
    let tables = all_rows();
    let mut clauses_of = BTreeMap::<&str, BTreeSet<u8>>::new();
    let mut seen = BTreeSet::new();
    for row in &tables {
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
