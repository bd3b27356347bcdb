//! Attacks with more than one boot: restarts, clones, and evidence of boots that are gone.

use std::sync::{Arc, Mutex};

use vouchsafe_adversary::{Action, Direction, Host, Meddler};
use vouchsafe_bundle::{Answer as Shown, BundleParts};
use vouchsafe_client::Answer;
use vouchsafe_link::Endpoint;
use vouchsafe_receipt::ReceiptPayload;
use vouchsafe_verifier::crypto::Ring;

use crate::enclave::{Boot, Enclave, client, meddled, not_proved, question};
use crate::machine::{now, snp};

/// Sends each session wherever the test says at that moment.
struct Switch(Arc<Mutex<Endpoint>>);

impl Meddler for Switch {
    fn route(&mut self, _: u64) -> Endpoint {
        self.0.lock().unwrap().clone()
    }

    fn chunk(&mut self, _: u64, _: Direction, _: u64, bytes: Vec<u8>) -> Action {
        Action::Send(bytes)
    }
}

async fn switched(first: &Enclave) -> (Host, Arc<Mutex<Endpoint>>) {
    let to = Arc::new(Mutex::new(first.endpoint.clone()));
    (meddled(Switch(Arc::clone(&to))).await, to)
}

fn receipt(answer: &Answer) -> ReceiptPayload {
    assert!(answer.is_accepted(), "{:?}", answer.verdict.as_ref().map(|verdict| verdict.to_json()));
    answer.verdict.as_ref().unwrap().receipt().unwrap().clone()
}

/// Promise: what a boot signed stays what it signed. A host can restart an enclave with the same inputs
/// and feed it whatever it kept of the old one, but keys never leave a boot: the new one has other keys,
/// another boot id, and a receipt sequence that begins at 0. A client attests it before it asks it anything.
#[tokio::test]
async fn a_restarted_enclave_is_another_boot() {
    let machine = snp();
    let first = Boot { machine: machine.clone(), ..Boot::default() }.start().await;
    let (host, to) = switched(&first).await;
    let old_client = client(host.address);
    old_client.ask(&question("before")).await.unwrap();
    let before = receipt(&old_client.ask(&question("before")).await.unwrap().0);
    let second = Boot { machine, ..Boot::default() }.start().await;
    *to.lock().unwrap() = second.endpoint.clone();
    first.server.stop().await;
    drop(first);
    // A kept connection may end with the old enclave while the question is on its way.
    let asked = match old_client.ask(&question("after")).await {
        Err(error) if error.code() == "connection_failed" => old_client.ask(&question("after")).await,
        asked => asked,
    };
    let (answer, boot) = asked.unwrap();
    let after = receipt(&answer);
    assert_eq!((before.seq, after.seq), (1, 0));
    assert_ne!(before.boot, after.boot, "a rollback is a boot of its own");
    assert_eq!(after.previous, None);
    assert_eq!(boot.boot_statement().boot, after.boot);
}

/// Promise: as above, for two that run at once with the same inputs on the same machine. Both are
/// genuine and each is accepted; what is signed by one is not by the other. That a client knows both,
/// or all of them, nobody promises: `unlogged` and `operator_uptime` say so.
#[tokio::test]
async fn clones_are_told_apart_by_their_boot_ids() {
    let machine = snp();
    let a = Boot { machine: machine.clone(), ..Boot::default() }.start().await;
    let b = Boot { machine, ..Boot::default() }.start().await;
    let (host_a, host_b) = (a.host().await, b.host().await);
    let (answer_a, boot_a) = client(host_a.address).ask(&question("one")).await.unwrap();
    let (answer_b, boot_b) = client(host_b.address).ask(&question("one")).await.unwrap();
    assert_ne!(receipt(&answer_a).boot, receipt(&answer_b).boot);
    assert_ne!(boot_a.tls_spki(), boot_b.tls_spki());
    let shown = Shown {
        receipt: answer_a.receipt.as_ref(),
        opening: answer_a.opening.as_ref(),
        request: Some(&answer_a.request),
        response: Some(&answer_a.response),
        ..Shown::default()
    };
    assert!(boot_a.check_answer(&shown, now(), &Ring).is_accepted(), "the control");
    assert_eq!(boot_b.check_answer(&shown, now(), &Ring).code(), Some("receipt_key_mismatch"));
    let open = not_proved(boot_a.verdict());
    assert!(open.contains(&"unlogged") && open.contains(&"operator_uptime"), "{open:?}");
}

/// Promise: a session is with the boot that was attested. A host that sends one client's sessions to
/// several enclaves by turns gets each attested; none is believed for another.
#[tokio::test]
async fn sessions_sent_to_another_enclave_are_attested_anew() {
    let (a, b) = (Enclave::honest().await, Enclave::honest().await);
    let (host, to) = switched(&a).await;
    let first = client(host.address);
    let (answer, _) = first.ask(&question("to a")).await.unwrap();
    let at_a = receipt(&answer).boot;
    *to.lock().unwrap() = b.endpoint.clone();
    let second = client(host.address);
    let (answer, boot) = second.ask(&question("to b")).await.unwrap();
    assert_ne!(receipt(&answer).boot, at_a);
    assert_eq!(receipt(&answer).boot, boot.boot_statement().boot);
}

/// Promise: a receipt shown with the evidence of another boot is refused, both of one enclave's
/// successive boots and of two enclaves.
#[tokio::test]
async fn an_old_boots_evidence_does_not_carry_a_new_boots_receipt() {
    let machine = snp();
    let start = || Boot { machine: machine.clone(), ..Boot::default() }.start();
    let (old, new) = (start().await, start().await);
    let (host_old, host_new) = (old.host().await, new.host().await);
    let (answer_old, boot_old) = client(host_old.address).ask(&question("one")).await.unwrap();
    let (answer_new, boot_new) = client(host_new.address).ask(&question("one")).await.unwrap();
    let old = answer_old.bundle(&boot_old).unwrap().into_parts();
    let new = answer_new.bundle(&boot_new).unwrap().into_parts();
    let swapped = BundleParts { boot: old.boot.clone(), epoch: old.epoch.clone(), ..new.clone() };
    let epoch_only = BundleParts { epoch: old.epoch, ..new.clone() };
    assert_eq!(crate::receipts::judged(new, &answer_new).code(), None, "the control");
    assert_eq!(crate::receipts::judged(swapped, &answer_new).code(), Some("receipt_key_mismatch"));
    assert_eq!(crate::receipts::judged(epoch_only, &answer_new).code(), Some("epoch_of_other_boot"));
}
