//! Minted evidence before our own verifier: accepted under its own root, and under no other.

use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{AmdAuthority, Product, SnpMachine, SnpMachineSpec, VekKind};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::{Error, RootKind, TrustRoots, UnixSeconds, VerifiedEvidence, verify};

use crate::common::{NOW, authority};

#[test]
fn every_product_and_version_is_accepted_under_the_simulated_root() {
    for product in Product::ALL {
        for vek in [VekKind::Vcek, VekKind::Vlek { csp_id: "CN=simulated.invalid".to_owned() }] {
            let mut machine = machine(product, vek.clone());
            for version in 2..=5 {
                machine.fields_mut().version = version;
                let what = format!("{product:?} {vek:?} version {version}");
                let verified = judge(&machine, &roots(authority(product)), NOW)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(verified.report_data(), &[7; 64], "{what}");
                assert!(matches!(verified.root(), RootKind::Test { .. }), "{what}");
            }
        }
    }
}

#[test]
fn nothing_is_accepted_under_the_vendors_roots() {
    for product in Product::ALL {
        let machine = machine(product, VekKind::Vcek);
        let refused = judge(&machine, &TrustRoots::vendor_pinned(), NOW).unwrap_err();
        assert_eq!(refused.code(), "snp_root_not_trusted", "{product:?}: {refused}");
    }
    // Nor under another simulated root.
    let refused =
        judge(&machine(Product::Milan, VekKind::Vcek), &roots(authority(Product::Genoa)), NOW).unwrap_err();
    assert_eq!(refused.code(), "snp_root_not_trusted", "{refused}");
}

#[test]
fn endorsements_end_when_they_say() {
    let machine = machine(Product::Genoa, VekKind::Vcek);
    let roots = roots(authority(Product::Genoa));
    let year = 365 * 86_400;
    judge(&machine, &roots, UnixSeconds(NOW.0 + year)).unwrap();
    for wrong in [NOW.0 - 1, NOW.0 + year + 1, NOW.0 + 8 * year] {
        assert!(judge(&machine, &roots, UnixSeconds(wrong)).is_err(), "{wrong}");
    }
}

fn machine(product: Product, vek: VekKind) -> SnpMachine {
    let authority = authority(product);
    let spec = SnpMachineSpec { vek, ..SnpMachineSpec::typical(authority, NOW) };
    SnpMachine::new(authority, &spec, [0x4d; 48], &mut OsRng).unwrap()
}

fn roots(authority: &AmdAuthority) -> TrustRoots {
    TrustRoots::none().with_test_amd_root(authority.ark_der()).unwrap()
}

fn judge(machine: &SnpMachine, roots: &TrustRoots, at: UnixSeconds) -> Result<VerifiedEvidence, Error> {
    verify(&machine.evidence([7; 64]), Some(&machine.endorsements()), roots, at, &Ring)
}
