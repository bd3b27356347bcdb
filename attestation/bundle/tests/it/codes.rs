//! The table in `docs/rejection-codes.md` lists exactly the words that the sources can give.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Sources whose `fn code` bodies name the words, and the table of this crate's own.
const SOURCES: [&str; 5] = ["verifier/src", "receipt/src", "translog/src", "bundle/src", "client/src"];

fn attestation() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The string literals in a text, where they are words of lower case, digits and underscores.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.len() > 2 && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
        .map(str::to_owned)
}

/// How functions start whose words are codes, and the table of this crate's own.
const CODES: [&str; 2] = ["code(&self) -> &'static str {", "\ncodes! {"];
/// How functions and constants start whose words become codes with the vendor before them.
const CODES_BY_VENDOR: [&str; 2] = ["words(&self) -> Words {", "const ROOT_NOT_TRUSTED: Words ="];

/// What such a beginning starts: from the marker to the brace that closes it at the same indentation, or
/// to the end of the statement.
fn bodies<'a>(text: &'a str, markers: &[&str]) -> Vec<&'a str> {
    let mut bodies = Vec::new();
    for marker in markers {
        for (at, _) in text.match_indices(marker) {
            let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let indent: String = text[line_start..].chars().take_while(|c| *c == ' ').collect();
            let end = if marker.ends_with('{') { format!("\n{indent}}}") } else { ";".to_owned() };
            let end = text[at..].find(&end).expect("a function ends") + at;
            bodies.push(&text[at..end]);
        }
    }
    bodies
}

fn emitted() -> BTreeSet<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        rust_files(&attestation().join(source), &mut files);
    }
    let mut found = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        found.extend(bodies(&text, &CODES).into_iter().flat_map(words));
        for word in bodies(&text, &CODES_BY_VENDOR).into_iter().flat_map(words) {
            found.extend([format!("snp_{word}"), format!("tdx_{word}")]);
        }
    }
    found
}

fn documented() -> Vec<String> {
    let path = attestation().join("../docs/rejection-codes.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cells = text.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0));
    cells.flat_map(|cell| cell.split("`, `")).map(str::to_owned).collect()
}

#[test]
fn the_table_is_complete_and_lists_nothing_else() {
    let (emitted, documented) = (emitted(), documented());
    assert!(emitted.len() > 120, "the sources give too few words to be right: {emitted:?}");
    for known in [
        "response_mismatch",
        "receipt_signature_invalid",
        "snp_report_signature_invalid",
        "snp_crl_stale",
        "tdx_root_not_trusted",
    ] {
        assert!(emitted.contains(known), "{known}");
    }
    let table: BTreeSet<String> = documented.iter().cloned().collect();
    assert_eq!(table.len(), documented.len(), "a word stands in the table twice");
    let missing: Vec<_> = emitted.difference(&table).collect();
    let surplus: Vec<_> = table.difference(&emitted).collect();
    assert!(missing.is_empty(), "not in the table: {missing:#?}");
    assert!(surplus.is_empty(), "in the table and nowhere emitted: {surplus:#?}");
}
