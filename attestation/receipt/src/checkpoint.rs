//! The checkpoint that a receipt or record names: where the log stood when it was signed.

use serde::Serialize;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::json_record;

use crate::Error;
use crate::payload::check_integers;

/// A quorum-cosigned checkpoint by its contents. Its origin follows from the log's key in the boot
/// statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CheckpointRef {
    /// Number of leaves.
    pub size: u64,
    /// Root over them.
    pub root: Hex<32>,
    /// Witness time: Unix seconds before which at least a quorum of witnesses did not sign it. The one
    /// time in a receipt that its enclave's host could not choose.
    pub time: u64,
}

json_record!(CheckpointRef { size, root, time });

impl CheckpointRef {
    pub(crate) fn check(what: &'static str, checkpoint: Option<&Self>) -> Result<(), Error> {
        let Some(Self { size, time, .. }) = checkpoint else { return Ok(()) };
        check_integers(what, [("checkpoint.size", *size), ("checkpoint.time", *time)])
    }
}
