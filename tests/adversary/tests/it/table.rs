//! SECURITY.md's table of attacks against the attacks themselves: each row's test exists and names the
//! row's words, and each attack has a row.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files in this folder that hold no attacks.
const NO_ATTACKS: [&str; 10] =
    ["enclave", "fetch", "forger", "liar", "machine", "main", "model", "program", "states", "table"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One row: which test in which file, and the words in code style of its outcome.
struct Row {
    test: String,
    file: String,
    words: Vec<String>,
}

/// The rows between the section's heading and the next heading of its level.
fn rows(document: &str) -> Vec<Row> {
    let section = document.split("\n## Attacks and their tests\n").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or(section);
    let mut rows = Vec::new();
    for line in section.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if cells == ["attack", "promise", "outcome", "test"] || line.starts_with("| ---") {
            continue;
        }
        let [_, _, outcome, test] = cells.as_slice() else { panic!("a row of four cells: {line}") };
        let link = test.strip_prefix("[`").and_then(|rest| rest.strip_suffix(')'));
        let (test, file) = link.and_then(|link| link.split_once("`](")).expect(line);
        // What is between backticks.
        let words = outcome.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        rows.push(Row { test: test.into(), file: file.into(), words });
    }
    rows
}

/// One test of a source file.
struct Attack {
    has_comment: bool,
}

/// The tests of a source file by name.
fn attacks(source: &str) -> BTreeMap<String, Attack> {
    let lines: Vec<&str> = source.lines().collect();
    let mut found = BTreeMap::new();
    for (number, line) in lines.iter().enumerate() {
        if !["#[test]", "#[tokio::test]"].contains(line) {
            continue;
        }
        let declaration = lines.get(number + 1).copied().unwrap_or_default();
        let name = declaration.trim_start_matches("async ").strip_prefix("fn ").expect(declaration);
        let name = name.split('(').next().unwrap_or(name).to_owned();
        let has_comment = number > 0 && lines.get(number - 1).is_some_and(|line| line.starts_with("///"));
        found.insert(name, Attack { has_comment });
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_row_has_its_test_and_every_attack_its_row() {
    let rows = rows(&read(&root().join("SECURITY.md")));
    assert!(rows.len() > 40, "only {} rows were found", rows.len());
    let mut missing: BTreeMap<String, String> = BTreeMap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if NO_ATTACKS.contains(&stem.as_str()) {
            continue;
        }
        for (name, attack) in attacks(&read(&path)) {
            assert!(attack.has_comment, "{name} does not say which promise it tries to break");
            missing.insert(name, format!("tests/adversary/tests/it/{stem}.rs"));
        }
    }
    for Row { test, file, words } in rows {
        assert_eq!(missing.remove(&test).as_deref(), Some(file.as_str()), "no test, or a second row: {test}");
        let source = read(&root().join(&file));
        for word in words {
            assert!(source.contains(&format!("\"{word}\"")), "{test}: {file} never names {word:?}");
        }
    }
    assert!(missing.is_empty(), "attacks without a row in SECURITY.md: {missing:#?}");
}

#[test]
fn a_row_without_test_and_a_test_without_comment_are_noticed() {
    let document = "\n## Attacks and their tests\n\n| attack | promise | outcome | test |\n| --- | --- | --- | --- |\n| a | b | `one`, `two` | [`name`](file.rs) |\n\n## Next\n| x |\n";
    let rows = rows(document);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].test.as_str(), rows[0].file.as_str()), ("name", "file.rs"));
    assert_eq!(rows[0].words, ["one", "two"]);
    let found = attacks("/// Why.\n#[test]\nfn one() {}\n\n#[tokio::test]\nasync fn two() {}\n");
    assert!(found["one"].has_comment && !found["two"].has_comment);
}
