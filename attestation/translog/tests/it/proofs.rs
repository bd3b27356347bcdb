//! tlog-proofs: every byte counts, and nothing proves what it does not prove.

use proptest::prelude::*;
use vouchsafe_translog::merkle::InclusionError;
use vouchsafe_translog::{Error, TlogProof};
use vouchsafe_verifier::crypto::Ring;

use crate::support::{World, leaf};

#[test]
fn a_proof_is_written_as_it_is_read_and_verifies() {
    let world = World::new(20);
    let proof = world.proof(13, &[10, 20, 30]);
    let text = proof.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 13\n"), "{text}");
    assert_eq!(TlogProof::parse(text.as_bytes()).unwrap(), proof);
    let verified = proof.verify(&leaf(13), &world.trusted(2), &Ring).unwrap();
    assert_eq!(
        (verified.index(), verified.checkpoint().size(), verified.checkpoint().time().0),
        (13, 20, 20)
    );
    assert_eq!((verified.leaf_hash(), verified.origin()), (&leaf(13), "log.example/test".into()));
    let error = proof.verify(&leaf(12), &world.trusted(2), &Ring).unwrap_err();
    assert_eq!(error, Error::Inclusion(InclusionError::Root));
    let few = world.proof(13, &[10]);
    let error = few.verify(&leaf(13), &world.trusted(2), &Ring).unwrap_err();
    assert_eq!(error.code(), "witness_quorum_missing");
}

#[test]
fn extra_data_is_kept_and_proves_nothing() {
    let world = World::new(3);
    let plain = world.proof(1, &[10, 20]).to_string();
    let text = plain.replace("index 1", "extra aGk=\nindex 1");
    let proof = TlogProof::parse(text.as_bytes()).unwrap();
    assert_eq!((proof.extra(), proof.to_string()), (Some(b"hi".as_slice()), text));
    assert!(proof.verify(&leaf(1), &world.trusted(2), &Ring).is_ok());
}

#[test]
fn a_malformed_proof_is_refused() {
    let world = World::new(3);
    let text = world.proof(1, &[10, 20]).to_string();
    let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    for (from, to) in [
        ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2"),
        ("c2sp.org/tlog-proof@v1\n", ""),
        ("index 1\n", ""),
        ("index 1", "index 01"),
        ("index 1", "index -1"),
        ("index 1", "index  1"),
        ("index 1", "index 1 "),
        ("index 1", "index 9223372036854775807"),
        ("index 1", "extra !\nindex 1"),
        ("index 1", "extra aGk\nindex 1"),
        ("index 1", "extra aGk=\nextra aGk=\nindex 1"),
        ("index 1\n", "index 1\nAAAA\n"),
        ("index 1\n", &format!("index 1\n{}", hash.repeat(62))),
        ("index 1\n", "index 1\r\n"),
    ] {
        let bent = text.replacen(from, to, 1);
        assert_ne!(bent, text);
        let error = TlogProof::parse(bent.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::ProofMalformed { .. }), "{from:?} to {to:?}: {error}");
    }
    let long = text.replacen("index 1", &format!("extra {}\nindex 1", "A".repeat(8192)), 1);
    assert!(matches!(TlogProof::parse(long.as_bytes()), Err(Error::ProofMalformed { .. })));
    let longer = text.replacen("index 1", &format!("extra {}\nindex 1", "A".repeat(200_000)), 1);
    assert!(matches!(TlogProof::parse(longer.as_bytes()), Err(Error::TooLong { .. })));
}

#[test]
fn no_byte_of_a_proof_can_change() {
    let world = World::new(11);
    let (trusted, text) = (world.trusted(3), world.proof(6, &[10, 20, 30]).to_string().into_bytes());
    let verify = |bytes: &[u8]| {
        TlogProof::parse(bytes).and_then(|proof| proof.verify(&leaf(6), &trusted, &Ring)).is_ok()
    };
    assert!(verify(&text));
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bent = text.clone();
            bent[at] ^= 1 << bit;
            assert!(!verify(&bent), "byte {at}, bit {bit}");
        }
        // Between two signature lines a cut leaves a proof, but no quorum.
        assert!(!verify(&text[..at]), "cut at {at}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_written_as_they_were_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = [b"c2sp.org/tlog-proof@v1\nindex 0\n".as_slice(), &bytes].concat();
        for bytes in [&bytes, &text] {
            if let Ok(proof) = TlogProof::parse(bytes) {
                prop_assert_eq!(proof.to_string().into_bytes(), bytes.clone());
            }
        }
    }
}
