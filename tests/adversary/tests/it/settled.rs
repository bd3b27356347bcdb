//! Attacks between enclave and log: a host that carries lies about the log, or nothing at all.

use std::sync::{Arc, OnceLock};

use tokio::task::JoinHandle;
use vouchsafe_adversary::{Honest, Host};
use vouchsafe_client::{Answer, Error};
use vouchsafe_enclave::{Config, LogConfig, Models, Server, SettlementConfig, serve_control};
use vouchsafe_link::control::{EnclaveMessage, HostMessage, Included};
use vouchsafe_link::{Endpoint, FramedStream, Listener, SESSION_PORT};
use vouchsafe_receipt::{Envelope, receipt_leaf};
use vouchsafe_translog::SignedNote;
use vouchsafe_verifier::encoding::{from_base64, to_base64, to_hex};

use crate::enclave::{ask, client, question};
use crate::liar::{Leaves, Signer, Watched, consistency};
use crate::machine::{MODEL, Simulated, manifest, snp};
use crate::model::Echo;
use crate::program::Control;

const T: u64 = 1_795_262_400;

/// An enclave whose receipts settle, its control connection, and the log of the attack's making.
struct Settling {
    server: Arc<OnceLock<Server>>,
    endpoint: Endpoint,
    control: Control,
    watched: Watched,
    /// Every leaf that was handed over, in order.
    leaves: Leaves,
    /// Size of the largest tree that the enclave verified.
    known: usize,
    accepting: JoinHandle<()>,
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Settling {
    /// Boots and hands over its boot record and first epoch record; nobody is served yet.
    async fn start() -> Self {
        let watched = Watched::new();
        let mut config = Config::default();
        config.settlement = SettlementConfig::Log(LogConfig {
            key: watched.log.key.to_string(),
            witnesses: watched.witnesses.iter().map(|witness| witness.key.to_string()).collect(),
            quorum: 2,
            bound_s: 3600,
            unsettled_max: 2,
            // Nothing here is to depend on how long something takes.
            checkpoint_age_max_s: 3000,
            heartbeat_s: 2000,
        });
        let mut models = Models::new();
        models.add_text(manifest(MODEL), Arc::new(Echo::default())).unwrap();
        let server = Arc::new(OnceLock::new());
        let _ = server.set(Server::start(config, Arc::new(Simulated(snp())), models).await.unwrap());
        let mut listener = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
        let endpoint = listener.endpoint().clone();
        let serving: Arc<OnceLock<Server>> = Arc::clone(&server);
        let accepting = tokio::spawn(async move {
            loop {
                let (port, stream) = listener.accept().await;
                match (port == SESSION_PORT, serving.get()) {
                    (true, Some(server)) => server.session(FramedStream::new(stream)),
                    _ => drop(tokio::spawn(serve_control(stream, Arc::clone(&serving)))),
                }
            }
        });
        let control = Control::open(&endpoint).await;
        let leaves = Leaves(Vec::new());
        let mut settling = Self { server, endpoint, control, watched, leaves, known: 0, accepting };
        settling.collect(2).await;
        settling
    }

    /// Waits until so many leaves were handed over.
    async fn collect(&mut self, count: usize) {
        while self.leaves.0.len() < count {
            self.hear().await;
        }
    }

    /// One message: a leaf is kept, an answer to what was told is given.
    async fn hear(&mut self) -> Option<Result<u64, String>> {
        match self.control.next().await {
            EnclaveMessage::Record { leaf, .. } => self.leaves.0.push(from_base64(&leaf).unwrap()),
            EnclaveMessage::Receipt { envelope, .. } => {
                let envelope = Envelope::from_json(envelope.as_bytes()).unwrap();
                self.leaves.0.push(receipt_leaf(&envelope));
            }
            EnclaveMessage::Verified { size, .. } => return Some(Ok(size)),
            EnclaveMessage::Refused { size, code, .. } => {
                assert_eq!(size, self.known as u64, "a refusal changed something");
                return Some(Err(code));
            }
            _ => {}
        }
        None
    }

    async fn tell(&mut self, message: HostMessage) -> Result<u64, String> {
        self.control.send(message).await;
        loop {
            if let Some(answer) = self.hear().await {
                return answer;
            }
        }
    }

    /// The inclusion of these leaves of a tree, under a note, as continuing what the enclave knows.
    fn inclusion(&self, tree: &Leaves, note: &SignedNote, indices: &[usize]) -> HostMessage {
        let size = tree.0.len();
        let hashes = tree.hashes();
        let proof = match self.known {
            0 => Vec::new(),
            known => consistency(&hashes, known.min(size)),
        };
        let leaf = |index: &usize| Included {
            hash: to_hex(&tree.hash(*index)),
            index: *index as u64,
            path: tree.path(*index, size).iter().map(|hash| to_base64(hash)).collect(),
        };
        HostMessage::Inclusion {
            note: note.to_string(),
            from: self.known as u64,
            consistency: proof.iter().map(|hash| to_base64(hash)).collect(),
            leaves: indices.iter().map(leaf).collect(),
        }
    }

    fn witnessed(&self, tree: &Leaves) -> SignedNote {
        let size = tree.0.len();
        self.watched.witnessed(tree, size, [T + size as u64; 2])
    }

    /// Proves everything that was handed over, honestly.
    async fn prove(&mut self) {
        let tree = self.leaves.clone();
        let indices: Vec<usize> = (self.known..tree.0.len()).collect();
        let message = self.inclusion(&tree, &self.witnessed(&tree), &indices);
        let size = self.tell(message).await.unwrap();
        self.known = usize::try_from(size).unwrap();
        assert_eq!(self.known, tree.0.len());
    }

    /// Proves the boot and lets it serve.
    async fn serve(&mut self) {
        self.prove().await;
        self.server.get().unwrap().settle().await;
        self.collect(3).await;
        self.prove().await;
    }

    async fn ask(&self) -> Result<Answer, Error> {
        let host = Host::start(Honest(self.endpoint.clone())).await.unwrap();
        ask(&host, "hello").await
    }
}

/// Promise: a boot answers nobody before the log has proved that it holds the boot. A host that drops the
/// whole boot from the log has an enclave that serves nobody.
#[tokio::test]
async fn a_boot_that_is_not_in_the_log_serves_nobody() {
    let mut settling = Settling::start().await;
    assert!(settling.ask().await.is_err(), "it is not in the log");
    // A checkpoint without its boot's leaf is no proof of it.
    let empty = Leaves::new(5, "others");
    let message = settling.inclusion(&empty, &settling.witnessed(&empty), &[0]);
    assert_eq!(settling.tell(message).await, Ok(5));
    settling.known = 5;
    assert!(settling.ask().await.is_err(), "others' leaves are not its own");
    // The control: in the log it serves.
    let own = std::mem::replace(&mut settling.leaves, empty);
    settling.leaves.0.extend(own.0);
    let tree = settling.leaves.clone();
    let message = settling.inclusion(&tree, &settling.witnessed(&tree), &[5, 6]);
    assert_eq!(settling.tell(message).await, Ok(7));
    settling.server.get().unwrap().settle().await;
    assert!(settling.ask().await.unwrap().is_accepted());
}

/// Promise: what the host says of the log is verified, all of it, or nothing changes: forged inclusions,
/// other logs, missing witnesses, rollbacks and forks are refused by name.
#[tokio::test]
async fn lies_about_the_log_change_nothing() {
    let mut settling = Settling::start().await;
    settling.serve().await;
    let answer = settling.ask().await.unwrap();
    assert!(answer.is_accepted(), "{:?}", answer.verdict.map(|verdict| verdict.to_json()));
    settling.collect(4).await;
    let tree = settling.leaves.clone();
    let last = tree.0.len() - 1;
    let refused = async |settling: &mut Settling, message| settling.tell(message).await.unwrap_err();

    // The receipt's leaf with another leaf's path.
    let mut forged = settling.inclusion(&tree, &settling.witnessed(&tree), &[last - 1]);
    if let HostMessage::Inclusion { leaves, .. } = &mut forged {
        leaves[0].hash = to_hex(&tree.hash(last));
    }
    assert_eq!(refused(&mut settling, forged).await, "inclusion_invalid");
    // Another log, and a namesake.
    for (log, code) in [
        (Signer::log("other.example"), "log_unknown"),
        (Signer::log("log.example"), "checkpoint_signature_missing"),
    ] {
        let mut note = tree.checkpoint(&log, tree.0.len());
        settling.watched.witnesses.iter().for_each(|witness| witness.cosign(&mut note, T + 100));
        let message = settling.inclusion(&tree, &note, &[last]);
        assert_eq!(refused(&mut settling, message).await, code);
    }
    // The log alone.
    let note = tree.checkpoint(&settling.watched.log, tree.0.len());
    let message = settling.inclusion(&tree, &note, &[last]);
    assert_eq!(refused(&mut settling, message).await, "witness_quorum_missing");
    // Back to a smaller tree.
    let smaller = Leaves(tree.0[..2].to_vec());
    let message = settling.inclusion(&smaller, &settling.witnessed(&smaller), &[0]);
    assert_eq!(refused(&mut settling, message).await, "checkpoint_smaller");
    // A tree that does not begin with what was seen.
    let mut fork = tree.clone();
    fork.0[0] = b"another beginning".to_vec();
    let message = settling.inclusion(&fork, &settling.witnessed(&fork), &[last]);
    assert_eq!(refused(&mut settling, message).await, "consistency_invalid");
    // A proof from elsewhere.
    let mut elsewhere = settling.inclusion(&tree, &settling.witnessed(&tree), &[last]);
    if let HostMessage::Inclusion { from, .. } = &mut elsewhere {
        *from = 1;
    }
    assert_eq!(refused(&mut settling, elsewhere).await, "checkpoint_from_elsewhere");
    // The control: the truth is taken.
    settling.prove().await;
    assert!(settling.ask().await.unwrap().is_accepted());
}

/// Promise: at most so many receipts can be lost to a host that withholds them. It may keep receipts from
/// the log; at the bound the enclave stops answering, and goes on when they are proved.
#[tokio::test]
async fn withheld_receipts_stop_the_service_at_the_bound() {
    let mut settling = Settling::start().await;
    settling.serve().await;
    let host = Host::start(Honest(settling.endpoint.clone())).await.unwrap();
    let client = client(host.address);
    for _ in 0..2 {
        assert!(client.ask(&question("kept back")).await.unwrap().0.is_accepted());
    }
    for _ in 0..5 {
        let refused = client.ask(&question("one more")).await.unwrap().0;
        assert_eq!(refused.status.as_u16(), 503);
        assert!(
            refused.receipt.is_none() && String::from_utf8_lossy(&refused.response).contains("unsettled")
        );
    }
    // A checkpoint that grew, without the receipts in it, frees nothing.
    settling.collect(5).await;
    let own = settling.leaves.0.split_off(settling.known);
    settling.leaves.0.extend(Leaves::new(3, "others").0);
    settling.prove().await;
    assert_eq!(client.ask(&question("still")).await.unwrap().0.status.as_u16(), 503);
    settling.leaves.0.extend(own);
    settling.prove().await;
    assert!(client.ask(&question("again")).await.unwrap().0.is_accepted(), "the control");
}
