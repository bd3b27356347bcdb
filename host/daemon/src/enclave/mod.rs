//! The enclave that this host serves: found running, or started, watched, restarted and stopped.

mod folder;
mod guest;
mod process;
mod tied;

use core::time::Duration;
use std::path::{Path, PathBuf};

use tokio::time::{Instant, sleep};
use vouchsafe_link::Endpoint;

use crate::{Error, Event, Events};
use folder::LinkFolder;
use guest::Guest;
pub use guest::{GuestEnclave, Machine, SimulatedMachine};
use process::Process;
pub use process::ProcessEnclave;
pub use tied::tie_to_parent_and_exec;

/// Pause before the first restart; it doubles with each one.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(60);
/// An enclave that ran for so long was a good one: the next pause is the first again.
const GOOD_RUN: Duration = Duration::from_secs(300);

/// Which enclave to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnclaveSource {
    /// One that runs already. It is neither stopped nor watched, only connected to.
    Connect(Endpoint),
    /// A process on this machine, joined by a Unix socket.
    Process(ProcessEnclave),
    /// A virtual machine on this machine.
    Guest(Box<GuestEnclave>),
}

/// The commands that would start a guest whose state folder is `state`, one line each.
///
/// # Errors
/// [`Error::EnclaveStart`] when the image cannot be read.
pub fn print_guest(guest: &GuestEnclave, state: &Path) -> Result<Vec<String>, Error> {
    let folder = std::path::absolute(state).unwrap_or_else(|_| state.to_path_buf());
    guest::print(guest, &folder.join(guest::FOLDER_NAME))
}

/// The enclave being served.
pub(crate) struct Enclave {
    source: EnclaveSource,
    folder: Option<LinkFolder>,
    endpoint: Endpoint,
    running: Option<Running>,
    /// Whether one that ends is started again.
    restarts: bool,
    pause: Duration,
    events: Events,
}

enum Running {
    Process(Box<Process>),
    Guest(Box<Guest>),
}

impl Enclave {
    /// Starts it where it is ours to start. `state` is a folder of which this host has exclusive use.
    pub(crate) fn start(
        source: EnclaveSource,
        state: &Path,
        restarts: bool,
        events: &Events,
    ) -> Result<Self, Error> {
        let failed = |program: PathBuf| {
            move |error: std::io::Error| Error::EnclaveStart { program, message: error.to_string() }
        };
        let (folder, endpoint) = match &source {
            EnclaveSource::Connect(endpoint) => (None, endpoint.clone()),
            EnclaveSource::Process(process) => {
                let folder = LinkFolder::make(state, process::FOLDER_NAME, process::SOCKET_NAME)
                    .map_err(failed(process.program.clone()))?;
                let endpoint = Endpoint::Unix(folder.path().join(process::SOCKET_NAME));
                (Some(folder), endpoint)
            }
            EnclaveSource::Guest(guest) => {
                let make = if guest.keep { LinkFolder::keep } else { LinkFolder::make };
                let folder = make(state, guest::FOLDER_NAME, guest::SOCKET_NAME_LONGEST)
                    .map_err(failed(guest.qemu.clone()))?;
                let endpoint = guest.endpoint(folder.path());
                (Some(folder), endpoint)
            }
        };
        let mut enclave = Self {
            source,
            folder,
            endpoint,
            running: None,
            restarts,
            pause: RESTART_PAUSE,
            events: events.clone(),
        };
        enclave.start_once()?;
        Ok(enclave)
    }

    fn start_once(&mut self) -> Result<(), Error> {
        let Some(folder) = self.folder.as_ref().map(LinkFolder::path) else { return Ok(()) };
        let (running, pid) = match &self.source {
            EnclaveSource::Connect(_) => return Ok(()),
            EnclaveSource::Process(process) => {
                let process = Process::start(process, folder)?;
                let pid = process.pid();
                (Running::Process(Box::new(process)), pid)
            }
            EnclaveSource::Guest(guest) => {
                let guest = Guest::start(guest, folder)?;
                let pid = guest.pid();
                (Running::Guest(Box::new(guest)), pid)
            }
        };
        self.running = Some(running);
        self.events.tell(Event::Started { pid, endpoint: self.endpoint.clone() });
        Ok(())
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether this host started it, and so stops it.
    pub(crate) fn is_ours(&self) -> bool {
        match &self.source {
            EnclaveSource::Connect(_) => false,
            EnclaveSource::Process(_) => true,
            EnclaveSource::Guest(guest) => !guest.keep,
        }
    }

    /// Whether it has to be told to end by a message: no signal reaches into a guest.
    pub(crate) fn is_told_to_end(&self) -> bool {
        matches!(self.source, EnclaveSource::Guest(_)) && self.is_ours()
    }

    /// Waits until it ends by itself and is not started again. Never, where it is not ours to watch.
    /// Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Error {
        let mut begun = Instant::now();
        loop {
            let error = match &mut self.running {
                Some(Running::Process(process)) => process.ended().await,
                Some(Running::Guest(guest)) => guest.ended().await,
                None if self.folder.is_none() => return std::future::pending().await,
                // The pause is over, or was cut short by a cancelled call.
                None => match self.start_once() {
                    Ok(()) => {
                        begun = Instant::now();
                        continue;
                    }
                    Err(error) => error,
                },
            };
            if !self.restarts {
                return error;
            }
            if self.running.take().is_some() && begun.elapsed() >= GOOD_RUN {
                self.pause = RESTART_PAUSE;
            }
            self.events.tell(Event::Restarting { pause: self.pause, why: error.to_string() });
            sleep(self.pause).await;
            self.pause = self.pause.saturating_mul(2).min(RESTART_PAUSE_MAX);
        }
    }

    /// Stops it where it is ours, first kindly, after `stop_max` not.
    pub(crate) async fn stop(&mut self, stop_max: Duration) {
        if !self.is_ours() {
            return;
        }
        match &mut self.running {
            Some(Running::Process(process)) => process.stop(stop_max).await,
            Some(Running::Guest(guest)) => guest.stop(stop_max).await,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_start_that_fails_is_tried_once_after_each_pause() {
        let state = tempfile::tempdir().unwrap();
        let program = state.path().join("none");
        let (events, mut told) = Events::channel();
        let mut enclave = Enclave {
            source: EnclaveSource::Process(ProcessEnclave { program, arguments: Vec::new(), tied_by: None }),
            folder: Some(LinkFolder::make(state.path(), process::FOLDER_NAME, process::SOCKET_NAME).unwrap()),
            endpoint: Endpoint::Unix(state.path().join("link.sock")),
            running: None,
            restarts: true,
            pause: RESTART_PAUSE,
            events,
        };
        assert!(tokio::time::timeout(Duration::from_secs(200), enclave.ended()).await.is_err());
        let mut pauses = Vec::new();
        while let Ok(event) = told.try_recv() {
            if let Event::Restarting { pause, .. } = event {
                pauses.push(pause.as_secs());
            }
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60], "until 200 s are over, each of them waited for");
    }
}
