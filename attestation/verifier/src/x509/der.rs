//! A borrowing reader of DER elements, on the crate `der`, which checks tags and lengths.
//!
//! It hands out raw bytes along with values, because signatures are made over raw bytes.

use const_oid::ObjectIdentifier;
use der::asn1::{BitStringRef, GeneralizedTime, UtcTime};
use der::{Decode, DecodeValue, Header, Reader, SliceReader, Tag, TagNumber};

use crate::UnixSeconds;

/// The bytes are not the DER that was expected at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed DER: {what}")]
pub struct DerError {
    /// Which element was being read.
    pub what: &'static str,
}

/// One DER element: tag, value, and the bytes of both with the length between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The element's tag.
    pub tag: Tag,
    /// The content.
    pub value: &'a [u8],
    /// The whole element as it stood in the input.
    pub raw: &'a [u8],
}

/// Reads DER elements one after another.
#[derive(Debug, Clone)]
pub struct DerReader<'a> {
    inner: SliceReader<'a>,
    /// All that `inner` reads.
    bytes: &'a [u8],
}

impl<'a> DerReader<'a> {
    /// Reads the elements of `bytes`. Empty input is legal: it has no element.
    ///
    /// # Errors
    /// [`DerError`] when the input is longer than `der` supports (256 MiB).
    pub fn new(bytes: &'a [u8], what: &'static str) -> Result<Self, DerError> {
        SliceReader::new(bytes).map(|inner| Self { inner, bytes }).map_err(|_| DerError { what })
    }

    fn position(&self) -> usize {
        usize::try_from(u32::from(self.inner.position())).unwrap_or(usize::MAX)
    }

    /// Whether every element has been read.
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    /// Demands that every element has been read.
    ///
    /// # Errors
    /// [`DerError`] when something is left.
    pub fn finish(self, what: &'static str) -> Result<(), DerError> {
        if self.is_finished() { Ok(()) } else { Err(DerError { what }) }
    }

    /// Reads the next element, whatever it is.
    ///
    /// # Errors
    /// [`DerError`] at the end of the input and when tag or length is not DER.
    pub fn any(&mut self, what: &'static str) -> Result<Tlv<'a>, DerError> {
        let error = |_| DerError { what };
        let start = self.position();
        let header = Header::decode(&mut self.inner).map_err(error)?;
        let value = self.inner.read_slice(header.length).map_err(error)?;
        let raw = self.bytes.get(start..self.position()).ok_or(DerError { what })?;
        Ok(Tlv { tag: header.tag, value, raw })
    }

    /// Reads the next element, which must have this tag.
    ///
    /// # Errors
    /// [`DerError`] when it is another, or malformed.
    pub fn expect(&mut self, tag: Tag, what: &'static str) -> Result<Tlv<'a>, DerError> {
        let element = self.any(what)?;
        if element.tag == tag { Ok(element) } else { Err(DerError { what }) }
    }

    /// Reads the next element if it has this tag.
    ///
    /// # Errors
    /// [`DerError`] when it has this tag and is malformed.
    pub fn optional(&mut self, tag: Tag, what: &'static str) -> Result<Option<Tlv<'a>>, DerError> {
        match self.inner.peek_tag() {
            Ok(found) if found == tag => self.any(what).map(Some),
            Ok(_) => Ok(None),
            Err(_) if self.is_finished() => Ok(None),
            Err(_) => Err(DerError { what }),
        }
    }

    /// Enters the next element, a `SEQUENCE`.
    ///
    /// # Errors
    /// [`DerError`] when it is something else, or malformed.
    pub fn sequence(&mut self, what: &'static str) -> Result<Self, DerError> {
        Self::new(self.expect(Tag::Sequence, what)?.value, what)
    }

    /// Reads an object identifier.
    ///
    /// # Errors
    /// [`DerError`] when the next element is not one.
    pub fn oid(&mut self, what: &'static str) -> Result<ObjectIdentifier, DerError> {
        let element = self.expect(Tag::ObjectIdentifier, what)?;
        ObjectIdentifier::from_bytes(element.value).map_err(|_| DerError { what })
    }

    /// Reads a non-negative integer of any size: big-endian bytes without leading zeros.
    ///
    /// # Errors
    /// [`DerError`] when the next element is not one, is negative, or is not minimally encoded.
    pub fn uint_bytes(&mut self, what: &'static str) -> Result<&'a [u8], DerError> {
        // X.690, 8.3: two's complement in the fewest bytes, so that a first byte of zero is there for
        // the sign alone.
        match self.expect(Tag::Integer, what)?.value {
            zero @ [0] => Ok(zero),
            [0, magnitude @ ..] if magnitude.first().is_some_and(|first| *first >= 0x80) => Ok(magnitude),
            [0, ..] | [0x80..=0xff, ..] | [] => Err(DerError { what }),
            magnitude => Ok(magnitude),
        }
    }

    /// Reads a non-negative integer below 2³².
    ///
    /// # Errors
    /// As [`Self::uint_bytes`], and when the number is larger.
    pub fn uint32(&mut self, what: &'static str) -> Result<u32, DerError> {
        let bytes = self.uint_bytes(what)?;
        if bytes.len() > 4 {
            return Err(DerError { what });
        }
        Ok(bytes.iter().fold(0u32, |number, byte| (number << 8) | u32::from(*byte)))
    }

    /// Reads a `BOOLEAN`, in DER's two forms only.
    ///
    /// # Errors
    /// [`DerError`] when the next element is not one.
    pub fn boolean(&mut self, what: &'static str) -> Result<bool, DerError> {
        boolean_value(self.expect(Tag::Boolean, what)?.value, what)
    }

    /// Reads a bit string whose length is a whole number of bytes.
    ///
    /// # Errors
    /// [`DerError`] when the next element is not one or has unused bits.
    pub fn octet_aligned_bits(&mut self, what: &'static str) -> Result<&'a [u8], DerError> {
        let element = self.expect(Tag::BitString, what)?;
        let bits = BitStringRef::from_der(element.raw).map_err(|_| DerError { what })?;
        bits.as_bytes().ok_or(DerError { what })
    }

    /// Reads a `UTCTime` or `GeneralizedTime` (RFC 5280, 4.1.2.5: Zulu, whole seconds).
    ///
    /// # Errors
    /// [`DerError`] when the next element is neither, or lies before 1970.
    pub fn time(&mut self, what: &'static str) -> Result<UnixSeconds, DerError> {
        let error = |_| DerError { what };
        let header = Header::decode(&mut self.inner).map_err(error)?;
        // Their decoders take exactly the header's length or refuse.
        let moment = match header.tag {
            Tag::UtcTime => UtcTime::decode_value(&mut self.inner, header).map(|t| t.to_unix_duration()),
            Tag::GeneralizedTime => {
                GeneralizedTime::decode_value(&mut self.inner, header).map(|t| t.to_unix_duration())
            }
            _ => return Err(DerError { what }),
        };
        moment.map(|duration| UnixSeconds(duration.as_secs())).map_err(|_| DerError { what })
    }

    /// Reads the next element if it is a time.
    ///
    /// # Errors
    /// As [`Self::time`], where there is one.
    pub fn optional_time(&mut self, what: &'static str) -> Result<Option<UnixSeconds>, DerError> {
        match self.inner.peek_tag() {
            Ok(Tag::UtcTime | Tag::GeneralizedTime) => self.time(what).map(Some),
            _ => Ok(None),
        }
    }
}

/// The content of a `BOOLEAN`: DER knows 0x00 and 0xff only.
pub(super) fn boolean_value(value: &[u8], what: &'static str) -> Result<bool, DerError> {
    match value {
        [0x00] => Ok(false),
        [0xff] => Ok(true),
        _ => Err(DerError { what }),
    }
}

/// The tag `[number]`, constructed or primitive.
pub(super) const fn context(number: u8, constructed: bool) -> Tag {
    Tag::ContextSpecific { constructed, number: TagNumber::new(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form_and_no_sign() {
        let read = |content: &[u8]| -> Option<Vec<u8>> {
            let element = [&[0x02, u8::try_from(content.len()).unwrap()], content].concat();
            DerReader::new(&element, "integer").unwrap().uint_bytes("integer").ok().map(<[u8]>::to_vec)
        };
        for (content, value) in
            [(&[0][..], &[0][..]), (&[0x7f], &[0x7f]), (&[0, 0x80], &[0x80]), (&[1, 0], &[1, 0])]
        {
            assert_eq!(read(content).as_deref(), Some(value), "{content:x?}");
        }
        for content in [&[][..], &[0, 0], &[0, 0x7f], &[0x80], &[0xff, 0xff]] {
            assert_eq!(read(content), None, "{content:x?}");
        }
    }

    #[test]
    fn an_element_is_given_with_its_own_bytes() {
        let bytes = [0x04, 2, 1, 2, 0x30, 0x81, 0x80];
        let mut reader = DerReader::new(&bytes, "elements").unwrap();
        let first = reader.any("first").unwrap();
        assert_eq!((first.tag, first.value, first.raw), (Tag::OctetString, &bytes[2..4], &bytes[..4]));
        assert!(reader.any("cut").is_err());
    }
}
