//! What TCB info and QE identity have in common: Intel's JSON dialect, a validity window, TCB levels.
//!
//! The documents are parsed from the very bytes whose signature was checked, by the strict JSON
//! reader; field syntax: Intel PCS API v4, "TCB info" and "Enclave identity".

use alloc::string::String;
use alloc::vec::Vec;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;

use super::error::{Document, DocumentFault, Error};
use super::tcb_status::{TcbPart, TcbStatus};
use crate::UnixSeconds;
use crate::strict_json::{Limits, parse};

/// Intel's documents are some 6 KB with nesting of 6; these leave room for many more platforms.
const LIMITS: Limits = Limits { bytes_max: 256 * 1024, depth_max: 12 };

impl Document {
    /// Parses the document's text as `T`.
    pub(super) fn parse<T: serde::de::DeserializeOwned>(self, text: &str) -> Result<T, Error> {
        parse(text.as_bytes(), LIMITS).map_err(|error| self.fault(DocumentFault::Json(error)))
    }

    /// `fault`, found in this document.
    pub(super) fn fault(self, fault: DocumentFault) -> Error {
        Error::Document { document: self, fault }
    }

    /// Exactly `N` bytes of hexadecimal in either case.
    pub(super) fn hex<const N: usize>(self, field: &'static str, text: &str) -> Result<[u8; N], Error> {
        HEXLOWER_PERMISSIVE
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| self.fault(DocumentFault::Field { field }))
    }

    /// A date.
    pub(super) fn date(self, field: &'static str, text: &str) -> Result<UnixSeconds, Error> {
        UnixSeconds::from_rfc3339(text).ok_or_else(|| self.fault(DocumentFault::Field { field }))
    }

    /// The document's window.
    pub(super) fn window(self, issue_date: &str, next_update: &str) -> Result<Window, Error> {
        let issued = self.date("issueDate", issue_date)?;
        let next_update = self.date("nextUpdate", next_update)?;
        Ok(Window { issued, next_update })
    }

    /// One TCB level's status, date and advisories, where only `allowed` statuses make sense.
    pub(super) fn part<T>(self, level: RawLevel<T>, allowed: &[TcbStatus]) -> Result<TcbPart, Error> {
        let status = level.tcb_status;
        if !allowed.contains(&status) {
            return Err(self.fault(DocumentFault::Status { status }));
        }
        let tcb_date = Some(self.date("tcbDate", &level.tcb_date)?);
        let advisories = level.advisory_ids.unwrap_or_default().into_iter().collect();
        Ok(TcbPart { status, tcb_date, advisories })
    }
}

/// When a document may be used: from `issued` to `next_update`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The document's `issueDate`.
    pub issued: UnixSeconds,
    /// The document's `nextUpdate`.
    pub next_update: UnixSeconds,
}

impl Window {
    /// Whether `at` lies in the window.
    pub(super) fn check(self, document: Document, at: UnixSeconds) -> Result<(), Error> {
        if at < self.issued {
            return Err(document.fault(DocumentFault::NotYetValid { issued: self.issued, at }));
        }
        if at > self.next_update {
            return Err(document.fault(DocumentFault::Expired { next_update: self.next_update, at }));
        }
        Ok(())
    }
}

/// A TCB level as all documents write it; `T` says which versions reach it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawLevel<T> {
    pub(super) tcb: T,
    tcb_date: String,
    tcb_status: TcbStatus,
    #[serde(rename = "advisoryIDs")]
    advisory_ids: Option<Vec<String>>,
}

/// One security version that a level wants.
#[derive(Debug, Deserialize)]
pub(super) struct RawIsvsvn<N> {
    pub(super) isvsvn: N,
}
