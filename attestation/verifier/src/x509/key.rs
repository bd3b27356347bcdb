//! Subject public keys of the kinds that AMD and Intel use.

use der::Tag;

use super::der::{DerError, DerReader};
use super::{Error, oid};

/// A public key, in the form the crypto seam takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKey<'a> {
    /// PKCS#1 `RSAPublicKey` in DER.
    Rsa(&'a [u8]),
    /// An uncompressed SEC1 point on P-256.
    P256(&'a [u8; 65]),
    /// An uncompressed SEC1 point on P-384.
    P384(&'a [u8; 97]),
}

impl<'a> PublicKey<'a> {
    /// Parses a `SubjectPublicKeyInfo`'s content.
    pub(super) fn parse(reader: &mut DerReader<'a>) -> Result<Self, Error> {
        let mut spki = reader.sequence("subjectPublicKeyInfo").map_err(Error::CertificateMalformed)?;
        let (algorithm, parameters) = Self::algorithm(&mut spki).map_err(Error::CertificateMalformed)?;
        let key = spki
            .octet_aligned_bits("subjectPublicKey")
            .and_then(|key| spki.finish("subjectPublicKeyInfo").map(|()| key))
            .map_err(Error::CertificateMalformed)?;
        match (algorithm, parameters) {
            (oid::RSA_ENCRYPTION, None) => Ok(Self::Rsa(key)),
            (oid::EC_PUBLIC_KEY, Some(oid::SECP256R1)) => uncompressed(key)
                .map(Self::P256)
                .ok_or(Error::KeyUnsupported { what: "not an uncompressed point on P-256" }),
            (oid::EC_PUBLIC_KEY, Some(oid::SECP384R1)) => uncompressed(key)
                .map(Self::P384)
                .ok_or(Error::KeyUnsupported { what: "not an uncompressed point on P-384" }),
            _ => Err(Error::KeyUnsupported { what: "neither RSA nor on P-256 or P-384" }),
        }
    }

    /// The algorithm and, for elliptic curves, the named curve.
    fn algorithm(
        spki: &mut DerReader<'a>,
    ) -> Result<(oid::ObjectIdentifier, Option<oid::ObjectIdentifier>), DerError> {
        let mut identifier = spki.sequence("key algorithm")?;
        let algorithm = identifier.oid("key algorithm")?;
        let curve = if identifier.optional(Tag::Null, "key algorithm parameters")?.is_some()
            || identifier.is_finished()
        {
            None
        } else {
            Some(identifier.oid("named curve")?)
        };
        identifier.finish("key algorithm")?;
        Ok((algorithm, curve))
    }
}

fn uncompressed<const N: usize>(key: &[u8]) -> Option<&[u8; N]> {
    // SEC1 2.3.3: 0x04 leads an uncompressed point.
    if key.first() != Some(&0x04) {
        return None;
    }
    key.try_into().ok()
}
