//! QE identity: which quoting enclave Intel stands behind.
//!
//! Format and rules: Intel PCS API v4, "Enclave Identity V4", version 2 with id `TD_QE`; the checks
//! are those of "Enclave identity verification" in the Quote Verification Library.

use alloc::string::String;
use alloc::vec::Vec;

use super::error::{Document, DocumentFault, Error};
use super::qe_report::EnclaveReport;
use super::signed_json::{RawIsvsvn, RawLevel, Window, file};
use super::tcb_info::bounded;
use super::tcb_status::{TcbPart, TcbStatus};
use crate::encoding::Hex;
use crate::json_record;

const DOC: Document = Document::QeIdentity;
const ID: &str = "TD_QE";
const VERSION: u32 = 2;
const LEVELS_MAX: usize = 512;

/// Statuses an enclave's level can have.
const STATUSES: &[TcbStatus] = &[
    TcbStatus::UpToDate,
    TcbStatus::ConfigurationNeeded,
    TcbStatus::OutOfDate,
    TcbStatus::OutOfDateConfigurationNeeded,
    TcbStatus::Revoked,
];

/// A QE identity document with its fields decoded.
#[derive(Debug, Clone)]
pub(super) struct QeIdentity {
    pub(super) window: Window,
    pub(super) evaluation_number: u32,
    miscselect: [u8; 4],
    miscselect_mask: [u8; 4],
    attributes: [u8; 16],
    attributes_mask: [u8; 16],
    mrsigner: [u8; 32],
    isvprodid: u16,
    /// From the highest ISVSVN down.
    levels: Vec<(u16, TcbPart)>,
}

impl QeIdentity {
    /// Reads a QE identity document. Its signature is the caller's business.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let raw: RawQeIdentity = DOC.parse(text)?;
        if raw.id != ID {
            return Err(DOC.fault(DocumentFault::Id { id: bounded(&raw.id), expected: ID }));
        }
        if raw.version != VERSION {
            return Err(DOC.fault(DocumentFault::Version { version: raw.version, expected: VERSION }));
        }
        let count = raw.tcb_levels.len();
        if count > LEVELS_MAX {
            return Err(DOC.fault(DocumentFault::TooMany { field: "tcbLevels", count, max: LEVELS_MAX }));
        }
        let mut levels = Vec::new();
        for level in raw.tcb_levels {
            let level = (level.tcb.isvsvn, DOC.part(level, STATUSES)?);
            file(&mut levels, level, |known, new| known.0 >= new.0);
        }
        Ok(Self {
            window: DOC.window(&raw.issue_date, &raw.next_update)?,
            evaluation_number: raw.tcb_evaluation_data_number,
            miscselect: DOC.hex("miscselect", &raw.miscselect)?,
            miscselect_mask: DOC.hex("miscselectMask", &raw.miscselect_mask)?,
            attributes: DOC.hex("attributes", &raw.attributes)?,
            attributes_mask: DOC.hex("attributesMask", &raw.attributes_mask)?,
            mrsigner: DOC.hex("mrsigner", &raw.mrsigner)?,
            isvprodid: raw.isvprodid,
            levels,
        })
    }

    /// Holds a QE report against this identity and gives the enclave's TCB level.
    ///
    /// An enclave below every level is an error, not a status: Intel does not vouch for it at all, so
    /// the attestation key it certified is nobody's.
    pub(super) fn appraise(&self, report: &EnclaveReport) -> Result<TcbPart, Error> {
        if report.is_debug() {
            return Err(Error::QeDebug { attributes: Hex(report.attributes) });
        }
        if report.mrsigner != self.mrsigner {
            let (reported, expected) = (Hex(report.mrsigner), Hex(self.mrsigner));
            return Err(Error::QeSigner { reported, expected });
        }
        if report.isvprodid != self.isvprodid {
            return Err(Error::QeProduct { reported: report.isvprodid, expected: self.isvprodid });
        }
        if !equal_under(&report.miscselect, &self.miscselect, &self.miscselect_mask) {
            let (reported, expected) = (Hex(report.miscselect), Hex(self.miscselect));
            return Err(Error::QeMiscselect { reported, expected, mask: Hex(self.miscselect_mask) });
        }
        if !equal_under(&report.attributes, &self.attributes, &self.attributes_mask) {
            let (reported, expected) = (Hex(report.attributes), Hex(self.attributes));
            return Err(Error::QeAttributes { reported, expected, mask: Hex(self.attributes_mask) });
        }
        let level = self.levels.iter().find(|(floor, _)| *floor <= report.isvsvn);
        let lowest = self.levels.last().map_or(0, |(floor, _)| *floor);
        level.map(|(_, part)| part.clone()).ok_or(Error::QeIsvsvn { reported: report.isvsvn, lowest })
    }
}

/// Whether `reported`, masked, is `expected`, masked.
fn equal_under<const N: usize>(reported: &[u8; N], expected: &[u8; N], mask: &[u8; N]) -> bool {
    reported.iter().zip(expected).zip(mask).all(|((have, want), mask)| have & mask == want & mask)
}

#[derive(Debug)]
struct RawQeIdentity {
    id: String,
    version: u32,
    issue_date: String,
    next_update: String,
    tcb_evaluation_data_number: u32,
    miscselect: String,
    miscselect_mask: String,
    attributes: String,
    attributes_mask: String,
    mrsigner: String,
    isvprodid: u16,
    tcb_levels: Vec<RawLevel<RawIsvsvn<u16>>>,
}

json_record!(open RawQeIdentity {
    id,
    version,
    issue_date as "issueDate",
    next_update as "nextUpdate",
    tcb_evaluation_data_number as "tcbEvaluationDataNumber",
    miscselect,
    miscselect_mask as "miscselectMask",
    attributes,
    attributes_mask as "attributesMask",
    mrsigner,
    isvprodid,
    tcb_levels as "tcbLevels",
});

#[cfg(test)]
mod tests;
