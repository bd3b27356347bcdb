//! One of the programs that are killed, paused and started again.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use vouchsafe_up::launch::Complaints;

/// How long a program gets to end by itself.
const STOP_MAX: Duration = Duration::from_secs(60);

/// What a program is, which says how it may be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Enclave,
    Host,
    Log,
    Witness(usize),
}

/// How to start a program: the same each time.
pub(crate) type Recipe = Box<dyn Fn() -> Result<Command> + Send + Sync>;

/// A program, whether it runs or not. What runs ends with this value.
pub(crate) struct Program {
    pub(crate) kind: Kind,
    recipe: Recipe,
    running: Option<Running>,
}

struct Running {
    child: Child,
    pid: Pid,
    complaints: Complaints,
}

impl Program {
    pub(crate) fn new(kind: Kind, recipe: Recipe) -> Self {
        Self { kind, recipe, running: None }
    }

    /// Starts it, and does not wait for what it does.
    pub(crate) fn start(&mut self) -> Result<()> {
        let mut command = (self.recipe)()?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {:?}", self.kind))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).context("a process without a number")?;
        let complaints = Complaints::collect(child.stderr.take());
        // Nobody reads what it says, but the pipe must not fill up.
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(async move {
                let mut lines = BufReader::new(stdout).lines();
                while let Ok(Some(_)) = lines.next_line().await {}
            });
        }
        self.running = Some(Running { child, pid: Pid::from_raw(pid), complaints });
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Ends it at once, as a power cut would.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            running.child.kill().await.with_context(|| format!("cannot kill {:?}", self.kind))?;
        }
        Ok(())
    }

    /// Stops its clock, or lets it go on.
    pub(crate) fn pause(&self, is_paused: bool) -> Result<()> {
        let Some(running) = &self.running else { return Ok(()) };
        let signal = if is_paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(running.pid, signal).with_context(|| format!("cannot signal {:?}", self.kind))
    }

    /// How it ended, if it did so by itself, with the last that it complained of.
    pub(crate) async fn ended(&mut self) -> Result<Option<(ExitStatus, String)>> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let Some(status) = running.child.try_wait()? else { return Ok(None) };
        let Some(Running { complaints, .. }) = self.running.take() else { return Ok(None) };
        Ok(Some((status, complaints.last().await)))
    }

    /// Asks it to end, and waits for it.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        kill(running.pid, Signal::SIGTERM).with_context(|| format!("cannot signal {:?}", self.kind))?;
        let status = tokio::time::timeout(STOP_MAX, running.child.wait()).await;
        let status = status.with_context(|| format!("{:?} does not end", self.kind))??;
        if !status.success() {
            bail!("{:?} ended with {status}: {}", self.kind, running.complaints.last().await);
        }
        Ok(())
    }
}
