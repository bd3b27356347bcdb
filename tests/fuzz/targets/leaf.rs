//! Log leaves of every type: what parses has one form, and its signed content is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{careless, planted};
use vouchsafe_receipt::Leaf;

fuzz_target!(|bytes: &[u8]| {
    let Ok(leaf) = Leaf::parse(bytes) else { return };
    assert_eq!(leaf.to_bytes(), bytes);
    if let Leaf::Endorsements(record) = leaf {
        planted(|| (careless::spread(record.boot.0), careless::spread(record.endorsements.0)));
    }
});
