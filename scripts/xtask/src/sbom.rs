//! `cargo xtask sbom`: what the production enclave program is made of, as a CycloneDX document.
//!
//! The crates are those that the program is linked from, for the target and with the features that the image is built
//! with; what only builds or tests it is left out. The kernel, the modules and the C library of the image stand in the
//! image's own manifest.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{image, tools};

/// The version of cargo-cyclonedx that writes the document.
const CARGO_CYCLONEDX: &str = "0.5.9";
const PROGRAM: &str = "vouchsafe-enclave";
const MANIFEST: &str = "enclave/server/Cargo.toml";

/// What is read of the document, to say what is in it.
#[derive(Deserialize)]
struct Document {
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    name: String,
}

pub(crate) fn run() -> Result<()> {
    let program = tools::installed("cargo-cyclonedx", CARGO_CYCLONEDX)?;
    let folder = tools::target_dir().join("sbom");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    // The tool writes beside the manifests that it reads: a copy keeps the checkout as it is.
    let source = folder.join("source");
    image::copy_source(&source)?;
    let mut command = Command::new(program);
    command.current_dir(&source).args(["cyclonedx", "--format", "json", "--spec-version", "1.5"]);
    command.args(["--target", image::TARGET, "--no-build-deps", "--override-filename", PROGRAM]);
    tools::succeed(command.args(["--manifest-path", MANIFEST]))?;
    let written = source.join(Path::new(MANIFEST).with_file_name(format!("{PROGRAM}.json")));
    // Where it was written is nobody's business, and would make each machine's document another.
    let text =
        fs::read_to_string(&written).context("the document")?.replace(&source.display().to_string(), "");
    let document: Document = serde_json::from_str(&text)?;
    if !document.components.iter().any(|component| component.name == "rustls") {
        bail!("the document does not name what the program is certainly made of");
    }
    let out = folder.join(format!("{PROGRAM}.cdx.json"));
    fs::write(&out, text)?;
    fs::remove_dir_all(&source)?;
    anstream::println!("{} components: {}", document.components.len(), out.display());
    Ok(())
}
