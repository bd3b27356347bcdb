//! `cargo xtask web`: the verifier for browsers and Node, and its tests.
//!
//! Builds the module, has `attestation/web/pack` make the npm package and the page from it, and runs both
//! under Node and Chromium against the `vouchsafe` command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{browser, tools};

const WASM: &str = "wasm32-unknown-unknown";
/// Most bytes of the module before compression. It is loaded by people.
const MODULE_BYTES_MAX: u64 = 700_000;
/// What makes the module smaller, at exactly this version.
const WASM_OPT: &str = "binaryen/bin/wasm-opt";
/// Oldest Node whose own test runner and WebAssembly do.
const NODE_MAJOR_MIN: u32 = 20;

/// The tests, the quickest first.
const TESTS: [&str; 4] = ["chain.test.mjs", "package.test.mjs", "page.test.mjs", "use.test.mjs"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run the tests of package and page as well; they want the release programs
    #[arg(long)]
    test: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let out = build()?;
    anstream::eprintln!("   {}", out.join("verify.html").display());
    if arguments.test {
        test(&out)?;
    }
    Ok(())
}

/// The step of `cargo xtask check`: builds and tests.
pub(crate) fn check() -> Result<()> {
    test(&build()?)
}

/// Builds package and page and gives their folder.
fn build() -> Result<PathBuf> {
    tools::add_target(WASM)?;
    let sources = tools::root().join("attestation/web");
    node()?;
    let wasm_opt = browser::node_modules(&sources.join("pack/package.json"), "web-pack")?.join(WASM_OPT);
    let build = ["build", "--profile", "web", "--locked", "--target", WASM, "--package", "vouchsafe-web"];
    let mut command = tools::cargo(build);
    // Places in messages of panics: shorter, and nobody's own folders.
    let places = [(tools::root(), "/vouchsafe"), (tools::cargo_home()?, "/cargo")];
    let flags = places.map(|(place, name)| format!("--remap-path-prefix={}={name}", place.display()));
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env_remove("RUSTFLAGS");
    tools::succeed(&mut command)?;
    let module = tools::target_dir().join(WASM).join("web").join("vouchsafe_web.wasm");
    let out = tools::target_dir().join("web");
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    // A workspace of its own has a folder of its own, lest each building undoes the other's.
    let pack = tools::target_dir().join("web-pack");
    let manifest = sources.join("pack/Cargo.toml");
    let mut command = tools::cargo(["run", "--release", "--locked", "--quiet", "--manifest-path"]);
    command.arg(manifest).arg("--").args([&module, &sources]);
    command.arg(tools::root().join("policies")).arg(wasm_opt).arg(&out).env("CARGO_TARGET_DIR", pack);
    tools::succeed(&mut command)?;
    Ok(out)
}

fn test(out: &Path) -> Result<()> {
    let module = out.join("package/vouchsafe_web_bg.wasm");
    let bytes = fs::metadata(&module).with_context(|| format!("cannot read {}", module.display()))?.len();
    if bytes > MODULE_BYTES_MAX {
        bail!("the module is {bytes} bytes before compression, and may be {MODULE_BYTES_MAX}");
    }
    tools::build_tests()?;
    let node = node()?;
    let tests = tools::root().join("attestation/web/tests");
    let modules = browser::node_modules(&tests.join("package.json"), "web-tests")?;
    let mut command = Command::new(node);
    command
        .current_dir(&tests)
        .args(["--test", "--test-concurrency=1"])
        .args(TESTS)
        .env("VOUCHSAFE_ROOT", tools::root())
        .env("VOUCHSAFE_WEB", out)
        .env("VOUCHSAFE_PROGRAMS", tools::programs_dir())
        .env("VOUCHSAFE_NODE_MODULES", modules)
        .env("VOUCHSAFE_CHROMIUM", browser::chromium()?);
    tools::succeed(&mut command)
}

fn node() -> Result<PathBuf> {
    let major = || {
        let version = tools::output(Command::new("node").arg("--version")).ok()?;
        String::from_utf8_lossy(&version).trim().strip_prefix('v')?.split('.').next()?.parse::<u32>().ok()
    };
    match major() {
        Some(found) if found >= NODE_MAJOR_MIN => Ok("node".into()),
        found => bail!(
            "the tests of the page need Node {NODE_MAJOR_MIN} or newer with npm, found {}",
            found.map_or_else(|| "none".to_owned(), |major| major.to_string())
        ),
    }
}
