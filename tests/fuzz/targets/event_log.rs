//! CCEL areas and JSON event logs: parsing, replay and the binding of contents are total.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::planted_fault;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::tdx::{Error, Event, EventLog};

fuzz_target!(|bytes: &[u8]| {
    let Ok(log) = EventLog::parse(bytes) else { return };
    // A replay to other registers says which ones it came to: taken as what was quoted, they let the
    // same log through to the contents of its events.
    let mut quoted = [[0; 48]; 4];
    for _ in 0..=quoted.len() {
        match log.clone().replay(&quoted, &Ring) {
            Err(Error::EventLogReplay { rtmr, replayed, .. }) => quoted[rtmr] = replayed.0,
            Err(_) => return,
            Ok(replayed) => {
                // No type that is defined has any of these bits.
                let is_unheard_of = |event: &Event| event.event_type() & 0x7000_0000 != 0;
                planted_fault(|| replayed.events().iter().any(is_unheard_of));
                return;
            }
        }
    }
    panic!("a replay differs from itself");
});
