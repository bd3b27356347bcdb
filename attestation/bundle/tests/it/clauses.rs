//! The numbered rejections that are a policy's: each row breaks one clause, beside the same machine
//! without the change, which the same policy accepts. What is a verifier's stands in its own tables.

use std::collections::BTreeSet;

use vouchsafe_bundle::policy::{PolicyDocument, Rule, SnpProduct, SnpTcb};
use vouchsafe_bundle::{EvidenceInputs, Policy, Verdict, appraise_evidence};
use vouchsafe_simulator::amd::ReportFields;
use vouchsafe_simulator::intel::TdxMachine;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::{Endorsements, Evidence, SnpEndorsements, UnixSeconds};

use crate::common::*;
use crate::table;
use crate::td_clauses::{Td, advisories, domain, machine, statuses};

fn judge_td(machine: &TdxMachine, policy: &Policy) -> Verdict {
    let endorsements = machine.endorsements().unwrap();
    appraise_evidence(
        &machine.evidence([9; 64]),
        Some(&endorsements),
        policy,
        &EvidenceInputs::new(NOW),
        &Ring,
    )
}

#[test]
fn td_clauses() {
    for Td { number, what, demand, breaks, code } in
        [statuses(), advisories(), domain()].into_iter().flatten()
    {
        let policy = policy_with(demand);
        let control = judge_td(&machine(), &policy);
        assert!(control.is_accepted(), "({number}) {what}: control: {:?}", control.detail());
        let mut broken = machine();
        breaks(&mut broken);
        let verdict = judge_td(&broken, &policy);
        let codes: BTreeSet<_> = verdict.findings().iter().filter_map(|finding| finding.code).collect();
        assert_eq!(codes, BTreeSet::from([code]), "({number}) {what}: {:?}", verdict.detail());
        assert!(!verdict.is_accepted() && verdict.claims().is_some(), "({number}) {what}");
    }
}

/// A clause broken in a report.
struct Guest {
    number: u8,
    what: &'static str,
    code: &'static str,
    demand: fn(&mut PolicyDocument),
    /// The control.
    keeps: fn(&mut ReportFields),
    breaks: fn(&mut ReportFields),
}

/// Bits of the guest policy (AMD 56860, 4.3).
const MIGRATE_MA: u64 = 1 << 18;
const DEBUG: u64 = 1 << 19;
/// ALIAS_CHECK_COMPLETE in PLATFORM_INFO.
const ALIAS_CHECK: u64 = 1 << 5;

const GUESTS: &[Guest] = &[
    Guest {
        number: 6,
        what: "debug",
        code: "snp_debug_mismatch",
        demand: |_| {},
        keeps: |_| {},
        breaks: |f| f.policy |= DEBUG,
    },
    Guest {
        number: 7,
        what: "MIGRATE_MA",
        code: "snp_migration_mismatch",
        demand: |_| {},
        keeps: |_| {},
        breaks: |f| f.policy |= MIGRATE_MA,
    },
    Guest {
        number: 9,
        what: "VMPL 1 above 0",
        code: "snp_vmpl_above_policy",
        demand: |d| d.platform.snp.vmpl_max = Rule::Require(0),
        keeps: |f| f.vmpl = 0,
        breaks: |f| f.vmpl = 1,
    },
    Guest {
        number: 9,
        what: "VMPL 3 above 2",
        code: "snp_vmpl_above_policy",
        demand: |d| d.platform.snp.vmpl_max = Rule::Require(2),
        keeps: |f| f.vmpl = 2,
        breaks: |f| f.vmpl = 3,
    },
    Guest {
        number: 23,
        what: "ALIAS_CHECK clear",
        code: "snp_alias_check_mismatch",
        demand: |_| {},
        keeps: |_| {},
        breaks: |f| f.platform_info &= !ALIAS_CHECK,
    },
    Guest {
        number: 25,
        what: "measurement, first byte",
        code: "measurement_mismatch",
        demand: |_| {},
        keeps: |_| {},
        breaks: |f| f.measurement[0] ^= 1,
    },
    Guest {
        number: 25,
        what: "measurement, last byte",
        code: "measurement_mismatch",
        demand: |_| {},
        keeps: |_| {},
        breaks: |f| f.measurement[47] ^= 1,
    },
    Guest {
        number: 25,
        what: "host data, last byte",
        code: "snp_host_data_mismatch",
        demand: |d| d.platform.snp.host_data = Rule::Require(vec![Hex([1; 32])]),
        keeps: |f| f.host_data = [1; 32],
        breaks: |f| f.host_data[31] ^= 1,
    },
    Guest {
        number: 25,
        what: "id-key digest, last byte",
        code: "snp_id_key_mismatch",
        demand: |d| d.platform.snp.id_key_digests = Rule::Require(vec![Hex([1; 48])]),
        keeps: |f| f.id_key_digest = [1; 48],
        breaks: |f| f.id_key_digest[47] ^= 1,
    },
    Guest {
        number: 25,
        what: "no id key at all",
        code: "snp_id_key_mismatch",
        demand: |d| d.platform.snp.id_key_digests = Rule::Require(vec![Hex([1; 48])]),
        keeps: |f| f.id_key_digest = [1; 48],
        breaks: |f| f.id_key_digest = [0; 48],
    },
    Guest {
        number: 25,
        what: "author-key digest, last byte",
        code: "snp_author_key_mismatch",
        demand: |d| d.platform.snp.author_key_digests = Rule::Require(vec![Hex([1; 48])]),
        keeps: with_author_key,
        breaks: |f| f.author_key_digest[47] ^= 1,
    },
    Guest {
        number: 25,
        what: "an author-key digest that KEY_INFO says is none",
        code: "snp_author_key_mismatch",
        demand: |d| d.platform.snp.author_key_digests = Rule::Require(vec![Hex([1; 48])]),
        keeps: with_author_key,
        breaks: |f| f.key_info &= !1,
    },
];

fn with_author_key(fields: &mut ReportFields) {
    (fields.id_key_digest, fields.author_key_digest) = ([3; 48], [1; 48]);
    fields.key_info |= 1;
}

/// `rows.txt` is the whole table for readers: the number, what is changed, and what comes of it.
#[test]
fn the_table_for_readers_is_this_one() {
    let tds = [statuses(), advisories(), domain()].into_iter().flatten();
    let mut lines: Vec<_> = tds.map(|row| (row.number, row.what, row.code.to_owned())).collect();
    lines.extend(GUESTS.iter().map(|row| (row.number, row.what.to_owned(), row.code.to_owned())));
    let below = |(what, _): &(&str, SnpTcb)| (12, format!("Turin: {what} below its floor"), BELOW.to_owned());
    lines.extend(FLOORS.iter().map(below));
    lines.sort_by_key(|(number, ..)| *number);
    table::compare("it", &lines);
}

#[test]
fn guest_clauses() {
    for Guest { number, what, code, demand, keeps, breaks } in GUESTS {
        let policy = policy_with(demand);
        let mut machine = snp_machine().clone();
        let judge = |machine: &vouchsafe_simulator::amd::SnpMachine, report_data| {
            let inputs = EvidenceInputs { report_data, ..EvidenceInputs::new(NOW) };
            appraise_evidence(
                &machine.evidence([9; 64]),
                Some(&machine.endorsements()),
                &policy,
                &inputs,
                &Ring,
            )
        };
        keeps(machine.fields_mut());
        let control = judge(&machine, Some(&[9; 64]));
        assert!(control.is_accepted(), "({number}) {what}: control: {:?}", control.detail());
        breaks(machine.fields_mut());
        let verdict = judge(&machine, Some(&[9; 64]));
        let codes: Vec<_> = verdict.findings().iter().filter_map(|finding| finding.code).collect();
        assert_eq!(codes, [*code], "({number}) {what}");
        assert!(!verdict.is_accepted() && verdict.claims().is_some(), "({number}) {what}");
    }
}

/// (26) The 64 bytes that the guest chose, against the 64 that were to be expected: any difference is
/// one, in every byte, and zeros are no exception.
#[test]
fn report_data_is_compared_in_every_byte() {
    let machine = snp_machine().clone();
    let (evidence, endorsements) = (machine.evidence([9; 64]), machine.endorsements());
    let judge = |evidence: &Evidence, expected: &[u8; 64]| {
        let inputs = EvidenceInputs { report_data: Some(expected), ..EvidenceInputs::new(NOW) };
        appraise_evidence(evidence, Some(&endorsements), &policy(), &inputs, &Ring)
    };
    assert_accepted(&judge(&evidence, &[9; 64]));
    for byte in 0..64 {
        let mut expected = [9; 64];
        expected[byte] ^= 1;
        assert_rejected(&judge(&evidence, &expected), "report_data_mismatch");
    }
    assert_rejected(&judge(&machine.evidence([0; 64]), &[9; 64]), "report_data_mismatch");
}

const BELOW: &str = "snp_tcb_below_minimum";
const LOWEST: SnpTcb = SnpTcb { fmc: Some(0), bootloader: 0, tee: 0, snp: 0, microcode: 0 };
/// Floors of which one component is one above what the real report says.
const FLOORS: [(&str, SnpTcb); 5] = [
    ("fmc", SnpTcb { fmc: Some(2), ..LOWEST }),
    ("bl", SnpTcb { bootloader: 2, ..LOWEST }),
    ("tee", SnpTcb { tee: 2, ..LOWEST }),
    ("snp", SnpTcb { snp: 5, ..LOWEST }),
    ("ucode", SnpTcb { microcode: 0x52, ..LOWEST }),
];

/// (12) Turin's floor has a component more, and its 64-bit value another order: on a real report, each
/// component one above what is reported, though another is far below.
#[test]
fn turins_floor_counts_component_by_component() {
    let Some(folder) = crate::vectors::vectors("snp") else { return };
    let read = |name: &str| Base64(std::fs::read(folder.join("turin-v5-aci").join(name)).unwrap());
    let evidence = Evidence::SevSnp { report: read("report.bin") };
    let endorsements = SnpEndorsements { vek: Some(read("vek.der")), ..SnpEndorsements::default() };
    let endorsements = Endorsements::SevSnp(endorsements);
    let inputs = EvidenceInputs::new(UnixSeconds::from_rfc3339("2026-02-06T00:00:00Z").unwrap());
    let judge = |floor: SnpTcb| {
        let mut document = Policy::parse(&shipped("evidence-strict")).unwrap().into_document();
        document.platform.snp.products = Rule::Require(vec![SnpProduct::Turin]);
        document.platform.snp.minimum_tcb = Rule::Require([(SnpProduct::Turin, floor)].into());
        let policy = Policy::new(document).unwrap();
        appraise_evidence(&evidence, Some(&endorsements), &policy, &inputs, &Ring)
    };
    let reported = SnpTcb { fmc: Some(1), bootloader: 1, tee: 1, snp: 4, microcode: 0x51 };
    assert_accepted(&judge(reported));
    assert_accepted(&judge(LOWEST));
    for (what, floor) in FLOORS {
        let verdict = judge(floor);
        assert_eq!(verdict.code(), Some(BELOW), "{what}: {:?}", verdict.detail());
        assert!(!verdict.is_accepted(), "{what}");
    }
}
