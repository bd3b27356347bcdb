//! `vouchsafe-chaos`: load and faults together, and an account of every answer that any client received.
//!
//! Started by `cargo xtask chaos`. Clients ask without pause while enclave, host, log and witnesses are killed
//! and paused at random moments and their disk fills up. Afterwards each answer's receipt is in the log, or its
//! boot was killed with it among the newest that the boot's promise allows to be unsettled. There is no third case.
//! Which faults come when follows from the seed; how they fall between the programs' own steps does not.

mod account;
mod clients;
mod disk;
mod faults;
mod installation;
mod log;
mod program;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use tokio::sync::watch;

use crate::clients::{Client, Tally};
use crate::disk::Disk;
use crate::faults::Faults;
use crate::installation::Installation;

#[derive(Debug, Parser)]
#[command(name = "vouchsafe-chaos", version)]
struct Arguments {
    /// How long faults happen, in seconds
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// What the order of faults follows from; printed, and drawn from the clock unless given
    #[arg(long)]
    seed: Option<u64>,
    /// Clients that ask at the same time
    #[arg(long, default_value_t = 6)]
    clients: u64,
    /// Folder for everything, a fresh one; a temporary one unless given
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The folder is on a small file system of its own, which may be filled
    #[arg(long, requires = "state")]
    fill: bool,
    /// The simulated authority, made at the first use: the user's own unless given
    #[arg(long, value_name = "DIR")]
    authority: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
            eprintln!("vouchsafe-chaos: {}", causes.join(": "));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let temporary;
    let state = match &arguments.state {
        Some(folder) => folder.clone(),
        None => {
            temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
            temporary.path().to_path_buf()
        }
    };
    let seed = arguments.seed.map_or_else(seed_by_clock, Ok)?;
    println!("seed {seed}, {} clients, faults for {} s", arguments.clients, arguments.seconds);
    let disk = match arguments.fill {
        true => Some(Disk::of_its_own(&state)?),
        false => {
            println!("NOT TRIED: a full disk, for which the state needs a file system of its own");
            None
        }
    };
    let mut installation = Installation::start(&state, arguments.authority.as_deref()).await?;

    let (stop, is_stopping) = watch::channel(false);
    let asking: Vec<_> = (0..arguments.clients)
        .map(|number| {
            let client = Client::new(number, seed, installation.client()?, installation.model());
            Ok(tokio::spawn(client.run(is_stopping.clone())))
        })
        .collect::<Result<_>>()?;
    let faults =
        Faults::new(seed, disk).run(&mut installation, Duration::from_secs(arguments.seconds)).await?;
    stop.send_replace(true);
    let mut tally = Tally::default();
    for client in asking {
        tally.add(client.await.context("a client")?);
    }
    println!("{faults}\n{tally}");

    // Everything runs again: the service has to come back by itself, and then nothing may be left over.
    let begun = Instant::now();
    let last_boot = clients::recover(&installation).await?;
    installation.settled().await?;
    println!("all in order again after {:.1} s", begun.elapsed().as_secs_f64());
    let log = Arc::clone(&installation.log);
    installation.stop().await?;

    let logged = log::read(&log)?;
    let unsettled_max = tally.unsettled_max;
    let account = account::account(&tally.answers, &logged, &last_boot, unsettled_max);
    println!("{account}");
    for violation in &account.violations {
        eprintln!("  {violation}");
    }
    ensure!(tally.wrong.is_empty(), "answers that did not verify: {}", tally.wrong.join("; "));
    ensure!(account.violations.is_empty(), "{} answers are not accounted for", account.violations.len());
    if tally.answers.is_empty() {
        bail!("no answer was received: nothing was shown");
    }
    Ok(())
}

fn seed_by_clock() -> Result<u64> {
    Ok(vouchsafe_client::now()?.0)
}
