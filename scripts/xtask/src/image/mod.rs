//! `cargo xtask image`: the confidential VM's image, bit for bit reproducible.
//!
//! The enclave program is built here, static and without a trace of the folder it was built in; the pinned
//! Debian packages are fetched here, or taken from a mirror; `vouchsafe-image` puts the image together.

mod emulator;
mod enclave;
mod packages;
mod soak;
mod test;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools;

use emulator::Emulator;

pub(crate) use enclave::TARGET;

/// The demo model: what an image serves where no other model is named.
const DEMO_MODEL: &str = "enclave/demo-model/vouchsafe-demo.gguf";
const DEMO_MODEL_NAME: &str = "vouchsafe-demo";
/// Programs of ours that building an image takes.
const BUILDERS: [&str; 2] = ["vouchsafe-image", "vouchsafe-measure"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build the simulated image: the same but for the enclave program, which has a simulated attester.
    #[arg(long)]
    simulated: bool,
    /// Take the pinned packages from this folder alone, without any network.
    #[arg(long, value_name = "DIR")]
    mirror: Option<PathBuf>,
    /// Where the image goes; what is there is replaced. `target/image/production` or `…/simulated` by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A model to serve in place of the demo model, GGUF.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Name to serve it under.
    #[arg(long, requires = "model")]
    name: Option<String>,
    /// A sentence-embedding model to serve, a folder.
    #[arg(long, value_name = "DIR")]
    embedding_model: Option<PathBuf>,
    /// The measured configuration, JSON.
    #[arg(long, value_name = "FILE")]
    configuration: Option<PathBuf>,
    /// Sign the image as a release of this name, with --key: `release.json`.
    #[arg(long, value_name = "NAME", requires = "key", conflicts_with = "simulated")]
    release: Option<String>,
    /// The release key, PKCS #8 in PEM; made at the first use.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Build twice, from copies of the source in different folders, and compare every byte.
    #[arg(long, conflicts_with_all = ["out", "test"])]
    twice: bool,
    /// Boot a guest that echoes, and send a gigabyte each way over 200 streams.
    #[arg(long, conflicts_with_all = ["out", "test", "twice"])]
    soak: bool,
    /// Build the simulated image, boot it under emulation, and try everything on it.
    #[arg(long, conflicts_with = "out")]
    test: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.soak {
        return soak::run(&build_echo()?, &[]);
    }
    if arguments.test {
        return test::run();
    }
    let packages = packages::prepare(arguments.mirror.as_deref())?;
    if arguments.twice {
        return compare(|source, folder, out| build(arguments, source, folder, &packages, out)).map(drop);
    }
    let out = match &arguments.out {
        Some(out) => std::path::absolute(out)?,
        None => folder().join(if arguments.simulated { "simulated" } else { "production" }),
    };
    build(arguments, &tools::root(), &folder().join("build"), &packages, &out)?;
    let Some((release, key)) = arguments.release.as_ref().zip(arguments.key.as_ref()) else { return Ok(()) };
    let mut command = Command::new(tools::programs_dir().join("vouchsafe-image"));
    tools::succeed(command.arg("release").arg(&out).args(["--release", release]).arg("--key").arg(key))
}

/// Where everything about images is kept.
fn folder() -> PathBuf {
    tools::target_dir().join("image")
}

/// What `cargo xtask check` can afford: an image around a small program that echoes, built twice and
/// compared, booted under the host program, and sent a few megabytes. The enclave program's own image takes
/// minutes to compile and is tried by `cargo xtask image --test`, compared by `--twice`.
pub(crate) fn check() -> Result<()> {
    let packages = packages::prepare(None)?;
    let image = compare(|source, build, out| {
        let program = enclave::build(source, build, "vouchsafe-soak", "vouchsafe-echo-guest")?;
        assemble(&plain(), source, &program, &packages, out)
    })?;
    soak::run(&image, &["--streams", "20", "--bytes", "20000000"])
}

/// The simulated image of the demo model, in its usual place.
fn build_simulated() -> Result<PathBuf> {
    let (packages, out) = (packages::prepare(None)?, folder().join("simulated"));
    build(&plain(), &tools::root(), &folder().join("build"), &packages, &out)?;
    Ok(out)
}

/// The image of the guest that echoes.
fn build_echo() -> Result<PathBuf> {
    let (packages, out) = (packages::prepare(None)?, folder().join("echo"));
    let program =
        enclave::build(&tools::root(), &folder().join("build"), "vouchsafe-soak", "vouchsafe-echo-guest")?;
    assemble(&plain(), &tools::root(), &program, &packages, &out)?;
    Ok(out)
}

/// A simulated image of the demo model.
fn plain() -> Arguments {
    Arguments {
        simulated: true,
        mirror: None,
        out: None,
        model: None,
        name: None,
        embedding_model: None,
        configuration: None,
        release: None,
        key: None,
        soak: false,
        twice: false,
        test: false,
    }
}

/// Builds one image from the source at `root`.
fn build(arguments: &Arguments, root: &Path, build: &Path, packages: &Path, out: &Path) -> Result<()> {
    let package = if arguments.simulated { "vouchsafe-enclave-sim" } else { "vouchsafe-enclave" };
    let enclave = enclave::build(root, build, package, package)?;
    assemble(arguments, root, &enclave, packages, out)
}

/// Puts an image together around a program.
fn assemble(arguments: &Arguments, root: &Path, enclave: &Path, packages: &Path, out: &Path) -> Result<()> {
    tools::build_programs(&BUILDERS)?;
    if out.exists() {
        if !out.join("manifest.json").is_file() && fs::read_dir(out)?.next().is_some() {
            bail!("{} holds something that is no image", out.display());
        }
        fs::remove_dir_all(out).with_context(|| out.display().to_string())?;
    }
    let demo = root.join(DEMO_MODEL);
    let mut command = Command::new(tools::programs_dir().join("vouchsafe-image"));
    command.arg("build").arg("--enclave").arg(enclave).arg("--compiler").arg(enclave::compiler()?);
    command.arg("--packages").arg(packages).arg("--out").arg(out);
    match &arguments.model {
        Some(model) => command.arg("--model").arg(model),
        None => command.arg("--model").arg(demo).args(["--name", DEMO_MODEL_NAME]),
    };
    command.args(arguments.name.iter().flat_map(|name| ["--name", name]));
    for (option, value) in
        [("--embedding-model", &arguments.embedding_model), ("--configuration", &arguments.configuration)]
    {
        if let Some(value) = value {
            command.arg(option).arg(value);
        }
    }
    tools::succeed(&mut command)
}

/// Builds an image from two copies of the source, holds one against the other, and gives one of them.
fn compare(build: impl Fn(&Path, &Path, &Path) -> Result<()>) -> Result<PathBuf> {
    let work = folder().join("twice");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let mut images = Vec::new();
    // Names of different lengths: a path that is left in a file moves what follows it.
    for name in ["one", "another-folder"] {
        let (source, out) = (work.join(name).join("source"), work.join(name).join("image"));
        copy_source(&source)?;
        build(&source, &work.join(name).join("build"), &out)?;
        images.push(out);
    }
    let [one, another] = &images[..] else { bail!("two images are compared") };
    tools::succeed(Command::new("diff").args(["--recursive", "--brief"]).arg(one).arg(another))
        .context("the two images differ")?;
    let digest = tools::output(Command::new("sha256sum").arg(one.join("manifest.json")))?;
    let digest = String::from_utf8_lossy(&digest).split_whitespace().next().unwrap_or_default().to_owned();
    anstream::println!("bit-identical from two folders; manifest {digest}");
    Ok(one.clone())
}

/// A copy of what git would commit, changes included.
pub(crate) fn copy_source(to: &Path) -> Result<()> {
    let listed = tools::output(Command::new("git").current_dir(tools::root()).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]))?;
    for name in listed.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = PathBuf::from(String::from_utf8_lossy(name).into_owned());
        let (from, to) = (tools::root().join(&name), to.join(&name));
        if !from.is_file() {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        fs::copy(&from, &to).with_context(|| from.display().to_string())?;
    }
    Ok(())
}
