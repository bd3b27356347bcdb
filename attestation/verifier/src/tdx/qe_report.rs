//! The quoting enclave's SGX report, by which the platform's key vouches for the attestation key.
//!
//! Layout: Intel SGX ECDSA QuoteLibReference DCAP API, appendix A.4, "Enclave Report Body", 384 bytes.

use super::error::Error;
use super::reader::Reader;

/// Length of an SGX enclave report body, in bytes.
pub const ENCLAVE_REPORT_LEN: usize = 384;

/// Bit 1 of the flags in ATTRIBUTES: the enclave runs under a debugger.
const ATTRIBUTES_DEBUG: u8 = 1 << 1;

/// The fields of an enclave report that verification uses; reserved ones are skipped, the signature
/// is over the raw bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnclaveReport {
    /// CPUSVN of the platform when the enclave was measured.
    pub cpusvn: [u8; 16],
    /// MISCSELECT, in the byte order of the report.
    pub miscselect: [u8; 4],
    /// ATTRIBUTES: eight bytes of flags, eight of XFRM.
    pub attributes: [u8; 16],
    /// MRENCLAVE.
    pub mrenclave: [u8; 32],
    /// MRSIGNER: SHA-256 of the key that signed the enclave.
    pub mrsigner: [u8; 32],
    /// ISVPRODID.
    pub isvprodid: u16,
    /// ISVSVN: the enclave's own security version.
    pub isvsvn: u16,
    /// REPORTDATA: binds the attestation key.
    pub report_data: [u8; 64],
}

impl EnclaveReport {
    /// Reads an enclave report body of [`ENCLAVE_REPORT_LEN`] bytes.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let cpusvn = reader.array("QE report CPUSVN")?;
        let miscselect = reader.array("QE report MISCSELECT")?;
        reader.take("QE report reserved bytes", 28)?;
        let attributes = reader.array("QE report ATTRIBUTES")?;
        let mrenclave = reader.array("QE report MRENCLAVE")?;
        reader.take("QE report reserved bytes", 32)?;
        let mrsigner = reader.array("QE report MRSIGNER")?;
        reader.take("QE report reserved bytes", 96)?;
        let isvprodid = reader.u16("QE report ISVPRODID")?;
        let isvsvn = reader.u16("QE report ISVSVN")?;
        reader.take("QE report reserved bytes", 60)?;
        let report_data = reader.array("QE report REPORTDATA")?;
        Ok(Self { cpusvn, miscselect, attributes, mrenclave, mrsigner, isvprodid, isvsvn, report_data })
    }

    /// Whether the enclave runs under a debugger, so that anyone could have read its keys.
    pub fn is_debug(&self) -> bool {
        let [flags, ..] = self.attributes;
        flags & ATTRIBUTES_DEBUG != 0
    }
}
