//! The enclave that this host serves: found running, or started and stopped.

mod process;
mod tied;

use core::time::Duration;
use std::path::Path;

use vouchsafe_link::Endpoint;

use crate::{Error, Event, Events};
use process::Process;
pub use process::ProcessEnclave;
pub use tied::tie_to_parent_and_exec;

/// Which enclave to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnclaveSource {
    /// One that runs already. It is neither stopped nor watched, only connected to.
    Connect(Endpoint),
    /// A process on this machine, joined by a Unix socket.
    Process(ProcessEnclave),
}

/// The enclave being served.
pub(crate) enum Enclave {
    Running(Endpoint),
    Started(Box<Process>),
}

impl Enclave {
    /// Starts it where it is ours to start. `state` is a folder of which this host has exclusive use.
    pub(crate) fn start(source: &EnclaveSource, state: &Path, events: &Events) -> Result<Self, Error> {
        match source {
            EnclaveSource::Connect(endpoint) => Ok(Self::Running(endpoint.clone())),
            EnclaveSource::Process(process) => {
                let process = Process::start(process, state)?;
                let (pid, endpoint) = (process.pid(), process.endpoint().clone());
                events.tell(Event::Started { pid, endpoint });
                Ok(Self::Started(Box::new(process)))
            }
        }
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Running(endpoint) => endpoint,
            Self::Started(process) => process.endpoint(),
        }
    }

    /// Whether this host started it, and so stops it.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Started(_))
    }

    /// Waits until it ends by itself. Never, where it is not ours. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Error {
        match self {
            Self::Running(_) => std::future::pending().await,
            Self::Started(process) => process.ended().await,
        }
    }

    /// Stops it where it is ours, first kindly, after `stop_max` not.
    pub(crate) async fn stop(&mut self, stop_max: Duration) {
        if let Self::Started(process) = self {
            process.stop(stop_max).await;
        }
    }
}
