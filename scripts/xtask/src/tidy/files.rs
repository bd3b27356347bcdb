//! Rules on source files: a header, a bounded length, no dead files, no paths of one machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::tools;

/// A file longer than this is hard to hold in the head and wants to be two.
const LINES_MAX: usize = 600;
/// Where `unsafe` may stand, each block argued. Everywhere else the compiler forbids it.
const UNSAFE_ALLOWED: [&str; 3] = ["enclave/platform/", "enclave/engine/", "enclave/init/"];
/// Absolute paths of somebody's machine; spelled apart so that this file does not find itself.
const MACHINE_PATHS: [&str; 3] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

pub(super) fn check(found: &mut Vec<String>) -> Result<()> {
    let listed = tools::output(Command::new("git").current_dir(tools::root()).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]))?;
    let files: Vec<PathBuf> = listed
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
        .filter(|file| tools::root().join(file).is_file())
        .collect();
    for file in &files {
        // Binary files have no lines to judge.
        let Ok(text) = fs::read_to_string(tools::root().join(file)) else { continue };
        judge(file, &text, found);
    }
    dead_files(&files, found)
}

fn judge(file: &Path, text: &str, found: &mut Vec<String>) {
    let shown = file.display();
    let is_lock = file.extension().is_some_and(|extension| extension == "lock");
    for path in MACHINE_PATHS.iter().filter(|path| !is_lock && text.contains(**path)) {
        found.push(format!("{shown} names a path of one machine ({path})"));
    }
    if file.extension().is_none_or(|extension| extension != "rs") {
        return;
    }
    if !text.starts_with("//!") {
        found.push(format!("{shown} does not begin with a module header (//!)"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        found.push(format!("{shown} has {lines} lines, more than {LINES_MAX}: two files in one"));
    }
    let uses_unsafe = text.lines().map(str::trim_start).any(|line| {
        !line.starts_with("//")
            && (line.contains(concat!("unsafe", " {")) || line.contains(concat!("unsafe", " fn")))
    });
    if uses_unsafe && !UNSAFE_ALLOWED.iter().any(|folder| file.starts_with(folder)) {
        found.push(format!("{shown} uses unsafe code outside {}", UNSAFE_ALLOWED.join(" and ")));
    }
}

/// A module file that no `mod` line names is compiled by nobody and tested by nothing.
fn dead_files(files: &[PathBuf], found: &mut Vec<String>) -> Result<()> {
    let rust: BTreeSet<&Path> = files
        .iter()
        .map(PathBuf::as_path)
        .filter(|file| file.extension().is_some_and(|e| e == "rs"))
        .collect();
    for file in rust.iter().filter(|file| file.components().any(|part| part.as_os_str() == "src")) {
        let Some((parents, name)) = parent_modules(file) else { continue };
        let mut declared = false;
        for parent in parents.iter().filter(|parent| rust.contains(parent.as_path())) {
            let text = fs::read_to_string(tools::root().join(parent))?;
            declared |= text.lines().any(|line| {
                let line = line.trim();
                line.ends_with(&format!("mod {name};")) || line.ends_with(&format!("mod {name} {{"))
            });
        }
        if !declared {
            found.push(format!("{} is declared by no module", file.display()));
        }
    }
    Ok(())
}

/// The files that may declare `file` as a module, and the module's name; `None` for crate roots.
fn parent_modules(file: &Path) -> Option<(Vec<PathBuf>, String)> {
    let folder = file.parent()?;
    let stem = file.file_stem()?.to_str()?;
    let (folder, name) = match stem {
        "lib" | "main" if folder.ends_with("src") => return None,
        "mod" => (folder.parent()?, folder.file_name()?.to_str()?),
        _ => (folder, stem),
    };
    if folder.ends_with("src/bin") {
        return None;
    }
    let mut parents: Vec<PathBuf> =
        ["lib.rs", "main.rs", "mod.rs"].iter().map(|name| folder.join(name)).collect();
    parents.push(folder.with_extension("rs"));
    Some((parents, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(file: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        judge(Path::new(file), text, &mut found);
        found
    }

    #[test]
    fn each_rule_finds_its_fault_and_nothing_else() {
        assert_eq!(faults("a/src/x.rs", "//! Header.\nfn f() {}\n"), Vec::<String>::new());
        assert_eq!(faults("a/src/x.rs", "fn f() {}\n").len(), 1);
        assert_eq!(faults("a/src/x.rs", &("//! Header.\n".to_owned() + &"\n".repeat(LINES_MAX))).len(), 1);
        let danger = concat!("//! Header.\nfn f() { unsafe", " { g() } }\n");
        assert_eq!(faults("a/src/x.rs", danger).len(), 1);
        assert_eq!(faults("enclave/engine/src/x.rs", danger).len(), 0);
        assert_eq!(faults("README.md", concat!("see /ho", "me/me/x")).len(), 1);
    }

    #[test]
    fn module_parents_follow_the_language() {
        assert_eq!(parent_modules(Path::new("a/src/lib.rs")), None);
        let (parents, name) = parent_modules(Path::new("a/src/b/mod.rs")).unwrap();
        assert!(name == "b" && parents.contains(&PathBuf::from("a/src/lib.rs")));
        let (parents, name) = parent_modules(Path::new("a/src/b/c.rs")).unwrap();
        assert!(name == "c" && parents.contains(&PathBuf::from("a/src/b.rs")));
    }
}
