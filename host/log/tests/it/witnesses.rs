//! Witnesses that are good, down, slow, lying; and what the log does with each.

use std::sync::Arc;

use hyper::StatusCode;
use vouchsafe_log::{Error, Folder, Log, WitnessConfig};
use vouchsafe_translog::TrustedLog;
use vouchsafe_verifier::crypto::Ring;

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
    let keys = witnesses.iter().map(|witness| witness.config.key.clone()).collect();
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

#[tokio::test]
async fn without_a_quorum_nothing_is_answered_and_nothing_is_lost() {
    let place = Place::new();
    let witnesses = witnesses(&place, &[Mode::Good, Mode::Good]).await;
    let mut config = config(configs(&witnesses), 2);
    config.answer_max = std::time::Duration::from_millis(300);
    let running = Running::start(place.open().unwrap(), Arc::new(AdmitAll), config).await;
    running.settle(&[b"first"]).await;
    witnesses[1].behave(Mode::Failing);
    // In the log soon, but not witnessed: the submitter is told to come again.
    let mut refused = running.add(&[b"second"]).await;
    for _ in 0..10 {
        if refused.status() != StatusCode::OK {
            break;
        }
        refused = running.add(&[b"second"]).await;
    }
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(refused.body().starts_with(b"{\"error\":\"not_witnessed_in_time\""), "{refused:?}");
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
