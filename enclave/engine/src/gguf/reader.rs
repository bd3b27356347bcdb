//! Reading a file once, in order, with every byte digested.

use std::io::Read;

use ring::digest::{Context, SHA256};

use crate::{LoadError, Progress};

/// A source of known length that digests what it yields.
pub(crate) struct DigestingReader<'a> {
    source: &'a mut dyn Read,
    progress: &'a mut dyn FnMut(Progress),
    whole: Context,
    bytes_done: u64,
    bytes_total: u64,
    reported: u64,
}

impl<'a> DigestingReader<'a> {
    /// Reads `bytes_total` bytes of `source`, no more.
    pub(crate) fn new(
        source: &'a mut dyn Read,
        bytes_total: u64,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self { source, progress, whole: Context::new(&SHA256), bytes_done: 0, bytes_total, reported: 0 }
    }

    /// How many bytes have been read.
    pub(crate) fn position(&self) -> u64 {
        self.bytes_done
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> u64 {
        self.bytes_total.saturating_sub(self.bytes_done)
    }

    /// Checks that `count` bytes are left, for `what`.
    pub(crate) fn require(&self, count: u64, what: &str) -> Result<(), LoadError> {
        if count > self.remaining() {
            return Err(LoadError::Truncated {
                what: what.to_owned(),
                needed: count,
                available: self.remaining(),
            });
        }
        Ok(())
    }

    /// Fills `buffer`, for `what`.
    pub(crate) fn read_into(&mut self, buffer: &mut [u8], what: &str) -> Result<(), LoadError> {
        let count = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        self.require(count, what)?;
        // Pieces, so that progress is seen and the bytes are digested while the cache holds them.
        for piece in buffer.chunks_mut(PIECE_BYTES) {
            self.source.read_exact(piece).map_err(|source| LoadError::Read { source })?;
            self.whole.update(piece);
            self.bytes_done = self.bytes_done.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if self.bytes_done.saturating_sub(self.reported) >= REPORT_BYTES {
                self.report();
            }
        }
        Ok(())
    }

    /// Reads `count` bytes, for `what`.
    pub(crate) fn read_vec(&mut self, count: u64, what: &str) -> Result<Vec<u8>, LoadError> {
        self.require(count, what)?;
        let length = usize::try_from(count).map_err(|_| too_large(what, count))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| too_large(what, count))?;
        bytes.resize(length, 0);
        self.read_into(&mut bytes, what)?;
        Ok(bytes)
    }

    /// Reads `N` bytes, for `what`.
    pub(crate) fn read_array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], LoadError> {
        let mut bytes = [0; N];
        self.read_into(&mut bytes, what)?;
        Ok(bytes)
    }

    /// Reads and digests `count` bytes that nothing uses.
    pub(crate) fn skip(&mut self, mut count: u64, what: &str) -> Result<(), LoadError> {
        self.require(count, what)?;
        let mut buffer = vec![0; PIECE_BYTES];
        while count > 0 {
            let length = usize::try_from(count).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let piece = buffer.get_mut(..length).unwrap_or_default();
            self.read_into(piece, what)?;
            count = count.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// Reads the rest and returns the digest of everything.
    pub(crate) fn finish(mut self) -> Result<[u8; 32], LoadError> {
        self.skip(self.remaining(), "the end of the file")?;
        self.report();
        Ok(digest(self.whole))
    }

    fn report(&mut self) {
        self.reported = self.bytes_done;
        (self.progress)(Progress { bytes_done: self.bytes_done, bytes_total: self.bytes_total });
    }
}

/// A finished SHA-256.
pub(crate) fn digest(context: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

fn too_large(what: &str, value: u64) -> LoadError {
    LoadError::TooLarge { what: what.to_owned(), value, max: u64::try_from(isize::MAX).unwrap_or(u64::MAX) }
}

/// Bytes read and digested at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 4 * 1024 * 1024;
