//! kill -9 of the host at any moment between a receipt and its proof: what it acknowledged comes into the log
//! and is proved. That it is there once is the log's doing, which answers a leaf that it has with its place.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use vouchsafe_link::control::{EnclaveMessage, HostMessage};
use vouchsafe_receipt::receipt_leaf;
use vouchsafe_translog::merkle::leaf_hash;
use vouchsafe_verifier::crypto::Ring;

use crate::enclave::{Control, Enclave, boot};
use crate::log::Log;
use crate::settle::{View, envelope, receipt, record};

const RECEIPTS: u64 = 300;
/// Receipts that the enclave has signed when each connection begins.
const STEP: u64 = 12;

struct Host(Child);

impl Host {
    fn start(state: &std::path::Path, enclave: &Enclave, log: &Log) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_vouchsafe-host"))
            .args(["run", "--listen", "127.0.0.1:0", "--connect", &enclave.endpoint().to_string()])
            .args(["--log", &log.url.to_string(), "--state"])
            .arg(state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// kill -9, and waited for: the next one finds the lock free.
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the enclave remembers: less than a real one, which sends what is unproven again. This one sends
/// nothing again that was acknowledged, so that the host alone carries it.
struct Memory {
    view: View,
    signed: u64,
    acknowledged: Option<u64>,
}

impl Memory {
    /// One connection, until the host is gone or everything is proved.
    async fn serve(&mut self, control: &mut Control) -> Option<()> {
        control.try_send(EnclaveMessage::Verified { boot: boot(), size: self.view.size() }).await?;
        control.try_send(record(0).1).await?;
        let first = self.acknowledged.map_or(0, |seq| seq + 1);
        for seq in first..self.signed {
            control.try_send(receipt(seq)).await?;
        }
        while !self.is_done() {
            match control.try_next().await? {
                HostMessage::ReceiptAck { seq, .. } => {
                    self.acknowledged = Some(self.acknowledged.map_or(seq, |known| known.max(seq)));
                    continue;
                }
                HostMessage::Inclusion { note, from, consistency, leaves } => {
                    self.view.learn(&note, from, &consistency, &leaves);
                }
                HostMessage::Checkpoint { note, from, consistency } => {
                    self.view.learn(&note, from, &consistency, &[]);
                }
                _ => continue,
            }
            control.try_send(EnclaveMessage::Verified { boot: boot(), size: self.view.size() }).await?;
        }
        Some(())
    }

    fn is_done(&self) -> bool {
        let proven: BTreeSet<_> = self.view.proven.iter().collect();
        u64::try_from(proven.len()).unwrap() > RECEIPTS
    }
}

#[tokio::test]
async fn killed_at_any_moment_the_host_loses_nothing_that_it_acknowledged() {
    let log = Log::start().await;
    let mut enclave = Enclave::listen().await;
    let state = tempfile::tempdir().unwrap();
    let mut memory = Memory { view: View::new(&log), signed: 0, acknowledged: None };
    let mut killed = 0_u64;
    while memory.signed < RECEIPTS {
        memory.signed = RECEIPTS.min(memory.signed + STEP);
        let mut host = Host::start(state.path(), &enclave, &log);
        // From before the first write to after the last proof; the golden section spreads the moments.
        let moment = Duration::from_micros(killed * 24_720 % 40_000);
        let mut control = enclave.control().await;
        // In the last round everything may be proved before its end.
        let _ = tokio::time::timeout(moment, memory.serve(&mut control)).await;
        host.kill();
        killed += 1;
    }
    let _host = Host::start(state.path(), &enclave, &log);
    let mut control = enclave.control().await;
    assert!(memory.serve(&mut control).await.is_some(), "the last host goes on");
    let leaves = log.state.lock().unwrap().leaves.clone();
    let mut wanted = vec![record(0).0];
    wanted.extend((0..RECEIPTS).map(|seq| receipt_leaf(&envelope(seq))));
    assert_eq!(leaves.iter().collect::<BTreeSet<_>>(), wanted.iter().collect());
    let proven: BTreeSet<_> = memory.view.proven.iter().copied().collect();
    assert_eq!(proven, wanted.iter().map(|leaf| leaf_hash(leaf, &Ring)).collect());
}
