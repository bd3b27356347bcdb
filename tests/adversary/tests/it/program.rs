//! The built enclave program, and the host's end of its control connection.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use vouchsafe_bundle::Policy;
use vouchsafe_client::{Client, Options, Request};
use vouchsafe_link::control::{BootId, EnclaveMessage, Health, Hello, HostMessage, Receiver, Sender};
use vouchsafe_link::{CONTROL_PORT, Endpoint, RawStream, dial};

use crate::enclave::with_model;
use crate::machine::{amd, ignore, policy_with};

/// One of our programs, from the folder `VOUCHSAFE_PROGRAMS`, which `cargo xtask check` sets after
/// building them, or from `target/release`.
fn program(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder =
        std::env::var_os("VOUCHSAFE_PROGRAMS").map_or_else(|| root.join("target/release"), PathBuf::from);
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not built: run `cargo xtask check programs tests`", path.display());
    path
}

/// A running `vouchsafe-enclave-sim`, killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) boot: BootId,
    pub(crate) link: Endpoint,
    _folder: tempfile::TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts an enclave with this configuration and waits until it serves.
    pub(crate) fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The authority that the policies here pin.
        amd();
        let authority = Path::new(env!("CARGO_TARGET_TMPDIR")).join("adversary-amd-genoa");
        let (path, link) = (folder.path().join("config.json"), folder.path().join("link.sock"));
        std::fs::write(&path, config).unwrap();
        let link = Endpoint::Unix(link);
        let mut child = Command::new(program("vouchsafe-enclave-sim"))
            .args(["--link", &link.to_string(), "--authority"])
            .arg(authority)
            .arg("--config")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ready = lines.find_map(|line| line.strip_prefix("ready boot=").map(BootId::new));
        // Later output is of no interest, but the pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, boot: ready.flatten().expect("it never became ready"), link, _folder: folder }
    }

    /// That the process is there and has not restarted, serves control, and serves clients.
    pub(crate) async fn survives(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "the enclave ended");
        let mut control = Control::open(&self.link).await;
        assert_eq!(control.ready().await, self.boot, "it is another boot");
        assert!(control.health().await.ready);
        let host = vouchsafe_adversary::Host::start(vouchsafe_adversary::Honest(self.link.clone()));
        let host = host.await.unwrap();
        let answer = client(&host).ask(&question()).await.unwrap().0;
        assert!(answer.is_accepted(), "{:?}", answer.verdict.map(|verdict| verdict.to_json()));
    }
}

/// The simulation policy with the authority pinned and nothing else: what the program measures to and
/// serves is not what these attacks are about.
pub(crate) fn policy() -> Policy {
    policy_with(|document| {
        document.measurements = ignore();
        document.models = ignore();
    })
}

pub(crate) fn client(host: &vouchsafe_adversary::Host) -> Client {
    let options = Options {
        address: host.address.to_string(),
        policy: policy(),
        extra_roots: Vec::new(),
        revocations: None,
        image: None,
    };
    Client::new(options).unwrap()
}

/// A short question to the demo model.
pub(crate) fn question() -> Request {
    let body = r#"{"max_tokens":4,"messages":[{"role":"user","content":"Hello"}]}"#;
    Request::post_json("/v1/chat/completions", with_model(body, "vouchsafe-demo"))
}

/// The host's end of a control connection.
pub(crate) struct Control {
    pub(crate) receiver: Receiver<tokio::io::ReadHalf<RawStream>>,
    pub(crate) sender: Sender<tokio::io::WriteHalf<RawStream>>,
}

impl Control {
    /// Connects and says hello.
    pub(crate) async fn open(link: &Endpoint) -> Self {
        let (reader, writer) = tokio::io::split(dial(link, CONTROL_PORT).await.unwrap());
        let mut control = Self { receiver: Receiver::new(reader), sender: Sender::new(writer) };
        control.send(HostMessage::Hello(Hello::new("adversary"))).await;
        control
    }

    pub(crate) async fn send(&mut self, message: HostMessage) {
        self.sender.send(&message).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> EnclaveMessage {
        self.receiver.receive().await.unwrap().expect("the enclave ended the control connection")
    }

    /// Waits until the enclave says which boot it is.
    pub(crate) async fn ready(&mut self) -> BootId {
        loop {
            if let EnclaveMessage::Ready { boot } = self.next().await {
                return boot;
            }
        }
    }

    /// Asks how it is, past whatever else it says. The receipts among that are dropped.
    pub(crate) async fn health(&mut self) -> Health {
        self.heard().await.1
    }

    /// The receipts that come before the answer to a question that is sent now.
    pub(crate) async fn heard(&mut self) -> (Vec<u64>, Health) {
        self.send(HostMessage::HealthRequest {}).await;
        let mut seqs = Vec::new();
        loop {
            match self.next().await {
                EnclaveMessage::Receipt { seq, .. } => seqs.push(seq),
                EnclaveMessage::Health(health) => return (seqs, health),
                _ => {}
            }
        }
    }

    /// The next receipts, so many.
    pub(crate) async fn receipts(&mut self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            if let EnclaveMessage::Receipt { seq, .. } = self.next().await {
                seqs.push(seq);
            }
        }
        seqs
    }
}
