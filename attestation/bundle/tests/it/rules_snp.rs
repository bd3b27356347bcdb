//! Each rule on SEV-SNP reports: a report that breaks it, a report that keeps it, the rule ignored.

use std::collections::BTreeMap;

use vouchsafe_bundle::policy::{
    Demanded, Moment, PlatformName, PolicyDocument, ReferenceValue, Revocation, Rule, SnpProduct,
    SnpSigningKey, SnpTcb,
};
use vouchsafe_bundle::{EvidenceInputs, Policy, Verdict, appraise_evidence};
use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{ReportFields, SnpMachine, SnpMachineSpec, Tcb, VekKind};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::{Endorsements, UnixSeconds};

use crate::common::*;

/// GuestPolicy.DEBUG, MIGRATE_MA and SINGLE_SOCKET (AMD 56860, "Guest Policy").
const POLICY_MIGRATE_MA: u64 = 1 << 18;
const POLICY_DEBUG: u64 = 1 << 19;
const POLICY_SINGLE_SOCKET: u64 = 1 << 20;

fn machine(change: impl FnOnce(&mut ReportFields)) -> SnpMachine {
    let mut machine = snp_machine().clone();
    change(machine.fields_mut());
    machine
}

fn appraise(machine: &SnpMachine, policy: &Policy, report_data: Option<&[u8; 64]>) -> Verdict {
    let inputs = EvidenceInputs { report_data, ..EvidenceInputs::new(NOW) };
    appraise_evidence(&machine.evidence([9; 64]), Some(&machine.endorsements()), policy, &inputs, &Ring)
}

struct Row {
    code: &'static str,
    /// Makes the policy demand it.
    demand: fn(&mut PolicyDocument),
    /// Makes the policy ignore it.
    ignore: fn(&mut PolicyDocument),
    breaks: fn(&mut ReportFields),
    keeps: fn(&mut ReportFields),
}

fn rows() -> Vec<Row> {
    fn floor(document: &mut PolicyDocument) {
        let tcb = SnpTcb { fmc: None, bootloader: 10, tee: 0, snp: 27, microcode: 84 };
        document.platform.snp.products = Rule::Require(vec![SnpProduct::Genoa]);
        document.platform.snp.minimum_tcb = Rule::Require(BTreeMap::from([(SnpProduct::Genoa, tcb)]));
    }
    vec![
        Row {
            code: "snp_vmpl_above_policy",
            demand: |document| document.platform.snp.vmpl_max = Rule::Require(1),
            ignore: |document| document.platform.snp.vmpl_max = ignore(),
            breaks: |fields| fields.vmpl = 2,
            keeps: |fields| fields.vmpl = 1,
        },
        Row {
            code: "snp_debug_mismatch",
            demand: |_| {},
            ignore: |document| document.platform.snp.debug = ignore(),
            breaks: |fields| fields.policy |= POLICY_DEBUG,
            keeps: |_| {},
        },
        Row {
            code: "snp_migration_mismatch",
            demand: |_| {},
            ignore: |document| document.platform.snp.migration = ignore(),
            breaks: |fields| fields.policy |= POLICY_MIGRATE_MA,
            keeps: |_| {},
        },
        Row {
            code: "snp_smt_mismatch",
            demand: |document| document.platform.snp.smt = Rule::Require(false),
            ignore: |document| document.platform.snp.smt = ignore(),
            breaks: |fields| fields.platform_info |= 1,
            keeps: |fields| fields.platform_info &= !1,
        },
        Row {
            code: "snp_single_socket_mismatch",
            demand: |document| document.platform.snp.single_socket = Rule::Require(true),
            ignore: |document| document.platform.snp.single_socket = ignore(),
            breaks: |_| {},
            keeps: |fields| fields.policy |= POLICY_SINGLE_SOCKET,
        },
        Row {
            code: "snp_ecc_mismatch",
            demand: |document| document.platform.snp.ecc = Rule::Require(true),
            ignore: |document| document.platform.snp.ecc = ignore(),
            breaks: |fields| fields.platform_info &= !4,
            keeps: |fields| fields.platform_info |= 4,
        },
        Row {
            code: "snp_rapl_mismatch",
            demand: |document| document.platform.snp.rapl_disabled = Rule::Require(true),
            ignore: |document| document.platform.snp.rapl_disabled = ignore(),
            breaks: |_| {},
            keeps: |fields| fields.platform_info |= 8,
        },
        Row {
            code: "snp_ciphertext_hiding_mismatch",
            demand: |document| document.platform.snp.ciphertext_hiding = Rule::Require(true),
            ignore: |document| document.platform.snp.ciphertext_hiding = ignore(),
            breaks: |_| {},
            keeps: |fields| fields.platform_info |= 16,
        },
        Row {
            code: "snp_alias_check_mismatch",
            demand: |_| {},
            ignore: |document| document.platform.snp.alias_check = ignore(),
            breaks: |fields| fields.platform_info &= !32,
            keeps: |_| {},
        },
        Row {
            code: "snp_id_key_mismatch",
            demand: |document| document.platform.snp.id_key_digests = Rule::Require(vec![Hex([1; 48])]),
            ignore: |document| document.platform.snp.id_key_digests = ignore(),
            breaks: |fields| fields.id_key_digest = [2; 48],
            keeps: |fields| fields.id_key_digest = [1; 48],
        },
        Row {
            code: "snp_author_key_mismatch",
            demand: |document| document.platform.snp.author_key_digests = Rule::Require(vec![Hex([1; 48])]),
            ignore: |document| document.platform.snp.author_key_digests = ignore(),
            breaks: |_| {},
            keeps: |fields| {
                (fields.id_key_digest, fields.author_key_digest) = ([3; 48], [1; 48]);
                fields.key_info |= 1;
            },
        },
        Row {
            code: "snp_host_data_mismatch",
            demand: |document| document.platform.snp.host_data = Rule::Require(vec![Hex([1; 32])]),
            ignore: |document| document.platform.snp.host_data = ignore(),
            breaks: |_| {},
            keeps: |fields| fields.host_data = [1; 32],
        },
        Row {
            code: "snp_chip_not_accepted",
            demand: |document| document.platform.snp.chip_ids = Rule::Require(vec![Hex([1; 64])]),
            ignore: |document| document.platform.snp.chip_ids = ignore(),
            breaks: |_| {},
            keeps: |_| {},
        },
        Row {
            code: "snp_product_not_accepted",
            demand: |document| document.platform.snp.products = Rule::Require(vec![SnpProduct::Turin]),
            ignore: |document| document.platform.snp.products = ignore(),
            breaks: |_| {},
            keeps: |_| {},
        },
        Row {
            code: "snp_tcb_below_minimum",
            demand: floor,
            ignore: |document| document.platform.snp.minimum_tcb = ignore(),
            breaks: |_| {},
            keeps: |_| {},
        },
        Row {
            code: "snp_signing_key_not_accepted",
            demand: |document| {
                document.platform.snp.signing_keys = Rule::Require(vec![SnpSigningKey::Vlek]);
            },
            ignore: |document| document.platform.snp.signing_keys = ignore(),
            breaks: |_| {},
            keeps: |_| {},
        },
        Row {
            code: "measurement_mismatch",
            demand: |_| {},
            ignore: |document| document.measurements = ignore(),
            breaks: |fields| fields.measurement[0] ^= 1,
            keeps: |_| {},
        },
        Row {
            code: "platform_not_accepted",
            demand: |document| document.platform.accepted = Rule::Require(vec![PlatformName::Tdx]),
            ignore: |document| document.platform.accepted = ignore(),
            breaks: |_| {},
            keeps: |_| {},
        },
    ]
}

/// Rules that no change of report fields satisfies: which chip, product, key or TCB it is, is settled
/// when the machine is made. Their accepting controls stand below.
const SETTLED_BY_THE_MACHINE: [&str; 5] = [
    "snp_chip_not_accepted",
    "snp_product_not_accepted",
    "snp_tcb_below_minimum",
    "snp_signing_key_not_accepted",
    "platform_not_accepted",
];

#[test]
fn each_rule_rejects_what_breaks_it_and_nothing_else() {
    for Row { code, demand, ignore, breaks, keeps } in rows() {
        let (demanding, ignoring) = (policy_with(demand), policy_with(ignore));
        let rejects_typical = SETTLED_BY_THE_MACHINE.contains(&code);
        if code != "snp_tcb_below_minimum" {
            let verdict = appraise(&machine(breaks), &demanding, None);
            assert_rejected(&verdict, code);
            assert!(verdict.claims().is_some(), "claims appear even when the policy rejects");
            let failing: Vec<_> = verdict.findings().iter().filter_map(|finding| finding.code).collect();
            assert_eq!(failing, [code], "nothing else is wrong with it");
        }
        let verdict = appraise(&machine(breaks), &ignoring, None);
        assert!(verdict.is_accepted(), "{code} ignored: {:?}", verdict.detail());
        if !rejects_typical {
            let verdict = appraise(&machine(keeps), &demanding, None);
            assert!(verdict.is_accepted(), "{code} kept: {:?}", verdict.detail());
        }
    }
}

#[test]
fn the_tcb_is_held_to_its_floor_component_by_component() {
    let floor = Tcb { fmc: 0, boot_loader: 10, tee: 1, snp: 27, microcode: 84 };
    let policy = policy_with(|document| {
        let tcb = SnpTcb { fmc: None, bootloader: 10, tee: 1, snp: 27, microcode: 84 };
        document.platform.snp.products = Rule::Require(vec![SnpProduct::Genoa]);
        document.platform.snp.minimum_tcb = Rule::Require([(SnpProduct::Genoa, tcb)].into());
    });
    let at = |tcb: Tcb| {
        let spec = SnpMachineSpec { tcb, ..SnpMachineSpec::typical(amd(), NOW) };
        appraise(&SnpMachine::new(amd(), &spec, MEASUREMENT, &mut OsRng).unwrap(), &policy, None)
    };
    assert_accepted(&at(floor));
    // As 64-bit numbers these are larger than the floor, since the microcode is the highest byte; the last is smaller,
    // whatever the SNP firmware's.
    assert_rejected(&at(Tcb { boot_loader: 9, microcode: 255, ..floor }), "snp_tcb_below_minimum");
    assert_rejected(&at(Tcb { tee: 0, microcode: 255, ..floor }), "snp_tcb_below_minimum");
    assert_rejected(&at(Tcb { snp: 26, microcode: 255, ..floor }), "snp_tcb_below_minimum");
    assert_rejected(&at(Tcb { microcode: 83, snp: 255, ..floor }), "snp_tcb_below_minimum");
    // A policy whose floors leave this product out, where products are ignored.
    let other = policy_with(|document| {
        let tcb = SnpTcb { fmc: None, bootloader: 0, tee: 0, snp: 0, microcode: 0 };
        document.platform.snp.products = ignore();
        document.platform.snp.minimum_tcb = Rule::Require([(SnpProduct::Milan, tcb)].into());
    });
    assert_rejected(&appraise(&machine(|_| {}), &other, None), "snp_tcb_below_minimum");
}

#[test]
fn chip_product_key_and_list_are_accepted_where_they_are_the_right_ones() {
    let chip = Hex(amd().chip_id(0));
    for demand in [
        (|document, _| document.platform.snp.products = Rule::Require(vec![SnpProduct::Genoa]))
            as fn(&mut PolicyDocument, Hex<64>),
        |document, chip| document.platform.snp.chip_ids = Rule::Require(vec![chip]),
        |document, _| document.platform.snp.signing_keys = Rule::Require(vec![SnpSigningKey::Vcek]),
        |document, _| document.platform.accepted = Rule::Require(vec![PlatformName::SevSnp]),
    ] {
        assert_accepted(&appraise(&machine(|_| {}), &policy_with(|document| demand(document, chip)), None));
    }
    let vlek = SnpMachineSpec {
        vek: VekKind::Vlek { csp_id: "example".into() },
        ..SnpMachineSpec::typical(amd(), NOW)
    };
    let vlek = SnpMachine::new(amd(), &vlek, MEASUREMENT, &mut OsRng).unwrap();
    assert_accepted(&appraise(&vlek, &policy(), None));
    let chips = policy_with(|document| document.platform.snp.chip_ids = Rule::Require(vec![chip]));
    assert_rejected(&appraise(&vlek, &chips, None), "snp_chip_not_accepted");
    let vcek_only = policy_with(|document| {
        document.platform.snp.signing_keys = Rule::Require(vec![SnpSigningKey::Vcek]);
    });
    assert_rejected(&appraise(&vlek, &vcek_only, None), "snp_signing_key_not_accepted");
}

#[test]
fn the_revocation_list_must_be_there_when_required() {
    let machine = machine(|_| {});
    let mut endorsements = machine.snp_endorsements().clone();
    endorsements.crl = None;
    let endorsements = Endorsements::SevSnp(endorsements);
    let check = |policy: &Policy| {
        let inputs = EvidenceInputs::new(NOW);
        appraise_evidence(&machine.evidence([9; 64]), Some(&endorsements), policy, &inputs, &Ring)
    };
    assert_rejected(&check(&policy()), "snp_crl_missing");
    assert_accepted(&check(&policy_with(|document| document.platform.snp.crl = ignore())));
}

#[test]
fn a_measurement_is_good_in_its_time() {
    let moment = |seconds: i64| Some(Moment(UnixSeconds(NOW.0.saturating_add_signed(seconds))));
    let check = |change: &dyn Fn(&mut ReferenceValue)| {
        let policy = policy_with(|document| {
            let Rule::Require(values) = &mut document.measurements else { unreachable!() };
            change(&mut values[0]);
        });
        appraise(&machine(|_| {}), &policy, None)
    };
    let revoked =
        |seconds| Some(Revocation { at: moment(seconds).unwrap(), reason: "a hole in the parser".into() });
    assert_accepted(&check(&|value| (value.valid_from, value.valid_until) = (moment(0), moment(1))));
    assert_rejected(&check(&|value| value.valid_from = moment(1)), "measurement_not_yet_valid");
    assert_rejected(&check(&|value| value.valid_until = moment(0)), "measurement_expired");
    assert_accepted(&check(&|value| value.revoked = revoked(1)));
    let verdict = check(&|value| value.revoked = revoked(0));
    assert_rejected(&verdict, "measurement_revoked");
    assert!(verdict.detail().unwrap().contains("a hole in the parser"));
    // Another entry for the same digest that is good decides.
    let policy = policy_with(|document| {
        let Rule::Require(values) = &mut document.measurements else { unreachable!() };
        let second = ReferenceValue { name: "second".into(), ..values[0].clone() };
        values[0].revoked = revoked(0);
        values.push(second);
    });
    assert_accepted(&appraise(&machine(|_| {}), &policy, None));
}

#[test]
fn report_data_is_compared_when_given_and_demanded_when_required() {
    let (machine, ignoring) = (machine(|_| {}), policy());
    let requiring = policy_with(|document| document.platform.report_data = Rule::Require(Demanded));
    for policy in [&ignoring, &requiring] {
        let verdict = appraise(&machine, policy, Some(&[9; 64]));
        assert_accepted(&verdict);
        assert!(proved(&verdict).contains(&"report_data"));
        assert_rejected(&appraise(&machine, policy, Some(&[0; 64])), "report_data_mismatch");
    }
    let verdict = appraise(&machine, &ignoring, None);
    assert_accepted(&verdict);
    assert!(not_proved(&verdict).contains(&"report_data_not_given"));
    assert_incomplete(&appraise(&machine, &requiring, None), "report_data_not_given");
}

#[test]
fn a_test_root_replaces_the_vendors_and_no_production_policy_accepts_it() {
    let machine = machine(|_| {});
    let strict = Policy::parse(&shipped("evidence-strict")).unwrap();
    let check = |policy: &Policy, test_root| {
        let inputs = EvidenceInputs { test_root, ..EvidenceInputs::new(NOW) };
        appraise_evidence(&machine.evidence([9; 64]), Some(&machine.endorsements()), policy, &inputs, &Ring)
    };
    assert_rejected(&check(&strict, None), "snp_root_not_trusted");
    let verdict = check(&strict, Some(amd().ark_der()));
    assert_accepted(&verdict);
    assert!(verdict.simulated() && not_proved(&verdict).contains(&"simulated_root"));
    let production = Policy::parse(&shipped("production-snp")).unwrap();
    assert_rejected(&check(&production, Some(amd().ark_der())), "root_simulated");
    assert_rejected(&check(&strict, Some(b"no certificate")), "root_unusable");
    // The root of another product's authority is another root.
    let verdict = check(&strict, Some(amd().ask_der()));
    assert_rejected(&verdict, "root_unusable");
}
