//! An enclave that is a virtual machine: QEMU, and in simulation what stands for its hardware.
//!
//! Firmware, kernel and initial RAM disk are copied before anything is started, so that what a simulated
//! processor measures is what QEMU loads. QEMU's end is the guest's end: its command line says so
//! (`panic=-1`, `-no-reboot`), and the end of any program that the guest depends on is its end too. The
//! serial log's last lines are passed on then.

mod command;
mod files;
mod program;

use core::time::Duration;
use std::path::{Path, PathBuf};

use tokio::time::{Instant, sleep, timeout};

use crate::Error;
pub(crate) use command::{FOLDER_NAME, SOCKET_NAME_LONGEST};
pub use command::{GuestEnclave, Machine, SimulatedMachine};
use command::{SERIAL, shown};
use program::Running;

/// How long a program may take to make its socket.
const SOCKET_MAX: Duration = Duration::from_secs(30);
const SOCKET_POLL: Duration = Duration::from_millis(5);
/// Lines of the serial log that are passed on at the end.
const SERIAL_LINES: usize = 20;
/// Most of the serial log that is read for them.
const SERIAL_BYTES_MAX: u64 = 64 * 1024;

/// A started guest.
pub(crate) struct Guest {
    /// In the order of their start; QEMU is the last.
    programs: Vec<Running>,
    serial: PathBuf,
    /// Whether it is left running when this goes.
    kept: bool,
}

impl Guest {
    /// Starts it with its sockets in `folder`, or takes over one that was left running there.
    pub(crate) fn start(config: &GuestEnclave, folder: &Path) -> Result<Self, Error> {
        let serial = folder.join(SERIAL);
        if config.keep
            && let Some(programs) = files::recall(folder)
        {
            return Ok(Self { programs, serial, kept: true });
        }
        let failed = |message: String| Error::EnclaveStart { program: config.qemu.clone(), message };
        let booted = files::copy(config, folder).map_err(failed)?;
        let mut guest = Self { programs: Vec::new(), serial, kept: false };
        for program in config.programs(&booted, folder) {
            let failed = |message: String| Error::EnclaveStart { program: program.path.clone(), message };
            if let Some(socket) = &program.socket {
                let _ = std::fs::remove_file(socket);
            }
            let tied_by = config.tied_by.as_deref().filter(|_| !config.keep);
            let running =
                Running::start(&program, tied_by, folder).map_err(|error| failed(error.to_string()))?;
            guest.programs.push(running);
            if let Some(socket) = &program.socket {
                guest.wait_for(socket).map_err(failed)?;
            }
        }
        if config.keep {
            files::remember(folder, &guest.programs).map_err(|error| failed(error.to_string()))?;
            guest.kept = true;
        }
        Ok(guest)
    }

    /// Blocks: a program either makes its socket within milliseconds or never.
    fn wait_for(&mut self, socket: &Path) -> Result<(), String> {
        let begun = std::time::Instant::now();
        loop {
            if socket.exists() {
                return Ok(());
            }
            if let Some(last) = self.programs.last_mut()
                && let Some(status) = last.has_ended()
            {
                return Err(format!("it ended with {status}: {}", last.last_words()));
            }
            if begun.elapsed() > SOCKET_MAX {
                return Err(format!("it did not make {} in time", socket.display()));
            }
            std::thread::sleep(SOCKET_POLL);
        }
    }

    /// QEMU's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.programs.last().map_or(0, Running::pid)
    }

    /// Waits until the guest ends. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Error {
        let (name, status) = loop {
            // Programs of a host before are no children of this one, so that there is nothing to wait on
            // but the clock; the guest's own end shows within a tenth of a second.
            let ended = self
                .programs
                .iter_mut()
                .find_map(|program| program.has_ended().map(|status| (program.name().to_owned(), status)));
            match ended {
                Some(ended) => break ended,
                None => sleep(Duration::from_millis(100)).await,
            }
        };
        let words = self.programs.iter().find(|program| program.name() == name).map(Running::last_words);
        self.end_all().await;
        let tail = tail(&self.serial);
        for line in &tail {
            eprintln!("guest: {line}");
        }
        let last_words = why(&tail).cloned().or(words.filter(|words| !words.is_empty()));
        Error::EnclaveEnded { status: format!("{name}: {status}"), last_words }
    }

    /// Waits for the end of a guest that was told to end; after `stop_max` it is ended.
    pub(crate) async fn stop(&mut self, stop_max: Duration) {
        let begun = Instant::now();
        if let Some(qemu) = self.programs.last_mut() {
            while begun.elapsed() < stop_max && qemu.has_ended().is_none() {
                sleep(Duration::from_millis(20)).await;
            }
        }
        self.end_all().await;
    }

    /// Ends what still runs, QEMU first. The vsock backend would outlive it.
    async fn end_all(&mut self) {
        for program in self.programs.iter_mut().rev() {
            program.kill();
            let ended = async {
                while program.has_ended().is_none() {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            // A killed process ends; where the kernel holds it, there is nothing left to do.
            let _ = timeout(Duration::from_secs(2), ended).await;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if !self.kept {
            self.programs.iter_mut().rev().for_each(Running::kill);
        }
    }
}

/// The commands that start a guest, as `--print` shows them: one line each.
pub(crate) fn print(config: &GuestEnclave, folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |message: String| Error::EnclaveStart { program: config.qemu.clone(), message };
    let booted = files::in_image(config).map_err(failed)?;
    Ok(config.programs(&booted, folder).iter().map(shown).collect())
}

/// The line that says why: the enclave program's own, else the kernel's, else the last.
fn why(tail: &[String]) -> Option<&String> {
    let saying = |what: &str| tail.iter().rev().find(|line| line.contains(what));
    saying(": error[").or_else(|| saying("Kernel panic")).or(tail.last())
}

/// The last lines of a serial log, without what terminals would act on.
fn tail(path: &Path) -> Vec<String> {
    let text = program::last_bytes(path, SERIAL_BYTES_MAX);
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    lines.iter().skip(lines.len().saturating_sub(SERIAL_LINES)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_serial_log_is_plain_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("serial.log");
        assert!(tail(&log).is_empty());
        let mut text: String = (0..100).map(|number| format!("line {number}\r\n")).collect();
        text.push_str("\u{1b}[0mlast \u{7}words\n\n");
        std::fs::write(&log, text).unwrap();
        let lines = tail(&log);
        assert_eq!(lines.len(), SERIAL_LINES);
        assert_eq!(lines.last().map(String::as_str), Some("[0mlast words"));
        assert_eq!(lines[0], "line 81");
        assert_eq!(why(&lines), lines.last());
        let said = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let panic = said("a\nKernel panic - not syncing: verity\n</TASK>");
        assert_eq!(why(&panic), Some(&panic[1]));
        let own = said("vouchsafe-enclave: error[x]: y\nKernel panic - not syncing: init\nz");
        assert_eq!(why(&own), Some(&own[0]));
    }
}
