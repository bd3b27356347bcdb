//! What the host tells its operator and whoever started it, one line each.

use core::fmt;
use core::time::Duration;
use std::net::SocketAddr;

use tokio::sync::mpsc;
use vouchsafe_link::Endpoint;
use vouchsafe_link::control::BootId;

/// Something that happened. Its display text is a line of the program's standard output: a word,
/// then values; words and their first values are stable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Clients can connect here; they are served once the enclave is ready.
    Listening(SocketAddr),
    /// Metrics are served here.
    Metrics(SocketAddr),
    /// The enclave was started.
    Started {
        /// Its process id.
        pid: u32,
        /// Where it listens.
        endpoint: Endpoint,
    },
    /// How far its start-up has come.
    Loading {
        /// How much is done, in bytes as a rule.
        done: u64,
        /// How much there is; 0 where not known.
        total: u64,
    },
    /// The enclave serves.
    Ready(BootId),
    /// The control connection was lost and is being made anew.
    ControlLost(String),
    /// Receipts could not be stored; they are kept and tried again.
    StorageFailing(String),
    /// The enclave wants its receipts in a log, and this host was given none.
    LogMissing,
    /// Leaves or proofs could not be carried; it is tried again.
    SettlingFailing(String),
    /// The log refused a leaf; it is offered again later.
    LogRefused {
        /// The boot that signed it.
        boot: BootId,
        /// Its place among the boot's leaves of its kind.
        number: u64,
        /// The log's word for the reason.
        code: String,
    },
    /// Endorsements could not be renewed; it is tried again.
    CollateralFailing(String),
    /// Newer endorsements are there, and go to the enclave.
    CollateralRenewed,
    /// A receipt is about to be later in the log than it promises.
    SettlementLate {
        /// The boot that signed it.
        boot: BootId,
        /// Its position in that boot's sequence.
        seq: u64,
        /// Witness time by which it is promised.
        settle_by: u64,
    },
    /// The enclave ended by itself and is started again.
    Restarting {
        /// After this pause.
        pause: Duration,
        /// How it ended.
        why: String,
    },
    /// The host was asked to stop and does.
    Stopping,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening(address) => write!(f, "listening {address}"),
            Self::Metrics(address) => write!(f, "metrics {address}"),
            Self::Started { pid, endpoint } => write!(f, "started pid={pid} {endpoint}"),
            Self::Loading { done, total } => write!(f, "loading {done}/{total}"),
            Self::Ready(boot) => write!(f, "ready boot={boot}"),
            Self::ControlLost(why) => write!(f, "control-lost {why}"),
            Self::StorageFailing(why) => write!(f, "storage-failing {why}"),
            Self::LogMissing => f.write_str("log-missing the enclave settles, and there is no --log"),
            Self::SettlingFailing(why) => write!(f, "settling-failing {why}"),
            Self::CollateralFailing(why) => write!(f, "collateral-failing {why}"),
            Self::CollateralRenewed => f.write_str("collateral-renewed"),
            Self::LogRefused { boot, number, code } => {
                write!(f, "log-refused {code} boot={boot} number={number}")
            }
            Self::SettlementLate { boot, seq, settle_by } => {
                write!(f, "settlement-late boot={boot} seq={seq} settle_by={settle_by}")
            }
            Self::Restarting { pause, why } => write!(f, "restarting pause_s={} {why}", pause.as_secs()),
            Self::Stopping => f.write_str("stopping"),
        }
    }
}

/// Where events go.
#[derive(Debug, Clone)]
pub struct Events(mpsc::UnboundedSender<Event>);

impl Events {
    /// A sender of events and its receiving end.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Tells of an event. Nobody has to listen.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.0.send(event);
    }
}
