//! A DER writer that writes what it is told.
//!
//! Certificates that must be wrong in one exact place (an extension twice, a default value spelled
//! out, an empty list) cannot be made with a library that refuses to make them. Nothing here reads.
//! ITU-T X.690.

use ::der::DateTime;
use const_oid::ObjectIdentifier;
use core::time::Duration;
use vouchsafe_verifier::UnixSeconds;

use crate::Error;

/// One element: tag, minimal definite length, content.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let significant = &bytes[(length.leading_zeros() / 8) as usize..];
        out.push(0x80 | significant.len() as u8);
        out.extend_from_slice(significant);
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE of elements that are already encoded.
pub fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &elements.concat())
}

/// SET of elements that are already encoded, in the order given.
pub fn set(elements: &[&[u8]]) -> Vec<u8> {
    tlv(0x31, &elements.concat())
}

/// Constructed context-specific element, `[number]` EXPLICIT or an implicitly tagged structure.
pub fn context(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(0xa0 | number, content)
}

/// Primitive context-specific element, `[number]` IMPLICIT over a primitive type.
pub fn context_primitive(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(0x80 | number, content)
}

/// INTEGER from an unsigned big-endian number of any length; the empty number is zero.
pub fn integer(unsigned: &[u8]) -> Vec<u8> {
    let first = unsigned.iter().position(|&byte| byte != 0).unwrap_or(unsigned.len());
    let mut content = unsigned[first..].to_vec();
    if content.first().is_none_or(|&byte| byte & 0x80 != 0) {
        content.insert(0, 0);
    }
    tlv(0x02, &content)
}

/// INTEGER from a number.
pub fn integer_u64(value: u64) -> Vec<u8> {
    integer(&value.to_be_bytes())
}

/// ENUMERATED, for a CRL entry's reason.
pub fn enumerated(value: u8) -> Vec<u8> {
    tlv(0x0a, &[value])
}

/// BOOLEAN.
pub fn boolean(value: bool) -> Vec<u8> {
    tlv(0x01, &[if value { 0xff } else { 0x00 }])
}

/// NULL.
pub fn null() -> Vec<u8> {
    tlv(0x05, &[])
}

/// OCTET STRING.
pub fn octet_string(content: &[u8]) -> Vec<u8> {
    tlv(0x04, content)
}

/// BIT STRING with the given number of unused bits in the last byte.
pub fn bit_string(unused_bits: u8, content: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[unused_bits], content].concat())
}

/// OBJECT IDENTIFIER.
pub fn oid(oid: ObjectIdentifier) -> Vec<u8> {
    tlv(0x06, oid.as_bytes())
}

/// IA5String.
pub fn ia5_string(text: &str) -> Vec<u8> {
    tlv(0x16, text.as_bytes())
}

/// X.509 `Time`: UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280, 4.1.2.5).
pub fn time(at: UnixSeconds) -> Result<Vec<u8>, Error> {
    let civil = DateTime::from_unix_duration(Duration::from_secs(at.0))
        .map_err(|_| Error::Moment { unix_seconds: at.0 })?;
    let rest = format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minutes(),
        civil.seconds()
    );
    Ok(if civil.year() < 2050 {
        tlv(0x17, format!("{:02}{rest}", civil.year() % 100).as_bytes())
    } else {
        tlv(0x18, format!("{:04}{rest}", civil.year()).as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal() {
        assert_eq!(tlv(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(tlv(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(4, &[0; 256])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn another_reader_reads_every_length() {
        use ::der::asn1::OctetStringRef;
        use ::der::{Decode, Encode};
        for length in (0..300).chain([0xffff, 0x1_0000, 0x12_3456]) {
            let content = vec![0xa5; length];
            let written = octet_string(&content);
            let read = OctetStringRef::from_der(&written).unwrap();
            assert_eq!(read.as_bytes(), content);
            assert_eq!(read.to_der().unwrap(), written);
        }
    }

    #[test]
    fn integers_are_minimal_and_positive() {
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(integer_u64(0), [2, 1, 0]);
        assert_eq!(integer_u64(0x7f), [2, 1, 0x7f]);
        assert_eq!(integer_u64(0x80), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0, 1, 0]), [2, 2, 1, 0]);
    }

    #[test]
    fn times_change_form_in_2050() {
        assert_eq!(time(UnixSeconds(0)).unwrap(), b"\x17\x0d700101000000Z");
        let last = UnixSeconds::from_rfc3339("2049-12-31T23:59:59Z").unwrap();
        assert_eq!(time(last).unwrap(), b"\x17\x0d491231235959Z");
        assert_eq!(time(UnixSeconds(last.0 + 1)).unwrap(), b"\x18\x0f20500101000000Z");
        assert_eq!(time(UnixSeconds(u64::MAX)).unwrap_err().code(), "moment");
    }
}
