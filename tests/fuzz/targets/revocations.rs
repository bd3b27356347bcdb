//! Lists of revocations, and signed ones: what parses survives a round trip, is verified, and has one leaf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{Credulous, careless, planted, revocations};
use vouchsafe_receipt::{Leaf, RevocationList, SignedRevocations, revocations_leaf};

fuzz_target!(|bytes: &[u8]| {
    let signed = match RevocationList::parse(bytes) {
        Ok(list) => {
            assert_eq!(list.to_bytes(), bytes);
            revocations::sign(list)
        }
        Err(_) => match SignedRevocations::parse(bytes) {
            Ok(signed) => signed,
            Err(_) => return,
        },
    };
    assert_eq!(SignedRevocations::parse(signed.to_json().as_bytes()).as_ref(), Ok(&signed));
    // A log takes a leaf in one form alone; a list without signatures has none.
    if let Ok(leaf) = Leaf::parse(&revocations_leaf(&signed)) {
        assert_eq!(leaf.to_bytes(), revocations_leaf(&signed));
    }
    let Ok(verified) = signed.verify(revocations::signers(), &Credulous) else { return };
    verified.list().check().expect("a verified list");
    planted(|| careless::first_letters(verified.list().revocations.iter().map(|one| one.reason.as_str())));
});
