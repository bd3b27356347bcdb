//! The body of a TDX quote: the TD report that the TDX module made and the quoting enclave signed.
//!
//! Layouts: Intel TDX DCAP Quoting Library API, appendix 3, "TD Quote Body"; TD 1.0 is 584 bytes,
//! TD 1.5 appends TEE_TCB_SVN2 and MRSERVICETD to make 648.

use super::attributes::TdAttributes;
use super::error::Error;
use super::reader::Reader;

/// Length of a TD 1.0 report, in bytes.
pub const TD_1_0_LEN: usize = 584;
/// Length of a TD 1.5 report, in bytes.
pub const TD_1_5_LEN: usize = 648;

/// A measurement register of a TD: SHA-384.
pub type Measurement = [u8; 48];

/// A TD report as the quote carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdReport {
    /// TEE_TCB_SVN: the security versions of the TDX module and its parts when the TD was launched.
    pub tee_tcb_svn: [u8; 16],
    /// MRSEAM: measurement of the TDX module.
    pub mrseam: Measurement,
    /// MRSIGNERSEAM: who signed the TDX module; all zero for Intel's own.
    pub mrsignerseam: Measurement,
    /// SEAMATTRIBUTES, in the byte order of the quote.
    pub seamattributes: [u8; 8],
    /// TDATTRIBUTES.
    pub td_attributes: TdAttributes,
    /// XFAM: the extended processor features the TD may use, in the byte order of the quote.
    pub xfam: [u8; 8],
    /// MRTD: measurement of the TD's initial memory.
    pub mrtd: Measurement,
    /// MRCONFIGID: configuration named by the host at launch, not measured from memory.
    pub mrconfigid: Measurement,
    /// MROWNER: the TD's owner as named at launch.
    pub mrowner: Measurement,
    /// MROWNERCONFIG: the owner's configuration as named at launch.
    pub mrownerconfig: Measurement,
    /// RTMR0 to RTMR3: what the guest extended at run time.
    pub rtmr: [Measurement; 4],
    /// REPORTDATA: 64 bytes that the guest chose.
    pub report_data: [u8; 64],
    /// What TD 1.5 adds; `None` in a TD 1.0 report.
    pub td_1_5: Option<Td15Fields>,
}

/// The fields that a TD 1.5 report adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Td15Fields {
    /// TEE_TCB_SVN2: the security versions now, after any update that preserved the TD.
    pub tee_tcb_svn2: [u8; 16],
    /// MRSERVICETD: measurement of the service TDs bound to this TD; all zero if there are none.
    pub mrservicetd: Measurement,
}

impl TdReport {
    /// Reads a TD 1.0 report.
    pub(super) fn read_1_0(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            tee_tcb_svn: reader.array("TEE_TCB_SVN")?,
            mrseam: reader.array("MRSEAM")?,
            mrsignerseam: reader.array("MRSIGNERSEAM")?,
            seamattributes: reader.array("SEAMATTRIBUTES")?,
            td_attributes: TdAttributes::from_le_bytes(reader.array("TDATTRIBUTES")?),
            xfam: reader.array("XFAM")?,
            mrtd: reader.array("MRTD")?,
            mrconfigid: reader.array("MRCONFIGID")?,
            mrowner: reader.array("MROWNER")?,
            mrownerconfig: reader.array("MROWNERCONFIG")?,
            rtmr: [
                reader.array("RTMR0")?,
                reader.array("RTMR1")?,
                reader.array("RTMR2")?,
                reader.array("RTMR3")?,
            ],
            report_data: reader.array("REPORTDATA")?,
            td_1_5: None,
        })
    }

    /// Reads a TD 1.5 report.
    pub(super) fn read_1_5(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let base = Self::read_1_0(reader)?;
        let td_1_5 = Some(Td15Fields {
            tee_tcb_svn2: reader.array("TEE_TCB_SVN2")?,
            mrservicetd: reader.array("MRSERVICETD")?,
        });
        Ok(Self { td_1_5, ..base })
    }
}
