//! Meddling with whole TLS records, which is what a host can see of a session without its keys.
//!
//! A record is a 5-byte header whose last two bytes are the length of what follows (RFC 8446,
//! section 5.1). Records are numbered per session and direction, from 0.

use std::collections::HashMap;

use vouchsafe_link::Endpoint;

use crate::host::{Action, Direction, Meddler};

const HEADER_BYTES: usize = 5;

/// One TLS record in transit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The session it is of, from 0.
    pub session: u64,
    /// Which way it travels.
    pub direction: Direction,
    /// How many records of this session and direction came before it.
    pub number: u64,
    /// The whole record, its header included.
    pub bytes: Vec<u8>,
}

/// What a function makes of each record: the bytes to send in its place, or something worse.
type Decide = Box<dyn FnMut(Record) -> Action + Send>;

/// Hands each record to a function, and sends every session to one enclave.
pub struct Records {
    endpoint: Endpoint,
    decide: Decide,
    pending: HashMap<(u64, bool), Pending>,
}

/// Bytes of a record that is still arriving, and how many records came before it.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    number: u64,
}

impl Records {
    /// Sends sessions to `endpoint` and asks `decide` about every record.
    pub fn new(endpoint: Endpoint, decide: impl FnMut(Record) -> Action + Send + 'static) -> Self {
        Self { endpoint, decide: Box::new(decide), pending: HashMap::new() }
    }
}

impl Meddler for Records {
    fn route(&mut self, _: u64) -> Endpoint {
        self.endpoint.clone()
    }

    fn chunk(&mut self, session: u64, direction: Direction, _: u64, bytes: Vec<u8>) -> Action {
        let pending = self.pending.entry((session, direction == Direction::ToEnclave)).or_default();
        pending.bytes.extend_from_slice(&bytes);
        let (mut sent, mut wait, mut is_trickled) = (Vec::new(), None, false);
        while let Some(length) = complete(&pending.bytes) {
            let bytes: Vec<u8> = pending.bytes.drain(..length).collect();
            let number = pending.number;
            pending.number += 1;
            match (self.decide)(Record { session, direction, number, bytes }) {
                Action::Send(bytes) => sent.extend(bytes),
                Action::Hold(longer, bytes) => {
                    wait = Some(longer);
                    sent.extend(bytes);
                }
                Action::Trickle(bytes) => {
                    is_trickled = true;
                    sent.extend(bytes);
                }
                Action::End(bytes) => return Action::End([sent, bytes].concat()),
                Action::Stall(bytes) => return Action::Stall([sent, bytes].concat()),
                Action::Cut => return Action::Cut,
            }
        }
        match (wait, is_trickled) {
            (Some(wait), _) => Action::Hold(wait, sent),
            (None, true) => Action::Trickle(sent),
            (None, false) => Action::Send(sent),
        }
    }
}

/// The length of the first record, if it is all there.
fn complete(bytes: &[u8]) -> Option<usize> {
    let [_, _, _, high, low] = bytes.first_chunk::<HEADER_BYTES>()?;
    let length = HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    (bytes.len() >= length).then_some(length)
}
