//! What the tests share: a host in this process, and the enclave's side of the link.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use vouchsafe_host::{CollateralConfig, Config, EnclaveSource, Error, Event, Events, Limits, LogUrl};
use vouchsafe_link::control::{BootId, EnclaveMessage, Health, Hello, HostMessage, Receiver, Sender};
use vouchsafe_link::{CONTROL_PORT, Endpoint, Listener, Port, RawStream};

/// Long enough for any machine, short enough for a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

pub(crate) fn boot() -> BootId {
    BootId::new(&"ab".repeat(32)).unwrap()
}

/// A host in this process.
pub(crate) struct Host {
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) folder: TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

impl Host {
    pub(crate) fn start(endpoint: &Endpoint, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, endpoint, limits)
    }

    pub(crate) fn start_in(folder: TempDir, endpoint: &Endpoint, limits: Limits) -> Self {
        Self::start_with(folder, endpoint, limits, None)
    }

    pub(crate) fn start_with(
        folder: TempDir,
        endpoint: &Endpoint,
        limits: Limits,
        log: Option<LogUrl>,
    ) -> Self {
        Self::run(folder, endpoint, limits, log, None)
    }

    /// A host that fetches endorsements.
    pub(crate) fn start_endorsing(
        folder: TempDir,
        endpoint: &Endpoint,
        limits: Limits,
        log: Option<LogUrl>,
        collateral: CollateralConfig,
    ) -> Self {
        Self::run(folder, endpoint, limits, log, Some(collateral))
    }

    fn run(
        folder: TempDir,
        endpoint: &Endpoint,
        limits: Limits,
        log: Option<LogUrl>,
        collateral: Option<CollateralConfig>,
    ) -> Self {
        let (events, receiver) = Events::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            enclave: EnclaveSource::Connect(endpoint.clone()),
            state: folder.path().to_path_buf(),
            metrics: Some("127.0.0.1:0".parse().unwrap()),
            log,
            collateral,
            restarts: false,
            limits,
        };
        let task = tokio::spawn(vouchsafe_host::run(config, events, async {
            let _ = stopped.await;
        }));
        Self { events: receiver, folder, stop, task }
    }

    /// The first event for which `pick` gives something; those before it are passed over.
    pub(crate) async fn event<T>(&mut self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let find = async {
            loop {
                let event = self.events.recv().await.expect("the host goes on");
                if let Some(found) = pick(&event) {
                    return found;
                }
            }
        };
        soon(what, find).await
    }

    pub(crate) async fn stop(self) -> (TempDir, Result<(), Error>) {
        let _ = self.stop.send(());
        (self.folder, soon("the host's end", self.task).await.unwrap())
    }

    pub(crate) async fn ended(self) -> Result<(), Error> {
        soon("the host's end", self.task).await.unwrap()
    }
}

/// The enclave's side: listens on a socket in a folder of its own.
pub(crate) struct Enclave {
    listener: Listener,
    _folder: TempDir,
}

impl Enclave {
    pub(crate) async fn listen() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::Unix(folder.path().join("link.sock"));
        Self { listener: Listener::bind(&endpoint).await.unwrap(), _folder: folder }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.listener.endpoint().clone()
    }

    /// The next connection to `wanted`; others are closed.
    pub(crate) async fn accept(&mut self, wanted: Port) -> RawStream {
        let find = async {
            loop {
                let (port, stream) = self.listener.accept().await;
                if port == wanted {
                    return stream;
                }
            }
        };
        soon("a connection", find).await
    }

    /// The next control connection, greeted.
    pub(crate) async fn control(&mut self) -> Control {
        let (reader, writer) = tokio::io::split(self.accept(CONTROL_PORT).await);
        let mut control = Control { receiver: Receiver::new(reader), sender: Sender::new(writer) };
        assert!(matches!(control.next().await, Some(HostMessage::Hello(hello)) if hello.check().is_ok()));
        control.send(EnclaveMessage::Hello(Hello::new("test enclave"))).await;
        control
    }
}

/// The enclave's side of the control connection.
pub(crate) struct Control {
    receiver: Receiver<tokio::io::ReadHalf<RawStream>>,
    sender: Sender<tokio::io::WriteHalf<RawStream>>,
}

impl Control {
    pub(crate) async fn send(&mut self, message: EnclaveMessage) {
        self.sender.send(&message).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Option<HostMessage> {
        soon("a control message", self.receiver.receive()).await.unwrap()
    }

    /// Answers the host's questions for its health, for ever, so that it goes on; and nothing else.
    pub(crate) async fn stay_healthy(&mut self) {
        loop {
            let message: HostMessage = self.receiver.receive().await.unwrap().expect("the host goes on");
            if message == (HostMessage::HealthRequest {}) {
                self.send(EnclaveMessage::Health(healthy())).await;
            }
        }
    }

    /// As [`Control::send`], to a host that may be gone.
    pub(crate) async fn try_send(&mut self, message: EnclaveMessage) -> Option<()> {
        self.sender.send(&message).await.ok()
    }

    /// As [`Control::next`], of a host that may be gone.
    pub(crate) async fn try_next(&mut self) -> Option<HostMessage> {
        soon("a control message", self.receiver.receive()).await.ok().flatten()
    }

    /// The next acknowledgement.
    pub(crate) async fn ack(&mut self) -> (BootId, u64) {
        loop {
            match self.next().await.expect("the host goes on") {
                HostMessage::ReceiptAck { boot, seq } => return (boot, seq),
                HostMessage::HealthRequest {} => {}
                other => panic!("{other:?} where an acknowledgement is due"),
            }
        }
    }
}

fn healthy() -> Health {
    Health {
        ready: false,
        draining: false,
        boot: Some(boot()),
        sessions: 0,
        active: 0,
        queued: 0,
        queue_max: 1,
        receipts_unacknowledged: 0,
    }
}

/// The sequence numbers stored in a state folder, in order.
pub(crate) fn stored(folder: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(folder.join("receipts.jsonl")).unwrap();
    let seq = |line: &str| serde_json::from_str::<vouchsafe_host::Receipt>(line).unwrap().seq;
    text.lines().map(seq).collect()
}
