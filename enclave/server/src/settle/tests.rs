//! A host that lies: what does not verify changes nothing, and what never comes stops the service.

use super::test_log::TestLog;
use vouchsafe_receipt::{Assurance, Leaf, LeafType};
use vouchsafe_verifier::encoding::to_base64;

use super::*;
use crate::issue::tests::{pending_of, settling_issuer};
use crate::issue::{Issuer, Kept, NotAdmitted, Proof};

const TIME: u64 = 1_795_262_400;

/// The word it is refused with; then note, `from`, consistency proof and leaves.
type Lie<'a> = (&'static str, &'a str, u64, &'a [String], Vec<Included>);

/// An issuer that settles into a log, and its host.
struct Setup {
    log: TestLog,
    issuer: Arc<Issuer>,
    settlement: Arc<Settlement>,
}

impl Setup {
    /// Nothing is in the log yet but a stranger's leaf.
    fn new() -> Self {
        let mut log = TestLog::new();
        log.append(b"a stranger's");
        let settlement = Arc::new(Settlement::new(&log.config()).unwrap());
        let (issuer, _) = settling_issuer(Some(Arc::clone(&settlement)));
        Self { log, issuer, settlement }
    }

    /// The boot record is in the log, and proven.
    fn public() -> Self {
        let mut setup = Self::new();
        setup.settlement.keep_record(Record { leaf: b"boot".to_vec(), blobs: Vec::new() });
        setup.log.append(b"boot");
        let size = setup.log.leaves.len();
        setup.publish(&[size - 1], TIME).unwrap();
        setup
    }

    /// An honest host's message about these leaves, at this witness time.
    fn publish(&self, leaves: &[usize], time: u64) -> Result<u64, RefusedCode> {
        let (from, size) = (self.settlement.size(), self.log.leaves.len());
        let consistency = self.log.consistency(usize::try_from(from).unwrap(), size);
        let leaves: Vec<_> = leaves.iter().map(|index| self.log.included(*index, size)).collect();
        self.issuer.learn(&self.log.note(size, &[time, time, time]), from, &consistency, &leaves)
    }

    /// Has a receipt signed and put into the log. Gives its index.
    fn answer(&mut self, assurance: Assurance) -> (usize, crate::issue::Issued, [u8; 32]) {
        let pending = pending_of(&self.issuer, assurance).unwrap();
        let token = vouchsafe_verifier::encoding::from_base64url(&pending.token()).unwrap();
        let issued = pending.finish(200, "text/plain", b"answer").unwrap();
        self.log.append(&vouchsafe_receipt::receipt_leaf(&issued.envelope));
        (self.log.leaves.len() - 1, issued, token.try_into().unwrap())
    }

    fn refusal(&self) -> Option<Unsettled> {
        match pending_of(&self.issuer, Assurance::Attested).map(drop) {
            Err(NotAdmitted::Unsettled(why)) => Some(why),
            _ => None,
        }
    }

    /// What a message that changes nothing must leave as it is.
    fn state(&self) -> (u64, Option<(CheckpointRef, u64)>, usize, usize) {
        let (size, unproven) = (self.settlement.size(), self.settlement.unproven());
        (size, self.settlement.now(), unproven, self.issuer.outbox().len())
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_admitted_before_the_boot_is_public() {
    let mut setup = Setup::new();
    assert_eq!(setup.refusal(), Some(Unsettled::Stale));
    setup.settlement.keep_record(Record { leaf: b"boot".to_vec(), blobs: Vec::new() });
    // A checkpoint alone proves nothing of the boot.
    setup.publish(&[0], TIME).unwrap();
    assert_eq!(setup.refusal(), Some(Unsettled::Stale));
    setup.log.append(b"boot");
    setup.publish(&[1], TIME + 1).unwrap();
    setup.settlement.public().await;
    let pending = pending_of(&setup.issuer, Assurance::Attested);
    assert!(pending.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_receipt_names_the_latest_witness_time_and_stays_until_it_is_proven() {
    let mut setup = Setup::public();
    let (index, issued, token) = setup.answer(Assurance::Attested);
    let payload: serde_json::Value = serde_json::from_slice(issued.envelope.unverified_payload()).unwrap();
    assert_eq!(payload["checkpoint"]["time"], TIME);
    assert_eq!(payload["checkpoint"]["size"], 2);
    assert_eq!(payload["settle_by"], TIME + 60);
    // The host's word that it stored the receipt does not release it.
    setup.issuer.outbox().acknowledge(u64::MAX);
    assert_eq!((setup.issuer.outbox().len(), setup.settlement.unproven()), (1, 1));
    setup.publish(&[index], TIME + 1).unwrap();
    assert_eq!((setup.issuer.outbox().len(), setup.settlement.unproven()), (0, 0));
    let Some(Kept::Done { proof: Some(proof), .. }) = setup.issuer.store().get(&token) else {
        panic!("no proof is kept")
    };
    let proof = TlogProof::parse(proof.as_bytes()).unwrap();
    let trusted = setup.log.config().trusted().unwrap();
    let hash = leaf_hash(&vouchsafe_receipt::receipt_leaf(&issued.envelope), &Ring);
    let proved = proof.verify(&hash, &trusted, &Ring).unwrap();
    assert_eq!((proved.index(), proved.checkpoint().time().0), (index as u64, TIME + 1));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_verify_changes_nothing() {
    let mut setup = Setup::public();
    let (index, ..) = setup.answer(Assurance::Attested);
    let size = setup.log.leaves.len();
    let note = setup.log.note(size, &[TIME + 1; 3]);
    let consistency = setup.log.consistency(2, size);
    let leaf = setup.log.included(index, size);
    let other_log = {
        let mut other = TestLog::new();
        other.leaves.clone_from(&setup.log.leaves);
        other
    };
    let inconsistent = {
        let mut bent = setup.log.leaves.clone();
        bent[0][0] ^= 1;
        let kept = std::mem::replace(&mut setup.log.leaves, bent);
        let made = (setup.log.note(size, &[TIME + 1; 3]), setup.log.consistency(2, size));
        setup.log.leaves = kept;
        made
    };
    let stranger = note.replace("\u{2014} w1 ", "\u{2014} w9 ").replace("\u{2014} w2 ", "\u{2014} w8 ");
    let bent_signature = note.replacen("AAAA", "AAAB", 1);
    assert_ne!(bent_signature, note);
    let with = |change: fn(&mut Included)| {
        let mut leaf = leaf.clone();
        change(&mut leaf);
        vec![leaf]
    };
    let good = vec![leaf.clone()];
    let mut too_long = consistency.clone();
    too_long.push(to_base64(&[0; 32]));
    let cases: Vec<Lie<'_>> = vec![
        ("log_unknown", "example.test/other\n1\n\n\u{2014} x AAAA\n", 2, &consistency, good.clone()),
        ("witness_quorum_missing", &stranger, 2, &consistency, good.clone()),
        ("checkpoint_from_elsewhere", &note, 0, &consistency, good.clone()),
        ("checkpoint_from_elsewhere", &note, 3, &consistency, good.clone()),
        ("consistency_invalid", &note, 2, &[], good.clone()),
        ("consistency_invalid", &note, 2, &too_long, good.clone()),
        ("consistency_invalid", &inconsistent.0, 2, &inconsistent.1, good.clone()),
        ("inclusion_invalid", &note, 2, &consistency, with(|leaf| leaf.index ^= 1)),
        ("inclusion_invalid", &note, 2, &consistency, with(|leaf| leaf.hash = "00".repeat(32))),
        ("inclusion_invalid", &note, 2, &consistency, with(|leaf| leaf.path.clear())),
        ("inclusion_malformed", &note, 2, &consistency, with(|leaf| leaf.hash.push('0'))),
        ("inclusion_malformed", &note, 2, &consistency, with(|leaf| leaf.path.push("AA==".into()))),
        ("too_many_leaves", &note, 2, &consistency, vec![leaf.clone(); INCLUSIONS_MAX + 1]),
        ("note_malformed", "", 2, &consistency, good.clone()),
    ];
    let before = setup.state();
    for (code, note, from, consistency, leaves) in cases {
        let refused = setup.issuer.learn(note, from, consistency, &leaves);
        match code {
            // Which malformation comes first is the note parser's affair.
            "log_unknown" | "note_malformed" => assert!(refused.is_err()),
            code => assert_eq!(refused, Err(RefusedCode(code))),
        }
        assert_eq!(setup.state(), before, "{code}");
    }
    let one_short = setup.log.note(size, &[TIME + 1]);
    for (note, code) in [
        (one_short.as_str(), "witness_quorum_missing"),
        (&other_log.note(size, &[TIME + 1; 3]), "checkpoint_signature_missing"),
        (&"x".repeat(100_000), "checkpoint_too_long"),
    ] {
        assert_eq!(setup.issuer.learn(note, 2, &consistency, &good), Err(RefusedCode(code)));
        assert_eq!(setup.state(), before, "{code}");
    }
    assert!(setup.issuer.learn(&bent_signature, 2, &consistency, &good).is_err());
    assert_eq!(setup.state(), before);
    // One bad leaf among good ones: nothing is believed of the message.
    let mixed = [good[0].clone(), with(|leaf| leaf.index ^= 1).remove(0)];
    assert!(setup.issuer.learn(&note, 2, &consistency, &mixed).is_err());
    assert_eq!(setup.state(), before);
    setup.issuer.learn(&note, 2, &consistency, &good).unwrap();
    assert_eq!(setup.settlement.unproven(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_older_tree_is_refused_and_a_repeated_message_is_no_news() {
    let mut setup = Setup::public();
    let (index, ..) = setup.answer(Assurance::Attested);
    let size = setup.log.leaves.len();
    let first = setup.log.note(size, &[TIME + 5; 3]);
    let leaf = [setup.log.included(index, size)];
    setup.issuer.learn(&first, 2, &setup.log.consistency(2, size), &leaf).unwrap();
    let after = setup.state();
    // Rolled back, with every valid signature.
    let older = setup.log.note(2, &[TIME + 9; 3]);
    assert_eq!(setup.issuer.learn(&older, 3, &[], &[]), Err(RefusedCode("checkpoint_smaller")));
    assert_eq!(setup.state(), after);
    // Replayed: verifies, proves nothing new and does not count as a sign of life.
    tokio::time::advance(Duration::from_secs(31)).await;
    setup.issuer.learn(&first, 3, &[], &leaf).unwrap();
    assert_eq!(setup.state(), after);
    assert_eq!(setup.refusal(), Some(Unsettled::Stale));
    // The same tree cosigned later is one.
    setup.issuer.learn(&setup.log.note(size, &[TIME + 36; 3]), 3, &[], &[]).unwrap();
    assert_eq!(setup.refusal(), None);
}

#[tokio::test(start_paused = true)]
async fn the_trusted_time_never_goes_back() {
    let mut setup = Setup::public();
    setup.log.append(b"another");
    // Witnesses whose clocks differ: the second largest time counts, and the larger tree's is earlier.
    let note = setup.log.note(3, &[TIME + 100, TIME - 7]);
    setup.issuer.learn(&note, 2, &setup.log.consistency(2, 3), &[]).unwrap();
    assert_eq!(setup.settlement.size(), 3);
    let (floor, settle_by) = setup.settlement.now().unwrap();
    assert_eq!((floor.size, floor.time, settle_by), (2, TIME, TIME + 60));
    assert_eq!(TIME, floor.time);
    let trusted = setup.log.config().trusted().unwrap();
    let note = setup.settlement.note().unwrap();
    assert_eq!(trusted.verify(note.as_bytes(), &Ring).unwrap().time().0, TIME);
}

#[tokio::test(start_paused = true)]
async fn unproven_receipts_are_bounded_in_number_and_in_time() {
    let mut setup = Setup::public();
    let held: Vec<_> = (0..2).map(|_| pending_of(&setup.issuer, Assurance::Attested).unwrap()).collect();
    let (third, ..) = setup.answer(Assurance::Attested);
    let (fourth, ..) = setup.answer(Assurance::Attested);
    assert_eq!(setup.refusal(), Some(Unsettled::Full), "two are in progress, two are unproven");
    setup.publish(&[third], TIME + 1).unwrap();
    assert_eq!(setup.refusal(), None);
    // What is dropped unfinished gets a receipt, which is unproven too.
    drop(held);
    // So is the one that was admitted just now to see whether it would be.
    assert_eq!((setup.settlement.unproven(), setup.issuer.outbox().len()), (4, 4));
    setup.publish(&[fourth], TIME + 2).unwrap();
    // A log that grows and never takes ours is a log that withholds.
    for second in 0..31 {
        tokio::time::advance(Duration::from_secs(1)).await;
        setup.log.append(format!("{second}").as_bytes());
        setup.publish(&[], TIME + 3 + second).unwrap();
    }
    assert_eq!(setup.refusal(), Some(Unsettled::Stale));
    assert!(setup.settlement.has_stalled());
}

#[tokio::test(start_paused = true)]
async fn without_newer_checkpoints_nothing_is_admitted() {
    let mut setup = Setup::public();
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(setup.refusal(), None);
    setup.publish(&[], TIME).unwrap();
    let (index, ..) = {
        setup.log.append(b"later");
        setup.publish(&[], TIME + 30).unwrap();
        setup.answer(Assurance::Attested)
    };
    setup.publish(&[index], TIME + 30).unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(setup.refusal(), Some(Unsettled::Stale));
}

#[tokio::test(start_paused = true)]
async fn a_settled_answer_waits_for_its_proof_and_no_longer_than_promised() {
    let mut setup = Setup::public();
    let deadline = Instant::now() + Duration::from_secs(600);
    let (index, mut issued, _) = setup.answer(Assurance::Settled);
    setup.publish(&[index], TIME + 1).unwrap();
    let Proof::Proved(text) = issued.proof(Some(deadline)).await else { panic!("no proof") };
    assert_eq!(TlogProof::parse(text.as_bytes()).unwrap().index(), index as u64);
    let (_, mut issued, _) = setup.answer(Assurance::Settled);
    let begun = Instant::now();
    assert_eq!(issued.proof(Some(deadline)).await, Proof::Late);
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
    let mut setup = Setup::public();
    let (_, mut issued, _) = setup.answer(Assurance::Settled);
    let soon = Instant::now() + Duration::from_secs(5);
    assert_eq!(issued.proof(Some(soon)).await, Proof::Late);
    let (_, mut issued, _) = setup.answer(Assurance::Attested);
    assert_eq!(issued.proof(Some(deadline)).await, Proof::NotAsked);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_and_the_last_word_say_how_far_the_receipts_came() {
    let mut setup = Setup::public();
    setup.answer(Assurance::Attested);
    setup.issuer.heartbeat().unwrap();
    // No second one while the first is unproven.
    setup.issuer.heartbeat().unwrap();
    let (number, record) = setup.settlement.next_record(0).await;
    let leaf = Leaf::parse(&record.leaf).unwrap();
    assert_eq!((number, leaf.leaf_type()), (1, LeafType::Heartbeat));
    setup.answer(Assurance::Attested);
    setup.issuer.close().unwrap();
    let (number, record) = setup.settlement.next_record(2).await;
    let leaf = Leaf::parse(&record.leaf).unwrap();
    let Leaf::Close(signed) = &leaf else { panic!("{leaf:?}") };
    let last: serde_json::Value = serde_json::from_slice(signed.envelope().unverified_payload()).unwrap();
    assert_eq!((number, &last["seq_next"]), (2, &serde_json::json!(2)));
    // Nothing is signed after it.
    let pending = pending_of(&setup.issuer, Assurance::Attested).unwrap();
    assert!(pending.finish(200, "", b"").is_err());
    assert_eq!(setup.issuer.outbox().len(), 2);
    assert!(tokio::time::timeout(Duration::from_secs(10), setup.settlement.settled()).await.is_err());
}

#[test]
fn strangers_signatures_do_not_travel_on() {
    let setup = Setup::new();
    let mut note = setup.log.note(1, &[TIME, TIME]);
    for _ in 0..40 {
        note.push_str(&format!("\u{2014} stranger {}\n", to_base64(&[7; 100])));
    }
    let seen = View::default().verify(&setup.settlement.trusted, &note, 0, &[]).unwrap();
    assert_eq!(seen.note.to_string(), setup.log.note(1, &[TIME, TIME]));
}

#[test]
fn a_configuration_that_promises_nothing_is_refused() {
    let log = TestLog::new();
    let change: [fn(&mut LogConfig); 8] = [
        |config| config.quorum = 0,
        |config| config.quorum = 4,
        |config| config.bound_s = 30,
        |config| config.unsettled_max = 0,
        |config| config.heartbeat_s = 0,
        |config| config.heartbeat_s = 30,
        |config| config.witnesses[1] = config.witnesses[0].clone(),
        |config| config.key.push('x'),
    ];
    assert!(SettlementConfig::Log(log.config()).check().is_ok());
    for (number, change) in change.into_iter().enumerate() {
        let mut config = log.config();
        change(&mut config);
        let error = SettlementConfig::Log(config).check().unwrap_err();
        assert_eq!(error.code(), "config", "{number}: {error}");
    }
}
