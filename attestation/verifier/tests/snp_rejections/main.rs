//! What an SEV-SNP verifier must reject, row by row, each beside an accepted control that differs in
//! nothing else.
//!
//! A simulated authority signs every variant anew, so that the clause under test is all that is wrong.
//! What is a question of policy rather than of verification (which VMPL, which measurement, whether a
//! revocation list is required) is accepted here, and the table `LEFT_TO_POLICY` shows that the fact
//! is there for a policy to judge.

mod chain;
mod draft;
mod policy;
mod report;
mod revocation;
mod second_opinion;
mod signatures;
#[path = "../common/table.rs"]
mod table;
mod tcb;
mod vek;

use std::collections::BTreeSet;

use draft::Draft;
use vouchsafe_simulator::amd::Product;

/// One clause: from an accepted draft, a change, and the code with which it is then refused.
pub(crate) struct Row {
    /// The clause's number in the project's list of rejections; 0 for what the list does not name.
    number: u8,
    /// The clause, in words.
    clause: &'static str,
    /// The accepted control.
    control: fn() -> Draft,
    /// The one thing that is different.
    change: fn(&mut Draft),
    /// The refusal.
    code: &'static str,
}

pub(crate) const fn row(
    number: u8,
    clause: &'static str,
    control: fn() -> Draft,
    change: fn(&mut Draft),
    code: &'static str,
) -> Row {
    Row { number, clause, control, change, code }
}

pub(crate) fn milan() -> Draft {
    Draft::vcek(Product::Milan)
}

pub(crate) fn genoa() -> Draft {
    Draft::vcek(Product::Genoa)
}

pub(crate) fn turin() -> Draft {
    Draft::vcek(Product::Turin)
}

pub(crate) fn milan_vlek() -> Draft {
    Draft::vlek(Product::Milan)
}

pub(crate) fn turin_vlek() -> Draft {
    Draft::vlek(Product::Turin)
}

#[test]
fn controls_are_accepted() {
    for product in Product::ALL {
        Draft::vcek(product).judge().unwrap_or_else(|error| panic!("{product:?} VCEK: {error}"));
        Draft::vlek(product).judge().unwrap_or_else(|error| panic!("{product:?} VLEK: {error}"));
    }
}

#[test]
fn malformed_reports_are_refused() {
    judge_table(report::SHAPE);
}

#[test]
fn reports_that_contradict_their_certificate_are_refused() {
    judge_table(report::AGAINST_THE_VEK);
    judge_table(tcb::TCB);
}

#[test]
fn wrong_vek_certificates_are_refused() {
    judge_table(vek::VEK);
}

#[test]
fn wrong_chains_are_refused() {
    judge_table(chain::CHAIN);
}

#[test]
fn wrong_signatures_and_parameters_are_refused() {
    judge_table(signatures::SIGNATURES);
}

#[test]
fn certificates_outside_their_validity_are_refused() {
    judge_table(chain::VALIDITY);
}

#[test]
fn wrong_revocation_lists_are_refused() {
    judge_table(revocation::REVOCATION);
}

/// Not two or three of them in the table: every bit of the guest policy that nobody has defined.
#[test]
fn every_undefined_guest_policy_bit_is_refused() {
    let mut draft = milan();
    draft.judge().unwrap();
    let defined = draft.fields.policy;
    for bit in 26..64 {
        draft.fields.policy = defined | 1 << bit;
        let error = draft.judge().err().unwrap_or_else(|| panic!("bit {bit} is accepted"));
        assert_eq!(error.code(), "snp_guest_policy_reserved", "bit {bit}");
    }
}

/// The page in README.md names every code; each that speaks of SEV-SNP or of its revocation list has a
/// row here.
#[test]
fn every_code_has_a_row() {
    let with_rows: BTreeSet<&str> = all_rows().map(|row| row.code).collect();
    let page = include_str!("../../README.md");
    let page = &page[..page.find("## What a policy decides").unwrap()];
    let named = page.split('`').skip(1).step_by(2);
    let named: BTreeSet<String> = named
        .filter_map(|word| match word {
            // An accessor.
            "crl_checked()" => None,
            _ if word.starts_with("crl_") => Some(format!("snp_{word}")),
            _ => word.starts_with("snp_").then(|| word.to_owned()),
        })
        // Not a code but what stands before those of the first table.
        .filter(|word| word != "snp_")
        .collect();
    assert!(named.len() > 50, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|word| !with_rows.contains(word.as_str())).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

/// `rows.txt` is the whole table for readers: the number, what is changed, and what comes of it.
#[test]
fn the_table_for_readers_is_this_one() {
    let mut rows: Vec<&Row> = all_rows().collect();
    rows.sort_by_key(|row| if row.number == 0 { u8::MAX } else { row.number });
    let lines = rows.iter().map(|row| (row.number, row.clause.to_owned(), row.code.to_owned()));
    table::compare("snp_rejections", &lines.collect::<Vec<_>>());
    // What is left of the 27 is a policy's, and has its rows in vouchsafe-bundle.
    let numbers: BTreeSet<u8> = rows.iter().map(|row| row.number).collect();
    let left: Vec<u8> = (1..=27).filter(|number| !numbers.contains(number)).collect();
    assert_eq!(left, [6, 7, 12, 23, 25, 26]);
}

#[test]
fn sev_is_asked_about_every_row() {
    second_opinion::compare(&all_rows().collect::<Vec<_>>());
}

fn all_rows() -> impl Iterator<Item = &'static Row> {
    const TABLES: [&[Row]; 8] = [
        report::SHAPE,
        report::AGAINST_THE_VEK,
        tcb::TCB,
        vek::VEK,
        chain::CHAIN,
        signatures::SIGNATURES,
        chain::VALIDITY,
        revocation::REVOCATION,
    ];
    TABLES.into_iter().flatten()
}

/// Judges every row and its control; reports all failures at once.
fn judge_table(rows: &[Row]) {
    let mut failures = Vec::new();
    let mut codes = BTreeSet::new();
    for Row { clause, control, change, code, .. } in rows {
        let mut draft = control();
        if let Err(error) = draft.judge() {
            failures.push(format!("{clause}: the control is refused: {error} ({})", error.code()));
        }
        change(&mut draft);
        match draft.judge() {
            Ok(_) => failures.push(format!("{clause}: accepted")),
            Err(error) if error.code() != *code => {
                failures.push(format!("{clause}: expected {code}, got {} ({error})", error.code()));
            }
            Err(error) => {
                println!("{clause:<70} {:<40} {error}", error.code());
                codes.insert(error.code());
            }
        }
    }
    assert!(failures.is_empty(), "{} of {} rows:\n{}", failures.len(), rows.len(), failures.join("\n"));
    assert!(!codes.is_empty());
}
