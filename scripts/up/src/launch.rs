//! Starting the host program, which starts the enclave program, and waiting until both are ready.
//!
//! The three are separate processes: this one is a client and sees what any client sees. The host
//! reports its progress as lines on standard output.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

/// Longest wait for the model to load and the enclave to attest itself.
const READY_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the programs get to end by themselves before they are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What to start.
pub struct Launch {
    /// Folder of the programs: that of this program.
    pub programs: PathBuf,
    /// Folder for the host's state.
    pub state: PathBuf,
    /// The log that receipts settle into.
    pub log: Option<String>,
    /// Arguments of the enclave program, its link aside.
    pub enclave_arguments: Vec<OsString>,
}

/// A running host with its enclave. Dropping it kills the host, and the host's end ends the enclave.
pub struct Running {
    child: Child,
    /// Keeps the pipe open, so that the host never fails to write.
    _lines: Lines<BufReader<ChildStdout>>,
    /// Where the host forwards to the enclave.
    pub address: SocketAddr,
}

/// Starts host and enclave and waits until the enclave answers.
pub async fn start(launch: &Launch) -> Result<Running> {
    let mut command = Command::new(program(&launch.programs, "vouchsafe-host")?);
    command
        .args(["run", "--backend", "process", "--listen", "127.0.0.1:0", "--state"])
        .arg(&launch.state)
        .args(launch.log.iter().flat_map(|url| ["--log", url]))
        .arg("--enclave")
        .arg(program(&launch.programs, "vouchsafe-enclave-sim")?)
        .arg("--")
        .args(&launch.enclave_arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().context("cannot start vouchsafe-host")?;
    let stdout = child.stdout.take().context("the host's output is not piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let complaints = Complaints::collect(child.stderr.take());
    let address = tokio::time::timeout(READY_TIMEOUT, wait_until_ready(&mut lines))
        .await
        .context("the enclave did not become ready in time")?;
    match address {
        Ok(address) => Ok(Running { child, _lines: lines, address }),
        Err(error) => {
            let status = child.wait().await?;
            complaints.show().await;
            Err(error.context(format!("the host ended with {status}")))
        }
    }
}

/// What the host and the enclave said on standard error: shown when they fail, silent otherwise.
pub struct Complaints(tokio::task::JoinHandle<Vec<String>>);

impl Complaints {
    /// Lines kept; the last ones say why something failed.
    const LINES_MAX: usize = 40;

    /// Begins to read what a program says.
    pub fn collect(stderr: Option<ChildStderr>) -> Self {
        Self(tokio::spawn(async move {
            let mut kept = Vec::new();
            let Some(stderr) = stderr else { return kept };
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if kept.len() == Self::LINES_MAX {
                    kept.remove(0);
                }
                kept.push(line);
            }
            kept
        }))
    }

    /// Prints what it kept, once the program has ended.
    pub async fn show(self) {
        for line in self.0.await.unwrap_or_default() {
            anstream::eprintln!("  {line}");
        }
    }

    /// The last line, once the program has ended; empty where it said nothing.
    pub async fn last(self) -> String {
        self.0.await.unwrap_or_default().pop().unwrap_or_default()
    }
}

/// Reads `listening`, `loading` and `ready` lines until the enclave is ready.
async fn wait_until_ready(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<SocketAddr> {
    let progress = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    progress.set_style(ProgressStyle::with_template("  {msg} {bar:30} {bytes}/{total_bytes}")?);
    progress.set_message("loading the model");
    let mut address = None;
    while let Some(line) = lines.next_line().await? {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("listening", at) => address = Some(at.parse().context("the host's address")?),
            ("loading", at) => {
                if let Some((done, total)) = at.split_once('/') {
                    progress.set_length(total.trim().parse().unwrap_or(0));
                    progress.set_position(done.trim().parse().unwrap_or(0));
                }
            }
            ("ready", _) => {
                progress.finish_and_clear();
                return address.context("the host became ready without saying where it listens");
            }
            _ => {}
        }
    }
    progress.finish_and_clear();
    bail!("the enclave did not start")
}

/// The path of one of our programs, beside this one.
pub fn program(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    if !path.is_file() {
        bail!("{} is missing: build it with `cargo build --release --bins`", path.display());
    }
    Ok(path)
}

impl Running {
    /// Asks the host to end, which ends the enclave, and waits for it.
    pub async fn stop(self) -> Result<()> {
        end(self.child).await.context("the host")
    }

    /// Resolves when the host ends without having been asked to.
    pub async fn ended(&mut self) -> Result<()> {
        let status = self.child.wait().await?;
        bail!("the host ended with {status}")
    }
}

/// Asks a program to end and waits for it; one that does not is killed.
pub async fn end(mut child: Child) -> Result<()> {
    if let Some(id) = child.id() {
        // A signal by name keeps this program free of unsafe code and of one more dependency.
        Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
    }
    match tokio::time::timeout(STOP_TIMEOUT, child.wait()).await {
        Ok(status) => {
            let status = status?;
            if !status.success() {
                bail!("it ended with {status}");
            }
        }
        Err(_) => child.kill().await?,
    }
    Ok(())
}
