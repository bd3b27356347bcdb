//! The event log in JSON that dstack guests hand out: the firmware's events, then their own.
//!
//! Shape: a list of `{"imr", "event_type", "digest", "event", "event_payload"}`, digests and payloads
//! in hexadecimal; `imr` 0 to 3 are RTMR0 to RTMR3. For the firmware's events the payload is the
//! event's content; for dstack's own, the digest is
//! SHA-384(type, 4 bytes little-endian ‖ ":" ‖ event ‖ ":" ‖ payload).

use alloc::string::String;
use alloc::vec::Vec;

use super::binding::DSTACK_RUNTIME_EVENT;
use super::{EV_NO_ACTION, EVENT_LOG_LEN_MAX, EVENTS_MAX, RawEvent};
use crate::encoding::{Hex, from_mixed_hex};
use crate::json_record;
use crate::strict_json::{self, Limits};
use crate::tdx::error::Error;

const LIMITS: Limits = Limits { bytes_max: EVENT_LOG_LEN_MAX, depth_max: 2 };

#[derive(Debug)]
struct JsonEvent {
    imr: u32,
    event_type: u32,
    digest: Hex<48>,
    event: String,
    event_payload: String,
}

json_record!(JsonEvent { imr, event_type, digest, event, event_payload });

/// Reads all events of a JSON log.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<RawEvent>, Error> {
    let events: Vec<JsonEvent> = strict_json::read(bytes, LIMITS).map_err(Error::EventLogJson)?;
    if events.len() > EVENTS_MAX {
        return Err(malformed("too many events"));
    }
    events.into_iter().map(decode).collect()
}

fn decode(event: JsonEvent) -> Result<RawEvent, Error> {
    let rtmr = match (event.event_type, usize::try_from(event.imr)) {
        (EV_NO_ACTION, _) => None,
        (_, Ok(rtmr @ 0..=3)) => Some(rtmr),
        _ => return Err(malformed("a register index beyond RTMR3")),
    };
    let content =
        from_mixed_hex(&event.event_payload).ok_or_else(|| malformed("a payload that is not hexadecimal"))?;
    // The text in `event` is covered by the digest of dstack's own events alone; elsewhere it is a
    // comment and dropped.
    let name = (event.event_type == DSTACK_RUNTIME_EVENT).then_some(event.event);
    if name.as_ref().is_some_and(|name| name.contains(':')) {
        // The colon separates name and payload under the digest: with another one in the name, the
        // same digest would stand for two different events.
        return Err(malformed("a colon in an event's name"));
    }
    Ok(RawEvent { rtmr, event_type: event.event_type, digest: event.digest.0, name, content })
}

fn malformed(what: &'static str) -> Error {
    Error::EventLogMalformed { what }
}
