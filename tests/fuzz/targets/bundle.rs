//! Receipt bundles: what parses survives a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_bundle::Bundle;
use vouchsafe_fuzz::planted_fault;

fuzz_target!(|bytes: &[u8]| {
    let Ok(bundle) = Bundle::parse(bytes) else { return };
    let again = Bundle::parse(&bundle.to_json()).expect("a bundle's own text");
    assert_eq!(again.to_json(), bundle.to_json());
    planted_fault(|| !bundle.parts().boot.statement.0.starts_with(b"{"));
});
