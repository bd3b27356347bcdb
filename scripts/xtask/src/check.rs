//! `cargo xtask check`: the one command that people and CI run.

use std::process::Command;
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use anyhow::Result;

use crate::{demo, fuzz, image, setup, tidy, tools, web};

/// The version of cargo-deny that checks licences, sources and advisories.
const CARGO_DENY: &str = "0.20.2";
const WASM: &str = "wasm32-unknown-unknown";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only the steps with these names.
    #[arg(value_name = "STEP")]
    only: Vec<String>,
}

/// Run only when named: what they build takes longer than a check may, cold.
const ON_REQUEST: [&str; 1] = ["image"];

type Step = (&'static str, fn() -> Result<()>);

/// In the order of what fails fastest. Tests come last and print their own summary.
const STEPS: [Step; 11] = [
    ("format", format),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("docs", docs),
    ("wasm", wasm),
    ("programs", programs),
    ("deny", deny),
    ("fuzz", fuzz::check),
    ("image", image::check),
    ("web", web::check),
    ("tests", tests),
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    for name in &arguments.only {
        if !STEPS.iter().any(|(step, _)| step == name) {
            let known: Vec<_> = STEPS.iter().map(|(step, _)| *step).collect();
            anyhow::bail!("no step is called {name:?}; there are {}", known.join(", "));
        }
    }
    let chosen = |name: &str| match arguments.only[..] {
        [] => !ON_REQUEST.contains(&name),
        _ => arguments.only.iter().any(|only| only == name),
    };
    for (name, _) in STEPS.into_iter().filter(|(name, _)| arguments.only.is_empty() && !chosen(name)) {
        anstream::eprintln!("NOT RUN: {name} (`cargo xtask check {name}` runs it)");
    }
    for (name, step) in STEPS.into_iter().filter(|(name, _)| chosen(name)) {
        let heading = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
        anstream::eprintln!("{heading}== {name}{heading:#}");
        let start = Instant::now();
        step().map_err(|error| error.context(format!("check step {name:?}")))?;
        anstream::eprintln!("   {name} took {} s", start.elapsed().as_secs());
    }
    Ok(())
}

/// Workspaces of their own, for reasons that stand in their manifests.
const SATELLITES: [&str; 3] =
    ["tests/fuzz/Cargo.toml", "attestation/verifier/bench/Cargo.toml", "attestation/web/pack/Cargo.toml"];

fn format() -> Result<()> {
    tools::succeed(&mut tools::cargo(["fmt", "--all", "--check"]))?;
    for manifest in SATELLITES {
        tools::succeed(&mut tools::cargo(["fmt", "--check", "--manifest-path", manifest]))?;
    }
    Ok(())
}

fn clippy() -> Result<()> {
    tools::succeed(&mut tools::cargo([
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn docs() -> Result<()> {
    let mut command = tools::cargo(["doc", "--release", "--workspace", "--no-deps", "--locked"]);
    tools::succeed(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// The verifying crates must build where there is no operating system, the verifier with nothing but the target
/// named; and what it weighs in a linked module is shown.
fn wasm() -> Result<()> {
    tools::add_target(WASM)?;
    let build = |package: &str, more: &[&str]| {
        let mut command =
            tools::cargo(["build", "--release", "--locked", "--target", WASM, "--package", package]);
        tools::succeed(command.args(more))
    };
    build("vouchsafe-verifier", &[])?;
    for package in ["vouchsafe-receipt", "vouchsafe-translog", "vouchsafe-bundle"] {
        build(package, &["--no-default-features"])?;
    }
    build("vouchsafe-verifier", &["--features", "module", "--bin", "verifier-module"])?;
    let module = tools::target_dir().join(WASM).join("release/verifier-module.wasm");
    let size = std::fs::metadata(&module)?.len();
    anstream::eprintln!("   the verifier in a linked module for {WASM}: {size} bytes");
    Ok(())
}

/// Each program with the features that it ships with: building the tests adds to these, and would hide that one
/// is missing. Checked and not built: the tests run programs that were built beside them.
fn programs() -> Result<()> {
    let mut packages = demo::PROGRAMS.to_vec();
    packages.extend([
        "vouchsafe-enclave",
        "vouchsafe-image",
        "vouchsafe-measure",
        "vouchsafe-monitor",
        "vouchsafe-policy",
        "vouchsafe-processor",
    ]);
    let mut command = tools::cargo(["check", "--release", "--locked", "--bins"]);
    tools::succeed(command.args(packages.into_iter().flat_map(|package| ["--package", package])))
}

/// Licences, sources and bans always; advisories where their database can be had.
fn deny() -> Result<()> {
    let program = tools::installed("cargo-deny", CARGO_DENY)?;
    let deny = |what: &[&str]| {
        let mut command = Command::new(&program);
        command.current_dir(tools::root()).args(["--locked", "check", "--hide-inclusion-graph"]).args(what);
        command
    };
    tools::succeed(&mut deny(&["bans", "licenses", "sources"]))?;
    let fetched = Command::new(&program).current_dir(tools::root()).args(["fetch", "db"]).output();
    if fetched.is_ok_and(|out| out.status.success()) {
        tools::succeed(&mut deny(&["advisories"]))
    } else {
        anstream::eprintln!("   NOT RUN: advisories (the RustSec database cannot be reached from here)");
        Ok(())
    }
}

fn tests() -> Result<()> {
    let prepared = setup::run()?;
    tools::build_tests()?;
    let mut command = tools::cargo(["test", "--release", "--workspace", "--locked", "--no-fail-fast"]);
    command
        .env("VOUCHSAFE_PYTHON", &prepared.python)
        .env("VOUCHSAFE_NODE_CLIENTS", &prepared.node_clients)
        .env("VOUCHSAFE_MINILM", &prepared.minilm)
        .env("VOUCHSAFE_CHROMIUM", &prepared.chromium)
        // Everyone who runs this command tries the same cases; `cargo test` by itself tries new ones.
        .env("PROPTEST_RNG_SEED", "1")
        .env("VOUCHSAFE_PROGRAMS", tools::programs_dir());
    if let Some(reader) = &prepared.go_reader {
        command.env("VOUCHSAFE_GO_READER", reader);
    }
    if let Some(ovmf) = &prepared.ovmf {
        command.env("VOUCHSAFE_OVMF", ovmf);
    }
    tools::succeed(&mut command)
}
