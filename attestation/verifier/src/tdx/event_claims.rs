//! How far an event log that came with a quote can be believed, by stable names.
//!
//! A log that replays proves its digests and their order, so these claims name an event's content only where
//! its digest proves it, and nothing else of it: neither type nor label is under the digest, and an event
//! whose type is changed to one that is hashed elsewhere keeps its digest while its text says anything.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::event_log::{Binding, Event, ReplayedLog};
use crate::encoding::{Hex, to_hex};

/// Longest content that is shown; of a longer one the digest says what it is.
const CONTENT_LEN_MAX: usize = 1024;
/// Most events whose contents are listed.
const CONTENTS_MAX: usize = 1024;

/// What a replayed event log proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EventLogClaims {
    /// Events in the log.
    pub events: usize,
    /// Events whose content, or a stated part of it, hashes to the digest that was extended.
    pub content_bound: usize,
    /// Events of which the digest alone is known to be true.
    pub digest_only: usize,
    /// Events that were not extended, of which nothing is known to be true.
    pub not_measured: usize,
    /// The contents that are bound, in the log's order: the first 1024 of them.
    pub contents: Vec<EventClaims>,
}

/// What is proved of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EventClaims {
    /// Its place in the log, from 0.
    pub event: usize,
    /// The register it was extended into.
    pub rtmr: usize,
    /// Which part of the event the digest covers: [`Binding::as_str`].
    pub bound: &'static str,
    /// The digest.
    pub digest: Hex<48>,
    /// The event's name, where the digest covers it: dstack's events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Length of the bound content, in bytes.
    pub len: usize,
    /// The bound content, where it is printable ASCII of at most 1024 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The bound content in hexadecimal, where it is something else of at most 1024 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
}

impl EventLogClaims {
    pub(super) fn of(log: &ReplayedLog) -> Self {
        let events = log.events();
        let count = |binding| events.iter().filter(|event| event.binding() == binding).count();
        let (digest_only, not_measured) = (count(Binding::DigestOnly), count(Binding::NotMeasured));
        let contents = events.iter().enumerate().filter_map(|(index, event)| EventClaims::of(index, event));
        Self {
            events: events.len(),
            content_bound: events.len().saturating_sub(digest_only).saturating_sub(not_measured),
            digest_only,
            not_measured,
            contents: contents.take(CONTENTS_MAX).collect(),
        }
    }
}

impl EventClaims {
    fn of(index: usize, event: &Event) -> Option<Self> {
        let (content, rtmr) = (event.bound_content()?, event.rtmr()?);
        let is_shown = content.len() <= CONTENT_LEN_MAX;
        let printable = content.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let text = core::str::from_utf8(content).ok().filter(|_| is_shown && printable);
        Some(Self {
            event: index,
            rtmr,
            bound: event.binding().as_str(),
            digest: Hex(*event.digest()),
            name: event.name().map(ToString::to_string),
            len: content.len(),
            text: text.map(ToString::to_string),
            hex: (is_shown && !printable).then(|| to_hex(content)),
        })
    }
}
