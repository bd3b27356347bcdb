//! Offline proofs that something is in a log (c2sp.org/tlog-proof@v1).

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::{from_base64, to_base64};

use crate::merkle::{self, PATH_LEN_MAX};
use crate::note::{NOTE_BYTES_MAX, SignedNote};
use crate::quorum::{TrustedLog, VerifiedCheckpoint};
use crate::{Checkpoint, Error, Hash, SignedCheckpoint, TREE_SIZE_MAX, lines};

/// Longest accepted proof, in bytes.
pub const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + (16 << 10);
/// Longest accepted extra data, in bytes.
pub const EXTRA_BYTES_MAX: usize = 4 << 10;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A proof that is well formed. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    extra: Option<Vec<u8>>,
    index: u64,
    path: Vec<Hash>,
    note: SignedNote,
    checkpoint: Checkpoint,
}

impl TlogProof {
    /// Puts a proof together, without extra data.
    ///
    /// # Errors
    /// [`Error::ProofMalformed`] for a path or an index that no tree has, and
    /// [`Error::CheckpointMalformed`] where the note is not a checkpoint.
    pub fn new(index: u64, path: Vec<Hash>, note: SignedNote) -> Result<Self, Error> {
        if path.len() > PATH_LEN_MAX {
            return Err(Error::ProofMalformed { why: "the path is longer than any tree's" });
        }
        if index >= TREE_SIZE_MAX {
            return Err(Error::ProofMalformed { why: "the index is above that of any tree" });
        }
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(Self { extra: None, index, path, note, checkpoint })
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::ProofMalformed`], [`Error::NoteMalformed`] or
    /// [`Error::CheckpointMalformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(Error::TooLong { what: "a proof", len: bytes.len(), max: PROOF_BYTES_MAX });
        }
        let malformed = |why| Error::ProofMalformed { why };
        let cut = malformed("it ends before its checkpoint");
        let text = core::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let (header, mut rest) = lines::next(text).ok_or(cut.clone())?;
        if header != HEADER {
            return Err(malformed("its first line is another"));
        }
        let (mut line, after) = lines::next(rest).ok_or(cut.clone())?;
        rest = after;
        let mut extra = None;
        if let Some(data) = line.strip_prefix("extra ") {
            let data = from_base64(data).ok_or(malformed("the extra data is not padded base64"))?;
            if data.len() > EXTRA_BYTES_MAX {
                return Err(malformed("the extra data is too long"));
            }
            extra = Some(data);
            (line, rest) = lines::next(rest).ok_or(cut.clone())?;
        }
        let index = line.strip_prefix("index ").and_then(lines::decimal);
        let index = index.ok_or(malformed("the index line is not a plain decimal"))?;
        let mut path = Vec::new();
        loop {
            (line, rest) = lines::next(rest).ok_or(cut.clone())?;
            if line.is_empty() {
                break;
            }
            if path.len() == PATH_LEN_MAX {
                return Err(malformed("the path is longer than any tree's"));
            }
            path.push(lines::hash(line).ok_or(malformed("the path is not hashes in base64"))?);
        }
        let proof = Self::new(index, path, SignedNote::parse(rest.as_bytes())?)?;
        Ok(Self { extra, ..proof })
    }

    /// Extra data, which nothing authenticates.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// The leaf's index.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The inclusion path, from the leaf up.
    pub fn path(&self) -> &[Hash] {
        &self.path
    }

    /// The checkpoint's note.
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// What the checkpoint says, nobody's signature being verified.
    pub fn claimed_checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Verifies that the leaf is in the tree of a checkpoint that was opened from this proof's note.
    ///
    /// # Errors
    /// [`Error::Inclusion`].
    pub fn verify_path(
        &self,
        leaf_hash: &Hash,
        signed: &SignedCheckpoint,
        crypto: &dyn Crypto,
    ) -> Result<(), Error> {
        let checkpoint = signed.checkpoint();
        let (size, root) = (checkpoint.size(), checkpoint.root());
        Ok(merkle::verify_inclusion(leaf_hash, self.index, size, &self.path, root, crypto)?)
    }

    /// Verifies everything: the log's signature, the quorum, and that the leaf is in the tree.
    ///
    /// # Errors
    /// Those of [`TrustedLog::verify`], and [`Error::Inclusion`].
    pub fn verify(
        &self,
        leaf_hash: &Hash,
        trusted: &TrustedLog,
        crypto: &dyn Crypto,
    ) -> Result<VerifiedInclusion, Error> {
        let checkpoint = trusted.verify(self.note.to_string().as_bytes(), crypto)?;
        self.verify_path(leaf_hash, checkpoint.signed(), crypto)?;
        Ok(VerifiedInclusion { index: self.index, leaf_hash: *leaf_hash, checkpoint })
    }
}

/// The proof's exact text.
impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", to_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", to_base64(hash))?;
        }
        write!(f, "\n{}", self.note)
    }
}

/// A leaf that is in a log whose checkpoint a quorum cosigned. Only [`TlogProof::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedInclusion {
    index: u64,
    leaf_hash: Hash,
    checkpoint: VerifiedCheckpoint,
}

impl VerifiedInclusion {
    /// Where in the log.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Which leaf.
    pub fn leaf_hash(&self) -> &Hash {
        &self.leaf_hash
    }

    /// Under which checkpoint.
    pub fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// The log's name.
    pub fn origin(&self) -> String {
        self.checkpoint.origin().into()
    }
}
