//! One program that a guest consists of: started here, or left running by a host before.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::command::Program;

/// Most of a log that is read for its last line.
const LOG_BYTES_MAX: u64 = 4096;

/// A program that was started.
#[derive(Debug)]
pub(super) struct Running {
    identity: Identity,
    log: PathBuf,
    /// Absent where a host before started it.
    child: Option<Child>,
    ended: Option<String>,
}

/// Which process it is. The number alone could be another's by now; with the time of its start, in clock
/// ticks since the machine's, it cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    name: String,
    pid: u32,
    started: u64,
}

impl Running {
    /// Starts it in a process group of its own, its output going to a file.
    pub(super) fn start(program: &Program, tied_by: Option<&Path>, folder: &Path) -> io::Result<Self> {
        let log = folder.join(program.log);
        let output = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&log)?;
        let mut command = match tied_by {
            None => Command::new(&program.path),
            Some(tier) => {
                let mut command = Command::new(tier);
                command.arg("tied").arg(std::process::id().to_string()).arg(&program.path);
                command
            }
        };
        let child = command
            .args(&program.arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        let pid = child.id();
        let name = program.path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
        let identity = Identity { name, pid, started: started(pid).unwrap_or_default() };
        Ok(Self { identity, log, child: Some(child), ended: None })
    }

    /// One that a host before started, if it still runs.
    pub(super) fn recall(identity: Identity, log: PathBuf) -> Option<Self> {
        let runs = started(identity.pid) == Some(identity.started);
        runs.then_some(Self { identity, log, child: None, ended: None })
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// The program's file name.
    pub(super) fn name(&self) -> &str {
        &self.identity.name
    }

    /// How it ended, if it has.
    pub(super) fn has_ended(&mut self) -> Option<String> {
        if self.ended.is_none() {
            self.ended = match &mut self.child {
                Some(child) => match child.try_wait() {
                    Ok(status) => status.map(|status| status.to_string()),
                    Err(error) => Some(error.to_string()),
                },
                None => (started(self.identity.pid) != Some(self.identity.started))
                    .then(|| "an unknown status".to_owned()),
            };
        }
        self.ended.clone()
    }

    /// The last line of its output.
    pub(super) fn last_words(&self) -> String {
        let text = last_bytes(&self.log, LOG_BYTES_MAX);
        text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    }

    /// Kills it, unless it has ended.
    pub(super) fn kill(&mut self) {
        if self.has_ended().is_none()
            && let Ok(pid) = i32::try_from(self.identity.pid)
        {
            // It fails only where there is no such process any more.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// When a process started, if it runs and is no zombie: field 22 of its `stat` (proc_pid_stat(5)).
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses can hold anything; what follows the last one is numbers and a letter.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The end of a file as text; empty where there is none.
pub(super) fn last_bytes(path: &Path, max: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(max)))?;
        let mut bytes = Vec::new();
        file.take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path, script: &str) -> Running {
        let arguments = vec!["-c".into(), script.into()];
        let program = Program { path: "/bin/sh".into(), arguments, socket: None, log: "sh.log" };
        Running::start(&program, None, folder).unwrap()
    }

    fn wait(running: &mut Running) -> String {
        loop {
            match running.has_ended() {
                Some(status) => return status,
                None => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        }
    }

    #[test]
    fn a_program_is_known_by_more_than_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = sleeper(folder.path(), "exec sleep 1000");
        let identity = running.identity().clone();
        let recall = |identity: &Identity| Running::recall(identity.clone(), folder.path().join("sh.log"));
        let mut recalled = recall(&identity).unwrap();
        assert_eq!(recalled.has_ended(), None);
        let another = Identity { started: identity.started + 1, ..identity.clone() };
        assert!(recall(&another).is_none(), "the same number, another process");
        recalled.kill();
        assert!(wait(&mut running).contains("signal: 9"));
        assert_eq!(wait(&mut recalled), "an unknown status");
        assert!(recall(&identity).is_none());
    }

    #[test]
    fn output_is_kept_for_its_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = sleeper(folder.path(), "echo one; echo 'no such device' >&2; exit 3");
        assert!(wait(&mut running).contains('3'));
        assert_eq!(running.last_words(), "no such device");
    }
}
