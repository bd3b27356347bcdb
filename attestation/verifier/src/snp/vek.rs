//! VCEK and VLEK certificates: the standard parts and AMD's extensions (AMD 57230, "VCEK
//! certificate" and "VLEK certificate").

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use der::Tag;
use serde::Serialize;

use super::error::Error as SnpError;
use super::{Product, Tcb, TcbComponent};
use crate::Error;
use crate::error::{CertificateRole, InRole as _};
use crate::x509::oid::ObjectIdentifier;
use crate::x509::{Certificate, DerError, DerReader, PublicKey};

/// An extension of AMD's, with the name AMD gives it.
struct AmdExtension {
    oid: ObjectIdentifier,
    name: &'static str,
}

const fn amd(oid: &str, name: &'static str) -> AmdExtension {
    AmdExtension { oid: ObjectIdentifier::new_unwrap(oid), name }
}

// AMD 57230, "VCEK certificate extensions": all under 1.3.6.1.4.1.3704.1.
const STRUCT_VERSION: AmdExtension = amd("1.3.6.1.4.1.3704.1.1", "structVersion");
const PRODUCT_NAME: AmdExtension = amd("1.3.6.1.4.1.3704.1.2", "productName1");
const BL_SPL: AmdExtension = amd("1.3.6.1.4.1.3704.1.3.1", "blSPL");
const TEE_SPL: AmdExtension = amd("1.3.6.1.4.1.3704.1.3.2", "teeSPL");
const SNP_SPL: AmdExtension = amd("1.3.6.1.4.1.3704.1.3.3", "snpSPL");
const SPARE_SPL: [(u8, AmdExtension); 4] = [
    (4, amd("1.3.6.1.4.1.3704.1.3.4", "spl4")),
    (5, amd("1.3.6.1.4.1.3704.1.3.5", "spl5")),
    (6, amd("1.3.6.1.4.1.3704.1.3.6", "spl6")),
    (7, amd("1.3.6.1.4.1.3704.1.3.7", "spl7")),
];
const UCODE_SPL: AmdExtension = amd("1.3.6.1.4.1.3704.1.3.8", "ucodeSPL");
const FMC_SPL: AmdExtension = amd("1.3.6.1.4.1.3704.1.3.9", "fmcSPL");
const HWID: AmdExtension = amd("1.3.6.1.4.1.3704.1.4", "hwID");
const CSP_ID: AmdExtension = amd("1.3.6.1.4.1.3704.1.5", "cspID");

/// Which kind of endorsement key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum VekKind {
    /// Versioned chip endorsement key: derived from one chip's secret.
    #[serde(rename = "VCEK")]
    Vcek,
    /// Versioned loaded endorsement key: handed out by AMD to one cloud provider's chips.
    #[serde(rename = "VLEK")]
    Vlek,
}

/// What a VEK speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VekSubject {
    /// VCEK: one chip, by its id (64 bytes; 8 on Turin).
    Hwid(Vec<u8>),
    /// VLEK: a cloud provider, by the name AMD knows it under.
    CspId(String),
}

/// A VEK certificate whose extensions make sense together. Nobody has checked its signature yet.
#[derive(Debug, Clone)]
pub(super) struct Vek<'a> {
    pub(super) certificate: Certificate<'a>,
    pub(super) public_key: &'a [u8; 97],
    pub(super) struct_version: u32,
    pub(super) product: Product,
    pub(super) product_name: &'a str,
    pub(super) tcb: Tcb,
    pub(super) subject: VekSubject,
}

impl VekKind {
    /// The kind that a report's SIGNING_KEY field names.
    pub(super) fn from_signing_key(number: u8) -> Result<Self, SnpError> {
        match number {
            0 => Ok(Self::Vcek),
            1 => Ok(Self::Vlek),
            7 => Err(SnpError::Unsigned),
            found => Err(SnpError::SigningKey { found }),
        }
    }

    fn subject_name(self) -> &'static str {
        match self {
            Self::Vcek => "SEV-VCEK",
            Self::Vlek => "SEV-VLEK",
        }
    }
}

impl core::fmt::Display for VekKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        })
    }
}

impl VekSubject {
    /// Which kind of key has such a subject.
    pub fn kind(&self) -> VekKind {
        match self {
            Self::Hwid(_) => VekKind::Vcek,
            Self::CspId(_) => VekKind::Vlek,
        }
    }
}

impl<'a> Vek<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, Error> {
        let certificate = Certificate::parse(der).in_role(CertificateRole::Vek)?;
        let PublicKey::P384(public_key) = certificate.public_key() else {
            return Err(SnpError::VekKey.into());
        };
        let product_name = required(&certificate, &PRODUCT_NAME, text)?;
        let product = Product::from_certificate_name(product_name)
            .ok_or_else(|| SnpError::VekProductUnknown { name: product_name.chars().take(64).collect() })?;
        let struct_version = parse_struct_version(&certificate, product)?;
        let tcb = parse_tcb(&certificate, product)?;
        let subject = parse_subject(&certificate, product)?;
        Ok(Self { certificate, public_key, struct_version, product, product_name, tcb, subject })
    }

    pub(super) fn kind(&self) -> VekKind {
        self.subject.kind()
    }
}

/// Structure version 1 came with Turin and its `fmcSPL`.
fn parse_struct_version(certificate: &Certificate<'_>, product: Product) -> Result<u32, SnpError> {
    let found = required(certificate, &STRUCT_VERSION, |reader, what| reader.uint32(what))?;
    let expected = match product {
        Product::Milan | Product::Genoa => 0,
        Product::Turin => 1,
    };
    if found == expected { Ok(found) } else { Err(SnpError::VekStructVersion { found, expected, product }) }
}

fn parse_tcb(certificate: &Certificate<'_>, product: Product) -> Result<Tcb, SnpError> {
    for (number, extension) in &SPARE_SPL {
        // Reports have reserved bytes there, which must be zero: so must these.
        if let Some(vek @ 1..) = optional(certificate, extension, level)? {
            let component = TcbComponent::Spare(*number);
            return Err(SnpError::VekTcbMismatch { component, vek, reported: 0 });
        }
    }
    let fmc = match product {
        Product::Turin => Some(required(certificate, &FMC_SPL, level)?),
        Product::Milan | Product::Genoa if certificate.extension(FMC_SPL.oid).is_some() => {
            return Err(SnpError::VekExtensionUnexpected { name: FMC_SPL.name, product });
        }
        Product::Milan | Product::Genoa => None,
    };
    Ok(Tcb {
        fmc,
        bootloader: required(certificate, &BL_SPL, level)?,
        tee: required(certificate, &TEE_SPL, level)?,
        snp: required(certificate, &SNP_SPL, level)?,
        microcode: required(certificate, &UCODE_SPL, level)?,
    })
}

/// A VCEK has a hwID and is named so; a VLEK has a cspID and is named so; nothing is both.
fn parse_subject(certificate: &Certificate<'_>, product: Product) -> Result<VekSubject, SnpError> {
    let hwid = certificate.extension(HWID.oid);
    let csp_id = certificate.extension(CSP_ID.oid);
    let unclear = SnpError::VekKindUnclear {
        subject: certificate.subject().to_string(),
        hwid: hwid.is_some(),
        csp_id: csp_id.is_some(),
    };
    let subject = match (hwid, csp_id) {
        (Some(hwid), None) => VekSubject::Hwid(parse_hwid(hwid.value, product)?),
        (None, Some(_)) => {
            let csp_id = required(certificate, &CSP_ID, text)?;
            // AMD's provider names are short; bounded all the same, since it is shown to people.
            VekSubject::CspId(csp_id.chars().take(256).collect())
        }
        _ => return Err(unclear),
    };
    if certificate.subject().common_name() != Some(subject.kind().subject_name()) {
        return Err(unclear);
    }
    Ok(subject)
}

/// AMD writes the id without a DER wrapping (AMD 57230, "hwID"); some certificates have been seen
/// with it inside an OCTET STRING. The length tells the two apart.
fn parse_hwid(value: &[u8], product: Product) -> Result<Vec<u8>, SnpError> {
    let malformed = SnpError::VekExtensionMalformed { name: HWID.name };
    let len = product.hwid_len();
    if value.len() == len {
        return Ok(value.to_vec());
    }
    let wrapped = DerReader::new(value, HWID.name).and_then(|mut reader| {
        let element = reader.expect(Tag::OctetString, HWID.name)?;
        reader.finish(HWID.name).map(|()| element.value)
    });
    match wrapped {
        Ok(hwid) if hwid.len() == len => Ok(hwid.to_vec()),
        _ => Err(malformed),
    }
}

fn required<'a, T>(
    certificate: &Certificate<'a>,
    extension: &AmdExtension,
    read: impl Fn(&mut DerReader<'a>, &'static str) -> Result<T, DerError>,
) -> Result<T, SnpError> {
    optional(certificate, extension, read)?.ok_or(SnpError::VekExtensionMissing { name: extension.name })
}

fn optional<'a, T>(
    certificate: &Certificate<'a>,
    extension: &AmdExtension,
    read: impl Fn(&mut DerReader<'a>, &'static str) -> Result<T, DerError>,
) -> Result<Option<T>, SnpError> {
    let Some(found) = certificate.extension(extension.oid) else { return Ok(None) };
    DerReader::new(found.value, extension.name)
        .and_then(|mut reader| {
            let value = read(&mut reader, extension.name)?;
            reader.finish(extension.name).map(|()| value)
        })
        .map(Some)
        .map_err(|_| SnpError::VekExtensionMalformed { name: extension.name })
}

/// A security patch level: an INTEGER of 0 to 255.
fn level(reader: &mut DerReader<'_>, what: &'static str) -> Result<u8, DerError> {
    u8::try_from(reader.uint32(what)?).map_err(|_| DerError { what })
}

fn text<'a>(reader: &mut DerReader<'a>, what: &'static str) -> Result<&'a str, DerError> {
    let value = reader.expect(Tag::Ia5String, what)?.value;
    if value.is_ascii() {
        core::str::from_utf8(value).map_err(|_| DerError { what })
    } else {
        Err(DerError { what })
    }
}
