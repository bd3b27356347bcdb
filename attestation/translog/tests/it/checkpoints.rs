//! Checkpoints, cosignatures and quorums.

use proptest::prelude::*;
use vouchsafe_translog::{
    Algorithm, Checkpoint, Error, NoteSignature, Quorum, SignedCheckpoint, SignedNote, TrustedLog,
    VerifierKey, cosignature,
};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use crate::support::{Signer, World};

/// The example of c2sp.org/tlog-checkpoint and c2sp.org/tlog-cosignature. Its keys are not published.
const EXAMPLE: &str = "example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
";

#[test]
fn the_example_of_the_specification_reads_as_it_says() {
    let note = SignedNote::parse(EXAMPLE.as_bytes()).unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.to_string(), note.text());
    let cosignature = &note.signatures()[1];
    assert_eq!(cosignature.signature()[..8], 1_679_315_147_u64.to_be_bytes());
    assert_eq!(
        String::from_utf8(cosignature::message(UnixSeconds(1_679_315_147), note.text())).unwrap(),
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    );
}

#[test]
fn a_malformed_checkpoint_is_refused() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    for text in [
        String::new(),
        "o\n".into(),
        "o\n1\n".into(),
        format!("o\n1\n{root}"),
        format!("\n1\n{root}\n"),
        format!("o\n\n{root}\n"),
        format!("o\n01\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n-1\n{root}\n"),
        format!("o\n 1\n{root}\n"),
        format!("o\n9223372036854775808\n{root}\n"),
        "o\n1\nAAAA\n".into(),
        format!("o\n1\n{}\n", root.replace('=', "")),
        format!("o\n1\n{}\n", root.replace("I=", "J=")),
        format!("o\n1\n{root}\n\n"),
        format!("o\n1\n{root}\nextension"),
        format!("o\n1\n{root}\na\n\nb\n"),
    ] {
        let error = Checkpoint::parse(&text).unwrap_err();
        assert!(matches!(error, Error::CheckpointMalformed { .. }), "{text:?}: {error}");
    }
    let extended = Checkpoint::parse(&format!("o\n0\n{root}\na\nb\n")).unwrap();
    assert_eq!((extended.size(), extended.extensions()), (0, "a\nb\n"));
    assert!(Checkpoint::new("", 1, [0; 32]).is_err());
    assert!(Checkpoint::new("a\nb", 1, [0; 32]).is_err());
    assert!(Checkpoint::new("a", 1 << 63, [0; 32]).is_err());
}

#[test]
fn a_checkpoint_opens_under_its_logs_key_alone() {
    let world = World::new(5);
    let open = |note: &SignedNote, origin: &str, key: &VerifierKey| {
        SignedCheckpoint::open(note.to_string().as_bytes(), origin, std::slice::from_ref(key), &Ring)
    };
    let note = world.note(5, &[]);
    let (origin, key) = (world.log.key.name(), &world.log.key);
    assert_eq!(open(&note, origin, key).unwrap().checkpoint().size(), 5);
    assert!(matches!(open(&note, "log.example/other", key), Err(Error::Origin { .. })));
    // Another key of the same name has another id, so that its line is a stranger's.
    let other = Signer::new(origin, Algorithm::Ed25519, 2);
    assert!(matches!(open(&note, origin, &other.key), Err(Error::LogSignatureMissing { .. })));
    assert!(matches!(open(&note, origin, &world.witnesses[0].key), Err(Error::KeyAlgorithm { .. })));
    // One of several trusted keys suffices, while an old key is being replaced by a new one.
    let keys = [other.key.clone(), key.clone()];
    assert!(SignedCheckpoint::open(note.to_string().as_bytes(), origin, &keys, &Ring).is_ok());
    // But none may sign wrongly.
    let mut bad = note.clone();
    bad.add(NoteSignature::new(&other.key, vec![0; 64])).unwrap();
    let error = SignedCheckpoint::open(bad.to_string().as_bytes(), origin, &keys, &Ring).unwrap_err();
    assert!(matches!(error, Error::LogSignatureInvalid { .. }));
    // A key does not sign for another log.
    let foreign = Checkpoint::new("log.example/other", 5, [0; 32]).unwrap();
    assert!(matches!(foreign.sign(key, |bytes| world.log.sign(bytes)), Err(Error::Origin { .. })));
}

#[test]
fn a_tree_of_no_leaves_has_one_root() {
    let world = World::new(0);
    let (origin, key) = (world.log.key.name(), &world.log.key);
    let empty = world.note(0, &[]);
    let open = |note: &SignedNote| {
        SignedCheckpoint::open(note.to_string().as_bytes(), origin, std::slice::from_ref(key), &Ring)
    };
    assert_eq!(open(&empty).unwrap().checkpoint().size(), 0);
    let wrong = Checkpoint::new(origin, 0, [1; 32]).unwrap();
    let wrong = wrong.sign(key, |bytes| world.log.sign(bytes)).unwrap();
    assert!(matches!(open(&wrong), Err(Error::EmptyRoot)));
}

#[test]
fn the_witness_time_is_the_kth_largest() {
    let world = World::new(3);
    let times = |threshold, times: &[u64]| {
        let note = world.note(3, times).to_string();
        world.trusted(threshold).verify(note.as_bytes(), &Ring).map(|verified| verified.time().0)
    };
    for permuted in [[10, 20, 30], [30, 10, 20], [20, 30, 10], [30, 20, 10]] {
        assert_eq!(times(1, &permuted), Ok(30));
        assert_eq!(times(2, &permuted), Ok(20));
        assert_eq!(times(3, &permuted), Ok(10));
    }
    assert_eq!(times(2, &[10, 20]), Ok(10));
    assert_eq!(times(2, &[10]), Err(Error::QuorumMissing { found: 1, needed: 2 }));
    assert_eq!(times(1, &[]), Err(Error::QuorumMissing { found: 0, needed: 1 }));
}

#[test]
fn strangers_and_repetitions_do_not_count() {
    let world = World::new(3);
    let mut note = world.note(3, &[10]);
    Signer::witness(9).cosign(&mut note, 99);
    // A name like a witness's, with another key.
    Signer::new("witness2.example", Algorithm::CosignatureV1, 77).cosign(&mut note, 99);
    let text = note.to_string();
    let again = text.lines().last().unwrap();
    let first = text.lines().find(|line| line.contains("witness1")).unwrap();
    let text = format!("{text}{again}\n{first}\n");
    let found = world.trusted(2).verify(text.as_bytes(), &Ring).unwrap_err();
    assert_eq!(found, Error::QuorumMissing { found: 1, needed: 2 });
    let verified = world.trusted(1).verify(text.as_bytes(), &Ring).unwrap();
    assert_eq!((verified.time().0, verified.cosigners().len()), (10, 1));
    assert_eq!(verified.cosigners()[0].key(), &world.witnesses[0].key);
    assert_eq!(verified.to_note(), text);
}

#[test]
fn a_trusted_witness_that_signs_wrongly_spoils_the_note() {
    let world = World::new(3);
    let trusted = world.trusted(1);
    let witness = &world.witnesses[1];
    let other_tree = world.note(2, &[]);
    let wrong = |make: &dyn Fn(&SignedNote) -> Vec<u8>| {
        let mut note = world.note(3, &[10]);
        let signature = make(&note);
        note.add(NoteSignature::new(&witness.key, signature)).unwrap();
        trusted.verify(note.to_string().as_bytes(), &Ring).unwrap_err()
    };
    let invalid = Error::CosignatureInvalid { name: "witness2.example".into() };
    let timed = |time: u64, signature: [u8; 64]| [time.to_be_bytes().as_slice(), &signature].concat();
    let over = |time: u64, stated: u64, text: &str| {
        timed(stated, witness.sign(&cosignature::message(UnixSeconds(time), text)))
    };
    assert_eq!(wrong(&|note| over(20, 21, note.text())), invalid);
    assert_eq!(wrong(&|_| over(20, 20, other_tree.text())), invalid);
    assert_eq!(wrong(&|note| timed(20, witness.sign(note.text().as_bytes()))), invalid);
    assert_eq!(wrong(&|note| over(0, 0, note.text())), invalid);
    assert_eq!(wrong(&|note| over(1 << 63, 1 << 63, note.text())), invalid);
    assert_eq!(wrong(&|note| over(20, 20, note.text())[..71].to_vec()), invalid);
    assert_eq!(wrong(&|note| [over(20, 20, note.text()), vec![0]].concat()), invalid);
    assert_eq!(wrong(&|_| vec![0]), invalid);
    assert!(cosignature::cosign("t\n", UnixSeconds(0), &witness.key, |_| [0; 64]).is_err());
    assert!(cosignature::cosign("t\n", UnixSeconds(1), &world.log.key, |_| [0; 64]).is_err());
}

#[test]
fn quorums_that_trust_nobody_or_one_twice_are_refused() {
    let world = World::new(1);
    let keys: Vec<_> = world.witnesses.iter().map(|witness| witness.key.clone()).collect();
    let unusable = |witnesses: Vec<VerifierKey>, threshold| {
        assert!(matches!(Quorum::new(witnesses, threshold), Err(Error::QuorumUnusable { .. })));
    };
    unusable(keys.clone(), 0);
    unusable(keys.clone(), 4);
    unusable(vec![], 0);
    unusable([keys.clone(), vec![keys[0].clone()]].concat(), 2);
    // One key under two names: its cosignature would fit both.
    let renamed = VerifierKey::new("w", Algorithm::CosignatureV1, *keys[0].public_key(), &Ring).unwrap();
    unusable(vec![keys[0].clone(), renamed], 2);
    assert!(matches!(Quorum::new(vec![world.log.key.clone()], 1), Err(Error::KeyAlgorithm { .. })));
    let own = VerifierKey::new("w", Algorithm::CosignatureV1, *world.log.key.public_key(), &Ring).unwrap();
    assert!(matches!(
        TrustedLog::new(world.log.key.clone(), vec![own], 1),
        Err(Error::QuorumUnusable { .. })
    ));
    assert!(matches!(TrustedLog::new(keys[0].clone(), keys.clone(), 1), Err(Error::KeyAlgorithm { .. })));
    let texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
    assert_eq!(TrustedLog::parse(&world.log.key.to_string(), &texts, 2, &Ring).unwrap(), world.trusted(2));
}

#[test]
fn every_byte_of_a_cosigned_checkpoint_is_covered() {
    let world = World::new(7);
    let trusted = world.trusted(3);
    let note = world.note(7, &[10, 20, 30]).to_string().into_bytes();
    assert!(trusted.verify(&note, &Ring).is_ok());
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut bent = note.clone();
            bent[at] ^= 1 << bit;
            assert!(trusted.verify(&bent, &Ring).is_err(), "byte {at}, bit {bit}");
        }
        assert!(trusted.verify(&note[..at], &Ring).is_err(), "cut at {at}");
    }
}

proptest! {
    #[test]
    fn checkpoints_are_written_as_they_are_read(origin in "[a-z./+ é]{1,20}", size in 0..(1_u64 << 63), root in any::<[u8; 32]>()) {
        let checkpoint = Checkpoint::new(&origin, size, root).unwrap();
        prop_assert_eq!(Checkpoint::parse(&checkpoint.to_string()).unwrap(), checkpoint);
    }

    #[test]
    fn any_text_is_refused_or_written_as_it_was_read(text in "[a-z]{0,3}\n?[0-9]{0,3}\n?(AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=)?\n?[a-z\n]{0,6}") {
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_string(), text);
        }
    }
}
