//! An enclave that is a process on this machine.
//!
//! It gets a Unix socket in a folder that only this user can enter, named to it by the arguments
//! `--link unix:PATH` before its own. It is in a process group of its own, so that a Ctrl-C at the
//! terminal reaches the host alone, which then stops it in order.

use core::time::Duration;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vouchsafe_link::Endpoint;

use crate::Error;

pub(super) const FOLDER_NAME: &str = "link";
pub(super) const SOCKET_NAME: &str = "link.sock";
/// How long to wait for the rest of what an ended enclave wrote.
const OUTPUT_MAX: Duration = Duration::from_millis(500);
/// Lines of its output that are kept.
const LINES_KEPT: usize = 20;
/// Longest line that is passed on, in bytes; the rest is a line of its own.
const LINE_BYTES_MAX: u64 = 4096;

/// How to start an enclave process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEnclave {
    /// The enclave program.
    pub program: PathBuf,
    /// Its arguments after `--link unix:PATH`.
    pub arguments: Vec<OsString>,
    /// A program that runs `tied PARENT PROGRAM ARGUMENTS…` as [`crate::tie_to_parent_and_exec`],
    /// so that the enclave does not outlive a host that was killed. Without one it does.
    pub tied_by: Option<PathBuf>,
}

/// A started enclave process.
pub(crate) struct Process {
    child: Child,
    pid: u32,
    output: Arc<Mutex<VecDeque<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts it, to listen in `folder`.
    pub(crate) fn start(config: &ProcessEnclave, folder: &Path) -> Result<Self, Error> {
        let failed = |message: String| Error::EnclaveStart { program: config.program.clone(), message };
        let socket = folder.join(SOCKET_NAME);
        // One that was killed leaves its socket behind, and the next one makes its own.
        let _ = fs::remove_file(&socket);
        let endpoint = Endpoint::Unix(socket);
        let mut child = command(config)
            .arg("--link")
            .arg(endpoint.to_string())
            .args(&config.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let pid = child.id().ok_or_else(|| failed("it ended at once".into()))?;
        let output = Arc::default();
        let readers = [
            child.stdout.take().map(|out| tokio::spawn(pass_on(out, Arc::clone(&output)))),
            child.stderr.take().map(|err| tokio::spawn(pass_on(err, Arc::clone(&output)))),
        ];
        let readers = readers.into_iter().flatten().collect();
        Ok(Self { child, pid, output, readers })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) async fn ended(&mut self) -> Error {
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        // Whatever it had started is left behind in its group. While any of that lives, the number
        // names no other group.
        if let Ok(group) = i32::try_from(self.pid) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        // What it wrote last may still be in the pipes.
        for reader in &mut self.readers {
            let _ = timeout(OUTPUT_MAX, reader).await;
        }
        self.readers.clear();
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        Error::EnclaveEnded { status, last_words: output.back().cloned() }
    }

    pub(crate) async fn stop(&mut self, stop_max: Duration) {
        self.signal(Signal::SIGTERM);
        if timeout(stop_max, self.child.wait()).await.is_err() {
            self.signal(Signal::SIGKILL);
            // Killed processes end; where the wait itself fails there is nothing left to do.
            let _ = self.child.wait().await;
        }
    }

    /// Signals the enclave and whatever it started. Does nothing once the enclave was waited for.
    fn signal(&self, signal: Signal) {
        let Some(Ok(group)) = self.child.id().map(i32::try_from) else { return };
        // It fails only where no such process is left, which is the aim.
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn command(config: &ProcessEnclave) -> Command {
    match &config.tied_by {
        None => Command::new(&config.program),
        Some(tier) => {
            let mut command = Command::new(tier);
            command.arg("tied").arg(std::process::id().to_string()).arg(&config.program);
            command
        }
    }
}

/// Passes an enclave's output on to standard error, line by line, and keeps the last lines.
async fn pass_on(from: impl AsyncRead + Unpin, kept: Arc<Mutex<VecDeque<String>>>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        // Control characters of an enclave's output are nothing for an operator's terminal.
        let text: String = String::from_utf8_lossy(&line).trim_end().chars().map(printable).collect();
        eprintln!("enclave: {text}");
        if !text.is_empty() {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_back(text);
            if kept.len() > LINES_KEPT {
                kept.pop_front();
            }
        }
    }
}

fn printable(character: char) -> char {
    if character.is_control() && character != '\t' { char::REPLACEMENT_CHARACTER } else { character }
}
