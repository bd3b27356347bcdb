//! `cargo xtask bench`: the verifier beside `dcap-qvl` and `sev`, in one run, with the ratios. Slower than one of
//! them is a failure. That is why it is no part of `check`: only a quiet machine can say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::tools;

/// The benchmark's own workspace: it wants OpenSSL, which nothing else here does.
const MANIFEST: &str = "attestation/verifier/bench/Cargo.toml";
const OURS: &str = "vouchsafe";

pub(crate) fn run() -> Result<()> {
    let home = tools::target_dir().join("bench");
    let manifest = tools::root().join(MANIFEST);
    let command = |name: &str| {
        let mut command = tools::cargo([name, "--locked", "--manifest-path"]);
        command.arg(&manifest).arg("--target-dir").arg(&home);
        command
    };
    let results = home.join("criterion");
    if results.is_dir() {
        fs::remove_dir_all(&results)?;
    }
    tools::succeed(command("bench").env("CRITERION_HOME", &results))?;
    let mut slower = Vec::new();
    for (evidence, medians) in medians(&results)? {
        let (peers, ours): (Vec<_>, Vec<_>) = medians.into_iter().partition(|(name, _)| name != OURS);
        let [(_, ours)] = ours[..] else { bail!("{evidence} was not measured here") };
        for (peer, theirs) in peers {
            let ratio = theirs / ours;
            anstream::println!(
                "{evidence:<22} {ours:>8.0} µs here, {theirs:>8.0} µs by {peer}: {ratio:.2} times faster"
            );
            if ratio < 1.0 {
                slower.push(format!("{evidence} than {peer} ({ratio:.2})"));
            }
        }
    }
    tools::succeed(command("run").args(["--release", "--bin", "allocations"]))?;
    if slower.is_empty() { Ok(()) } else { bail!("slower: {}", slower.join(", ")) }
}

/// Criterion's medians in microseconds, by evidence and verifier.
fn medians(results: &Path) -> Result<BTreeMap<String, Vec<(String, f64)>>> {
    let mut found = BTreeMap::<String, Vec<_>>::new();
    for group in fs::read_dir(results).with_context(|| results.display().to_string())? {
        let group = group?.path();
        for function in fs::read_dir(&group)? {
            let function = function?.path();
            let Ok(text) = fs::read(function.join("new/estimates.json")) else { continue };
            let estimates: serde_json::Value = serde_json::from_slice(&text)?;
            let nanoseconds = estimates["median"]["point_estimate"].as_f64().context("no median")?;
            found.entry(name(&group)).or_default().push((name(&function), nanoseconds / 1e3));
        }
    }
    if found.is_empty() {
        bail!("nothing was measured");
    }
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
