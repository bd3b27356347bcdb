//! Certificate revocation lists, and whether one that parses can be checked against any issuer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{AT, Credulous, careless, planted};
use vouchsafe_verifier::x509::{Certificate, Crl};

const ISSUERS: [&[u8]; 3] = [
    include_bytes!("../../../attestation/verifier/roots/amd/milan-ark.der"),
    include_bytes!("../../../attestation/verifier/roots/amd/genoa-ark.der"),
    include_bytes!("../../../attestation/verifier/roots/intel/sgx-root-ca.der"),
];

fuzz_target!(|bytes: &[u8]| {
    let Ok(crl) = Crl::parse(bytes) else { return };
    for issuer in ISSUERS {
        let issuer = Certificate::parse(issuer).expect("pinned");
        if crl.check(&issuer, AT, &Credulous).is_ok() {
            assert_eq!(crl.issuer(), issuer.subject());
            assert!(crl.this_update() <= AT && AT <= crl.next_update());
        }
        let _ = crl.check_not_revoked(&issuer);
    }
    planted(|| careless::seconds_between(crl.this_update().0, crl.next_update().0));
});
