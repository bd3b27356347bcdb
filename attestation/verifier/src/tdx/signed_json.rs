//! What TCB info and QE identity have in common: Intel's JSON dialect, a validity window, TCB levels.
//!
//! The documents are parsed from the very bytes whose signature was checked, by the strict JSON
//! reader; field syntax: Intel PCS API v4, "TCB info" and "Enclave identity".

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::error::{Document, DocumentFault, Error};
use super::tcb_status::{TcbPart, TcbStatus};
use crate::encoding::from_mixed_hex;
use crate::strict_json::{Fault, FromValue, Limits, Value, read};
use crate::{UnixSeconds, json_fields};

/// Intel's documents are some 6 KB with nesting of 6; these leave room for many more platforms.
const LIMITS: Limits = Limits { bytes_max: 256 * 1024, depth_max: 12 };

impl Document {
    /// Parses the document's text as `T`.
    pub(super) fn parse<T: FromValue>(self, text: &str) -> Result<T, Error> {
        read(text.as_bytes(), LIMITS).map_err(|error| self.fault(DocumentFault::Json(error)))
    }

    /// `fault`, found in this document.
    pub(super) fn fault(self, fault: DocumentFault) -> Error {
        Error::Document { document: self, fault }
    }

    /// Exactly `N` bytes of hexadecimal in either case.
    pub(super) fn hex<const N: usize>(self, field: &'static str, text: &str) -> Result<[u8; N], Error> {
        from_mixed_hex(text)
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
        let mut advisories = BTreeSet::new();
        advisories.extend(level.advisory_ids.unwrap_or_default());
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

/// Puts a level behind those that are as high: a document need not give them in order.
pub(super) fn file<T>(levels: &mut Vec<T>, level: T, is_as_high: impl Fn(&T, &T) -> bool) {
    let place = levels.partition_point(|known| is_as_high(known, &level));
    levels.insert(place, level);
}

/// A TCB level as all documents write it; `T` says which versions reach it.
#[derive(Debug)]
pub(super) struct RawLevel<T> {
    pub(super) tcb: T,
    tcb_date: String,
    tcb_status: TcbStatus,
    advisory_ids: Option<Vec<String>>,
}

impl<T: FromValue> FromValue for RawLevel<T> {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        json_fields!(open value, Self {
            tcb,
            tcb_date as "tcbDate",
            tcb_status as "tcbStatus",
            advisory_ids as "advisoryIDs",
        })
    }
}

/// One security version that a level wants.
#[derive(Debug)]
pub(super) struct RawIsvsvn<N> {
    pub(super) isvsvn: N,
}

impl<N: FromValue> FromValue for RawIsvsvn<N> {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        json_fields!(open value, Self { isvsvn })
    }
}
