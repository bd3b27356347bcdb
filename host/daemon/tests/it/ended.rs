//! What a boot that has ended left behind: nobody is there to prove it to, and the log's bare word is not enough.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use tempfile::TempDir;
use vouchsafe_host::{Event, Limits};
use vouchsafe_link::control::{BootId, EnclaveMessage};
use vouchsafe_receipt::{
    BootKeys, BootRecord, BootStatement, EngineIdentity, Envelope, LogSettlement, PayloadType, ReceiptKey,
    Settlement, envelope_leaf,
};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex, to_base64, to_hex};

use crate::enclave::{Control, Enclave, Host, boot, soon};
use crate::log::{Log, State};
use crate::sessions::{addresses, scrape};
use crate::settle::envelope;

/// A boot that names a log in its statement, as a real one does.
struct Ended {
    id: [u8; 32],
    statement: Vec<u8>,
}

impl Ended {
    fn of(log: &Log) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        let id = ReceiptKey::from_spki(&spki, &Ring).unwrap().id();
        let trusted = log.trusted();
        let statement = BootStatement {
            version: 1,
            boot: Hex(id),
            keys: BootKeys { receipt: Base64(spki.to_vec()), tls: Base64(spki.to_vec()) },
            models: Vec::new(),
            engine: EngineIdentity { name: "test".into(), version: "1".into(), kernel: "none".into() },
            configuration: Hex([1; 32]),
            operator: None,
            settlement: Settlement::Log(LogSettlement {
                key: trusted.log().to_string(),
                witnesses: trusted.quorum().witnesses().iter().map(ToString::to_string).collect(),
                quorum: 1,
                bound_s: 60,
                unsettled_max: 16,
            }),
        };
        Self { id, statement: statement.to_bytes() }
    }

    fn boot(&self) -> BootId {
        BootId::new(&to_hex(&self.id)).unwrap()
    }

    fn record(&self) -> EnclaveMessage {
        let digest = |bytes: &[u8]| Hex(Ring.sha256(bytes));
        let (statement, evidence) = (digest(&self.statement), digest(b"evidence"));
        let record = BootRecord { version: 1, boot: Hex(self.id), statement, evidence };
        let signed = Envelope::new(PayloadType::Boot, record.to_bytes(), self.id, [1; 64]);
        let leaf = to_base64(&envelope_leaf(&signed).unwrap());
        let blobs = vec![to_base64(&self.statement), to_base64(b"evidence")];
        EnclaveMessage::Record { boot: self.boot(), number: 0, leaf, blobs }
    }

    fn receipt(&self) -> EnclaveMessage {
        let envelope = String::from_utf8(envelope(0).to_json()).unwrap();
        EnclaveMessage::Receipt { boot: self.boot(), seq: 0, envelope }
    }
}

/// A host, and an enclave of this boot that has verified nothing.
async fn started(folder: TempDir, enclave: &mut Enclave, log: &Log, boot: BootId) -> (Host, Control) {
    let host = Host::start_with(folder, &enclave.endpoint(), Limits::default(), Some(log.url.clone()));
    let mut control = enclave.control().await;
    control.send(EnclaveMessage::Verified { boot, size: 0 }).await;
    (host, control)
}

/// The folder of a host that could bring nothing to the log before its enclave's boot ended.
async fn left(enclave: &mut Enclave, log: &Log, ended: &Ended, says: Vec<EnclaveMessage>) -> TempDir {
    log.state.lock().unwrap().unavailable = usize::MAX;
    let (host, mut control) = started(tempfile::tempdir().unwrap(), enclave, log, ended.boot()).await;
    for message in says {
        control.send(message).await;
    }
    while control.ack().await != (ended.boot(), 0) {}
    let (folder, stopped) = host.stop().await;
    assert_eq!(stopped, Ok(()));
    log.state.lock().unwrap().unavailable = 0;
    folder
}

/// What the host says of an ended boot's leaves.
async fn complaint(host: &mut Host) -> String {
    let of_ended = |event: &Event| match event {
        Event::SettlingFailing(why) if why.contains("which has ended") => Some(why.clone()),
        _ => None,
    };
    host.event("the complaint", of_ended).await
}

#[tokio::test]
async fn what_an_ended_boot_left_stays_until_it_is_in_the_log_that_the_boot_named() {
    let log = Log::start().await;
    let mut enclave = Enclave::listen().await;
    let ended = Ended::of(&log);
    let mut folder = left(&mut enclave, &log, &ended, vec![ended.record(), ended.receipt()]).await;

    type Lie = fn(&mut State);
    let lies: [(Lie, &str); 2] = [
        (|state| state.is_pretending = true, "is not where the log says"),
        (|state| (state.is_pretending, state.is_uncosigned) = (false, true), "the log's checkpoint"),
    ];
    for (lie, why) in lies {
        lie(&mut log.state.lock().unwrap());
        let (mut host, control) = started(folder, &mut enclave, &log, boot()).await;
        let (_, metrics) = addresses(&mut host).await;
        let told = complaint(&mut host).await;
        assert!(told.contains(why), "{told}");
        assert!(scrape(metrics).await.contains("\nvouchsafe_host_settled_total 0\n"), "{why}");
        (folder, _) = host.stop().await;
        drop(control);
    }

    // The next host has them still, and an honest log gets them out of the way.
    log.state.lock().unwrap().is_uncosigned = false;
    let (mut host, _control) = started(folder, &mut enclave, &log, boot()).await;
    let (_, metrics) = addresses(&mut host).await;
    let settled = async {
        let done = ["\nvouchsafe_host_settled_total 2\n", "\nvouchsafe_host_unsettled 0\n"];
        loop {
            let text = scrape(metrics).await;
            if done.iter().all(|line| text.contains(line)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon("what was left is settled", settled).await;
    assert_eq!(log.state.lock().unwrap().leaves.len(), 2);
}

#[tokio::test]
async fn what_is_left_of_a_boot_without_its_record_stays_and_is_told_of() {
    let log = Log::start().await;
    let mut enclave = Enclave::listen().await;
    let ended = Ended::of(&log);
    let folder = left(&mut enclave, &log, &ended, vec![ended.receipt()]).await;
    let (mut host, _control) = started(folder, &mut enclave, &log, boot()).await;
    let (_, metrics) = addresses(&mut host).await;
    assert!(complaint(&mut host).await.contains("no record of it here"));
    assert!(scrape(metrics).await.contains("\nvouchsafe_host_settled_total 0\n"));
}
