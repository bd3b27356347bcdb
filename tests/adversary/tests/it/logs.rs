//! Attacks of a log on those who check its proofs: enclaves, auditors, and whoever holds a bundle.

use vouchsafe_translog::{Error, SignedNote, TlogProof, TrustedLog, merkle};
use vouchsafe_verifier::crypto::Ring;

use crate::liar::{Leaves, Signer, Watched, consistency};

const T: u64 = 1_795_262_400;

fn code(result: Result<impl Sized, Error>) -> Option<&'static str> {
    result.err().map(|error| error.code())
}

fn verify(note: &SignedNote, trusted: &TrustedLog) -> Option<&'static str> {
    code(trusted.verify(note.to_string().as_bytes(), &Ring))
}

/// Promise: a leaf is in the log where a proof says so. A log that never took a receipt in, and answers
/// with the proof of another leaf, a path of its own making, or another place, is refused.
#[test]
fn a_forged_inclusion_is_refused() {
    let watched = Watched::new();
    let leaves = Leaves::new(9, "leaf");
    let note = watched.witnessed(&leaves, 9, [T, T]);
    let check = |proof: &TlogProof, leaf: &[u8; 32]| code(proof.verify(leaf, &watched.trusted, &Ring));
    let honest = leaves.proof(4, &note);
    assert_eq!(check(&honest, &leaves.hash(4)), None, "the control");
    let withheld = merkle::leaf_hash(b"withheld", &Ring);
    assert_eq!(check(&honest, &withheld), Some("inclusion_invalid"));
    let elsewhere = TlogProof::new(5, leaves.path(4, 9), note.clone()).unwrap();
    assert_eq!(check(&elsewhere, &leaves.hash(4)), Some("inclusion_invalid"));
    let mut path = leaves.path(4, 9);
    path[1][0] ^= 1;
    let bent = TlogProof::new(4, path.clone(), note.clone()).unwrap();
    assert_eq!(check(&bent, &leaves.hash(4)), Some("inclusion_invalid"));
    path.pop();
    let short = TlogProof::new(4, path, note.clone()).unwrap();
    assert_eq!(check(&short, &leaves.hash(4)), Some("inclusion_invalid"));
    let beyond = TlogProof::new(9, leaves.path(4, 9), note).unwrap();
    assert_eq!(check(&beyond, &leaves.hash(4)), Some("inclusion_invalid"));
}

/// Promise: an interior node is not a leaf. RFC 6962 hashes leaves and nodes under different prefixes,
/// so that a log cannot pass two hashes off as a receipt's leaf.
#[test]
fn an_interior_node_is_no_leaf() {
    let watched = Watched::new();
    let leaves = Leaves::new(4, "leaf");
    let note = watched.witnessed(&leaves, 4, [T, T]);
    let node = [leaves.hash(0), leaves.hash(1)].concat();
    let sibling = merkle::root(&leaves.hashes()[2..], &Ring);
    let proof = TlogProof::new(0, vec![sibling], note).unwrap();
    let as_leaf = merkle::leaf_hash(&node, &Ring);
    assert_eq!(code(proof.verify(&as_leaf, &watched.trusted, &Ring)), Some("inclusion_invalid"));
    assert_eq!(code(proof.verify(&leaves.hash(0), &watched.trusted, &Ring)), Some("inclusion_invalid"));
}

/// Promise: the log is the one that the measured configuration, or the policy, names. Another log's
/// checkpoint is refused, also where that log takes the name.
#[test]
fn another_logs_checkpoint_is_refused() {
    let watched = Watched::new();
    let leaves = Leaves::new(3, "leaf");
    let cosigned = |log: &Signer| {
        let mut note = leaves.checkpoint(log, 3);
        watched.witnesses.iter().for_each(|witness| witness.cosign(&mut note, T));
        note
    };
    assert_eq!(verify(&cosigned(&watched.log), &watched.trusted), None, "the control");
    let other = Signer::log("other.example");
    assert_eq!(verify(&cosigned(&other), &watched.trusted), Some("log_unknown"));
    let namesake = Signer::log("log.example");
    assert_eq!(verify(&cosigned(&namesake), &watched.trusted), Some("checkpoint_signature_missing"));
}

/// Promise: what counts was seen by a quorum of the named witnesses. A log alone, one witness twice,
/// and any number of strangers are no quorum.
#[test]
fn a_log_without_its_witnesses_is_not_believed() {
    let watched = Watched::new();
    let leaves = Leaves::new(3, "leaf");
    let [first, second, _] = &watched.witnesses;
    let mut note = leaves.checkpoint(&watched.log, 3);
    assert_eq!(verify(&note, &watched.trusted), Some("witness_quorum_missing"));
    for number in 0..5 {
        Signer::witness(&format!("stranger{number}.example")).cosign(&mut note, T);
    }
    assert_eq!(verify(&note, &watched.trusted), Some("witness_quorum_missing"));
    first.cosign(&mut note, T);
    first.cosign(&mut note, T + 1);
    assert_eq!(verify(&note, &watched.trusted), Some("witness_quorum_missing"));
    second.cosign(&mut note, T);
    assert_eq!(verify(&note, &watched.trusted), None, "the control");
    // A namesake of a witness whose line does not verify spoils the note rather than being counted.
    let mut note = leaves.checkpoint(&watched.log, 3);
    first.cosign(&mut note, T);
    let text = note.to_string();
    let (head, line) = text.trim_end().rsplit_once(' ').unwrap();
    let middle = line.len() / 2;
    let flipped = if line.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let bent = format!("{head} {}{flipped}{}\n", &line[..middle], &line[middle + 1..]);
    assert_eq!(code(watched.trusted.verify(bent.as_bytes(), &Ring)), Some("cosignature_invalid"));
}

/// Promise: the log cannot cosign itself, and one witness is one however many names it has: such a
/// configuration is refused before anything is judged by it.
#[test]
fn a_log_cannot_be_its_own_witness_nor_one_witness_two() {
    let watched = Watched::new();
    let [first, second, _] = &watched.witnesses;
    let trusted = |witnesses: Vec<_>, quorum| TrustedLog::new(watched.log.key.clone(), witnesses, quorum);
    let (one, two) = (first.key.clone(), second.key.clone());
    assert_eq!(code(trusted(vec![one.clone(), two.clone()], 2)), None, "the control");
    assert_eq!(code(trusted(vec![one.clone(), one.clone()], 2)), Some("witness_quorum_unusable"));
    assert_eq!(code(trusted(vec![one, two], 0)), Some("witness_quorum_unusable"));
}

/// Promise: the witnessed time is one that an honest witness stands for. With two of three needed, one
/// witness in the log's pay moves T neither ahead (the second largest time counts) nor, while the honest
/// ones cosign, back.
#[test]
fn a_lying_witness_does_not_move_the_time() {
    let watched = Watched::new();
    let leaves = Leaves::new(3, "leaf");
    let time = |times: [u64; 3]| {
        let mut note = leaves.checkpoint(&watched.log, 3);
        for (witness, time) in watched.witnesses.iter().zip(times) {
            witness.cosign(&mut note, time);
        }
        watched.trusted.verify(note.to_string().as_bytes(), &Ring).unwrap().time().0
    };
    assert_eq!(time([T, T, T]), T, "the control");
    assert_eq!(time([T, T, T + 1_000_000]), T);
    assert_eq!(time([T, T, 1]), T);
}

/// Promise: a log only grows. One that goes back to a smaller tree, or shows another tree of the same or
/// a later size, has no consistency proof from what was seen before.
#[test]
fn a_rolled_back_or_forked_log_has_no_consistency_proof() {
    let (public, shown) = (Leaves::new(8, "leaf"), Leaves::new(8, "other"));
    let root = |leaves: &Leaves, size: usize| merkle::root(&leaves.hashes()[..size], &Ring);
    let reader = |leaves: &Leaves, old: usize, new: usize| consistency(&leaves.hashes()[..new], old);
    let check = |old: usize, old_root: [u8; 32], new: usize, new_root: [u8; 32], path: &[[u8; 32]]| {
        merkle::verify_consistency(old as u64, &old_root, new as u64, &new_root, path, &Ring)
    };
    let honest = reader(&public, 5, 8);
    assert!(check(5, root(&public, 5), 8, root(&public, 8), &honest).is_ok(), "the control");
    assert!(check(8, root(&public, 8), 5, root(&public, 5), &honest).is_err(), "back");
    assert!(check(5, root(&public, 5), 5, root(&shown, 5), &[]).is_err(), "another tree of one size");
    let forked = reader(&shown, 5, 8);
    assert!(check(5, root(&public, 5), 8, root(&shown, 8), &forked).is_err(), "a fork that grew");
    // A fork that begins with what was seen and leaves one receipt out later is consistent with it: what
    // is missing then is the receipt's own inclusion.
    let mut omitting = public.clone();
    omitting.0.remove(6);
    let path = reader(&omitting, 5, 7);
    assert!(check(5, root(&public, 5), 7, root(&omitting, 7), &path).is_ok());
}

/// Not stopped: a log and a whole quorum that collude can show two trees to two people, and each proof
/// verifies. Who holds both checkpoints holds the proof, signed by every one of them.
#[test]
fn a_colluding_quorum_leaves_a_signed_contradiction() {
    let watched = Watched::new();
    let (mine, yours) = (Leaves::new(4, "mine"), Leaves::new(4, "yours"));
    let [a, b] = [&mine, &yours].map(|leaves| {
        let note = watched.witnessed(leaves, 4, [T, T]);
        let proof = leaves.proof(2, &note);
        proof.verify(&leaves.hash(2), &watched.trusted, &Ring).unwrap()
    });
    assert_eq!(a.checkpoint().size(), b.checkpoint().size());
    assert_ne!(a.checkpoint().root(), b.checkpoint().root());
    assert_eq!(a.checkpoint().cosigners().len(), 2);
    // A single honest witness in the quorum refuses the second, and there is none.
    let mut half = yours.checkpoint(&watched.log, 4);
    watched.witnesses[0].cosign(&mut half, T);
    assert_eq!(verify(&half, &watched.trusted), Some("witness_quorum_missing"));
}
