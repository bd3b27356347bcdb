//! Minted evidence before an independent verifier: the `sev` crate.

use sev::certs::snp::{Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{Product, SnpMachine, SnpMachineSpec, VekKind};
use vouchsafe_verifier::SnpEndorsements;

use crate::common::{NOW, authority};

const MEASUREMENT: [u8; 48] = [0x4d; 48];

#[test]
fn sev_accepts_every_product_version_and_key() {
    for product in Product::ALL {
        for vek in [VekKind::Vcek, VekKind::Vlek { csp_id: "CN=simulated.invalid".to_owned() }] {
            let mut machine = machine(product, vek.clone());
            for version in 2..=5 {
                machine.fields_mut().version = version;
                let report = machine.attest([7; 64]);
                // Version 2 does not say which product it is of: `sev` guesses from CHIP_ID, which a
                // VLEK hides.
                if version == 2 && vek != VekKind::Vcek {
                    continue;
                }
                let what = format!("{product:?} {vek:?} version {version}");
                judge(machine.snp_endorsements(), &report).unwrap_or_else(|e| panic!("{what}: {e}"));
                let parsed = AttestationReport::from_bytes(&report).unwrap();
                assert_eq!(parsed.version, version, "{what}");
                assert_eq!(parsed.measurement, MEASUREMENT, "{what}");
                assert_eq!(parsed.report_data, [7; 64], "{what}");
                assert_eq!(u64::from(parsed.policy), 0x3_0000, "{what}");
                assert_eq!(u64::from(parsed.plat_info), machine.fields().platform_info, "{what}");
                assert_eq!(parsed.reported_tcb.snp, product.typical_tcb().snp, "{what}");
                assert_eq!(parsed.reported_tcb.microcode, product.typical_tcb().microcode, "{what}");
                assert_eq!(parsed.chip_id, machine.fields().chip_id, "{what}");
            }
        }
    }
}

#[test]
fn sev_refuses_a_flipped_byte_another_chip_and_another_authority() {
    let one = machine(Product::Genoa, VekKind::Vcek);
    let mut flipped = one.attest([7; 64]);
    flipped[0x90] ^= 1;
    assert!(judge(one.snp_endorsements(), &flipped).is_err());

    let genoa = authority(Product::Genoa);
    let mut spec = SnpMachineSpec::typical(genoa, NOW);
    spec.chip_id = genoa.chip_id(1);
    let other = SnpMachine::new(genoa, &spec, MEASUREMENT, &mut OsRng).unwrap();
    assert!(judge(other.snp_endorsements(), &other.attest([7; 64])).is_ok());
    assert!(judge(other.snp_endorsements(), &one.attest([7; 64])).is_err());

    let milan = machine(Product::Milan, VekKind::Vcek);
    let mut mixed = one.snp_endorsements().clone();
    mixed.root.clone_from(&milan.snp_endorsements().root);
    assert!(judge(&mixed, &one.attest([7; 64])).is_err());
}

fn machine(product: Product, vek: VekKind) -> SnpMachine {
    let authority = authority(product);
    let spec = SnpMachineSpec { vek, ..SnpMachineSpec::typical(authority, NOW) };
    SnpMachine::new(authority, &spec, MEASUREMENT, &mut OsRng).unwrap()
}

fn judge(endorsements: &SnpEndorsements, report: &[u8]) -> Result<(), String> {
    let SnpEndorsements { vek: Some(vek), intermediate: Some(ask), root: Some(ark), .. } = endorsements
    else {
        panic!("a machine has all its certificates");
    };
    let chain = Chain::from_der(&ark.0, &ask.0, &vek.0).map_err(|e| e.to_string())?;
    let report = AttestationReport::from_bytes(report).map_err(|e| e.to_string())?;
    chain.verify().map_err(|e| format!("chain: {e}"))?;
    (&chain, &report).verify().map_err(|e| format!("report: {e}"))
}
