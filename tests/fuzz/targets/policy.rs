//! Policy documents: what parses survives a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_bundle::Policy;
use vouchsafe_fuzz::planted_fault;

fuzz_target!(|bytes: &[u8]| {
    let Ok(policy) = Policy::parse(bytes) else { return };
    let again = Policy::parse(&policy.to_json()).expect("a policy's own text");
    assert_eq!(again.document(), policy.document());
    planted_fault(|| policy.document().name.bytes().any(|byte| byte.is_ascii_digit()));
});
