//! One certificate, borrowed from its bytes.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use const_oid::ObjectIdentifier;
use der::Tag;

use super::der::{DerError, DerReader, context};
use super::extension::{self, BasicConstraints, Extension, KeyUsage};
use super::{CERTIFICATE_BYTES_MAX, Error, PublicKey, SERIAL_BYTES_MAX, SignatureAlgorithm, oid};
use crate::UnixSeconds;
use crate::crypto::Crypto;

/// A parsed certificate. Parsing establishes nothing but shape: nobody has checked a signature yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate<'a> {
    der: &'a [u8],
    tbs: &'a [u8],
    serial: &'a [u8],
    issuer: Name<'a>,
    subject: Name<'a>,
    validity: Validity,
    public_key: PublicKey<'a>,
    extensions: Vec<Extension<'a>>,
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    signature_algorithm: SignatureAlgorithm,
    signature: &'a [u8],
}

/// From when until when a certificate may be used, both moments included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First valid second.
    pub not_before: UnixSeconds,
    /// Last valid second.
    pub not_after: UnixSeconds,
}

/// A distinguished name, compared byte for byte as it stands in the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    raw: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Parses one DER certificate with nothing after it.
    ///
    /// # Errors
    /// When it is too long, malformed, not version 3, repeats an extension, or uses an algorithm or
    /// key this crate does not accept.
    pub fn parse(der: &'a [u8]) -> Result<Self, Error> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(Error::CertificateTooLong { len: der.len(), max: CERTIFICATE_BYTES_MAX });
        }
        let malformed = Error::CertificateMalformed;
        let mut outer = DerReader::new(der, "certificate").map_err(malformed)?;
        let mut certificate = outer.sequence("certificate").map_err(malformed)?;
        outer.finish("bytes after the certificate").map_err(malformed)?;

        let tbs = certificate.expect(Tag::Sequence, "tbsCertificate").map_err(malformed)?;
        let algorithm = certificate.expect(Tag::Sequence, "signatureAlgorithm").map_err(malformed)?;
        let signature = certificate.octet_aligned_bits("signatureValue").map_err(malformed)?;
        certificate.finish("certificate").map_err(malformed)?;

        let mut body = DerReader::new(tbs.value, "tbsCertificate").map_err(malformed)?;
        check_version(&mut body)?;
        let serial = body.uint_bytes("serialNumber").map_err(malformed)?;
        if serial.len() > SERIAL_BYTES_MAX {
            return Err(malformed(DerError { what: "serialNumber longer than 20 bytes" }));
        }
        let inner_algorithm = body.expect(Tag::Sequence, "signature").map_err(malformed)?;
        if inner_algorithm.raw != algorithm.raw {
            return Err(Error::SignatureAlgorithmsDiffer);
        }
        let signature_algorithm = SignatureAlgorithm::parse(algorithm.value, malformed)?;
        let issuer = Name::parse(&mut body, "issuer").map_err(malformed)?;
        let validity = Validity::parse(&mut body).map_err(malformed)?;
        let subject = Name::parse(&mut body, "subject").map_err(malformed)?;
        let public_key = PublicKey::parse(&mut body)?;
        // issuerUniqueID [1] and subjectUniqueID [2] must not appear (RFC 5280, 4.1.2.8).
        let extensions = match body.optional(context(3, true), "extensions").map_err(malformed)? {
            Some(field) => {
                let mut reader = DerReader::new(field.value, "extensions").map_err(malformed)?;
                let extensions = extension::parse(&mut reader, malformed)?;
                reader.finish("extensions").map_err(malformed)?;
                extensions
            }
            None => Vec::new(),
        };
        body.finish("tbsCertificate").map_err(malformed)?;

        let value_of = |oid| extensions.iter().find(|e| e.oid == oid).map(|e| e.value);
        let basic_constraints = value_of(oid::BASIC_CONSTRAINTS).map(BasicConstraints::parse).transpose();
        let key_usage = value_of(oid::KEY_USAGE).map(KeyUsage::parse).transpose();
        Ok(Self {
            der,
            tbs: tbs.raw,
            serial,
            issuer,
            subject,
            validity,
            public_key,
            basic_constraints: basic_constraints.map_err(malformed)?,
            key_usage: key_usage.map_err(malformed)?,
            extensions,
            signature_algorithm,
            signature,
        })
    }

    /// The certificate's bytes.
    pub fn der(&self) -> &'a [u8] {
        self.der
    }

    /// The serial number: big-endian, without leading zeros (zero itself is one zero byte).
    pub fn serial(&self) -> &'a [u8] {
        self.serial
    }

    /// Who issued it, by its own account.
    pub fn issuer(&self) -> Name<'a> {
        self.issuer
    }

    /// Whom it is about.
    pub fn subject(&self) -> Name<'a> {
        self.subject
    }

    /// When it may be used.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The subject's key.
    pub fn public_key(&self) -> PublicKey<'a> {
        self.public_key
    }

    /// The signature algorithm.
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.signature_algorithm
    }

    /// All extensions, in order; no OID occurs twice.
    pub fn extensions(&self) -> &[Extension<'a>] {
        &self.extensions
    }

    /// One extension by its OID.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&Extension<'a>> {
        self.extensions.iter().find(|extension| extension.oid == oid)
    }

    /// What `keyUsage` says, where the extension is present.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.key_usage
    }

    /// Whether `basicConstraints` makes it a certificate authority.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints.is_some_and(|constraints| constraints.ca)
    }

    /// Demands that `at` lies within the validity, both ends included.
    ///
    /// # Errors
    /// [`Error::CertificateNotYetValid`] or [`Error::CertificateExpired`].
    pub fn check_validity(&self, at: UnixSeconds) -> Result<(), Error> {
        let Validity { not_before, not_after } = self.validity;
        if at < not_before {
            return Err(Error::CertificateNotYetValid { not_before, at });
        }
        if at > not_after {
            return Err(Error::CertificateExpired { not_after, at });
        }
        Ok(())
    }

    /// Demands that this crate, or the caller by `known`, understands every critical extension.
    ///
    /// # Errors
    /// [`Error::ExtensionCriticalUnknown`].
    pub fn check_critical_extensions(&self, known: &[ObjectIdentifier]) -> Result<(), Error> {
        for extension in &self.extensions {
            let understood = matches!(extension.oid, oid::BASIC_CONSTRAINTS | oid::KEY_USAGE)
                || known.contains(&extension.oid);
            if extension.critical && !understood {
                return Err(Error::ExtensionCriticalUnknown { oid: extension.oid });
            }
        }
        Ok(())
    }

    /// Demands that `issuer` could and did issue this certificate: the name matches, it is an
    /// authority whose key may sign certificates, its path length allows `authorities_below` further
    /// authorities under it (0 when this certificate is a leaf), and its signature over the raw bytes
    /// verifies. Says nothing about whether `issuer` is to be believed.
    ///
    /// # Errors
    /// The first of these that fails.
    pub fn check_issued_by(
        &self,
        issuer: &Certificate<'_>,
        authorities_below: u32,
        crypto: &dyn Crypto,
    ) -> Result<(), Error> {
        if self.issuer.raw != issuer.subject.raw {
            return Err(Error::IssuerMismatch {
                issuer: self.issuer.to_string(),
                offered: issuer.subject.to_string(),
            });
        }
        let constraints = issuer.basic_constraints.filter(|constraints| constraints.ca);
        let Some(constraints) = constraints else {
            return Err(Error::IssuerNotCa { subject: issuer.subject.to_string() });
        };
        if let Some(max) = constraints.path_len_max
            && authorities_below > max
        {
            let subject = issuer.subject.to_string();
            return Err(Error::PathTooLong { subject, max, found: authorities_below });
        }
        if !issuer.key_usage.is_some_and(|usage| usage.key_cert_sign) {
            return Err(Error::IssuerKeyUsage { subject: issuer.subject.to_string(), usage: "keyCertSign" });
        }
        if !self.signature_algorithm.verifies(&issuer.public_key, self.tbs, self.signature, crypto) {
            return Err(Error::CertificateSignature { issuer: issuer.subject.to_string() });
        }
        Ok(())
    }

    /// Demands that this certificate is no authority, so that nothing can hang below it.
    ///
    /// # Errors
    /// [`Error::LeafIsCa`].
    pub fn check_leaf(&self) -> Result<(), Error> {
        if self.is_ca() { Err(Error::LeafIsCa) } else { Ok(()) }
    }
}

/// Only version 3 has extensions, and every certificate here needs some (RFC 5280, 4.1.2.1).
fn check_version(body: &mut DerReader<'_>) -> Result<(), Error> {
    let malformed = Error::CertificateMalformed;
    // Absent means version 1, whose field value would be 0.
    let Some(field) = body.optional(context(0, true), "version").map_err(malformed)? else {
        return Err(Error::CertificateVersion { found: 0 });
    };
    let mut reader = DerReader::new(field.value, "version").map_err(malformed)?;
    let found = reader.uint32("version").map_err(malformed)?;
    reader.finish("version").map_err(malformed)?;
    if found == 2 { Ok(()) } else { Err(Error::CertificateVersion { found }) }
}

impl Validity {
    fn parse(reader: &mut DerReader<'_>) -> Result<Self, DerError> {
        let mut validity = reader.sequence("validity")?;
        let not_before = validity.time("notBefore")?;
        let not_after = validity.time("notAfter")?;
        validity.finish("validity")?;
        Ok(Self { not_before, not_after })
    }
}

impl<'a> Name<'a> {
    pub(super) fn parse(reader: &mut DerReader<'a>, what: &'static str) -> Result<Self, DerError> {
        Ok(Self { raw: reader.expect(Tag::Sequence, what)?.raw })
    }

    /// The whole name in DER.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The only common name in it. `None` when there is none, when there are several, or when it is
    /// neither a UTF8String nor a PrintableString.
    pub fn common_name(&self) -> Option<&'a str> {
        const WHAT: &str = "name";
        let mut found = None;
        let mut sets = DerReader::new(self.raw, WHAT).ok()?.sequence(WHAT).ok()?;
        while !sets.is_finished() {
            let mut set = DerReader::new(sets.expect(Tag::Set, WHAT).ok()?.value, WHAT).ok()?;
            while !set.is_finished() {
                let mut attribute = set.sequence(WHAT).ok()?;
                let is_common_name = attribute.oid(WHAT).ok()? == oid::COMMON_NAME;
                let value = attribute.any(WHAT).ok()?;
                if !is_common_name {
                    continue;
                }
                if found.is_some() || !matches!(value.tag, Tag::Utf8String | Tag::PrintableString) {
                    return None;
                }
                found = Some(core::str::from_utf8(value.value).ok()?);
            }
        }
        found
    }
}

impl core::fmt::Display for Name<'_> {
    /// The common name, shortened to 64 characters (RFC 5280's upper bound) since it may be a
    /// stranger's text.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name: String = self.common_name().unwrap_or("(no common name)").chars().take(64).collect();
        f.write_str(&name)
    }
}
