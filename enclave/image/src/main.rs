//! `vouchsafe-image`: builds what a confidential VM boots from, bit for bit reproducible.
//!
//! In go the enclave program, pinned Debian packages and models; out come kernel, initial RAM disk,
//! model disk, command line, firmware, a manifest with the digest of everything, and what a guest of
//! them must measure to. The kernel package is Debian's and signed; nothing else of Debian's runs in the
//! guest. No step depends on the time, the folder or the machine; what does depend on it is the enclave
//! program itself, which `cargo xtask image` builds.
//!
//! | file | what it is |
//! | --- | --- |
//! | `vmlinuz` | the kernel, as in the package |
//! | `initrd` | the enclave program as `/init`, kernel modules, `/dev/console`; nothing else |
//! | `cmdline` | the kernel command line, with the disk's root hash |
//! | `disk.img` | models and configuration: erofs, and its dm-verity hash tree |
//! | `OVMF.amdsev.fd`, `OVMF.tdx.fd` | firmware for SNP and for TDX |
//! | `manifest.json` | digests of all of it, and of what is inside |
//! | `measurements-*.json` | what a guest must measure to, as policies take it |
//! | `release.json` | the signed release, where there is one |

mod build;
mod disk;
mod initrd;
mod manifest;
mod packages;
mod release;
mod verity;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Builds what a confidential VM boots from
#[derive(Debug, Parser)]
#[command(name = "vouchsafe-image", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build an image
    Build(Build),
    /// Sign an image's measurements and digests as a release, `release.json`, or add a signature to it
    Release(Release),
    /// Hold an image and its `release.json` against a release key
    Verify(Verify),
    /// Print the pinned packages that an image is made from, as JSON
    Inputs,
}

#[derive(Debug, Args)]
struct Build {
    /// The statically linked enclave program
    #[arg(long, value_name = "FILE")]
    enclave: PathBuf,
    /// The compiler that built it, as it names itself, for the manifest
    #[arg(long, value_name = "TEXT")]
    compiler: String,
    /// Folder of the pinned Debian packages
    #[arg(long, value_name = "DIR")]
    packages: PathBuf,
    /// A model to serve: a GGUF file, or a folder of safetensors
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Name to serve the model under, where not the file's own
    #[arg(long)]
    name: Option<String>,
    /// A sentence-embedding model to serve: a folder, or a GGUF file
    #[arg(long, value_name = "DIR")]
    embedding_model: Option<PathBuf>,
    /// The measured configuration, JSON; defaults where absent
    #[arg(long, value_name = "FILE")]
    configuration: Option<PathBuf>,
    /// Numbers of vCPUs to compute SNP launch digests for
    #[arg(long, value_name = "N", default_values_t = [1, 2, 4, 8])]
    vcpus: Vec<u32>,
    /// Where the image goes; made, and must not hold anything
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Release {
    /// The image
    image: PathBuf,
    /// The release key, PKCS #8 in PEM; made at the first use
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What the release is called
    #[arg(long, value_name = "TEXT")]
    release: String,
}

#[derive(Debug, Args)]
struct Verify {
    /// The image
    image: PathBuf,
    /// The release key's public half, PEM, as `release` wrote it beside the key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Build(arguments) => build::run(&arguments),
        Command::Release(arguments) => release::run(&arguments.image, &arguments.key, &arguments.release),
        Command::Verify(arguments) => release::verify(&arguments.image, &arguments.key),
        Command::Inputs => inputs(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
            eprintln!("vouchsafe-image: {}", causes.join(": "));
            ExitCode::FAILURE
        }
    }
}

fn inputs() -> Result<()> {
    println!("{}", packages::PINNED.trim_end());
    Ok(())
}
