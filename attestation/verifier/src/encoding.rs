//! How bytes are written in our JSON: lower-case hexadecimal for digests and keys, standard padded
//! base64 for everything longer. Both directions are exact: one text for one value.

use alloc::string::String;
use alloc::vec::Vec;

use base16ct::{lower, mixed};
use base64ct::{Base64 as Standard, Base64UrlUnpadded, Encoding as _};
use serde::{Serialize, Serializer};

use crate::json_deserialize;
use crate::strict_json::{self, Fault, FromValue, Value};

/// Lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    lower::encode_string(bytes)
}

/// Strict lower-case hexadecimal of exactly `N` bytes; anything else gives `None`.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    (text.len() == N.checked_mul(2)? && lower::decode(text, &mut bytes).is_ok()).then_some(bytes)
}

/// Hexadecimal in either case, as others write it; anything else gives `None`.
pub(crate) fn from_mixed_hex(text: &str) -> Option<Vec<u8>> {
    mixed::decode_vec(text).ok()
}

/// Standard base64 with padding.
pub fn to_base64(bytes: &[u8]) -> String {
    Standard::encode_string(bytes)
}

/// Strict standard base64 with padding and zero trailing bits; anything else gives `None`.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    Standard::decode_vec(text).ok()
}

/// URL-safe base64 without padding, for HTTP headers and SSE comment lines.
pub fn to_base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Strict URL-safe base64 without padding; anything else gives `None`.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// `N` bytes, written in JSON as lower-case hexadecimal: digests, ids, salts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> core::fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl<const N: usize> core::fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(&self.0))
    }
}

impl<const N: usize> FromValue for Hex<N> {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        from_hex(strict_json::text(value)?).map(Self).ok_or_else(|| not_hex(N))
    }
}

#[cold]
fn not_hex(len: usize) -> Fault {
    Fault::new(alloc::format!("not {len} bytes of lower-case hexadecimal"))
}

impl<'de, const N: usize> serde::Deserialize<'de> for Hex<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::strict_json::deserialize_by_value(deserializer)
    }
}

/// Bytes of any length, written in JSON as padded standard base64.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Base64(pub Vec<u8>);

impl core::fmt::Debug for Base64 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Base64({} bytes)", self.0.len())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64(&self.0))
    }
}

impl FromValue for Base64 {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        from_base64(strict_json::text(value)?)
            .map(Self)
            .ok_or_else(|| Fault::new("not padded standard base64"))
    }
}

json_deserialize!(Base64);
