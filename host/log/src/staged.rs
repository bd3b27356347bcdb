//! The staged batch: everything a commit will put in place, in one file that is durable before it.
//!
//! After a crash it says what was under way: redone if the lock database has moved to its head, dropped
//! if the database has not. Its own digest tells a torn file.

use vouchsafe_verifier::crypto::Crypto;

use crate::storage::TreeHead;

const MAGIC: &[u8; 8] = b"vslog\x00\x00\x01";

/// Files to put in place when the tree goes from one head to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staged {
    /// The head before.
    pub(crate) from: TreeHead,
    /// The head after.
    pub(crate) to: TreeHead,
    /// Paths and contents.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Staged {
    /// The record's bytes.
    pub(crate) fn to_bytes(&self, crypto: &dyn Crypto) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for head in [self.from, self.to] {
            out.extend(head.size.to_be_bytes());
            out.extend(head.root);
        }
        for (path, bytes) in &self.files {
            for part in [path.as_bytes(), bytes] {
                out.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                out.extend(part);
            }
        }
        out.extend(crypto.sha256(&out));
        out
    }

    /// Reads a record; `None` where it is torn or not one.
    pub(crate) fn parse(bytes: &[u8], crypto: &dyn Crypto) -> Option<Self> {
        let (body, digest) = bytes.split_last_chunk::<32>()?;
        if crypto.sha256(body) != *digest {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let mut head = || {
            let (size, after) = rest.split_first_chunk::<8>()?;
            let (root, after) = after.split_first_chunk::<32>()?;
            rest = after;
            Some(TreeHead { size: u64::from_be_bytes(*size), root: *root })
        };
        let (from, to) = (head()?, head()?);
        let mut files = Vec::new();
        while !rest.is_empty() {
            let mut part = || {
                let (len, after) = rest.split_first_chunk::<8>()?;
                let (part, after) =
                    after.split_at_checked(usize::try_from(u64::from_be_bytes(*len)).ok()?)?;
                rest = after;
                Some(part)
            };
            let (path, bytes) = (part()?, part()?);
            files.push((String::from_utf8(path.to_vec()).ok()?, bytes.to_vec()));
        }
        Some(Self { from, to, files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_verifier::crypto::Ring;

    #[test]
    fn a_torn_or_bent_record_is_none() {
        let staged = Staged {
            from: TreeHead { size: 3, root: [1; 32] },
            to: TreeHead { size: 5, root: [2; 32] },
            files: vec![("tile/0/000.p/5".into(), vec![9; 160]), ("tile/entries/000.p/5".into(), vec![])],
        };
        let bytes = staged.to_bytes(&Ring);
        assert_eq!(Staged::parse(&bytes, &Ring), Some(staged));
        for cut in 0..bytes.len() {
            assert_eq!(Staged::parse(&bytes[..cut], &Ring), None, "cut to {cut}");
        }
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            assert_eq!(Staged::parse(&bent, &Ring), None, "bent at {at}");
        }
    }
}
