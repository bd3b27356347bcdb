//! Policy documents: what parses survives a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_bundle::Policy;
use vouchsafe_fuzz::{careless, planted};

fuzz_target!(|bytes: &[u8]| {
    let Ok(policy) = Policy::parse(bytes) else { return };
    let again = Policy::parse(&policy.to_json()).expect("a policy's own text");
    assert_eq!(again.document(), policy.document());
    planted(|| careless::first_letters(policy.ignored().iter().map(|(_, reason)| reason.as_str())));
});
