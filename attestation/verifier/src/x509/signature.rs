//! Signature algorithms of certificates and CRLs, and their verification over raw bytes.

use const_oid::ObjectIdentifier;
use der::Tag;

use super::der::{DerError, DerReader, context};
use super::{Error, PublicKey, oid};
use crate::crypto::Crypto;

/// An accepted signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSASSA-PSS, SHA-384, MGF1-SHA-384, salt of 48 bytes. AMD's older certificates spell out the
    /// default `trailerField` (so they are not strictly DER), the newer ones leave it out; both pass.
    RsaPssSha384,
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
}

/// SHA-384's length, the only salt length AMD uses (AMD 57230, "RSASSA-PSS parameters").
const PSS_SALT_BYTES: u32 = 48;

impl SignatureAlgorithm {
    /// Parses the content of an `AlgorithmIdentifier`.
    pub(super) fn parse(content: &[u8], malformed: impl Fn(DerError) -> Error) -> Result<Self, Error> {
        let mut reader = DerReader::new(content, "signature algorithm").map_err(&malformed)?;
        match reader.oid("signature algorithm").map_err(&malformed)? {
            oid::ECDSA_WITH_SHA256 => {
                // RFC 5758, 3.2: parameters are absent.
                reader.finish("ecdsa-with-SHA256 parameters").map_err(&malformed)?;
                Ok(Self::EcdsaP256Sha256)
            }
            oid::RSASSA_PSS => {
                check_pss_parameters(reader)?;
                Ok(Self::RsaPssSha384)
            }
            oid => Err(Error::SignatureAlgorithmUnsupported { oid }),
        }
    }

    /// Whether `signature`, as it stands in the certificate, is `key`'s over `message`.
    pub(super) fn verifies(
        self,
        key: &PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
        crypto: &dyn Crypto,
    ) -> bool {
        match (self, key) {
            (Self::RsaPssSha384, PublicKey::Rsa(key)) => {
                crypto.verify_rsa_pss_sha384(key, message, signature)
            }
            (Self::EcdsaP256Sha256, PublicKey::P256(key)) => match ecdsa_fixed(signature) {
                Some(signature) => crypto.verify_p256_sha256(*key, message, &signature),
                None => false,
            },
            _ => false,
        }
    }
}

/// Checks `RSASSA-PSS-params` (RFC 4055, 3.1).
fn check_pss_parameters(mut reader: DerReader<'_>) -> Result<(), Error> {
    let malformed = |error: DerError| Error::PssMalformed { what: error.what };
    let mut params = reader.sequence("RSASSA-PSS-params").map_err(malformed)?;
    reader.finish("RSASSA-PSS-params").map_err(malformed)?;

    // Every default is SHA-1 or a 20-byte salt, so an absent field cannot be right.
    let mut hash = explicit(&mut params, 0, "hashAlgorithm")?;
    check_sha384(&mut hash, "hashAlgorithm")?;
    hash.finish("hashAlgorithm").map_err(malformed)?;

    let mut mask = explicit(&mut params, 1, "maskGenAlgorithm")?;
    let mut identifier = mask.sequence("maskGenAlgorithm").map_err(malformed)?;
    mask.finish("maskGenAlgorithm").map_err(malformed)?;
    let found = identifier.oid("maskGenAlgorithm").map_err(malformed)?;
    require_oid("maskGenAlgorithm", found, oid::MGF1)?;
    check_sha384(&mut identifier, "maskGenAlgorithm hash")?;
    identifier.finish("maskGenAlgorithm").map_err(malformed)?;

    let mut salt = explicit(&mut params, 2, "saltLength")?;
    let found = salt.uint32("saltLength").map_err(malformed)?;
    salt.finish("saltLength").map_err(malformed)?;
    if found != PSS_SALT_BYTES {
        return Err(Error::PssSaltLength { found, expected: PSS_SALT_BYTES });
    }

    if !params.is_finished() {
        let mut trailer = explicit(&mut params, 3, "trailerField")?;
        if trailer.uint32("trailerField").map_err(malformed)? != 1 {
            return Err(Error::PssMalformed { what: "trailerField is not 1" });
        }
        trailer.finish("trailerField").map_err(malformed)?;
    }
    params.finish("RSASSA-PSS-params").map_err(malformed)
}

fn explicit<'a>(params: &mut DerReader<'a>, number: u8, what: &'static str) -> Result<DerReader<'a>, Error> {
    params
        .expect(context(number, true), what)
        .and_then(|field| DerReader::new(field.value, what))
        .map_err(|error| Error::PssMalformed { what: error.what })
}

/// Reads an `AlgorithmIdentifier` that must be SHA-384, with NULL or absent parameters (RFC 4055, 2.1).
fn check_sha384(reader: &mut DerReader<'_>, parameter: &'static str) -> Result<(), Error> {
    let malformed = |error: DerError| Error::PssMalformed { what: error.what };
    let mut identifier = reader.sequence(parameter).map_err(malformed)?;
    let found = identifier.oid(parameter).map_err(malformed)?;
    require_oid(parameter, found, oid::SHA384)?;
    if let Some(null) = identifier.optional(Tag::Null, parameter).map_err(malformed)?
        && !null.value.is_empty()
    {
        return Err(Error::PssMalformed { what: parameter });
    }
    identifier.finish(parameter).map_err(malformed)
}

fn require_oid(
    parameter: &'static str,
    found: ObjectIdentifier,
    expected: ObjectIdentifier,
) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::PssAlgorithm { parameter, found, expected }) }
}

/// `ECDSA-Sig-Value` (RFC 3279, 2.2.3) as r‖s of 64 bytes.
fn ecdsa_fixed(signature: &[u8]) -> Option<[u8; 64]> {
    let mut outer = DerReader::new(signature, "signature").ok()?;
    let mut pair = outer.sequence("signature").ok()?;
    outer.finish("signature").ok()?;
    let r = pair.uint_bytes("r").ok()?;
    let s = pair.uint_bytes("s").ok()?;
    pair.finish("signature").ok()?;
    let mut fixed = [0; 64];
    let (high, low) = fixed.split_at_mut(32);
    right_aligned(high, r)?;
    right_aligned(low, s)?;
    Some(fixed)
}

/// Copies a big-endian number into the end of `to`; `None` when it is longer.
fn right_aligned(to: &mut [u8], number: &[u8]) -> Option<()> {
    let start = to.len().checked_sub(number.len())?;
    to.get_mut(start..)?.copy_from_slice(number);
    Some(())
}
