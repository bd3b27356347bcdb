//! A log with a witness, and what the two send.

use std::sync::LazyLock;

use vouchsafe_translog::{
    AddCheckpoint, Algorithm, Checkpoint, SignedNote, TlogProof, TrustedLog, VerifierKey, cosignature,
};

use crate::{AT, Credulous};

const ORIGIN: &str = "log.example/2026";

static TRUSTED: LazyLock<TrustedLog> =
    LazyLock::new(|| TrustedLog::new(log(), vec![witness()], 1).expect("a log"));

fn log() -> VerifierKey {
    VerifierKey::new(ORIGIN, Algorithm::Ed25519, [1; 32], &Credulous).expect("a key")
}

fn witness() -> VerifierKey {
    VerifierKey::new("witness.example", Algorithm::CosignatureV1, [2; 32], &Credulous).expect("a key")
}

/// The log, and the witness that is its quorum.
pub fn trusted() -> &'static TrustedLog {
    &TRUSTED
}

/// A checkpoint of seven entries, cosigned, under signatures that [`Credulous`] believes.
pub fn note() -> SignedNote {
    let checkpoint = Checkpoint::new(ORIGIN, 7, [3; 32]).expect("a checkpoint");
    let mut note = checkpoint.sign(&log(), |_| [4; 64]).expect("a note");
    let line = cosignature::cosign(note.text(), AT, &witness(), |_| [5; 64]).expect("a cosignature");
    note.add(line).expect("a line");
    note
}

/// A proof of the third entry's inclusion.
pub fn proof() -> TlogProof {
    TlogProof::new(2, vec![[6; 32]; 3], note()).expect("a proof")
}

/// A request to cosign the step from three entries.
pub fn request() -> AddCheckpoint {
    AddCheckpoint::new(3, vec![[7; 32]; 4], note()).expect("a request")
}
