//! `cargo xtask chaos`: load and faults together, and an account of every answer.
//!
//! The state is kept on a small file system in memory, in a mount namespace of its own, so that its disk can be filled
//! without harm. Where the system allows no such namespace, everything but a full disk is tried, and that is said.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{demo, tools};

/// Mounts the small file system at its first argument, then becomes what the others say.
const MOUNT: &str = r#"mount -t tmpfs -o size=256m vouchsafe-chaos "$0" && exec "$@""#;
const NAMESPACE: [&str; 4] = ["--user", "--map-root-user", "--mount", "--"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long faults happen, in seconds.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// What the order of faults follows from; drawn anew unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Clients that ask at the same time.
    #[arg(long, default_value_t = 6)]
    clients: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    tools::build_programs(&[&demo::PROGRAMS[..], &["vouchsafe-chaos"]].concat())?;
    let state = tools::target_dir().join("chaos");
    if state.exists() {
        std::fs::remove_dir_all(&state).with_context(|| format!("cannot clear {}", state.display()))?;
    }
    std::fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
    let mut command = match has_namespaces(&state) {
        true => {
            let mut command = Command::new("unshare");
            command.args(NAMESPACE).args(["sh", "-c", MOUNT]).arg(&state).arg(program()).arg("--fill");
            command
        }
        false => Command::new(program()),
    };
    command.args(["--for", &arguments.seconds.to_string(), "--clients", &arguments.clients.to_string()]);
    command.arg("--state").arg(&state);
    command.args(arguments.seed.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]));
    let status = command.status().context("cannot start vouchsafe-chaos")?;
    ensure!(status.success(), "not everything that had to hold did: vouchsafe-chaos ended with {status}");
    Ok(())
}

fn program() -> std::path::PathBuf {
    tools::programs_dir().join("vouchsafe-chaos")
}

fn has_namespaces(state: &Path) -> bool {
    let tried =
        Command::new("unshare").args(NAMESPACE).args(["sh", "-c", MOUNT]).arg(state).arg("true").output();
    tried.is_ok_and(|output| output.status.success())
}
