//! What logs and witnesses send: proofs, requests to cosign, and the notes in both.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{Credulous, careless, checkpoints, planted};
use vouchsafe_translog::{AddCheckpoint, SignedNote, TlogProof, merkle};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(proof) = TlogProof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes);
        // No leaf has a hash of zeros; the path is walked all the same, under a quorum's signatures.
        let verified = proof.verify(&[0; 32], checkpoints::trusted(), &Credulous);
        assert!(verified.is_err() || proof.path().is_empty());
        planted(|| careless::place(proof.index(), proof.claimed_checkpoint().size()));
    } else if let Ok(request) = AddCheckpoint::parse(bytes) {
        assert_eq!(request.to_string().as_bytes(), bytes);
        let (old, new) = (request.old(), request.claimed_checkpoint());
        // A tree is not consistent with one of zeros unless that one was empty.
        let consistent = merkle::verify_consistency(
            old,
            &[0; 32],
            new.size(),
            new.root(),
            request.consistency(),
            &Credulous,
        );
        assert!(consistent.is_err() || old == 0 || new.root() == &[0; 32]);
        planted(|| careless::place(old, new.size()));
    } else if let Ok(note) = SignedNote::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
    }
});
