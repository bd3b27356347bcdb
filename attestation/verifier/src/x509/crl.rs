//! Certificate revocation lists (RFC 5280, 5), complete ones of a single issuer only.

use alloc::string::ToString;
use alloc::vec::Vec;

use der::Tag;

use super::der::{DerError, DerReader, boolean_value, context};
use super::extension::{self, Extension};
use super::{CRL_BYTES_MAX, Certificate, Error, Name, SERIAL_BYTES_MAX, SignatureAlgorithm, oid};
use crate::UnixSeconds;
use crate::crypto::Crypto;
use crate::encoding::to_hex;

/// A parsed revocation list. Nobody has checked its signature or its age yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl<'a> {
    tbs: &'a [u8],
    issuer: Name<'a>,
    this_update: UnixSeconds,
    next_update: UnixSeconds,
    revoked: Vec<Revoked<'a>>,
    number: Option<&'a [u8]>,
    signature_algorithm: SignatureAlgorithm,
    signature: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Revoked<'a> {
    serial: &'a [u8],
    since: UnixSeconds,
}

impl<'a> Crl<'a> {
    /// Parses one DER revocation list with nothing after it. A list that says it does not cover all
    /// certificates of its issuer, or covers others', is refused here: believing it would be wrong.
    ///
    /// # Errors
    /// When it is too long, malformed, has no `nextUpdate`, a restricted scope, an unknown critical
    /// extension, or an algorithm this crate does not accept.
    pub fn parse(der: &'a [u8]) -> Result<Self, Error> {
        if der.len() > CRL_BYTES_MAX {
            return Err(Error::CrlTooLong { len: der.len(), max: CRL_BYTES_MAX });
        }
        let malformed = Error::CrlMalformed;
        let mut outer = DerReader::new(der, "CRL").map_err(malformed)?;
        let mut list = outer.sequence("CRL").map_err(malformed)?;
        outer.finish("bytes after the CRL").map_err(malformed)?;

        let tbs = list.expect(Tag::Sequence, "tbsCertList").map_err(malformed)?;
        let algorithm = list.expect(Tag::Sequence, "signatureAlgorithm").map_err(malformed)?;
        let signature = list.octet_aligned_bits("signatureValue").map_err(malformed)?;
        list.finish("CRL").map_err(malformed)?;

        let mut body = DerReader::new(tbs.value, "tbsCertList").map_err(malformed)?;
        // RFC 5280, 5.1.2.1: version 2 (field value 1) is required.
        if body.uint32("version").map_err(malformed)? != 1 {
            return Err(malformed(DerError { what: "version is not 2" }));
        }
        let inner_algorithm = body.expect(Tag::Sequence, "signature").map_err(malformed)?;
        if inner_algorithm.raw != algorithm.raw {
            return Err(Error::SignatureAlgorithmsDiffer);
        }
        let signature_algorithm = SignatureAlgorithm::parse(algorithm.value, malformed)?;
        let issuer = Name::parse(&mut body, "issuer").map_err(malformed)?;
        let this_update = body.time("thisUpdate").map_err(malformed)?;
        let next_update = body.optional_time("nextUpdate").map_err(malformed)?;
        let next_update = next_update.ok_or(Error::CrlWithoutNextUpdate)?;
        let revoked = match body.optional(Tag::Sequence, "revokedCertificates").map_err(malformed)? {
            Some(field) => parse_revoked(field.value)?,
            None => Vec::new(),
        };
        let extensions = match body.optional(context(0, true), "crlExtensions").map_err(malformed)? {
            Some(field) => {
                let mut reader = DerReader::new(field.value, "crlExtensions").map_err(malformed)?;
                let extensions = extension::parse(&mut reader, malformed)?;
                reader.finish("crlExtensions").map_err(malformed)?;
                extensions
            }
            None => Vec::new(),
        };
        body.finish("tbsCertList").map_err(malformed)?;
        let number = check_extensions(&extensions)?;

        Ok(Self {
            tbs: tbs.raw,
            issuer,
            this_update,
            next_update,
            revoked,
            number,
            signature_algorithm,
            signature,
        })
    }

    /// Who issued it, by its own account.
    pub fn issuer(&self) -> Name<'a> {
        self.issuer
    }

    /// When it was issued.
    pub fn this_update(&self) -> UnixSeconds {
        self.this_update
    }

    /// When a newer one is due.
    pub fn next_update(&self) -> UnixSeconds {
        self.next_update
    }

    /// Its number in the issuer's sequence, big-endian, where it has one.
    pub fn number(&self) -> Option<&'a [u8]> {
        self.number
    }

    /// How many certificates it revokes.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether it revokes nothing.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// Demands that `issuer` issued this list, and that `at` lies between its issue and the date its
    /// successor is due, both ends included. Says nothing about whether `issuer` is to be believed.
    ///
    /// # Errors
    /// [`Error::CrlIssuerMismatch`], [`Error::IssuerKeyUsage`], [`Error::CrlSignature`],
    /// [`Error::CrlFuture`] or [`Error::CrlStale`].
    pub fn check(&self, issuer: &Certificate<'_>, at: UnixSeconds, crypto: &dyn Crypto) -> Result<(), Error> {
        if self.issuer.raw() != issuer.subject().raw() {
            return Err(Error::CrlIssuerMismatch {
                issuer: self.issuer.to_string(),
                expected: issuer.subject().to_string(),
            });
        }
        if !issuer.key_usage().is_some_and(|usage| usage.crl_sign) {
            return Err(Error::IssuerKeyUsage { subject: issuer.subject().to_string(), usage: "cRLSign" });
        }
        if !self.signature_algorithm.verifies(&issuer.public_key(), self.tbs, self.signature, crypto) {
            return Err(Error::CrlSignature { issuer: issuer.subject().to_string() });
        }
        if at < self.this_update {
            return Err(Error::CrlFuture { this_update: self.this_update, at });
        }
        if at > self.next_update {
            return Err(Error::CrlStale { next_update: self.next_update, at });
        }
        Ok(())
    }

    /// Demands that `certificate`, which must be of this list's issuer, is not on it. A revocation
    /// date in the future revokes all the same.
    ///
    /// # Errors
    /// [`Error::Revoked`]; [`Error::CrlIssuerMismatch`] when the certificate has another issuer, so
    /// that the list says nothing about it.
    pub fn check_not_revoked(&self, certificate: &Certificate<'_>) -> Result<(), Error> {
        if self.issuer.raw() != certificate.issuer().raw() {
            return Err(Error::CrlIssuerMismatch {
                issuer: self.issuer.to_string(),
                expected: certificate.issuer().to_string(),
            });
        }
        match self.revoked.iter().find(|entry| entry.serial == certificate.serial()) {
            Some(entry) => Err(Error::Revoked { serial: to_hex(entry.serial), since: entry.since }),
            None => Ok(()),
        }
    }
}

fn parse_revoked(content: &[u8]) -> Result<Vec<Revoked<'_>>, Error> {
    const WHAT: &str = "revokedCertificates";
    let malformed = Error::CrlMalformed;
    let mut reader = DerReader::new(content, WHAT).map_err(malformed)?;
    let mut revoked = Vec::new();
    while !reader.is_finished() {
        let mut entry = reader.sequence(WHAT).map_err(malformed)?;
        let serial = entry.uint_bytes("userCertificate").map_err(malformed)?;
        if serial.len() > SERIAL_BYTES_MAX {
            return Err(malformed(DerError { what: "userCertificate longer than 20 bytes" }));
        }
        let since = entry.time("revocationDate").map_err(malformed)?;
        if !entry.is_finished() {
            // Reasons and invalidity dates change nothing for us. A critical one does: certificateIssuer
            // would make this an indirect list, whose serial numbers belong to others.
            let extensions = extension::parse(&mut entry, malformed)?;
            check_no_critical(&extensions, &[])?;
        }
        entry.finish(WHAT).map_err(malformed)?;
        revoked.push(Revoked { serial, since });
    }
    if revoked.is_empty() {
        // RFC 5280, 5.1.2.6: absent, not empty.
        return Err(malformed(DerError { what: "empty revokedCertificates" }));
    }
    Ok(revoked)
}

/// Reads the list's own extensions and gives its number.
fn check_extensions<'a>(extensions: &[Extension<'a>]) -> Result<Option<&'a [u8]>, Error> {
    check_no_critical(extensions, &[oid::ISSUING_DISTRIBUTION_POINT])?;
    let find = |oid| extensions.iter().find(|extension| extension.oid == oid);
    if let Some(extension) = find(oid::ISSUING_DISTRIBUTION_POINT) {
        check_distribution_point(extension.value)?;
    }
    let Some(extension) = find(oid::CRL_NUMBER) else { return Ok(None) };
    let number = DerReader::new(extension.value, "cRLNumber").and_then(|mut reader| {
        let number = reader.uint_bytes("cRLNumber")?;
        reader.finish("cRLNumber").map(|()| number)
    });
    number.map(Some).map_err(Error::CrlMalformed)
}

fn check_no_critical(extensions: &[Extension<'_>], known: &[oid::ObjectIdentifier]) -> Result<(), Error> {
    match extensions.iter().find(|e| e.critical && !known.contains(&e.oid)) {
        // deltaCRLIndicator is among these: a delta list is not a complete one.
        Some(extension) => Err(Error::ExtensionCriticalUnknown { oid: extension.oid }),
        None => Ok(()),
    }
}

/// `issuingDistributionPoint` (RFC 5280, 5.2.5): a name for the place is harmless; any field that
/// narrows or widens what the list covers is refused.
fn check_distribution_point(value: &[u8]) -> Result<(), Error> {
    const WHAT: &str = "issuingDistributionPoint";
    let malformed = Error::CrlMalformed;
    let mut outer = DerReader::new(value, WHAT).map_err(malformed)?;
    let mut fields = outer.sequence(WHAT).map_err(malformed)?;
    outer.finish(WHAT).map_err(malformed)?;
    fields.optional(context(0, true), "distributionPoint").map_err(malformed)?;
    for (number, what) in [(1, "onlyContainsUserCerts"), (2, "onlyContainsCACerts")] {
        if let Some(flag) = fields.optional(context(number, false), what).map_err(malformed)?
            && boolean_value(flag.value, what).map_err(malformed)?
        {
            return Err(Error::CrlScope { what });
        }
    }
    // Whatever this bit string holds (an empty one has made other readers panic), it means that not
    // every reason is covered.
    if fields.optional(context(3, false), "onlySomeReasons").map_err(malformed)?.is_some() {
        return Err(Error::CrlScope { what: "onlySomeReasons" });
    }
    for (number, what) in [(4, "indirectCRL"), (5, "onlyContainsAttributeCerts")] {
        if let Some(flag) = fields.optional(context(number, false), what).map_err(malformed)?
            && boolean_value(flag.value, what).map_err(malformed)?
        {
            return Err(Error::CrlScope { what });
        }
    }
    fields.finish(WHAT).map_err(malformed)
}
