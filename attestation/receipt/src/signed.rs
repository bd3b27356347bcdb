//! What all signed JSON objects have in common: type, version, canonical form, boot.

use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::strict_json::{self, FromValue, Limits, Value};

use crate::{Envelope, Error, PayloadType, ReceiptKey};

const LIMITS: Limits = Limits { bytes_max: 4096, depth_max: 4 };
const VERSION: u64 = 1;

/// A payload that one boot's receipt key signs.
pub(crate) trait Signed: Serialize + FromValue {
    const WHAT: &'static str;
    const TYPE: PayloadType;
    fn version(&self) -> u64;
    fn boot(&self) -> [u8; 32];
    /// What JSON's shape alone does not rule out.
    fn check(&self) -> Result<(), Error>;
}

/// The canonical bytes to sign.
pub(crate) fn to_bytes<T: Serialize>(payload: &T) -> Vec<u8> {
    // Numbers, strings and options only: serialisation has no failing case.
    serde_json::to_vec(payload).unwrap_or_default()
}

/// Parses a payload from its canonical bytes, whoever signed them.
pub(crate) fn parse<T: Signed>(bytes: &[u8]) -> Result<T, Error> {
    let payload: T = strict_json::read(bytes, LIMITS).map_err(|error| Error::payload(T::WHAT, &error))?;
    if payload.version() != VERSION {
        return Err(Error::Version { what: T::WHAT, found: payload.version(), known: VERSION });
    }
    payload.check()?;
    if to_bytes(&payload) != bytes {
        return Err(Error::PayloadNotCanonical { what: T::WHAT });
    }
    Ok(payload)
}

/// Reads what several people sign, from its canonical bytes, whoever signed them.
pub(crate) fn parse_versioned<T: Serialize + FromValue>(
    what: &'static str,
    known: u64,
    limits: Limits,
    bytes: &[u8],
    check: impl Fn(&T) -> Result<(), Error>,
) -> Result<T, Error> {
    let malformed = |error| Error::payload(what, &error);
    let value = strict_json::value(bytes, limits).map_err(malformed)?;
    // The version comes first: a later version's fields are not errors of this one.
    let version = u64::from_value(value.get("version").unwrap_or(&Value::Null));
    let found = version.map_err(|fault| malformed(fault.within("version").into()))?;
    if found != known {
        return Err(Error::Version { what, found, known });
    }
    let parsed = T::from_value(&value).map_err(|fault| malformed(fault.into()))?;
    check(&parsed)?;
    if to_bytes(&parsed) != bytes {
        return Err(Error::PayloadNotCanonical { what });
    }
    Ok(parsed)
}

/// Verifies an envelope as a `T` of the boot whose receipt key is `key`.
pub(crate) fn verify<T: Signed>(
    envelope: &Envelope,
    key: &ReceiptKey,
    crypto: &dyn Crypto,
) -> Result<T, Error> {
    let payload: T = parse(envelope.open(T::TYPE, key, crypto)?)?;
    if payload.boot() != key.id() {
        let (expected, found) = (to_hex(&key.id()), to_hex(&payload.boot()));
        return Err(Error::OtherBoot { what: T::WHAT, expected, found });
    }
    Ok(payload)
}
