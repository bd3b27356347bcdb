//! The numbered rejections that are a policy's: each row breaks one clause, beside the same machine
//! without the change, which the same policy accepts. What is a verifier's stands in its own tables.

use std::collections::BTreeSet;

use vouchsafe_bundle::policy::{Demanded, PolicyDocument, Rule, SnpProduct, SnpTcb};
use vouchsafe_bundle::{EvidenceInputs, Policy, Verdict, appraise_evidence};
use vouchsafe_simulator::amd::ReportFields;
use vouchsafe_simulator::intel::{EventLog, TdxMachine, TdxMachineSpec};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::{Endorsements, Evidence, SnpEndorsements, UnixSeconds};

use crate::common::*;

/// A clause broken in a TD, its platform or its collateral.
struct Td {
    number: u8,
    what: String,
    demand: fn(&mut PolicyDocument),
    breaks: Box<dyn Fn(&mut TdxMachine)>,
    code: &'static str,
}

fn td(
    number: u8,
    what: impl Into<String>,
    code: &'static str,
    breaks: impl Fn(&mut TdxMachine) + 'static,
) -> Td {
    Td { number, what: what.into(), demand: |_| {}, breaks: Box::new(breaks), code }
}

impl Td {
    fn demanding(mut self, demand: fn(&mut PolicyDocument)) -> Self {
        self.demand = demand;
        self
    }
}

/// A TD 1.5 that booted with an event log, so that no row needs another kind of machine.
fn machine() -> TdxMachine {
    let spec = TdxMachineSpec { quote_version: 5, is_td15: true, ..TdxMachineSpec::typical(intel(), NOW) };
    let mut machine = TdxMachine::new(intel(), &spec, MEASUREMENT).unwrap();
    machine.boot(EventLog::typical("console=ttyS0"));
    machine
}

fn statuses() -> Vec<Td> {
    let refused = "tdx_tcb_status_not_accepted";
    let mut rows = Vec::new();
    for status in [
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
        "Revoked",
    ] {
        rows.push(td(45, format!("platform {status}"), refused, move |m| {
            m.collateral_mut().tcb_info.tcb_levels[0].tcb_status = status.into();
        }));
    }
    for status in ["OutOfDate", "Revoked"] {
        rows.push(td(45, format!("TDX module {status}"), refused, move |m| {
            for identity in &mut m.collateral_mut().tcb_info.tdx_module_identities {
                identity.tcb_levels[0].tcb_status = status.into();
            }
        }));
        rows.push(td(45, format!("quoting enclave {status}"), refused, move |m| {
            m.collateral_mut().qe_identity.tcb_levels[0].tcb_status = status.into();
        }));
    }
    rows.push(td(44, "no level matches", "tdx_tcb_no_matching_level", |m| {
        m.collateral_mut().tcb_info.tcb_levels.clear()
    }));
    let now = "tdx_tcb_current_not_accepted";
    rows.push(td(47, "the TCB that runs now is out of date", now, |m| {
        m.body_mut().td15.as_mut().unwrap().tee_tcb_svn2[0] = 4;
    }));
    rows.push(td(47, "the TCB that runs now matches no level", now, |m| {
        m.body_mut().td15.as_mut().unwrap().tee_tcb_svn2[0] = 3;
    }));
    rows.push(td(45, "launched on a TCB out of date, updated since", refused, |m| {
        m.body_mut().tee_tcb_svn[0] = 4
    }));
    rows
}

fn advisories() -> Vec<Td> {
    const ADVISORY: &str = "INTEL-SA-00960";
    let mut rows = Vec::new();
    let denied: fn(&mut PolicyDocument) =
        |d| d.platform.tdx.advisories_denied = Rule::Require(vec![ADVISORY.into()]);
    let tolerated: fn(&mut PolicyDocument) =
        |d| d.platform.tdx.advisories_tolerated = Rule::Require(vec!["INTEL-SA-00982".into()]);
    for (demand, code, how) in [
        (denied, "tdx_advisory_denied", "denied"),
        (tolerated, "tdx_advisory_not_tolerated", "not tolerated"),
    ] {
        let row = |part: &str, breaks: fn(&mut TdxMachine)| {
            td(45, format!("an advisory on the {part}, {how}"), code, breaks).demanding(demand)
        };
        rows.push(row("platform", |m| {
            m.collateral_mut().tcb_info.tcb_levels[0].advisory_ids.push(ADVISORY.into());
        }));
        rows.push(row("TDX module", |m| {
            for identity in &mut m.collateral_mut().tcb_info.tdx_module_identities {
                identity.tcb_levels[0].advisory_ids.push(ADVISORY.into());
            }
        }));
        rows.push(row("quoting enclave", |m| {
            m.collateral_mut().qe_identity.tcb_levels[0].advisory_ids.push(ADVISORY.into());
        }));
    }
    rows
}

fn domain() -> Vec<Td> {
    let minimum: fn(&mut PolicyDocument) = |d| d.platform.tdx.evaluation_number_min = Rule::Require(18);
    let rtmrs: fn(&mut PolicyDocument) = |d| d.platform.tdx.rtmrs_nonzero = Rule::Require(Demanded);
    let below = "tdx_evaluation_number_below_minimum";
    let mut rows = vec![
        td(42, "TCB info of an older evaluation", below, |m| {
            m.collateral_mut().tcb_info.tcb_evaluation_data_number = 17;
        })
        .demanding(minimum),
        td(42, "QE identity of an older evaluation", below, |m| {
            m.collateral_mut().qe_identity.tcb_evaluation_data_number = 17;
        })
        .demanding(minimum),
        td(50, "SEPT_VE_DISABLE clear", "tdx_sept_ve_disable_mismatch", |m| {
            m.body_mut().td_attributes[3] &= !0x10;
        }),
        td(52, "another MRTD, first byte", "tdx_register_mismatch", |m| m.body_mut().mr_td[0] ^= 1),
        td(52, "another MRTD, last byte", "tdx_register_mismatch", |m| m.body_mut().mr_td[47] ^= 1),
        td(54, "all RTMRs zero", "tdx_rtmrs_zero", |m| m.boot(EventLog::default())).demanding(rtmrs),
    ];
    for bit in [0u8, 4, 5, 6] {
        rows.push(td(50, format!("attribute bit {bit}: under debug"), "tdx_debug_mismatch", move |m| {
            m.body_mut().td_attributes[0] |= 1 << bit;
        }));
    }
    for byte in [0, 47] {
        rows.push(td(51, format!("MRSERVICETD byte {byte}"), "tdx_service_td_bound", move |m| {
            m.body_mut().td15.as_mut().unwrap().mr_service_td[byte] = 1;
        }));
    }
    rows
}

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
    let lowest = SnpTcb { fmc: Some(0), bootloader: 0, tee: 0, snp: 0, microcode: 0 };
    assert_accepted(&judge(reported));
    assert_accepted(&judge(lowest));
    for floor in [
        SnpTcb { fmc: Some(2), ..lowest },
        SnpTcb { bootloader: 2, ..lowest },
        SnpTcb { tee: 2, ..lowest },
        SnpTcb { snp: 5, ..lowest },
        SnpTcb { microcode: 0x52, ..lowest },
    ] {
        assert_rejected(&judge(floor), "snp_tcb_below_minimum");
    }
}
