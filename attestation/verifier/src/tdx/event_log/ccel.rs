//! The CCEL area: a TCG crypto-agile event log whose register indices mean MRTD and RTMRs.
//!
//! Formats: TCG PC Client Platform Firmware Profile, sections "TCG_PCClientPCREvent" (the header
//! event), "TCG_EfiSpecIDEvent" and "TCG_PCR_EVENT2"; register indices: Intel TDX Virtual Firmware
//! Design Guide, "Event Log" (0 is MRTD, 1 to 4 are RTMR0 to RTMR3).

use alloc::vec::Vec;

use super::{EV_NO_ACTION, EVENTS_MAX, RawEvent};
use crate::tdx::error::Error;
use crate::tdx::reader::{Errors, Reader};

const SPEC_ID_SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";
const TPM_ALG_SHA384: u16 = 0x000c;
const SHA384_LEN: u16 = 48;
/// More hash algorithms than this in one log is no firmware's doing.
const ALGORITHMS_MAX: u32 = 8;

const ERRORS: Errors = Errors { truncated: Error::EventLogTruncated, length: Error::EventLogTruncated };

/// What fills the area after the last event.
const PADDING: [u8; 2] = [0xff, 0x00];

/// A hash algorithm of the log and its digest's length, in bytes.
#[derive(Debug, Clone, Copy)]
struct Algorithm {
    id: u16,
    digest_len: u16,
}

/// Reads all events of a CCEL area.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<RawEvent>, Error> {
    let mut reader = Reader::new(bytes, ERRORS);
    let algorithms = read_header_event(&mut reader)?;
    let mut events = Vec::new();
    while !is_padding(reader.rest()) {
        if events.len() == EVENTS_MAX {
            return Err(malformed("too many events"));
        }
        events.push(read_event(&mut reader, &algorithms)?);
    }
    Ok(events)
}

/// Whether nothing but padding follows. Looks at more than the first bytes only if they are padding,
/// so that reading a log stays linear in its length.
fn is_padding(rest: &[u8]) -> bool {
    // No event starts so: 0xffffffff is no register, and twelve zero bytes are an event without digest.
    PADDING
        .iter()
        .any(|pad| rest.iter().take(12).all(|byte| byte == pad) && rest.iter().all(|byte| byte == pad))
}

/// Reads the header event, which names the hash algorithms of all that follow.
fn read_header_event(reader: &mut Reader<'_>) -> Result<Vec<Algorithm>, Error> {
    reader.u32("header event register index")?;
    if reader.u32("header event type")? != EV_NO_ACTION {
        return Err(malformed("the header event is not EV_NO_ACTION"));
    }
    reader.take("header event digest", 20)?;
    let len = reader.u32("header event length")?;
    let mut spec = Reader::new(reader.take_sized("header event", len)?, ERRORS);
    if spec.array("specification id signature")? != *SPEC_ID_SIGNATURE {
        return Err(malformed("not a TCG crypto-agile log"));
    }
    spec.take("platform class and specification version", 8)?;
    let count = spec.u32("number of algorithms")?;
    if count > ALGORITHMS_MAX {
        return Err(malformed("too many hash algorithms"));
    }
    let mut algorithms = Vec::<Algorithm>::new();
    for _ in 0..count {
        let algorithm = Algorithm { id: spec.u16("algorithm id")?, digest_len: spec.u16("digest length")? };
        if algorithms.iter().any(|other| other.id == algorithm.id) {
            return Err(malformed("a hash algorithm occurs twice"));
        }
        if algorithm.id == TPM_ALG_SHA384 && algorithm.digest_len != SHA384_LEN {
            return Err(malformed("SHA-384 digests of another length"));
        }
        algorithms.push(algorithm);
    }
    if !algorithms.iter().any(|algorithm| algorithm.id == TPM_ALG_SHA384) {
        return Err(malformed("no SHA-384 digests, which RTMRs are extended with"));
    }
    let [vendor_len] = spec.array("vendor information length")?;
    spec.take_sized("vendor information", vendor_len)?;
    if !spec.rest().is_empty() {
        return Err(malformed("bytes after the header event's content"));
    }
    Ok(algorithms)
}

fn read_event(reader: &mut Reader<'_>, algorithms: &[Algorithm]) -> Result<RawEvent, Error> {
    let register = reader.u32("register index")?;
    let event_type = reader.u32("event type")?;
    let digest = read_digests(reader, algorithms)?;
    let len = reader.u32("event length")?;
    let content = reader.take_sized("event", len)?.to_vec();
    let rtmr = match (event_type, register) {
        (EV_NO_ACTION, _) => None,
        (_, 1) => Some(0),
        (_, 2) => Some(1),
        (_, 3) => Some(2),
        (_, 4) => Some(3),
        (_, 0) => return Err(malformed("an event claims to extend MRTD")),
        _ => return Err(malformed("a register index beyond RTMR3")),
    };
    Ok(RawEvent { rtmr, event_type, digest, name: None, content })
}

/// Reads an event's digests, one per algorithm of the log, and gives the SHA-384 one.
fn read_digests(reader: &mut Reader<'_>, algorithms: &[Algorithm]) -> Result<[u8; 48], Error> {
    let count = reader.u32("digest count")?;
    if usize::try_from(count) != Ok(algorithms.len()) {
        return Err(malformed("an event's digests are not one per algorithm"));
    }
    let mut sha384 = None;
    for _ in 0..count {
        let id = reader.u16("digest algorithm")?;
        if id == TPM_ALG_SHA384 {
            if sha384.replace(reader.array("SHA-384 digest")?).is_some() {
                return Err(malformed("an event has two SHA-384 digests"));
            }
            continue;
        }
        let algorithm = algorithms.iter().find(|algorithm| algorithm.id == id);
        let algorithm = algorithm.ok_or(malformed("a digest of an algorithm that the log does not name"))?;
        reader.take("digest", algorithm.digest_len.into())?;
    }
    sha384.ok_or(malformed("an event has no SHA-384 digest"))
}

fn malformed(what: &'static str) -> Error {
    Error::EventLogMalformed { what }
}
