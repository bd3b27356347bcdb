//! Witnesses that are good, down, slow, lying; and what the log does with each.

use std::sync::Arc;

use hyper::StatusCode;
use vouchsafe_log::admission::{Admission, Admitted, Refusal};
use vouchsafe_log::{Error, Folder, Log, NewLeaf, WitnessConfig};
use vouchsafe_receipt::LeafType;
use vouchsafe_translog::{TrustedLog, VerifierKey};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_witness::{Limits, Server, State, Witness};

use crate::common::{AdmitAll, Place, Running, config, copy_folder};
use crate::witness::{Mode, TestWitness};

async fn witnesses(place: &Place, modes: &[Mode]) -> Vec<TestWitness> {
    let mut witnesses = Vec::new();
    for (n, mode) in (1..).zip(modes) {
        witnesses.push(TestWitness::start(n, place.key.public(), *mode).await);
    }
    witnesses
}

fn configs(witnesses: &[TestWitness]) -> Vec<WitnessConfig> {
    witnesses.iter().map(|witness| witness.config.clone()).collect()
}

fn trusted(place: &Place, witnesses: &[TestWitness], quorum: usize) -> TrustedLog {
    trusted_keys(place, &configs(witnesses), quorum)
}

fn trusted_keys(place: &Place, witnesses: &[WitnessConfig], quorum: usize) -> TrustedLog {
    let keys = witnesses.iter().map(|witness| witness.key.clone()).collect();
    TrustedLog::new(place.key.public().clone(), keys, quorum).unwrap()
}

/// Two good witnesses are the quorum; the third misbehaves in every way, and is named for it.
#[tokio::test]
async fn one_bad_witness_keeps_nothing_back_and_is_named() {
    for (mode, counted) in [
        (Mode::Failing, "refused"),
        (Mode::Babbling, "refused"),
        (Mode::BadSignature, "bad_signature"),
        (Mode::OtherRoot, "bad_signature"),
        (Mode::Slow(60_000), "unreachable"),
    ] {
        let place = Place::new();
        let witnesses = witnesses(&place, &[Mode::Good, Mode::Good, mode]).await;
        let log = place.open().unwrap();
        let running = Running::start(log, Arc::new(AdmitAll), config(configs(&witnesses), 2)).await;
        for n in 0..3_u8 {
            let proved = running.settle(&[&[n, 1]]).await;
            proved.verify(place.key.public(), &[&[n, 1]]);
            let verified = trusted(&place, &witnesses, 2).verify(proved.note.as_bytes(), &Ring);
            let verified = verified.unwrap_or_else(|error| panic!("{mode:?}: {error}"));
            assert!(verified.size() > u64::from(n), "{mode:?}");
        }
        let line = format!("{{witness=\"w3.example\",result=\"{counted}\"}} ");
        let at_least_one =
            |text: &str| text.lines().any(|found| found.contains(&line) && !found.ends_with(" 0"));
        for _ in 0..100 {
            if at_least_one(&running.metrics().await) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(at_least_one(&running.metrics().await), "{mode:?} is not counted as {counted}");
        running.stop().await.unwrap();
    }
}

/// Leaves settle whatever a witness's clock does, and one clock of three moves the witness time of a
/// quorum of two nowhere.
#[tokio::test]
async fn a_clock_that_jumps_changes_neither_the_tree_nor_the_quorums_time() {
    let place = Place::new();
    let witnesses = witnesses(&place, &[Mode::Good, Mode::Good, Mode::Good]).await;
    let running =
        Running::start(place.open().unwrap(), Arc::new(AdmitAll), config(configs(&witnesses), 2)).await;
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let begun = now();
    for (n, clock) in (0_u8..).zip([0, 4_102_444_800, 1, u64::from(u32::MAX) << 20, begun]) {
        witnesses[2].behave(Mode::Clock(clock.max(1)));
        let leaf: [&[u8]; 1] = [&[n, 7]];
        let proved = running.settle(&leaf).await;
        assert_eq!(proved.verify(place.key.public(), &leaf), [u64::from(n)], "clock at {clock}");
        let verified = trusted(&place, &witnesses, 2).verify(proved.note.as_bytes(), &Ring).unwrap();
        // At least two say "not before": a clock that ran ahead is one alone. One that fell behind may be
        // among the two that answered first, and then the time is too early, never too late.
        assert!(verified.time().0 <= now(), "clock at {clock}: {}", verified.time());
    }
    running.stop().await.unwrap();
    assert_eq!(place.storage().lock.head().unwrap().head.size, 5);
}

/// Admits receipts that promise to be public by a moment.
struct Promising(u64);

impl Admission for Promising {
    fn admit(&self, leaves: &[&[u8]], _: &[&[u8]], _: UnixSeconds) -> Vec<Result<Admitted, Refusal>> {
        let admitted = |leaf: &&[u8]| Admitted {
            leaf: NewLeaf::new(leaf.to_vec()),
            kind: LeafType::Receipt,
            settle_by: Some(self.0),
        };
        leaves.iter().map(|leaf| Ok(admitted(leaf))).collect()
    }

    fn settle_by(&self, _: &[u8]) -> Option<u64> {
        Some(self.0)
    }
}

/// Submissions give up long before the promise is near, as they do in an outage.
#[tokio::test]
async fn the_alarm_comes_before_a_promise_is_missed_and_goes_when_it_is_kept() {
    let place = Place::new();
    let witnesses = witnesses(&place, &[Mode::Good]).await;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    // An hour away, and looked at an hour and a bit before.
    let (promise, mut config) = (now + 3_600, config(configs(&witnesses), 1));
    config.alarm_s = 3_700;
    config.answer_max = std::time::Duration::from_millis(300);
    let running = Running::start(place.open().unwrap(), Arc::new(Promising(promise)), config).await;
    running.settle(&[b"first"]).await;
    running.wait_metric("vouchsafe_log_settlement_alarm_receipts 0").await;
    witnesses[0].behave(Mode::Failing);
    let leaves: [&[u8]; 2] = [b"second", b"third"];
    let told_to_come_again = running.add(&leaves).await;
    assert_eq!(told_to_come_again.status(), StatusCode::SERVICE_UNAVAILABLE);
    // Nobody waits for an answer any more, and the promises stand.
    running.wait_metric("vouchsafe_log_settlement_alarm_receipts 2").await;
    // Submitted again they are in the log and no less waiting, and they wait once.
    assert_eq!(running.add(&leaves).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    running.wait_metric("vouchsafe_log_settlement_late_arrivals_total 3").await;
    running.wait_metric("vouchsafe_log_settlement_alarm_receipts 2").await;
    witnesses[0].behave(Mode::Good);
    running.wait_metric("vouchsafe_log_settlement_alarm_receipts 0").await;
    running.settle(&leaves).await.verify(place.key.public(), &leaves);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_quorum_nothing_is_answered_and_nothing_is_lost() {
    let place = Place::new();
    let witnesses = witnesses(&place, &[Mode::Good, Mode::Good]).await;
    let mut config = config(configs(&witnesses), 2);
    config.answer_max = std::time::Duration::from_millis(300);
    let running = Running::start(place.open().unwrap(), Arc::new(AdmitAll), config).await;
    running.settle(&[b"first"]).await;
    witnesses[1].behave(Mode::Failing);
    // In the log soon, however slow this machine is, but not witnessed: the submitter is told to come again.
    let is_told = |body: &[u8]| body.starts_with(b"{\"error\":\"not_witnessed_in_time\"");
    let mut refused = running.add(&[b"second"]).await;
    for _ in 0..100 {
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "answered without a quorum");
        assert_eq!(refused.headers()["retry-after"], "1");
        if is_told(refused.body()) {
            break;
        }
        refused = running.add(&[b"second"]).await;
    }
    assert!(is_told(refused.body()), "{refused:?}");
    witnesses[1].behave(Mode::Good);
    let proved = running.settle(&[b"second"]).await;
    assert_eq!(proved.verify(place.key.public(), &[b"second"]), [1], "doubled");
    trusted(&place, &witnesses, 2).verify(proved.note.as_bytes(), &Ring).unwrap();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn the_witness_time_is_renewed_while_nothing_happens() {
    let place = Place::new();
    let witnesses = witnesses(&place, &[Mode::Good]).await;
    let config = config(configs(&witnesses), 1);
    let running = Running::start(place.open().unwrap(), Arc::new(AdmitAll), config).await;
    running.settle(&[b"only"]).await;
    let before = witnesses[0].requests();
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        if witnesses[0].requests() >= before + 2 {
            break;
        }
    }
    assert!(witnesses[0].requests() >= before + 2, "an idle log is not cosigned again");
    assert_eq!(witnesses[0].size(), 1);
    running.stop().await.unwrap();
}

/// A copy of the folder goes on while the original has been witnessed further. Nothing in the copy says
/// so, its own high-water record included: the witness does.
#[tokio::test]
async fn a_restored_folder_is_refused_when_a_witness_has_seen_more() {
    let place = Place::new();
    let witnesses = witnesses(&place, &[Mode::Good, Mode::Good]).await;
    let start = |log: Log| Running::start(log, Arc::new(AdmitAll), config(configs(&witnesses), 2));
    let running = start(place.open().unwrap()).await;
    running.settle(&[b"one"]).await;
    running.stop().await.unwrap();
    let backup = place.temp.path().join("backup");
    copy_folder(&place.root(), &backup);
    let running = start(place.open().unwrap()).await;
    running.settle(&[b"two"]).await;
    running.stop().await.unwrap();

    let restored = Folder::new(backup, None, None);
    let log = Log::open(restored.open().unwrap(), Arc::clone(&place.key)).unwrap();
    assert_eq!(log.head().head.size, 1);
    let ended = start(log).await.ended().await;
    assert!(
        matches!(&ended, Err(Error::Behind { held: 1, signed: 2, record }) if record.starts_with("witness w")),
        "{ended:?}"
    );
    // And the original goes on.
    let running = start(place.open().unwrap()).await;
    let proved = running.settle(&[b"three"]).await;
    assert_eq!(proved.verify(place.key.public(), &[b"three"]), [2]);
    running.stop().await.unwrap();
}

/// A witness as anybody runs it.
struct Real {
    config: WitnessConfig,
    stop: tokio::sync::oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Real {
    async fn start(place: &Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = State::init(folder.path(), "real.example/w", &ring::rand::SystemRandom::new()).unwrap();
        let witness = Arc::new(Witness::new(state, &[place.key.public().to_string()]).unwrap());
        let key = VerifierKey::parse(&witness.verifier_key(), &Ring).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind(listen, witness, Limits::default()).await.unwrap();
        let config = WitnessConfig { url: format!("http://{}", server.address()), key };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let ended = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { config, stop, ended, _folder: folder }
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.ended.await.unwrap();
    }
}

/// Another tree of the size that was cosigned: a log that has it does not go on.
#[tokio::test]
async fn a_fork_at_the_cosigned_size_is_recognised_from_real_and_other_witnesses() {
    let place = Place::new();
    let real = Real::start(&place).await;
    let test = witnesses(&place, &[Mode::Inconsistent]).await;
    let all = [real.config.clone(), test[0].config.clone()];
    let start = |log: Log, of: &[WitnessConfig], quorum| {
        Running::start(log, Arc::new(AdmitAll), config(of.to_vec(), quorum))
    };
    let running = start(place.open().unwrap(), &all, 2).await;
    running.settle(&[b"one"]).await.verify(place.key.public(), &[b"one"]);
    running.stop().await.unwrap();
    let other = place.temp.path().join("other");
    copy_folder(&place.root(), &other);
    let running = start(place.open().unwrap(), &all, 2).await;
    let proved = running.settle(&[b"two"]).await;
    proved.verify(place.key.public(), &[b"two"]);
    running.stop().await.unwrap();
    let note = trusted_keys(&place, &all, 2).verify(proved.note.as_bytes(), &Ring).unwrap();
    assert_eq!(note.size(), 2);

    let open = || {
        let folder = Folder::new(other.clone(), None, None);
        Log::open(folder.open().unwrap(), Arc::clone(&place.key)).unwrap()
    };
    open().append(&[NewLeaf::new(b"another two".to_vec())]).unwrap();
    for (witness, name) in [(&all[..1], "witness real.example/w"), (&all[1..], "witness w1.example")] {
        let ended = start(open(), witness, 1).await.ended().await;
        let Err(Error::Behind { held: 2, signed: 2, record }) = &ended else { panic!("{ended:?}") };
        assert_eq!(record, name);
    }
    real.stop().await;
}

/// Two programs under one key, each with a folder of its own, and a witness that cosigns for both.
#[tokio::test]
async fn a_witness_that_equivocates_makes_no_quorum_for_a_fork() {
    let place = Place::new();
    let witnesses = witnesses(&place, &[Mode::Good, Mode::Good, Mode::TwoFaced]).await;
    let start = |log: Log, quorum_of: &[WitnessConfig], quorum| {
        Running::start(log, Arc::new(AdmitAll), config(quorum_of.to_vec(), quorum))
    };
    let all = configs(&witnesses);
    let running = start(place.open().unwrap(), &all, 2).await;
    running.settle(&[b"one"]).await;
    running.stop().await.unwrap();
    let other = place.temp.path().join("other");
    copy_folder(&place.root(), &other);
    let running = start(place.open().unwrap(), &all, 2).await;
    let honest = running.settle(&[b"two"]).await;
    running.stop().await.unwrap();

    let open = || {
        let folder = Folder::new(other.clone(), None, None);
        Log::open(folder.open().unwrap(), Arc::clone(&place.key)).unwrap()
    };
    let mut log = open();
    log.append(&[NewLeaf::new(b"another two".to_vec())]).unwrap();
    // The honest ones stop it, and what it signed is published nowhere.
    let ended = start(log, &all, 2).await.ended().await;
    let is_stopped = |record: &str| record.starts_with("witness w1") || record.starts_with("witness w2");
    assert!(
        matches!(&ended, Err(Error::Behind { held: 2, signed: 2, record }) if is_stopped(record)),
        "{ended:?}"
    );
    let published = || std::fs::read(other.join("public/checkpoint")).unwrap();
    let before = trusted(&place, &witnesses, 2).verify(&published(), &Ring).unwrap();
    assert_eq!(before.size(), 1);
    // For who counts the two-faced one alone it is a log like any; a quorum of two is not deceived.
    let running = start(open(), &all[2..], 1).await;
    running.settle(&[b"another two"]).await;
    running.stop().await.unwrap();
    let fork = published();
    let alone = trusted(&place, &witnesses[2..], 1).verify(&fork, &Ring).unwrap();
    let true_one = trusted(&place, &witnesses, 2).verify(honest.note.as_bytes(), &Ring).unwrap();
    assert_eq!((alone.size(), true_one.size()), (2, 2));
    assert_ne!(alone.root(), true_one.root(), "a fork");
    let refused = trusted(&place, &witnesses, 2).verify(&fork, &Ring).unwrap_err();
    assert_eq!(refused.code(), "witness_quorum_missing");
}

#[tokio::test]
async fn a_witness_that_lies_about_its_size_later_does_not_stop_the_log() {
    let place = Place::new();
    let witnesses = witnesses(&place, &[Mode::Good, Mode::Good]).await;
    let config = config(configs(&witnesses), 1);
    let running = Running::start(place.open().unwrap(), Arc::new(AdmitAll), config).await;
    running.settle(&[b"one"]).await;
    witnesses[1].behave(Mode::Ahead(1_000_000));
    let proved = running.settle(&[b"two"]).await;
    proved.verify(place.key.public(), &[b"two"]);
    running.wait_metric("{witness=\"w2.example\",result=\"conflict\"} 1").await;
    running.stop().await.unwrap();
}

/// Reading what is public needs no witness: a log that starts while they are all down serves what it
/// published before.
#[tokio::test]
async fn what_was_published_is_served_while_no_witness_answers() {
    let place = Place::with_leaves(20);
    let published = std::fs::read(place.root().join("public/checkpoint")).unwrap();
    let witnesses = witnesses(&place, &[Mode::Failing, Mode::Failing]).await;
    let log = place.open().unwrap();
    let running = Running::start(log, Arc::new(AdmitAll), config(configs(&witnesses), 2)).await;
    let checkpoint = running.get("/checkpoint").await;
    assert_eq!(checkpoint.status(), StatusCode::OK);
    assert_eq!(checkpoint.headers()["cache-control"], "public, max-age=1");
    assert_eq!(checkpoint.body().as_ref(), published);
    assert_eq!(running.get("/tile/entries/000.p/20").await.status(), StatusCode::OK);
    running.stop().await.unwrap();
    // A log that never published anything has nothing to serve.
    let place = Place::new();
    let log = place.open().unwrap();
    let running = Running::start(log, Arc::new(AdmitAll), config(configs(&witnesses), 2)).await;
    assert_eq!(running.get("/checkpoint").await.status(), StatusCode::NOT_FOUND);
    running.stop().await.unwrap();
}
