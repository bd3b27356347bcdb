//! Certificates and revocation lists, field by field, so that each field can be wrong alone.
//!
//! A [`CertificateSpec`] or [`CrlSpec`] is made by an authority with everything right; a test
//! changes what it wants wrong and has the authority sign the result. RFC 5280; RFC 4055 for
//! RSASSA-PSS.

pub mod standard;

use ::der::DateTime;
use const_oid::ObjectIdentifier;
use core::time::Duration;
use vouchsafe_verifier::UnixSeconds;

use crate::Error;
use crate::der;

const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// From when until when something is valid, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First valid second.
    pub not_before: UnixSeconds,
    /// Last valid second.
    pub not_after: UnixSeconds,
}

impl Validity {
    /// `years` calendar years from `not_before`, as both vendors count.
    pub fn years(not_before: UnixSeconds, years: u16) -> Result<Self, Error> {
        let add = || {
            let from = DateTime::from_unix_duration(Duration::from_secs(not_before.0)).ok()?;
            let leap_day = from.month() == 2 && from.day() == 29;
            let until = DateTime::new(
                from.year().checked_add(years)?,
                from.month(),
                if leap_day { 28 } else { from.day() },
                from.hour(),
                from.minutes(),
                from.seconds(),
            );
            Some(UnixSeconds(until.ok()?.unix_duration().as_secs()))
        };
        let not_after = add().ok_or(Error::Moment { unix_seconds: not_before.0 })?;
        Ok(Self { not_before, not_after })
    }

    /// `days` days from `not_before`.
    pub fn days(not_before: UnixSeconds, days: u64) -> Self {
        Self { not_before, not_after: UnixSeconds(not_before.0 + days * 86_400) }
    }
}

/// Which string type an attribute value is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringType {
    /// UTF8String.
    Utf8,
    /// PrintableString.
    Printable,
}

/// A distinguished name: one attribute per relative name, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub Vec<(ObjectIdentifier, StringType, String)>);

impl Name {
    /// commonName.
    pub const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
    /// countryName.
    pub const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
    /// localityName.
    pub const LOCALITY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.7");
    /// stateOrProvinceName.
    pub const STATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.8");
    /// organizationName.
    pub const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
    /// organizationalUnitName.
    pub const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");

    pub(crate) fn to_der(&self) -> Vec<u8> {
        let relative: Vec<Vec<u8>> = self
            .0
            .iter()
            .map(|(attribute, string_type, value)| {
                let tag = match string_type {
                    StringType::Utf8 => 0x0c,
                    StringType::Printable => 0x13,
                };
                let value = der::tlv(tag, value.as_bytes());
                der::set(&[&der::sequence(&[&der::oid(*attribute), &value])])
            })
            .collect();
        der::tlv(0x30, &relative.concat())
    }
}

/// One extension: of a certificate, a CRL or a CRL entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Which.
    pub oid: ObjectIdentifier,
    /// Whether a reader that does not know it must refuse.
    pub critical: bool,
    /// The content of the extension's OCTET STRING.
    pub value: Vec<u8>,
}

impl Extension {
    /// A non-critical extension.
    pub fn new(oid: ObjectIdentifier, value: Vec<u8>) -> Self {
        Self { oid, critical: false, value }
    }

    /// A critical extension.
    pub fn critical(oid: ObjectIdentifier, value: Vec<u8>) -> Self {
        Self { oid, critical: true, value }
    }

    fn to_der(&self) -> Vec<u8> {
        // FALSE is the default and is left out.
        let critical = if self.critical { der::boolean(true) } else { Vec::new() };
        der::sequence(&[&der::oid(self.oid), &critical, &der::octet_string(&self.value)])
    }
}

/// Hash of an RSASSA-PSS signature, for the message and for MGF1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384, which AMD uses.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// How RSASSA-PSS parameters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PssParameters {
    /// Hash of the message.
    pub hash: Hash,
    /// Hash inside MGF1.
    pub mgf1_hash: Hash,
    /// Salt, bytes.
    pub salt_bytes: u8,
    /// Whether the trailer field is spelled out although it has its default value. AMD did so in
    /// every CA certificate, and in VCEKs until 2023; later VCEKs, VLEKs and the CRLs leave it out.
    pub explicit_trailer: bool,
}

impl PssParameters {
    /// AMD's parameters as newer certificates and the CRLs write them.
    pub const AMD: Self =
        Self { hash: Hash::Sha384, mgf1_hash: Hash::Sha384, salt_bytes: 48, explicit_trailer: false };
    /// AMD's parameters as the CA certificates and older VCEKs write them.
    pub const AMD_EXPLICIT_TRAILER: Self = Self { explicit_trailer: true, ..Self::AMD };

    fn to_der(self) -> Vec<u8> {
        let trailer = if self.explicit_trailer { der::context(3, &der::integer_u64(1)) } else { Vec::new() };
        let mgf1 = der::sequence(&[&der::oid(MGF1), &hash_algorithm(self.mgf1_hash)]);
        der::sequence(&[
            &der::context(0, &hash_algorithm(self.hash)),
            &der::context(1, &mgf1),
            &der::context(2, &der::integer_u64(self.salt_bytes.into())),
            &trailer,
        ])
    }
}

fn hash_algorithm(hash: Hash) -> Vec<u8> {
    let oid = match hash {
        Hash::Sha256 => SHA_256,
        Hash::Sha384 => SHA_384,
        Hash::Sha512 => SHA_512,
    };
    der::sequence(&[&der::oid(oid), &der::null()])
}

/// The `signatureAlgorithm` of a certificate or CRL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSASSA-PSS, AMD's.
    RsaPss(PssParameters),
    /// ECDSA with SHA-256, Intel's.
    EcdsaSha256,
    /// Any encoded `AlgorithmIdentifier`.
    Raw(Vec<u8>),
}

impl SignatureAlgorithm {
    pub(crate) fn to_der(&self) -> Vec<u8> {
        match self {
            Self::RsaPss(parameters) => der::sequence(&[&der::oid(RSASSA_PSS), &parameters.to_der()]),
            Self::EcdsaSha256 => der::sequence(&[&der::oid(ECDSA_WITH_SHA256)]),
            Self::Raw(encoded) => encoded.clone(),
        }
    }
}

/// Everything a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSpec {
    /// Serial number, unsigned big-endian.
    pub serial: Vec<u8>,
    /// Who signs.
    pub issuer: Name,
    /// Who is certified.
    pub subject: Name,
    /// From when until when.
    pub validity: Validity,
    /// The certified key: `SubjectPublicKeyInfo`, DER.
    pub subject_public_key_info: Vec<u8>,
    /// Extensions, in order.
    pub extensions: Vec<Extension>,
    /// The algorithm named inside the signed part, and used for signing where it can be.
    pub algorithm: SignatureAlgorithm,
    /// The algorithm named outside the signed part, where it differs from the one inside.
    pub outer_algorithm: Option<SignatureAlgorithm>,
}

impl CertificateSpec {
    /// The first extension with this OID.
    pub fn extension_mut(&mut self, oid: ObjectIdentifier) -> Option<&mut Extension> {
        self.extensions.iter_mut().find(|extension| extension.oid == oid)
    }

    /// Takes every extension with this OID out; says how many there were.
    pub fn remove_extension(&mut self, oid: ObjectIdentifier) -> usize {
        let before = self.extensions.len();
        self.extensions.retain(|extension| extension.oid != oid);
        before - self.extensions.len()
    }

    /// Repeats the first extension with this OID at the end; `false` when there is none.
    pub fn duplicate_extension(&mut self, oid: ObjectIdentifier) -> bool {
        let found = self.extensions.iter().find(|extension| extension.oid == oid).cloned();
        let was_there = found.is_some();
        self.extensions.extend(found);
        was_there
    }

    /// `TBSCertificate`, DER: the signed part.
    pub fn to_be_signed(&self) -> Result<Vec<u8>, Error> {
        Ok(der::sequence(&[
            &der::context(0, &der::integer_u64(2)),
            &der::integer(&self.serial),
            &self.algorithm.to_der(),
            &self.issuer.to_der(),
            &validity(self.validity)?,
            &self.subject.to_der(),
            &self.subject_public_key_info,
            &extensions(3, &self.extensions),
        ]))
    }

    /// The certificate, DER, with any signature.
    pub fn with_signature(&self, signature: &[u8]) -> Result<Vec<u8>, Error> {
        let outer = self.outer_algorithm.as_ref().unwrap_or(&self.algorithm);
        Ok(signed(&self.to_be_signed()?, outer, signature))
    }
}

/// One line of a revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Serial number, unsigned big-endian.
    pub serial: Vec<u8>,
    /// Since when.
    pub at: UnixSeconds,
    /// Entry extensions, in order.
    pub extensions: Vec<Extension>,
}

/// Everything a revocation list says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlSpec {
    /// Who signs.
    pub issuer: Name,
    /// When it was made.
    pub this_update: UnixSeconds,
    /// When the next one comes at the latest.
    pub next_update: Option<UnixSeconds>,
    /// What is revoked. An empty list is left out, as RFC 5280 wants.
    pub revoked: Vec<Revoked>,
    /// Extensions, in order.
    pub extensions: Vec<Extension>,
    /// The algorithm named inside the signed part, and used for signing where it can be.
    pub algorithm: SignatureAlgorithm,
    /// The algorithm named outside the signed part, where it differs from the one inside.
    pub outer_algorithm: Option<SignatureAlgorithm>,
}

impl CrlSpec {
    /// `TBSCertList`, DER: the signed part.
    pub fn to_be_signed(&self) -> Result<Vec<u8>, Error> {
        let next_update = self.next_update.map(der::time).transpose()?.unwrap_or_default();
        let mut entries = Vec::new();
        for revoked in &self.revoked {
            let entry_extensions: Vec<u8> = revoked.extensions.iter().flat_map(Extension::to_der).collect();
            let entry_extensions =
                if entry_extensions.is_empty() { Vec::new() } else { der::tlv(0x30, &entry_extensions) };
            entries.extend(der::sequence(&[
                &der::integer(&revoked.serial),
                &der::time(revoked.at)?,
                &entry_extensions,
            ]));
        }
        let entries = if entries.is_empty() { entries } else { der::tlv(0x30, &entries) };
        Ok(der::sequence(&[
            &der::integer_u64(1),
            &self.algorithm.to_der(),
            &self.issuer.to_der(),
            &der::time(self.this_update)?,
            &next_update,
            &entries,
            &extensions(0, &self.extensions),
        ]))
    }

    /// The list, DER, with any signature.
    pub fn with_signature(&self, signature: &[u8]) -> Result<Vec<u8>, Error> {
        let outer = self.outer_algorithm.as_ref().unwrap_or(&self.algorithm);
        Ok(signed(&self.to_be_signed()?, outer, signature))
    }
}

fn validity(validity: Validity) -> Result<Vec<u8>, Error> {
    Ok(der::sequence(&[&der::time(validity.not_before)?, &der::time(validity.not_after)?]))
}

fn extensions(context: u8, extensions: &[Extension]) -> Vec<u8> {
    let encoded: Vec<u8> = extensions.iter().flat_map(Extension::to_der).collect();
    if encoded.is_empty() { encoded } else { der::context(context, &der::tlv(0x30, &encoded)) }
}

fn signed(to_be_signed: &[u8], algorithm: &SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
    der::sequence(&[to_be_signed, &algorithm.to_der(), &der::bit_string(0, signature)])
}
