//! Extensions by OID, and the two standard ones that decide who may issue.

use alloc::vec::Vec;

use const_oid::ObjectIdentifier;
use der::asn1::BitStringRef;
use der::{Decode, Tag};

use super::der::{DerError, DerReader, boolean_value};
use super::{EXTENSIONS_MAX, Error};

/// One extension, its value still raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Which extension.
    pub oid: ObjectIdentifier,
    /// Whether a reader that does not know it must refuse.
    pub critical: bool,
    /// The content of `extnValue`.
    pub value: &'a [u8],
}

/// Parses `Extensions` (RFC 5280, 4.1): at least one, no OID twice, at most [`EXTENSIONS_MAX`].
/// `malformed` turns a DER error into the error of the structure around.
pub(super) fn parse<'a>(
    reader: &mut DerReader<'a>,
    malformed: impl Fn(DerError) -> Error,
) -> Result<Vec<Extension<'a>>, Error> {
    const WHAT: &str = "extensions";
    let mut list = reader.sequence(WHAT).map_err(&malformed)?;
    let mut extensions = Vec::<Extension<'a>>::new();
    while !list.is_finished() {
        let extension = parse_one(&mut list).map_err(&malformed)?;
        if extensions.iter().any(|other| other.oid == extension.oid) {
            return Err(Error::ExtensionDuplicate { oid: extension.oid });
        }
        if extensions.len() == EXTENSIONS_MAX {
            return Err(Error::ExtensionsTooMany { max: EXTENSIONS_MAX });
        }
        extensions.push(extension);
    }
    if extensions.is_empty() {
        return Err(malformed(DerError { what: "empty extensions" }));
    }
    Ok(extensions)
}

fn parse_one<'a>(list: &mut DerReader<'a>) -> Result<Extension<'a>, DerError> {
    let mut extension = list.sequence("extension")?;
    let oid = extension.oid("extnID")?;
    // DER forbids spelling out the default; Intel's and AMD's certificates do not, so neither do we allow it.
    let critical = match extension.optional(Tag::Boolean, "critical")? {
        None => false,
        Some(element) if boolean_value(element.value, "critical")? => true,
        Some(_) => return Err(DerError { what: "critical spelled out as FALSE" }),
    };
    let value = extension.expect(Tag::OctetString, "extnValue")?.value;
    extension.finish("extension")?;
    Ok(Extension { oid, critical, value })
}

/// `basicConstraints` (RFC 5280, 4.2.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BasicConstraints {
    pub(super) ca: bool,
    pub(super) path_len_max: Option<u32>,
}

impl BasicConstraints {
    pub(super) fn parse(value: &[u8]) -> Result<Self, DerError> {
        const WHAT: &str = "basicConstraints";
        let mut outer = DerReader::new(value, WHAT)?;
        let mut inner = outer.sequence(WHAT)?;
        outer.finish(WHAT)?;
        let ca = match inner.optional(Tag::Boolean, WHAT)? {
            Some(element) => boolean_value(element.value, WHAT)?,
            None => false,
        };
        let path_len_max = if inner.is_finished() { None } else { Some(inner.uint32(WHAT)?) };
        inner.finish(WHAT)?;
        Ok(Self { ca, path_len_max })
    }
}

/// `keyUsage` (RFC 5280, 4.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage {
    /// Bit 0: signatures other than on certificates and CRLs.
    pub digital_signature: bool,
    /// Bit 5: signatures on certificates.
    pub key_cert_sign: bool,
    /// Bit 6: signatures on CRLs.
    pub crl_sign: bool,
}

impl KeyUsage {
    pub(super) fn parse(value: &[u8]) -> Result<Self, DerError> {
        let bits = BitStringRef::from_der(value).map_err(|_| DerError { what: "keyUsage" })?;
        // Bit 0 is the most significant bit of the first byte (X.680, 22.2).
        let first = bits.raw_bytes().first().copied().unwrap_or(0);
        Ok(Self {
            digital_signature: first & 0b1000_0000 != 0,
            key_cert_sign: first & 0b0000_0100 != 0,
            crl_sign: first & 0b0000_0010 != 0,
        })
    }
}
