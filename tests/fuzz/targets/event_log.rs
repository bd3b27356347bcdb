//! CCEL areas and JSON event logs: parsing, replay and the binding of contents are total.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{careless, planted};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::tdx::{Binding, Error, EventLog};

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
                for event in replayed.events() {
                    // What is called proved is a part of what is there, and its digest is the event's.
                    if let Some(bound) = event.bound_content() {
                        assert!(event.rtmr().is_some());
                        let content = event.unverified_content();
                        assert!(
                            content.windows(bound.len().max(1)).any(|part| part == bound) || bound.is_empty()
                        );
                        let hashed = event.binding() == Binding::NameAndContent
                            || Ring.sha384(bound) == *event.digest();
                        assert!(hashed, "a content that its digest does not prove");
                    }
                    planted(|| careless::event_number(event.event_type()));
                }
                return;
            }
        }
    }
    panic!("a replay differs from itself");
});
