//! What a log asks of a witness (c2sp.org/tlog-witness, *add-checkpoint*).

use alloc::vec::Vec;
use core::fmt;

use vouchsafe_verifier::encoding::to_base64;

use crate::merkle::PATH_LEN_MAX;
use crate::note::{NOTE_BYTES_MAX, SignedNote};
use crate::{Checkpoint, Error, Hash, TREE_SIZE_MAX, lines};

/// Longest accepted request, in bytes.
pub const REQUEST_BYTES_MAX: usize = NOTE_BYTES_MAX + (8 << 10);

/// The body of an `add-checkpoint` request. Well formed, nothing verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: u64,
    consistency: Vec<Hash>,
    note: SignedNote,
    checkpoint: Checkpoint,
}

impl AddCheckpoint {
    /// Puts a request together: the size that the witness cosigned last, the proof from there, and the
    /// log's signed checkpoint.
    ///
    /// # Errors
    /// [`Error::RequestMalformed`] for an old size or a proof that no tree has, and
    /// [`Error::CheckpointMalformed`].
    pub fn new(old: u64, consistency: Vec<Hash>, note: SignedNote) -> Result<Self, Error> {
        if consistency.len() > PATH_LEN_MAX {
            return Err(Error::RequestMalformed { why: "the proof is longer than any tree's" });
        }
        if old > TREE_SIZE_MAX {
            return Err(Error::RequestMalformed { why: "the old size is above that of any tree" });
        }
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(Self { old, consistency, note, checkpoint })
    }

    /// Reads a request's body.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::RequestMalformed`], [`Error::NoteMalformed`] or
    /// [`Error::CheckpointMalformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(Error::TooLong { what: "a request", len: bytes.len(), max: REQUEST_BYTES_MAX });
        }
        let malformed = |why| Error::RequestMalformed { why };
        let cut = malformed("it ends before its checkpoint");
        let text = core::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let (line, mut rest) = lines::next(text).ok_or(cut.clone())?;
        let old = line.strip_prefix("old ").and_then(lines::decimal);
        let old = old.ok_or(malformed("the first line is not the old size"))?;
        let mut consistency = Vec::new();
        loop {
            let (line, after) = lines::next(rest).ok_or(cut.clone())?;
            rest = after;
            if line.is_empty() {
                break;
            }
            if consistency.len() == PATH_LEN_MAX {
                return Err(malformed("the proof is longer than any tree's"));
            }
            consistency.push(lines::hash(line).ok_or(malformed("the proof is not hashes in base64"))?);
        }
        Self::new(old, consistency, SignedNote::parse(rest.as_bytes())?)
    }

    /// The size that the log believes the witness cosigned last.
    pub fn old(&self) -> u64 {
        self.old
    }

    /// The consistency proof from there.
    pub fn consistency(&self) -> &[Hash] {
        &self.consistency
    }

    /// The checkpoint's note.
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// What the checkpoint says, nobody's signature being verified: enough to look up the log.
    pub fn claimed_checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

/// The body's exact text.
impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.consistency {
            writeln!(f, "{}", to_base64(hash))?;
        }
        write!(f, "\n{}", self.note)
    }
}
