//! The PCK certificate's SGX extension: which platform it certifies, and at which security versions.
//!
//! Layout: Intel SGX PCK Certificate and CRL Profile Specification, section 1.3.5. The extension is
//! a sequence of pairs (OID, value), whose order is not relied on here; nothing may occur twice.

use der::Tag;

use super::error::{Error, PckExtensionFault};
use super::tcb_info::PlatformSvns;
use crate::x509::oid::ObjectIdentifier;
use crate::x509::{Certificate, DerError, DerReader, Tlv};

const SGX_EXTENSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1");
const PPID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.1");
const TCB: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.2");
const PCEID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.3");
const FMSPC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.4");
const SGX_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.5");
const PLATFORM_INSTANCE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.6");

/// Number of SGX TCB components; after them come PCESVN (17) and CPUSVN (18).
const COMPONENTS: usize = 16;
const TCB_PCESVN: usize = 17;
const TCB_CPUSVN: usize = 18;

/// Which authority issued a PCK certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PckCa {
    /// Intel SGX PCK Platform CA: platforms of one or more packages, registered as a whole.
    Platform,
    /// Intel SGX PCK Processor CA: single packages.
    Processor,
}

impl PckCa {
    /// The name that its certificate bears.
    pub fn name(self) -> &'static str {
        match self {
            Self::Platform => "Intel SGX PCK Platform CA",
            Self::Processor => "Intel SGX PCK Processor CA",
        }
    }
}

/// How a platform protects its memory, by the PCK certificate's SGX type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SgxType {
    /// 0: integrity tree, small enclave memory.
    Standard,
    /// 1: encryption without an integrity tree.
    Scalable,
    /// 2: the same with cryptographic integrity.
    ScalableWithIntegrity,
}

impl SgxType {
    /// The number in the certificate.
    pub fn number(self) -> u8 {
        match self {
            Self::Standard => 0,
            Self::Scalable => 1,
            Self::ScalableWithIntegrity => 2,
        }
    }
}

/// The platform that a PCK certificate is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PckPlatform {
    pub(super) ppid: [u8; 16],
    pub(super) fmspc: [u8; 6],
    pub(super) pce_id: [u8; 2],
    pub(super) sgx_type: SgxType,
    pub(super) platform_instance_id: Option<[u8; 16]>,
    pub(super) svns: PlatformSvns,
    pub(super) cpusvn: [u8; 16],
}

impl PckPlatform {
    /// Provisioning id: names the platform's processor package.
    pub fn ppid(&self) -> &[u8; 16] {
        &self.ppid
    }

    /// Family, model, stepping, platform type and custom SKU.
    pub fn fmspc(&self) -> &[u8; 6] {
        &self.fmspc
    }

    /// The provisioning certification enclave's id.
    pub fn pce_id(&self) -> &[u8; 2] {
        &self.pce_id
    }

    /// How memory is protected.
    pub fn sgx_type(&self) -> SgxType {
        self.sgx_type
    }

    /// The platform's instance id, changed by every registration; Platform CA certificates have one.
    pub fn platform_instance_id(&self) -> Option<&[u8; 16]> {
        self.platform_instance_id.as_ref()
    }

    /// The 16 SGX TCB component security versions: what TCB levels are held against.
    pub fn components(&self) -> &[u8; 16] {
        &self.svns.components
    }

    /// CPUSVN, which says the same in the processor's own form. Nothing is decided by it.
    pub fn cpusvn(&self) -> &[u8; 16] {
        &self.cpusvn
    }

    /// The provisioning certification enclave's security version.
    pub fn pcesvn(&self) -> u16 {
        self.svns.pcesvn
    }

    /// Reads the SGX extension of a PCK certificate.
    pub(super) fn from_certificate(certificate: &Certificate<'_>) -> Result<Self, Error> {
        let extension = certificate
            .extension(SGX_EXTENSION)
            .ok_or(Error::PckExtension(PckExtensionFault::Missing { field: "the extension" }))?;
        Self::parse(extension.value).map_err(Error::PckExtension)
    }

    fn parse(value: &[u8]) -> Result<Self, PckExtensionFault> {
        let mut outer = DerReader::new(value, "SGX extension")?;
        let mut fields = outer.sequence("SGX extension")?;
        outer.finish("SGX extension")?;

        let (mut ppid, mut svns, mut pce_id, mut fmspc) = (None, None, None, None);
        let (mut sgx_type, mut platform_instance_id) = (None, None);
        while !fields.is_finished() {
            let (oid, value) = pair(&mut fields, "SGX extension field")?;
            match oid {
                PPID => set(&mut ppid, "PPID", octets(value, "PPID")?)?,
                TCB => set(&mut svns, "TCB", parse_tcb(value)?)?,
                PCEID => set(&mut pce_id, "PCEID", octets(value, "PCEID")?)?,
                FMSPC => set(&mut fmspc, "FMSPC", octets(value, "FMSPC")?)?,
                SGX_TYPE => set(&mut sgx_type, "SGX type", parse_sgx_type(value)?)?,
                PLATFORM_INSTANCE_ID => {
                    const FIELD: &str = "platform instance id";
                    set(&mut platform_instance_id, FIELD, octets(value, FIELD)?)?;
                }
                // The configuration flags (…7) and what Intel adds later decide nothing here.
                _ => {}
            }
        }
        let (svns, cpusvn) = required(svns, "TCB")?;
        Ok(Self {
            ppid: required(ppid, "PPID")?,
            fmspc: required(fmspc, "FMSPC")?,
            pce_id: required(pce_id, "PCEID")?,
            sgx_type: required(sgx_type, "SGX type")?,
            platform_instance_id,
            svns,
            cpusvn,
        })
    }
}

/// Reads the TCB field: components 1 to 16, PCESVN, CPUSVN, each exactly once.
///
/// It is the components that count, as in Intel's Quote Verification Library. CPUSVN has the same bytes in
/// every certificate seen so far, but its form is the processor's own affair.
fn parse_tcb(value: Tlv<'_>) -> Result<(PlatformSvns, [u8; 16]), PckExtensionFault> {
    const FIELD: &str = "TCB";
    if value.tag != Tag::Sequence {
        return Err(DerError { what: FIELD }.into());
    }
    let mut fields = DerReader::new(value.value, FIELD)?;
    let mut components = [None; COMPONENTS];
    let (mut pcesvn, mut cpusvn) = (None, None);
    while !fields.is_finished() {
        let (oid, value) = pair(&mut fields, FIELD)?;
        let number = (oid.parent() == Some(TCB)).then(|| oid.arcs().last()).flatten();
        let Some(number) = number.and_then(|number| usize::try_from(number).ok()) else { continue };
        match number {
            TCB_PCESVN => set(&mut pcesvn, "PCESVN", integer(value, "PCESVN")?)?,
            TCB_CPUSVN => set(&mut cpusvn, "CPUSVN", octets::<16>(value, "CPUSVN")?)?,
            _ => {
                if let Some(component) = number.checked_sub(1).and_then(|index| components.get_mut(index)) {
                    set(component, "TCB component", level(value, "TCB component")?)?;
                }
            }
        }
    }
    let cpusvn = required(cpusvn, "CPUSVN")?;
    let mut svns = PlatformSvns { components: [0; COMPONENTS], pcesvn: required(pcesvn, "PCESVN")? };
    for (svn, component) in svns.components.iter_mut().zip(components) {
        *svn = required(component, "TCB component")?;
    }
    Ok((svns, cpusvn))
}

fn parse_sgx_type(value: Tlv<'_>) -> Result<SgxType, DerError> {
    match (value.tag, value.value) {
        (Tag::Enumerated, [0]) => Ok(SgxType::Standard),
        (Tag::Enumerated, [1]) => Ok(SgxType::Scalable),
        (Tag::Enumerated, [2]) => Ok(SgxType::ScalableWithIntegrity),
        _ => Err(DerError { what: "SGX type" }),
    }
}

fn pair<'a>(fields: &mut DerReader<'a>, what: &'static str) -> Result<(ObjectIdentifier, Tlv<'a>), DerError> {
    let mut pair = fields.sequence(what)?;
    let oid = pair.oid(what)?;
    let value = pair.any(what)?;
    pair.finish(what)?;
    Ok((oid, value))
}

fn octets<const N: usize>(value: Tlv<'_>, what: &'static str) -> Result<[u8; N], DerError> {
    match (value.tag, value.value.try_into()) {
        (Tag::OctetString, Ok(bytes)) => Ok(bytes),
        _ => Err(DerError { what }),
    }
}

fn integer(value: Tlv<'_>, what: &'static str) -> Result<u16, DerError> {
    let number = DerReader::new(value.raw, what)?.uint32(what)?;
    u16::try_from(number).map_err(|_| DerError { what })
}

/// A component's security version: 0 to 255.
fn level(value: Tlv<'_>, what: &'static str) -> Result<u8, DerError> {
    u8::try_from(integer(value, what)?).map_err(|_| DerError { what })
}

fn set<T>(slot: &mut Option<T>, field: &'static str, value: T) -> Result<(), PckExtensionFault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(PckExtensionFault::Duplicate { field }),
    }
}

fn required<T>(value: Option<T>, field: &'static str) -> Result<T, PckExtensionFault> {
    value.ok_or(PckExtensionFault::Missing { field })
}
