//! Event logs: what the guest says it measured, replayed against the RTMRs that the quote proves.
//!
//! Two forms are read: the CCEL area, in which the firmware keeps a TCG crypto-agile log (`ccel`),
//! and the JSON list that dstack guests keep (`json`).
//!
//! A replay that ends at the quoted registers proves the *digests* and their order. It says nothing of
//! an event's text: where the event type defines the digest as the hash of the content, that is
//! checked too and the log refused if it fails; everywhere else the content is only the guest's word,
//! and the event says so ([`Event::binding`]).

mod binding;
mod ccel;
mod json;

use alloc::string::String;
use alloc::vec::Vec;

use super::body::Measurement;
use super::error::Error;
use crate::crypto::Crypto;
use crate::encoding::Hex;

pub use binding::Binding;

/// Longest accepted log, padding included. CCEL areas are 64 KiB to 256 KiB.
pub const EVENT_LOG_LEN_MAX: usize = 4 * 1024 * 1024;
/// Most events in one log.
const EVENTS_MAX: usize = 16 * 1024;

/// Event type EV_NO_ACTION (TCG PC Client Platform Firmware Profile, table "Events"): never extended.
const EV_NO_ACTION: u32 = 3;

/// A log taken apart; nothing in it is believed.
#[derive(Debug, Clone)]
pub struct EventLog {
    events: Vec<RawEvent>,
}

/// One entry of a log.
#[derive(Debug, Clone)]
struct RawEvent {
    /// The register the event went into; `None` for one that was not extended.
    rtmr: Option<usize>,
    event_type: u32,
    digest: Measurement,
    /// The name of a dstack event.
    name: Option<String>,
    content: Vec<u8>,
}

/// A log that replays to the quote's RTMRs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedLog {
    events: Vec<Event>,
}

/// One event of a replayed log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    rtmr: Option<usize>,
    event_type: u32,
    digest: Measurement,
    name: Option<String>,
    content: Vec<u8>,
    binding: Binding,
}

impl EventLog {
    /// Takes a log of either form apart. A JSON log starts with `[`, which no CCEL area does: its
    /// first field is a register index.
    ///
    /// # Errors
    /// When the log is too long, truncated, or not of the form it starts as.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > EVENT_LOG_LEN_MAX {
            return Err(Error::EventLogTooLong { len: bytes.len(), max: EVENT_LOG_LEN_MAX });
        }
        let is_json = bytes.trim_ascii_start().first() == Some(&b'[');
        let events = if is_json { json::parse(bytes)? } else { ccel::parse(bytes)? };
        Ok(Self { events })
    }

    /// Replays the log and binds the contents of its events.
    ///
    /// # Errors
    /// [`Error::EventLogReplay`] when a register comes out otherwise than in `quoted`, RTMR0 to RTMR3;
    /// [`Error::EventContent`] when an event's content is not what its digest says it is.
    pub fn replay(self, quoted: &[Measurement; 4], crypto: &dyn Crypto) -> Result<ReplayedLog, Error> {
        for (rtmr, (replayed, quoted)) in self.registers(crypto).iter().zip(quoted).enumerate() {
            if replayed != quoted {
                return Err(Error::EventLogReplay { rtmr, replayed: Hex(*replayed), quoted: Hex(*quoted) });
            }
        }
        let bind = |(index, raw): (usize, RawEvent)| {
            let binding = binding::bind(&raw, index, crypto)?;
            let RawEvent { rtmr, event_type, digest, name, content } = raw;
            Ok(Event { rtmr, event_type, digest, name, content, binding })
        };
        let events = self.events.into_iter().enumerate().map(bind).collect::<Result<_, Error>>()?;
        Ok(ReplayedLog { events })
    }

    /// The registers after every event: each starts at zero and becomes SHA-384(register ‖ digest).
    fn registers(&self, crypto: &dyn Crypto) -> [Measurement; 4] {
        let mut registers = [[0; 48]; 4];
        for event in &self.events {
            if let Some(register) = event.rtmr.and_then(|rtmr| registers.get_mut(rtmr)) {
                let mut extended = Vec::from(register.as_slice());
                extended.extend_from_slice(&event.digest);
                *register = crypto.sha384(&extended);
            }
        }
        registers
    }
}

impl ReplayedLog {
    /// All events, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

impl Event {
    /// The register the event was extended into, 0 to 3; `None` for one that was not extended, of
    /// which nothing is proved.
    pub fn rtmr(&self) -> Option<usize> {
        self.rtmr
    }

    /// The event's type by its number. No digest covers it, except a dstack event's.
    pub fn event_type(&self) -> u32 {
        self.event_type
    }

    /// The digest that was extended.
    pub fn digest(&self) -> &Measurement {
        &self.digest
    }

    /// How much of the content the digest proves.
    pub fn binding(&self) -> Binding {
        self.binding
    }

    /// The name of a dstack event, which its digest covers.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| self.binding == Binding::NameAndContent)
    }

    /// The part of the content that the digest proves; `None` where it proves nothing.
    pub fn bound_content(&self) -> Option<&[u8]> {
        binding::bound_part(self.binding, &self.content)
    }

    /// The content as the guest tells it, proved or not. To be shown, not to be believed.
    pub fn unverified_content(&self) -> &[u8] {
        &self.content
    }
}

#[cfg(test)]
mod tests;
