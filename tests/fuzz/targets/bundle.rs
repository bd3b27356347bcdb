//! Receipt bundles: what parses survives a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_bundle::Bundle;
use vouchsafe_fuzz::{careless, planted};

fuzz_target!(|bytes: &[u8]| {
    let Ok(bundle) = Bundle::parse(bytes) else { return };
    let again = Bundle::parse(&bundle.to_json()).expect("a bundle's own text");
    assert_eq!(again.to_json(), bundle.to_json());
    planted(|| careless::signed_json(&bundle.parts().boot.statement.0));
});
