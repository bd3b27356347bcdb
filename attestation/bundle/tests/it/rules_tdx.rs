//! Each rule on TDX quotes: a quote that breaks it, a quote that keeps it, the rule ignored.

use vouchsafe_bundle::policy::{Demanded, PlatformName, PolicyDocument, Rule, TcbStatusRule, TrailingBytes};
use vouchsafe_bundle::{EvidenceInputs, Policy, Verdict, appraise_evidence};
use vouchsafe_simulator::intel::{EventLog, TdxMachine, TdxMachineSpec};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::tdx::TcbStatus;
use vouchsafe_verifier::{Evidence, UnixSeconds};

use crate::common::*;

fn machine(change: impl FnOnce(&mut TdxMachine)) -> TdxMachine {
    let spec = TdxMachineSpec::typical(intel(), NOW);
    let mut machine = TdxMachine::new(intel(), &spec, MEASUREMENT).unwrap();
    change(&mut machine);
    machine
}

fn appraise_at(machine: &TdxMachine, policy: &Policy, at: UnixSeconds) -> Verdict {
    let endorsements = machine.endorsements().unwrap();
    let inputs = EvidenceInputs::new(at);
    appraise_evidence(&machine.evidence([9; 64]), Some(&endorsements), policy, &inputs, &Ring)
}

fn appraise(machine: &TdxMachine, policy: &Policy) -> Verdict {
    appraise_at(machine, policy, NOW)
}

struct Row {
    code: &'static str,
    demand: fn(&mut PolicyDocument),
    ignore: fn(&mut PolicyDocument),
    breaks: fn(&mut TdxMachine),
    /// `None` where only another machine would keep it.
    keeps: Option<fn(&mut TdxMachine)>,
}

/// The platform reaches only a level that Intel no longer calls up to date.
fn fall_behind(machine: &mut TdxMachine) {
    for level in &mut machine.collateral_mut().tcb_info.tcb_levels {
        level.tcb_status = "OutOfDate".into();
        level.tcb_date = "2025-12-01T00:00:00Z".into();
        level.advisory_ids = vec!["INTEL-SA-00960".into()];
    }
}

fn rows() -> Vec<Row> {
    vec![
        Row {
            code: "tdx_tcb_status_not_accepted",
            demand: |_| {},
            ignore: |document| document.platform.tdx.tcb_statuses = ignore(),
            breaks: fall_behind,
            keeps: Some(|_| {}),
        },
        Row {
            code: "tdx_advisory_denied",
            demand: |document| {
                document.platform.tdx.tcb_statuses = ignore();
                document.platform.tdx.advisories_denied = Rule::Require(vec!["INTEL-SA-00960".into()]);
            },
            ignore: |document| document.platform.tdx.tcb_statuses = ignore(),
            breaks: fall_behind,
            keeps: Some(|_| {}),
        },
        Row {
            code: "tdx_advisory_not_tolerated",
            demand: |document| {
                document.platform.tdx.tcb_statuses = ignore();
                document.platform.tdx.advisories_tolerated = Rule::Require(vec!["INTEL-SA-00982".into()]);
            },
            ignore: |document| document.platform.tdx.tcb_statuses = ignore(),
            breaks: fall_behind,
            keeps: Some(|_| {}),
        },
        Row {
            code: "tdx_evaluation_number_below_minimum",
            demand: |document| document.platform.tdx.evaluation_number_min = Rule::Require(1_000_000),
            ignore: |_| {},
            breaks: |_| {},
            keeps: None,
        },
        Row {
            code: "tdx_debug_mismatch",
            demand: |_| {},
            ignore: |document| document.platform.tdx.debug = ignore(),
            breaks: |machine| machine.body_mut().td_attributes[0] |= 1,
            keeps: Some(|_| {}),
        },
        Row {
            code: "tdx_sept_ve_disable_mismatch",
            demand: |_| {},
            ignore: |document| document.platform.tdx.sept_ve_disable = ignore(),
            breaks: |machine| machine.body_mut().td_attributes[3] &= !0x10,
            keeps: Some(|_| {}),
        },
        Row {
            code: "tdx_migratable_mismatch",
            demand: |_| {},
            ignore: |document| document.platform.tdx.migratable = ignore(),
            breaks: |machine| machine.body_mut().td_attributes[3] |= 0x20,
            keeps: Some(|_| {}),
        },
        Row {
            code: "tdx_rtmrs_zero",
            demand: |document| document.platform.tdx.rtmrs_nonzero = Rule::Require(Demanded),
            ignore: |_| {},
            breaks: |_| {},
            keeps: Some(|machine| machine.body_mut().rtmrs[2] = [1; 48]),
        },
        Row {
            code: "tdx_event_log_missing",
            demand: |document| document.platform.tdx.event_log = Rule::Require(Demanded),
            ignore: |_| {},
            breaks: |_| {},
            keeps: Some(|machine| machine.boot(EventLog::typical("console=ttyS0"))),
        },
        Row {
            code: "tdx_mrconfigid_mismatch",
            demand: |document| document.platform.tdx.mrconfigid = Rule::Require(vec![Hex([1; 48])]),
            ignore: |_| {},
            breaks: |_| {},
            keeps: Some(|machine| machine.body_mut().mr_config_id = [1; 48]),
        },
        Row {
            code: "tdx_mrowner_mismatch",
            demand: |document| document.platform.tdx.mrowner = Rule::Require(vec![Hex([1; 48])]),
            ignore: |_| {},
            breaks: |_| {},
            keeps: Some(|machine| machine.body_mut().mr_owner = [1; 48]),
        },
        Row {
            code: "tdx_mrownerconfig_mismatch",
            demand: |document| document.platform.tdx.mrownerconfig = Rule::Require(vec![Hex([1; 48])]),
            ignore: |_| {},
            breaks: |_| {},
            keeps: Some(|machine| machine.body_mut().mr_owner_config = [1; 48]),
        },
        Row {
            code: "tdx_ppid_not_accepted",
            demand: |document| document.platform.tdx.ppids = Rule::Require(vec![Hex([1; 16])]),
            ignore: |_| {},
            breaks: |_| {},
            keeps: None,
        },
        Row {
            code: "platform_not_accepted",
            demand: |document| document.platform.accepted = Rule::Require(vec![PlatformName::SevSnp]),
            ignore: |document| document.platform.accepted = ignore(),
            breaks: |_| {},
            keeps: None,
        },
        Row {
            code: "tdx_register_mismatch",
            demand: |_| {},
            ignore: |document| document.measurements = ignore(),
            breaks: |machine| machine.body_mut().mr_td[0] ^= 1,
            keeps: Some(|_| {}),
        },
    ]
}

#[test]
fn each_rule_rejects_what_breaks_it_and_nothing_else() {
    for Row { code, demand, ignore, breaks, keeps } in rows() {
        let demanding = policy_with(demand);
        let verdict = appraise(&machine(breaks), &demanding);
        assert_rejected(&verdict, code);
        let failing: Vec<_> = verdict.findings().iter().filter_map(|finding| finding.code).collect();
        assert_eq!(failing, [code], "nothing else is wrong with it");
        let verdict = appraise(&machine(breaks), &policy_with(ignore));
        assert!(verdict.is_accepted(), "{code} ignored: {:?}", verdict.detail());
        if let Some(keeps) = keeps {
            let verdict = appraise(&machine(keeps), &demanding);
            assert!(verdict.is_accepted(), "{code} kept: {:?}", verdict.detail());
        }
    }
}

#[test]
fn a_service_td_is_refused_where_there_is_one() {
    let td15 = |mr_service_td: [u8; 48]| {
        let spec =
            TdxMachineSpec { quote_version: 5, is_td15: true, ..TdxMachineSpec::typical(intel(), NOW) };
        let mut machine = TdxMachine::new(intel(), &spec, MEASUREMENT).unwrap();
        machine.body_mut().td15.as_mut().unwrap().mr_service_td = mr_service_td;
        machine
    };
    assert_accepted(&appraise(&td15([0; 48]), &policy()));
    assert_rejected(&appraise(&td15([1; 48]), &policy()), "tdx_service_td_bound");
    let ignoring = policy_with(|document| document.platform.tdx.no_service_td = ignore());
    assert_accepted(&appraise(&td15([1; 48]), &ignoring));
}

#[test]
fn padding_is_accepted_where_the_policy_says_so() {
    let machine = machine(|_| {});
    let padded = |padding: &[u8]| {
        let Evidence::Tdx { mut quote, event_log } = machine.evidence([9; 64]) else { unreachable!() };
        quote.0.extend_from_slice(padding);
        Evidence::Tdx { quote, event_log }
    };
    let endorsements = machine.endorsements().unwrap();
    let check = |padding: &[u8], rule| {
        let policy = policy_with(|document| document.platform.tdx.trailing_bytes = rule);
        let inputs = EvidenceInputs::new(NOW);
        appraise_evidence(&padded(padding), Some(&endorsements), &policy, &inputs, &Ring)
    };
    for (rule, takes_zeros, takes_anything) in [
        (Rule::Require(TrailingBytes::None), false, false),
        (Rule::Require(TrailingBytes::Zeros), true, false),
        (ignore(), true, true),
    ] {
        assert_accepted(&check(&[], rule.clone()));
        match takes_zeros {
            true => assert_accepted(&check(&[0; 100], rule.clone())),
            false => assert_rejected(&check(&[0; 100], rule.clone()), "tdx_padding_not_accepted"),
        }
        let verdict = check(&[0, 1], rule);
        assert_eq!(verdict.claims().unwrap()["trailing_all_zero"], false);
        match takes_anything {
            true => assert_accepted(&verdict),
            false => assert_rejected(&verdict, "tdx_trailing_bytes"),
        }
    }
}

/// A log that replays proves digests. Which contents go with them, the verdict says, and what it leaves open.
#[test]
fn a_verdict_shows_the_contents_that_are_proved_and_says_that_others_are_not() {
    let judge = |change: fn(&mut EventLog)| {
        let mut machine = machine(|_| {});
        let log = EventLog::typical("console=ttyS0");
        machine.boot(log.clone());
        let mut told = log;
        change(&mut told);
        let Evidence::Tdx { quote, .. } = machine.evidence([9; 64]) else { unreachable!() };
        let evidence = Evidence::Tdx { quote, event_log: Some(Base64(told.to_ccel())) };
        let endorsements = machine.endorsements().unwrap();
        let policy = policy_with(|document| document.measurements = ignore());
        appraise_evidence(&evidence, Some(&endorsements), &policy, &EvidenceInputs::new(NOW), &Ring)
    };
    let says = |verdict: &Verdict| verdict.not_proved().iter().any(|it| it.code == "event_contents");
    let texts = |verdict: &Verdict| {
        let contents = verdict.claims().unwrap()["event_log"]["contents"].as_array().unwrap().clone();
        contents.iter().filter_map(|event| event["text"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    // The image's name is the guest's word even in an honest log.
    let honest = judge(|_| {});
    assert_accepted(&honest);
    assert!(says(&honest) && texts(&honest).contains(&"console=ttyS0".to_owned()));
    let forged = judge(|log| {
        log.events[5].event_type = 6;
        log.events[5].content = b"kernel_cmdline: quiet lockdown=confidentiality\0".to_vec();
    });
    assert_accepted(&forged);
    assert!(says(&forged) && !texts(&forged).iter().any(|text| text.contains("lockdown")));
    // The same lie under its own type is one.
    let caught = judge(|log| log.events[5].content[20] ^= 1);
    assert_rejected(&caught, "tdx_event_content");
}

#[test]
fn the_right_platform_and_evaluation_are_accepted() {
    let platform = Hex(intel().ppid(0));
    let named = policy_with(|document| document.platform.tdx.ppids = Rule::Require(vec![platform]));
    assert_accepted(&appraise(&machine(|_| {}), &named));
    let claims = appraise(&machine(|_| {}), &policy()).claims().unwrap().clone();
    let number =
        claims["tcb_eval_number"].as_u64().unwrap().min(claims["qe_identity_eval"].as_u64().unwrap());
    let at_least = |number: u64| {
        let number = u32::try_from(number).unwrap();
        policy_with(|document| document.platform.tdx.evaluation_number_min = Rule::Require(number))
    };
    assert_accepted(&appraise(&machine(|_| {}), &at_least(number)));
    let verdict = appraise(&machine(|_| {}), &at_least(number + 1));
    assert_rejected(&verdict, "tdx_evaluation_number_below_minimum");
}

#[test]
fn a_status_may_be_accepted_for_a_while() {
    let behind = machine(fall_behind);
    let policy = |grace_days| {
        policy_with(|document| {
            let status = TcbStatusRule { status: TcbStatus::OutOfDate, grace_days };
            let up_to_date = TcbStatusRule { status: TcbStatus::UpToDate, grace_days: None };
            document.platform.tdx.tcb_statuses = Rule::Require(vec![up_to_date, status]);
        })
    };
    assert_accepted(&appraise(&behind, &policy(None)));
    // The level is of 2025-12-01, 31 days before the evidence is judged.
    assert_accepted(&appraise(&behind, &policy(Some(31))));
    assert_rejected(&appraise(&behind, &policy(Some(30))), "tdx_tcb_grace_expired");
    let later = UnixSeconds(NOW.0 + 1);
    assert_rejected(&appraise_at(&behind, &policy(Some(31)), later), "tdx_tcb_grace_expired");
    assert_accepted(&appraise(&machine(|_| {}), &policy(Some(0))));
}

#[test]
fn any_digest_of_a_register_suffices_and_each_register_counts() {
    let check = |rtmr: usize, digests: Vec<Hex<48>>| {
        let policy = policy_with(|document| {
            let Rule::Require(values) = &mut document.measurements else { unreachable!() };
            let vouchsafe_bundle::policy::ReferenceDigests::Tdx { rtmr0, rtmr1, rtmr2, rtmr3, .. } =
                &mut values[1].digests
            else {
                unreachable!()
            };
            *[rtmr0, rtmr1, rtmr2, rtmr3][rtmr] = Rule::Require(digests);
        });
        appraise(&machine(|machine| machine.body_mut().rtmrs[rtmr] = [5; 48]), &policy)
    };
    for rtmr in 0..4 {
        assert_accepted(&check(rtmr, vec![Hex([4; 48]), Hex([5; 48])]));
        assert_rejected(&check(rtmr, vec![Hex([4; 48])]), "tdx_register_mismatch");
        assert_rejected(&check(rtmr, vec![]), "tdx_register_mismatch");
    }
}
