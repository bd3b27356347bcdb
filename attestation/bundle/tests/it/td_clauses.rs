//! The numbered rejections of TDs, their platforms and collateral that are a policy's: the rows of `clauses`.

use vouchsafe_bundle::policy::{Demanded, PolicyDocument, ReferenceDigests, Rule};
use vouchsafe_simulator::intel::{EventLog, TdxMachine, TdxMachineSpec, event_type};
use vouchsafe_verifier::encoding::Hex;

use crate::common::*;

/// A clause broken in a TD, its platform or its collateral.
pub(crate) struct Td {
    pub(crate) number: u8,
    pub(crate) what: String,
    pub(crate) demand: fn(&mut PolicyDocument),
    pub(crate) breaks: Box<dyn Fn(&mut TdxMachine)>,
    pub(crate) code: &'static str,
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
pub(crate) fn machine() -> TdxMachine {
    let spec = TdxMachineSpec { quote_version: 5, is_td15: true, ..TdxMachineSpec::typical(intel(), NOW) };
    let mut machine = TdxMachine::new(intel(), &spec, MEASUREMENT).unwrap();
    machine.boot(EventLog::typical("console=ttyS0"));
    machine
}

pub(crate) fn statuses() -> Vec<Td> {
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
    rows.push(td(47, "the TCB that runs now is revoked", now, |m| {
        m.collateral_mut().tcb_info.tcb_levels[1].tcb_status = "Revoked".into();
        m.body_mut().td15.as_mut().unwrap().tee_tcb_svn2[2] = 2;
    }));
    rows.push(td(45, "launched on a TCB out of date, updated since", refused, |m| {
        m.body_mut().tee_tcb_svn[0] = 4
    }));
    rows
}

pub(crate) fn advisories() -> Vec<Td> {
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

pub(crate) fn domain() -> Vec<Td> {
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
    let registers: fn(&mut PolicyDocument) = |document| {
        let Rule::Require(values) = &mut document.measurements else { unreachable!() };
        let ReferenceDigests::Tdx { rtmr0, rtmr1, rtmr2, rtmr3, .. } = &mut values[1].digests else {
            unreachable!()
        };
        let booted = EventLog::typical("console=ttyS0").rtmrs();
        for (rule, digest) in [rtmr0, rtmr1, rtmr2, rtmr3].into_iter().zip(booted) {
            *rule = Rule::Require(vec![Hex(digest)]);
        }
    };
    for register in 0..4 {
        let row = td(
            52,
            format!("another RTMR{register}, by a log that replays"),
            "tdx_register_mismatch",
            move |m| {
                let mut log = EventLog::typical("console=ttyS0");
                log.measure(register, event_type::EFI_ACTION, b"one event more");
                m.boot(log);
            },
        );
        rows.push(row.demanding(registers));
    }
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
