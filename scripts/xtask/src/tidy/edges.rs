//! Edges between our crates point one way, and the production enclave holds no simulator.
//!
//! The table below is the one in ARCHITECTURE.md; a test compares them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::tools;

/// Which of our crates each of our crates may depend on. Development dependencies are free.
const ALLOWED: [(&str, &[&str]); 30] = [
    ("vouchsafe-verifier", &[]),
    ("vouchsafe-receipt", &["vouchsafe-verifier"]),
    ("vouchsafe-translog", &["vouchsafe-verifier"]),
    ("vouchsafe-simulator", &["vouchsafe-verifier"]),
    ("vouchsafe-bundle", &["vouchsafe-verifier", "vouchsafe-receipt", "vouchsafe-translog"]),
    (
        "vouchsafe-client",
        &[
            "vouchsafe-bundle",
            "vouchsafe-key-exchange",
            "vouchsafe-receipt",
            "vouchsafe-translog",
            "vouchsafe-verifier",
        ],
    ),
    ("vouchsafe-key-exchange", &[]),
    (
        "vouchsafe-cli",
        &[
            "vouchsafe-client",
            "vouchsafe-bundle",
            "vouchsafe-receipt",
            "vouchsafe-translog",
            "vouchsafe-verifier",
        ],
    ),
    ("vouchsafe-measure", &["vouchsafe-verifier"]),
    (
        "vouchsafe-policy",
        &["vouchsafe-bundle", "vouchsafe-receipt", "vouchsafe-translog", "vouchsafe-verifier"],
    ),
    ("vouchsafe-web", &["vouchsafe-bundle", "vouchsafe-receipt", "vouchsafe-verifier"]),
    ("vouchsafe-witness", &["vouchsafe-translog", "vouchsafe-verifier"]),
    (
        "vouchsafe-monitor",
        &[
            "vouchsafe-client",
            "vouchsafe-bundle",
            "vouchsafe-receipt",
            "vouchsafe-translog",
            "vouchsafe-verifier",
        ],
    ),
    ("vouchsafe-platform", &["vouchsafe-verifier"]),
    ("vouchsafe-init", &[]),
    ("vouchsafe-engine", &[]),
    (
        "vouchsafe-enclave",
        &[
            "vouchsafe-platform",
            "vouchsafe-init",
            "vouchsafe-engine",
            "vouchsafe-receipt",
            "vouchsafe-translog",
            "vouchsafe-verifier",
            "vouchsafe-link",
            "vouchsafe-key-exchange",
        ],
    ),
    (
        "vouchsafe-enclave-sim",
        &[
            "vouchsafe-enclave",
            "vouchsafe-simulator",
            "vouchsafe-platform",
            "vouchsafe-verifier",
            "vouchsafe-engine",
        ],
    ),
    (
        "vouchsafe-replay",
        &["vouchsafe-engine", "vouchsafe-bundle", "vouchsafe-receipt", "vouchsafe-verifier"],
    ),
    ("vouchsafe-link", &[]),
    (
        "vouchsafe-host",
        &[
            "vouchsafe-link",
            "vouchsafe-receipt",
            "vouchsafe-translog",
            "vouchsafe-verifier",
            "vouchsafe-collateral",
        ],
    ),
    ("vouchsafe-collateral", &["vouchsafe-verifier"]),
    ("vouchsafe-log", &["vouchsafe-bundle", "vouchsafe-receipt", "vouchsafe-translog", "vouchsafe-verifier"]),
    ("vouchsafe-processor", &["vouchsafe-measure", "vouchsafe-simulator", "vouchsafe-verifier"]),
    ("vouchsafe-image", &["vouchsafe-measure", "vouchsafe-receipt", "vouchsafe-verifier"]),
    (
        "vouchsafe-up",
        &[
            "vouchsafe-client",
            "vouchsafe-bundle",
            "vouchsafe-receipt",
            "vouchsafe-translog",
            "vouchsafe-verifier",
        ],
    ),
    ("vouchsafe-e2e", &[]),
    ("vouchsafe-soak", &["vouchsafe-init", "vouchsafe-link"]),
    (
        "vouchsafe-chaos",
        &[
            "vouchsafe-bundle",
            "vouchsafe-client",
            "vouchsafe-receipt",
            "vouchsafe-translog",
            "vouchsafe-up",
            "vouchsafe-verifier",
        ],
    ),
    (
        "vouchsafe-adversary",
        &[
            "vouchsafe-link",
            "vouchsafe-client",
            "vouchsafe-bundle",
            "vouchsafe-receipt",
            "vouchsafe-key-exchange",
        ],
    ),
];

/// Crates that must not be reachable from a program, with the reason shown.
const BANNED: [(&str, &str, &str); 4] = [
    ("vouchsafe-enclave", "vouchsafe-simulator", "a production enclave that could simulate is no evidence"),
    ("vouchsafe-enclave", "rsa", "RUSTSEC-2023-0071 concerns private-key timing"),
    ("vouchsafe-enclave", "vouchsafe-client", "the enclave trusts nothing it could ask a client for"),
    ("vouchsafe-host", "vouchsafe-engine", "the host never sees a prompt, so it needs no engine"),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
    workspace_members: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

pub(super) fn check(found: &mut Vec<String>) -> Result<()> {
    let json = tools::output(&mut tools::cargo(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Metadata = serde_json::from_slice(&json).context("cargo metadata")?;
    let name_of: BTreeMap<_, _> =
        metadata.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
    let ours: BTreeSet<&str> = metadata.workspace_members.iter().map(|id| name_of[id.as_str()]).collect();
    let mut edges = BTreeMap::<&str, BTreeSet<&str>>::new();
    for node in &metadata.resolve.nodes {
        let targets = edges.entry(name_of[node.id.as_str()]).or_default();
        let shipped =
            node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|k| k.kind.as_deref() != Some("dev")));
        targets.extend(shipped.map(|dep| name_of[dep.pkg.as_str()]));
    }
    let allowed: BTreeMap<_, _> = ALLOWED.into_iter().collect();
    for from in ours.iter().filter(|name| **name != "xtask") {
        let Some(allowed) = allowed.get(from) else {
            found.push(format!("crate {from} is not in the table of allowed edges"));
            continue;
        };
        for to in edges[from].iter().filter(|to| ours.contains(**to) && !allowed.contains(*to)) {
            found.push(format!("{from} depends on {to}, which the architecture does not allow"));
        }
    }
    for (program, banned, why) in BANNED {
        if reachable(program)?.contains(banned) {
            found.push(format!("{program} reaches {banned}: {why}"));
        }
    }
    Ok(())
}

/// Every crate that building `program` alone compiles into it. Asked of `cargo tree`, since the
/// workspace's metadata has the features of all programs and their tests together.
fn reachable(program: &str) -> Result<BTreeSet<String>> {
    let arguments =
        ["tree", "--locked", "--edges", "no-dev", "--prefix", "none", "--format", "{p}", "--package"];
    let listed = tools::output(tools::cargo(arguments).arg(program))?;
    Ok(names(&String::from_utf8_lossy(&listed)))
}

fn names(listed: &str) -> BTreeSet<String> {
    listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_in_the_architecture() {
        let text = std::fs::read_to_string(tools::root().join("ARCHITECTURE.md")).unwrap();
        for (from, allowed) in ALLOWED {
            let short = |name: &str| name.strip_prefix("vouchsafe-").unwrap_or(name).to_owned();
            let to: Vec<_> = allowed.iter().map(|to| short(to)).collect();
            let to = if to.is_empty() { "nothing of ours".to_owned() } else { to.join(", ") };
            let row = format!("| {} | {to} |", short(from));
            assert!(text.contains(&row), "ARCHITECTURE.md lacks the row {row:?}");
        }
    }

    #[test]
    fn what_a_program_reaches_is_read_from_cargo() {
        assert_eq!(
            names("a v1.0.0 (/x)\nb v2.0.0\nb v2.0.0 (*)\n"),
            BTreeSet::from(["a".into(), "b".into()])
        );
        // A control: the simulated enclave does reach what the production enclave must not.
        assert!(reachable("vouchsafe-enclave-sim").unwrap().contains("vouchsafe-simulator"));
        assert!(reachable("vouchsafe-enclave").unwrap().contains("rustls"));
    }
}
