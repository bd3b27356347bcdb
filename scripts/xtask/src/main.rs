//! Developer and CI commands: `cargo xtask check`, `cargo demo`.
//!
//! This program builds and starts others; it holds no logic of the product. It has few dependencies
//! so that the first command a newcomer types compiles quickly.

mod bench;
mod browser;
mod chaos;
mod check;
mod debian;
mod demo;
mod firmware;
mod fuzz;
mod go;
mod image;
mod memcheck;
mod sbom;
mod setup;
mod tidy;
mod tools;
mod web;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer and CI commands of Vouchsafe")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that must hold before a change lands: format, lints, tidy, licences, docs, wasm, tests.
    Check(check::Arguments),
    /// Structure rules that no compiler checks: module headers, crate edges, file length, dead files.
    Tidy,
    /// Prepare what the tests need beside Rust (a Python environment, model weights) under `target/`.
    Setup,
    /// Build the programs and run the demo; `cargo demo` is short for this.
    Demo(demo::Arguments),
    /// Fuzz the parsers of hostile input; the corpus grows from sitting to sitting.
    Fuzz(fuzz::Arguments),
    /// Build the verifier for browsers and Node: an npm package and one page, under `target/web`.
    Web(web::Arguments),
    /// Build the confidential VM's image: kernel, initial RAM disk, model disk, expected measurements.
    Image(image::Arguments),
    /// Run the tests of the engine's kernels under valgrind.
    Memcheck,
    /// Ask without pause while everything is killed, paused and starved; then account for every answer.
    Chaos(chaos::Arguments),
    /// List what the production enclave program is made of, as CycloneDX, under `target/sbom`.
    Sbom,
    /// Measure the verifier beside dcap-qvl and sev; wants the fixtures and the system's OpenSSL.
    Bench,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Tidy => tidy::run(),
        Command::Setup => setup::run().map(|_| ()),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Web(arguments) => web::run(&arguments),
        Command::Image(arguments) => image::run(&arguments),
        Command::Memcheck => memcheck::run(),
        Command::Chaos(arguments) => chaos::run(&arguments),
        Command::Sbom => sbom::run(),
        Command::Bench => bench::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of causes, without the backtrace that only this program's authors could read.
            let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
            anstream::eprintln!("xtask: {}", causes.join(": "));
            ExitCode::FAILURE
        }
    }
}
