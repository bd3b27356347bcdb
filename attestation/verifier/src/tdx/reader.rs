//! A cursor over bytes from outside: every read is bounded and says what it was reading.

use super::error::{Error, Truncated};

/// Reads little-endian fields from the front of a byte string.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    errors: Errors,
}

/// The errors of what is being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errors {
    /// A field goes beyond the end.
    pub(super) truncated: fn(Truncated) -> Error,
    /// A length field tells of more than there is.
    pub(super) length: fn(Truncated) -> Error,
}

impl<'a> Reader<'a> {
    /// Reads from `bytes`; running out of them is one of `errors`.
    pub(super) fn new(bytes: &'a [u8], errors: Errors) -> Self {
        Self { rest: bytes, errors }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes, a number that the layout fixes.
    pub(super) fn take(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], Error> {
        self.split(field, len, self.errors.truncated)
    }

    /// The next `len` bytes, a number from a length field.
    pub(super) fn take_sized(
        &mut self,
        field: &'static str,
        len: impl TryInto<usize>,
    ) -> Result<&'a [u8], Error> {
        // A length that does not fit the address space does not fit the buffer either.
        self.split(field, len.try_into().unwrap_or(usize::MAX), self.errors.length)
    }

    fn split(
        &mut self,
        field: &'static str,
        len: usize,
        error: fn(Truncated) -> Error,
    ) -> Result<&'a [u8], Error> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(error(Truncated { field, needed: len, available: self.rest.len() }));
        };
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes, copied.
    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Error> {
        let available = self.rest.len();
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err((self.errors.truncated)(Truncated { field, needed: N, available }));
        };
        self.rest = rest;
        Ok(*head)
    }

    /// The next two bytes as a little-endian integer.
    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, Error> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// The next four bytes as a little-endian integer.
    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, Error> {
        self.array(field).map(u32::from_le_bytes)
    }
}
