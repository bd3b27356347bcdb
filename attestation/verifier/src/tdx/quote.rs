//! The quote: parsing, before anything in it is believed.
//!
//! Layouts: Intel TDX DCAP Quoting Library API, appendix 3: "Quote Format" versions 4 and 5, "ECDSA
//! 256-bit Quote Signature Data Structure", "QE Report Certification Data". All integers are
//! little-endian. Every length field is checked against what holds it, and what it holds must fill it.

use super::body::{TD_1_0_LEN, TD_1_5_LEN, TdReport};
use super::error::{Error, SurplusBytes};
use super::qe_report::{ENCLAVE_REPORT_LEN, EnclaveReport};
use super::reader::{Errors, Reader};

/// Longest accepted quote, padding included. Real ones are 5 KB; the kernel hands out 8 KB buffers.
pub const QUOTE_LEN_MAX: usize = 64 * 1024;

/// TEE type of TDX.
pub const TEE_TYPE_TDX: u32 = 0x81;
/// Attestation key type 2: ECDSA-256 with curve P-256, the only one Intel's quoting enclave uses.
pub const KEY_TYPE_ECDSA_P256: u16 = 2;

const ERRORS: Errors = Errors { truncated: Error::QuoteTruncated, length: Error::QuoteLength };

const BODY_TYPE_TD_1_0: u16 = 2;
const BODY_TYPE_TD_1_5: u16 = 3;

const CERTIFICATION_QE_REPORT: u16 = 6;
const CERTIFICATION_PCK_CHAIN: u16 = 5;

/// A TDX quote, version 4 or 5, taken apart. Nothing in it has been verified.
#[derive(Debug, Clone)]
pub struct Quote<'a> {
    header: Header,
    report: TdReport,
    signed: &'a [u8],
    signature: [u8; 64],
    attestation_key: [u8; 64],
    qe: QeCertification<'a>,
    trailing: TrailingBytes,
}

/// The quote's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Quote format: 4 or 5.
    pub version: u16,
    /// Attestation key type.
    pub attestation_key_type: u16,
    /// TEE type.
    pub tee_type: u32,
    /// Body type of a version 5 quote.
    pub body_type: Option<u16>,
    /// Who made the quoting enclave.
    pub qe_vendor_id: [u8; 16],
    /// User data of the quoting enclave; the first 16 bytes are the QE's id.
    pub user_data: [u8; 20],
}

/// Certification data of type 6: how the platform vouches for the attestation key.
#[derive(Debug, Clone)]
pub(super) struct QeCertification<'a> {
    /// The QE report's raw bytes, which the PCK signed.
    pub(super) report_bytes: &'a [u8],
    /// The same, taken apart.
    pub(super) report: EnclaveReport,
    /// ECDSA signature r‖s by the PCK.
    pub(super) report_signature: [u8; 64],
    /// QE authentication data, bound with the attestation key.
    pub(super) auth_data: &'a [u8],
    /// The PCK certificate chain in PEM, if the quote carries it.
    pub(super) pck_chain: Option<&'a [u8]>,
}

/// What follows the quote in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailingBytes {
    /// How many bytes.
    pub count: usize,
    /// Whether they are all zero, as the kernel's padding is. True where there are none.
    pub all_zero: bool,
}

impl<'a> Quote<'a> {
    /// Takes a quote apart.
    ///
    /// # Errors
    /// [`Error`] when the bytes are not a complete TDX quote of version 4 or 5 with an ECDSA P-256
    /// key and certification data of type 6, or when a length field disagrees with what it measures.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > QUOTE_LEN_MAX {
            return Err(Error::QuoteTooLong { len: bytes.len(), max: QUOTE_LEN_MAX });
        }
        let mut reader = Reader::new(bytes, ERRORS);
        let mut header = Header::read(&mut reader)?;
        let report = match header.version {
            4 => TdReport::read_1_0(&mut reader)?,
            _ => {
                let body_type = reader.u16("body type")?;
                header.body_type = Some(body_type);
                read_sized_report(&mut reader, body_type)?
            }
        };
        // What the attestation key signs is the header and the body exactly as they stand here.
        let unread = reader.rest().len();
        let signed = bytes.get(..bytes.len().saturating_sub(unread)).unwrap_or_default();

        let len = reader.u32("signature data length")?;
        let data = reader.take_sized("signature data", len)?;
        let trailing = TrailingBytes {
            count: reader.rest().len(),
            all_zero: reader.rest().iter().all(|byte| *byte == 0),
        };

        let mut data = Reader::new(data, ERRORS);
        let signature = data.array("quote signature")?;
        let attestation_key = data.array("attestation key")?;
        let certification = read_certification(&mut data)?;
        filled("signature data", &data)?;
        let qe = QeCertification::read(certification)?;
        Ok(Self { header, report, signed, signature, attestation_key, qe, trailing })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The TD report.
    pub fn report(&self) -> &TdReport {
        &self.report
    }

    /// The quoting enclave's report.
    pub fn qe_report(&self) -> &EnclaveReport {
        &self.qe.report
    }

    /// QE authentication data, which the QE report binds together with the attestation key.
    pub fn qe_auth_data(&self) -> &'a [u8] {
        self.qe.auth_data
    }

    /// The PCK certificate chain in PEM, if the quote carries it.
    pub fn pck_chain_pem(&self) -> Option<&'a [u8]> {
        self.qe.pck_chain
    }

    /// What follows the quote in its buffer.
    pub fn trailing(&self) -> TrailingBytes {
        self.trailing
    }

    /// Header and body, raw: the bytes under the quote's signature.
    pub(super) fn signed_bytes(&self) -> &'a [u8] {
        self.signed
    }

    /// ECDSA signature r‖s by the attestation key.
    pub(super) fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// The attestation key, x‖y.
    pub(super) fn attestation_key(&self) -> &[u8; 64] {
        &self.attestation_key
    }

    pub(super) fn qe(&self) -> &QeCertification<'a> {
        &self.qe
    }
}

impl Header {
    /// Reads the 48 bytes both versions share. What decides the layout of the rest is judged here.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let version = reader.u16("quote version")?;
        if !matches!(version, 4 | 5) {
            return Err(Error::QuoteVersion { version });
        }
        let attestation_key_type = reader.u16("attestation key type")?;
        let tee_type = reader.u32("TEE type")?;
        if tee_type != TEE_TYPE_TDX {
            return Err(Error::TeeType { tee_type, expected: TEE_TYPE_TDX });
        }
        if attestation_key_type != KEY_TYPE_ECDSA_P256 {
            return Err(Error::KeyType { key_type: attestation_key_type, expected: KEY_TYPE_ECDSA_P256 });
        }
        reader.take("reserved header bytes", 4)?;
        let qe_vendor_id = reader.array("QE vendor id")?;
        let user_data = reader.array("user data")?;
        Ok(Self { version, attestation_key_type, tee_type, body_type: None, qe_vendor_id, user_data })
    }
}

/// Reads a version 5 body, whose type and size must name the same layout.
fn read_sized_report(reader: &mut Reader<'_>, body_type: u16) -> Result<TdReport, Error> {
    let (read, expected): (fn(&mut Reader<'_>) -> _, usize) = match body_type {
        BODY_TYPE_TD_1_0 => (TdReport::read_1_0, TD_1_0_LEN),
        BODY_TYPE_TD_1_5 => (TdReport::read_1_5, TD_1_5_LEN),
        _ => return Err(Error::BodyType { body_type }),
    };
    let size = reader.u32("body size")?;
    if usize::try_from(size) != Ok(expected) {
        return Err(Error::BodySize { body_type, size, expected });
    }
    read(reader)
}

/// One certification data structure: its type and content.
#[derive(Debug, Clone, Copy)]
struct Certification<'a> {
    kind: u16,
    data: &'a [u8],
}

fn read_certification<'a>(reader: &mut Reader<'a>) -> Result<Certification<'a>, Error> {
    let kind = reader.u16("certification data type")?;
    let len = reader.u32("certification data length")?;
    Ok(Certification { kind, data: reader.take_sized("certification data", len)? })
}

impl<'a> QeCertification<'a> {
    fn read(outer: Certification<'a>) -> Result<Self, Error> {
        if outer.kind != CERTIFICATION_QE_REPORT {
            return Err(Error::CertificationType { kind: outer.kind, expected: CERTIFICATION_QE_REPORT });
        }
        let mut reader = Reader::new(outer.data, ERRORS);
        let report_bytes = reader.take("QE report", ENCLAVE_REPORT_LEN)?;
        let report = EnclaveReport::read(&mut Reader::new(report_bytes, ERRORS))?;
        let report_signature = reader.array("QE report signature")?;
        let auth_len = reader.u16("QE authentication data length")?;
        let auth_data = reader.take_sized("QE authentication data", auth_len)?;
        let inner = read_certification(&mut reader)?;
        filled("QE report certification data", &reader)?;
        // Types 1 to 4 name the PCK without carrying its chain; the collateral must bring it then.
        let pck_chain = (inner.kind == CERTIFICATION_PCK_CHAIN).then_some(inner.data);
        Ok(Self { report_bytes, report, report_signature, auth_data, pck_chain })
    }
}

/// Refuses a structure longer than its contents: bytes nobody accounts for.
fn filled(within: &'static str, reader: &Reader<'_>) -> Result<(), Error> {
    match reader.rest().len() {
        0 => Ok(()),
        count => Err(Error::SurplusBytes(SurplusBytes { within, count })),
    }
}
