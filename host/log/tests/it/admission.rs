//! Who gets in: simulated boots with real evidence, and everything that must not.

use std::sync::{Arc, OnceLock};

use hyper::{Method, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vouchsafe_bundle::Policy;
use vouchsafe_log::admission::PolicyAdmission;
use vouchsafe_log::blobs::BlobPool;
use vouchsafe_log::{Log, check, repair};
use vouchsafe_receipt::records::{endorsements_blob, evidence_blob};
use vouchsafe_receipt::{
    AttestedStatement, BootKeys, BootRecord, BootStatement, CheckpointRef, Close, EndorsementsRecord,
    EngineIdentity, Envelope, EpochRecord, Heartbeat, PayloadType, ReceiptKey, Settlement, endorsements_leaf,
    envelope_leaf, is_low_s, pae, report_data, to_low_s,
};
use vouchsafe_simulator::intel::{IntelAuthority, TdxMachine, TdxMachineSpec};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex, to_hex};

use crate::common::{Place, Proved, Running, config, request};

/// An installation's throwaway Intel.
pub(crate) struct Vendor {
    authority: IntelAuthority,
    pub(crate) now: UnixSeconds,
}

impl Vendor {
    pub(crate) fn get() -> &'static Self {
        static VENDOR: OnceLock<Vendor> = OnceLock::new();
        VENDOR.get_or_init(|| {
            let now = UnixSeconds(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs());
            let begin = UnixSeconds(now.0 - 86_400);
            Vendor { authority: IntelAuthority::generate(begin).unwrap(), now }
        })
    }

    /// The shipped policy for simulation, pinned to this vendor's root.
    pub(crate) fn policy(&self) -> Policy {
        self.policy_with(|_| ())
    }

    /// The same with other rules.
    pub(crate) fn policy_with(&self, change: impl FnOnce(&mut serde_json::Value)) -> Policy {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/simulated.json");
        let mut json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        change(&mut json);
        let policy = Policy::parse(json.to_string().as_bytes()).unwrap();
        policy.with_simulated_root(Ring.sha256(self.authority.root_der())).unwrap()
    }

    /// A machine that measures to `mrtd`, with endorsements of a moment.
    pub(crate) fn machine(&self, mrtd: [u8; 48], endorsed_at: UnixSeconds) -> TdxMachine {
        let spec = TdxMachineSpec::typical(&self.authority, endorsed_at);
        TdxMachine::new(&self.authority, &spec, mrtd).unwrap()
    }
}

/// A simulated boot.
pub(crate) struct Boot {
    pub(crate) machine: TdxMachine,
    pair: EcdsaKeyPair,
    pub(crate) key: ReceiptKey,
    pub(crate) attested: AttestedStatement,
}

impl Boot {
    pub(crate) fn new() -> Self {
        Self::of(Vendor::get())
    }

    pub(crate) fn of(vendor: &Vendor) -> Self {
        Self::with(vendor, |_| ())
    }

    /// A boot whose statement is changed before it is attested.
    pub(crate) fn with(vendor: &Vendor, change: impl FnOnce(&mut BootStatement)) -> Self {
        let machine = vendor.machine([0x4d; 48], vendor.now);
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        let key = ReceiptKey::from_spki(&spki, &Ring).unwrap();
        let mut statement = BootStatement {
            version: 1,
            boot: Hex(key.id()),
            keys: BootKeys { receipt: Base64(spki), tls: Base64(vec![7; 44]) },
            models: Vec::new(),
            engine: EngineIdentity { name: "e".into(), version: "1".into(), kernel: "k".into() },
            configuration: Hex([3; 32]),
            operator: None,
            settlement: Settlement::None,
        };
        change(&mut statement);
        let statement = statement.to_bytes();
        let evidence = machine.evidence(report_data::boot(&statement, &Ring));
        Self { machine, pair, key, attested: AttestedStatement { statement: Base64(statement), evidence } }
    }

    pub(crate) fn sign(&self, kind: PayloadType, payload: &[u8]) -> Envelope {
        let made = self.pair.sign(&SystemRandom::new(), &pae(kind.as_str(), payload)).unwrap();
        let signature = to_low_s(made.as_ref().try_into().unwrap());
        Envelope::new(kind, payload.to_vec(), self.key.id(), signature)
    }

    pub(crate) fn boot_leaf(&self) -> Vec<u8> {
        let record = BootRecord::of(self.key.id(), &self.attested, &Ring);
        envelope_leaf(&self.sign(PayloadType::Boot, &record.to_bytes())).unwrap()
    }

    pub(crate) fn endorsements_leaf(&self) -> Vec<u8> {
        let endorsements = self.machine.endorsements().unwrap();
        endorsements_leaf(&EndorsementsRecord::of(self.key.id(), &endorsements, &Ring))
    }

    pub(crate) fn blobs(&self) -> [Vec<u8>; 3] {
        [
            self.attested.statement.0.clone(),
            evidence_blob(&self.attested.evidence),
            endorsements_blob(&self.machine.endorsements().unwrap()),
        ]
    }

    pub(crate) fn heartbeat(&self, n: u64) -> Vec<u8> {
        let checkpoint = CheckpointRef { size: 1, root: Hex([1; 32]), time: 1 };
        let heartbeat = Heartbeat {
            version: 1,
            boot: Hex(self.key.id()),
            epoch: 0,
            seq_next: n + 1,
            head: Some(Hex([2; 32])),
            checkpoint,
            unattested_time: n,
        };
        envelope_leaf(&self.sign(PayloadType::Heartbeat, &heartbeat.to_bytes())).unwrap()
    }
}

async fn start(place: &Place) -> Running {
    let storage = place.storage();
    let blobs = Arc::new(BlobPool::new(Arc::clone(&storage.blobs)));
    let admission = PolicyAdmission::new(Vendor::get().policy(), storage.clone(), Arc::clone(&blobs));
    let log = Log::open(storage, Arc::clone(&place.key)).unwrap();
    Running::start_with(log, Arc::new(admission), blobs, config(Vec::new(), 1)).await
}

pub(crate) async fn post_blobs(at: std::net::SocketAddr, boot: &Boot) {
    for blob in boot.blobs() {
        assert_eq!(request(at, Method::POST, "/blob", blob).await.status(), StatusCode::OK);
    }
}

fn codes(proved: &Proved) -> Vec<&str> {
    proved.leaves.iter().map(|leaf| leaf.as_ref().err().map_or("ok", String::as_str)).collect()
}

#[tokio::test]
async fn a_boot_gets_in_with_its_evidence_and_then_whatever_it_signs() {
    let (place, boot) = (Place::new(), Boot::new());
    let running = start(&place).await;
    let (boot_leaf, endorsements) = (boot.boot_leaf(), boot.endorsements_leaf());
    let early = running.settle(&[&boot.heartbeat(0)]).await;
    assert_eq!(codes(&early), ["boot_not_admitted"]);
    let bare = running.settle(&[&boot_leaf, &endorsements]).await;
    assert_eq!(codes(&bare), ["blob_missing", "endorsements_without_boot"]);
    post_blobs(running.at.log, &boot).await;
    let alone = running.settle(&[&boot_leaf]).await;
    assert_ne!(codes(&alone), ["ok"], "without endorsements nothing verifies");
    // The boot leaf comes first; what the boot signed may follow at once.
    let first = boot.heartbeat(1);
    let leaves: [&[u8]; 3] = [&endorsements, &boot_leaf, &first];
    let wrong_order = running.settle(&leaves).await;
    assert!(!codes(&wrong_order).contains(&"ok"), "{:?}", codes(&wrong_order));
    let leaves: [&[u8]; 3] = [&boot_leaf, &endorsements, &first];
    let proved = running.settle(&leaves).await;
    proved.verify(place.key.public(), &leaves);

    for blob in boot.blobs() {
        let path = format!("/blob/{}", to_hex(&Ring.sha256(&blob)));
        let served = running.get(&path).await;
        assert_eq!(served.body(), &blob);
        assert!(served.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    }
    running.stop().await.unwrap();
    // Admitted boots survive a restart, and the loss of the database.
    let running = start(&place).await;
    let second = boot.heartbeat(2);
    running.settle(&[&second]).await.verify(place.key.public(), &[&second]);
    running.stop().await.unwrap();
    std::fs::write(place.root().join("log.sqlite"), b"gone").unwrap();
    let report = repair::run(&place.folder, &place.key, |_, _| ()).unwrap();
    assert_eq!((report.leaves_indexed, report.boots_indexed), (report.size, 1));
    let running = start(&place).await;
    let third = boot.heartbeat(3);
    running.settle(&[&third]).await.verify(place.key.public(), &[&third]);
    running.stop().await.unwrap();
    let storage = place.storage();
    let head = storage.lock.head().unwrap().head;
    assert_eq!(check::full(&storage, &head, |_| ()).unwrap().blobs, 3);
    drop(storage);
    // A blob that a leaf names and that is gone is a violation, and is named.
    let path = format!("public/blob/{}", to_hex(&Ring.sha256(&boot.blobs()[1])));
    std::fs::remove_file(place.root().join(&path)).unwrap();
    let error = check::full(&place.storage(), &head, |_| ()).unwrap_err();
    assert!(path.ends_with(error.to_string().split(' ').next().unwrap()), "{error}");
}

#[tokio::test]
async fn nothing_else_gets_in() {
    let (place, boot) = (Place::new(), Boot::new());
    let running = start(&place).await;
    post_blobs(running.at.log, &boot).await;
    let boot_leaf = boot.boot_leaf();
    running.settle(&[&boot_leaf, &boot.endorsements_leaf()]).await;

    // The other form of the same signature: both verify as ECDSA, one is in the log's form.
    let good = boot.heartbeat(7);
    let at = good.len() - 64;
    let signature: [u8; 64] = good[at..].try_into().unwrap();
    let high = other_form(&signature);
    assert!(is_low_s(&signature) && !is_low_s(&high));
    let malleated = [&good[..at], &high].concat();
    let mut flipped = good.clone();
    flipped[at + 40] ^= 1;
    let second_boot_leaf = boot.boot_leaf();
    assert_ne!(second_boot_leaf, boot_leaf, "signatures are randomised");
    let stranger = Boot::new();
    let epoch = EpochRecord::of(boot.key.id(), 0, &stranger.attested, &Ring);
    let epoch = envelope_leaf(&boot.sign(PayloadType::Epoch, &epoch.to_bytes())).unwrap();
    let close = Close(Heartbeat {
        version: 1,
        boot: Hex(boot.key.id()),
        epoch: 0,
        seq_next: 0,
        head: None,
        checkpoint: CheckpointRef { size: 1, root: Hex([1; 32]), time: 1 },
        unattested_time: 1,
    });
    let close = stranger.sign(PayloadType::Close, &close.to_bytes());
    let forged = envelope_leaf(&close).unwrap();
    let cases: [(&[u8], &str); 10] = [
        (&malleated, "signature_not_low_s"),
        (&flipped, "receipt_signature_invalid"),
        (&second_boot_leaf, "boot_admitted_before"),
        (&stranger.heartbeat(1), "boot_not_admitted"),
        (&forged, "receipt_signature_invalid"),
        (&epoch, "blob_missing"),
        (&boot.endorsements_leaf(), "ok"),
        (&stranger.endorsements_leaf(), "endorsements_without_boot"),
        (&[7, 1, 2], "leaf_malformed"),
        (&[9, 1, 2], "leaf_type_unknown"),
    ];
    for (leaf, code) in cases {
        let answer = running.settle(&[leaf]).await;
        assert_eq!(codes(&answer), [code]);
    }
    running.settle(&[&good]).await.verify(place.key.public(), &[&good]);
    // Three leaves: boot, endorsements, one heartbeat. Nothing of the above.
    assert_eq!(place.storage().lock.head().unwrap().head.size, 3);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_boot_under_another_root_or_with_a_swapped_statement_stays_out() {
    let place = Place::new();
    let running = start(&place).await;
    let now = Vendor::get().now;
    let other = Vendor { authority: IntelAuthority::generate(UnixSeconds(now.0 - 86_400)).unwrap(), now };
    let foreign = Boot::of(&other);
    post_blobs(running.at.log, &foreign).await;
    let answer = running.settle(&[&foreign.boot_leaf(), &foreign.endorsements_leaf()]).await;
    assert_eq!(codes(&answer)[1], "endorsements_without_boot");
    assert_ne!(codes(&answer)[0], "ok");

    // Evidence of one boot with the statement of another.
    let (mut boot, twin) = (Boot::new(), Boot::new());
    boot.attested.evidence = twin.attested.evidence.clone();
    post_blobs(running.at.log, &boot).await;
    let answer = running.settle(&[&boot.boot_leaf(), &boot.endorsements_leaf()]).await;
    assert_eq!(codes(&answer)[0], "boot_report_data_mismatch");
    assert_eq!(place.storage().lock.head().unwrap().head.size, 0);
    running.stop().await.unwrap();
}

/// The order of P-256's group less `s`: the signature's other form.
fn other_form(signature: &[u8; 64]) -> [u8; 64] {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut other = *signature;
    let mut borrow = 0_i32;
    for at in (0..32).rev() {
        let difference = i32::from(ORDER[at]) - i32::from(signature[32 + at]) - borrow;
        borrow = i32::from(difference < 0);
        other[32 + at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    other
}
