//! The page "what this verifier checks" (README.md) names every code that the sources can give, in one
//! row each, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The codes in the sources: what stands between quotation marks in the functions that give one.
fn emitted() -> BTreeSet<String> {
    in_functions("code(&self) -> &'static str {")
}

/// The words that become codes with `snp_` or `tdx_` before them.
fn emitted_by_vendor() -> BTreeSet<String> {
    let mut words = in_functions("words(&self) -> Words {");
    words.insert("root_not_trusted".to_owned());
    words
}

fn in_functions(marker: &str) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for file in rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for (at, _) in text.match_indices(marker) {
            let indent = text[..at].rsplit('\n').next().unwrap().chars().take_while(|c| *c == ' ').count();
            let end = text[at..].find(&format!("\n{}}}", " ".repeat(indent))).unwrap() + at;
            let words = text[at..end].split('"').skip(1).step_by(2);
            codes.extend(words.map(str::to_owned));
        }
    }
    codes
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    folders.iter().flat_map(|folder| rust_files(folder)).chain(files).collect()
}

/// The codes in the page's tables, with how many rows name them.
fn documented() -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    for line in include_str!("../README.md").lines().filter(|line| line.starts_with("| ")) {
        let Some(cell) = line.split(" | ").nth(1) else { continue };
        for code in cell.split('`').skip(1).step_by(2) {
            *codes.entry(code.to_owned()).or_default() += 1;
        }
    }
    codes
}

#[test]
fn the_page_names_every_code_once() {
    /// Not a check of evidence but of how `verify` is called.
    const USAGE: [&str; 1] = ["endorsements_platform_mismatch"];

    let (mut emitted, documented) = (emitted(), documented());
    // The first table names them without the vendor, for both; the revoked ASK is told of again.
    emitted.extend(emitted_by_vendor());
    emitted.insert("snp_certificate_revoked".to_owned());
    // The last table is that of policies: all their codes that speak of evidence.
    let of_evidence = ["snp_", "tdx_", "measurement_", "report_data_", "platform_not", "root_simulated"];
    let is_of_evidence = |code: &String| of_evidence.iter().any(|prefix| code.starts_with(prefix));
    let policies: BTreeSet<String> = of_policies().into_iter().filter(is_of_evidence).collect();
    assert!(policies.len() > 40, "{}", policies.len());
    emitted.extend(policies);
    assert!(emitted.len() > 100, "{}", emitted.len());
    let missing: Vec<_> = emitted
        .iter()
        .filter(|code| !documented.contains_key(*code) && !USAGE.contains(&code.as_str()))
        .collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    let invented: Vec<_> = documented.keys().filter(|code| !emitted.contains(*code)).collect();
    assert!(invented.is_empty(), "on the page only: {invented:?}");
    for (code, rows) in documented {
        assert_eq!(rows, 1, "{code}");
    }
}

/// Codes of `vouchsafe-bundle`, whose policies reject what the verifier only establishes.
fn of_policies() -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundle/src/codes.rs");
    let text = std::fs::read_to_string(file).unwrap();
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What comes of the rows of a number, by the tables for readers.
fn rows_of(number: u8) -> BTreeSet<&'static str> {
    let tables = [include_str!("snp_rejections/rows.txt"), include_str!("tdx_rejections/rows.txt")];
    let lines = tables.into_iter().flat_map(str::lines);
    let of_number = lines.filter(|line| line.split_whitespace().next() == Some(&number.to_string()));
    of_number.filter_map(|line| line.rsplit("  ").next()).collect()
}

/// REJECTIONS.md has each number once, names only codes that exist, none for two numbers, and says where
/// each is shown.
#[test]
fn the_numbered_rejections_name_codes_and_tables_that_exist() {
    let (mut emitted, of_policies) = (emitted(), of_policies());
    emitted
        .extend(emitted_by_vendor().iter().flat_map(|word| [format!("snp_{word}"), format!("tdx_{word}")]));
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundle/tests/it");
    let rows = include_str!("../REJECTIONS.md").lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        Some((cells.first()?.parse::<u8>().ok()?, cells))
    });
    let mut numbers = Vec::new();
    let mut number_of = BTreeMap::new();
    for (number, cells) in rows {
        numbers.push(number);
        let [_, _, codes, tables] = cells[..] else { panic!("row {number} has {} cells", cells.len()) };
        let codes: Vec<&str> =
            codes.split('`').skip(1).step_by(2).filter(|word| word.contains('_')).collect();
        assert!(!codes.is_empty(), "row {number}");
        for code in &codes {
            let other = number_of.insert((*code).to_owned(), number);
            assert!(other.is_none(), "{code} stands for {number} and {}", other.unwrap_or_default());
            assert!(emitted.contains(*code) || of_policies.contains(*code), "row {number}: {code}");
        }
        let text_of = |table: &str| {
            let file = match table.strip_prefix("bundle/") {
                Some(table) => policies.join(table),
                None => tests.join(table),
            };
            std::fs::read_to_string(file.with_extension("rs"))
                .unwrap_or_else(|_| panic!("row {number}: {table}"))
        };
        let shown: String = tables.split('`').skip(1).step_by(2).map(text_of).collect();
        let table = rows_of(number);
        for code in codes.iter().filter(|code| emitted.contains(**code)) {
            assert!(table.contains(code), "row {number}: {code} has no row of this number");
        }
        for code in &codes {
            assert!(shown.contains(&format!("\"{code}\"")), "row {number}: {code} is in no table named");
        }
    }
    assert_eq!(numbers, (1..=55).collect::<Vec<u8>>());
}
